package filter

import (
	"errors"
	"strings"

	"transom/pattern"
)

const (
	special = `()~'"`   // ends a word
	white   = " \t\r\n" // and so does this
	// maxDepth bounds what is nested; mitmproxy ends somewhere before it.
	maxDepth = 100
	maxText  = 64 << 10
)

// A parser reads an expression, by descent. Where something can't be read on, it
// goes back and takes the beginning for something else, as mitmproxy does: & is and,
// unless nothing follows it; then it is a regular expression.
type parser struct {
	Options
	text  string
	src   []rune
	at    int
	depth int

	// strict is mitmproxy's grammar. Without it a name of an operator may be
	// followed by anything, operands may stand side by side within parentheses,
	// and there are operators of ours. It is tried first, so that nothing that
	// means something there means anything else here.
	strict bool

	far   Error // the furthest that was come to, and why not further
	fatal bool  // it is final
}

func parse(text string, o Options) (*expr, error) {
	text = expandTabs(text)
	src := []rune(text)
	if len(src) > maxText {
		return nil, &Error{Column: 1, Reason: "the filter is too long"}
	}
	if strings.Trim(text, white) == "" {
		return nil, &Error{Text: text, Column: 1, Reason: "the filter is empty; ~all matches everything"}
	}
	p := &parser{Options: o, text: text, src: src, strict: true}
	if e := p.all(); e != nil {
		return e, nil
	}
	p = &parser{Options: o, text: text, src: src}
	if e := p.all(); e != nil {
		return e, nil
	}
	p.far.Text = text
	return nil, &p.far
}

// fail notes why it goes no further at a place, unless it went further before.
func (p *parser) fail(at int, reason string) *expr {
	if !p.fatal && at+1 > p.far.Column {
		p.far.Column, p.far.Reason = at+1, reason
	}
	return nil
}

// refuse is fail where nothing else is tried.
func (p *parser) refuse(at int, reason string) *expr {
	if !p.fatal {
		p.far.Column, p.far.Reason, p.fatal = at+1, reason, true
	}
	return nil
}

func (p *parser) skip() {
	for p.at < len(p.src) && strings.ContainsRune(white, p.src[p.at]) {
		p.at++
	}
}

// next returns the character that follows, 0 at the end.
func (p *parser) next() rune {
	if p.at >= len(p.src) {
		return 0
	}
	return p.src[p.at]
}

// take passes r, and white space before it, if it is next.
func (p *parser) take(r rune) bool {
	from := p.at
	if p.skip(); p.next() == r {
		p.at++
		return true
	}
	p.at = from
	return false
}

// all reads the whole: operands side by side, all of which have to match.
func (p *parser) all() *expr {
	e := p.several()
	if e == nil || p.fatal {
		return nil
	}
	if p.skip(); p.at < len(p.src) {
		if p.next() == ')' {
			p.far.Column = min(p.far.Column, p.at)
			return p.fail(p.at, "this ) has no (; quote what is part of a regular expression: \"…\"")
		}
		return p.fail(p.at, "this can't be read; quote what is part of a regular expression: \"…\"")
	}
	return e
}

// several reads one or more operands that stand side by side.
func (p *parser) several() *expr {
	var of []*expr
	for {
		from := p.at
		if p.skip(); p.at == len(p.src) && of != nil {
			break
		}
		e := p.either()
		if e == nil {
			p.at = from
			break
		}
		of = append(of, e)
	}
	return joined('&', of)
}

// joined is what has several operands, or the only one.
func joined(join rune, of []*expr) *expr {
	switch len(of) {
	case 0:
		return nil
	case 1:
		return of[0]
	}
	return &expr{join: join, of: of}
}

func (p *parser) either() *expr { return p.chain('|', p.both) }

func (p *parser) both() *expr { return p.chain('&', p.unless) }

// chain reads operands with join between them.
func (p *parser) chain(join rune, operand func() *expr) *expr {
	first := operand()
	if first == nil {
		return nil
	}
	of := []*expr{first}
	for {
		from := p.at
		if !p.take(join) {
			break
		}
		e := operand()
		if e == nil {
			p.at = from
			break
		}
		of = append(of, e)
	}
	return joined(join, of)
}

// unless reads an operand, or ! and one.
func (p *parser) unless() *expr {
	p.skip()
	if p.depth++; p.depth > maxDepth {
		return p.refuse(p.at, "this is nested too deeply")
	}
	defer func() { p.depth-- }()
	from := p.at
	if p.take('!') {
		if e := p.unless(); e != nil {
			return &expr{join: '!', of: []*expr{e}}
		}
		p.at = from
	}
	if p.next() == '(' {
		return p.within()
	}
	return p.operand()
}

// within reads what stands in parentheses.
func (p *parser) within() *expr {
	from := p.at
	p.at++
	read := p.either
	if !p.strict {
		read = p.several
	}
	e := read()
	if e == nil {
		p.at = from
		return nil
	}
	if !p.take(')') {
		p.skip()
		p.fail(p.at, "a ) is missing here")
		p.at = from
		return nil
	}
	return e
}

// operand reads an operator with its argument, or a regular expression for URLs.
func (p *parser) operand() *expr {
	if p.fatal {
		return nil
	}
	from := p.at
	if p.next() != '~' {
		arg, ok := p.word(nil)
		if !ok {
			return nil
		}
		return p.compile(from, from, named("u"), arg)
	}
	op := p.operator()
	if op == nil {
		p.at = from
		return nil
	}
	if op.takes == nothing {
		return &expr{op: op}
	}
	p.skip()
	at := p.at
	arg, ok := "", false
	if op.takes == number {
		arg, ok = p.digits(op)
	} else {
		arg, ok = p.word(op)
	}
	if !ok {
		p.at = from
		return nil
	}
	return p.compile(from, at, op, arg)
}

// digits reads a number.
func (p *parser) digits(op *operator) (string, bool) {
	from := p.at
	for p.next() >= '0' && p.next() <= '9' {
		p.at++
	}
	if p.at == from {
		p.fail(p.at, "~"+op.code+" wants a number, as in ~"+op.code+" "+op.example)
		return "", false
	}
	text := strings.TrimLeft(string(p.src[from:p.at]), "0")
	if text == "" {
		text = "0"
	}
	return text, true
}

// operator reads an operator's name.
func (p *parser) operator() *operator {
	from := p.at
	p.at++
	if p.strict {
		for p.next() > ' ' && p.next() < 0x7f {
			p.at++
		}
		if op := named(string(p.src[from+1 : p.at])); op != nil && !op.ours {
			return op
		}
		return nil
	}
	letter := func(r rune) bool { return 'a' <= r && r <= 'z' }
	for letter(p.next()) || '0' <= p.next() && p.next() <= '9' {
		p.at++
	}
	name := string(p.src[from+1 : p.at])
	if op := named(name); op != nil {
		return op
	}
	p.at = from + 1
	for letter(p.next()) {
		p.at++
	}
	if op := named(string(p.src[from+1 : p.at])); op != nil {
		return op
	}
	for letter(p.next() | 0x20) {
		p.at++
	}
	if name == "" {
		name = string(p.src[from+1 : p.at])
	}
	p.fail(from, "there is no operator ~"+name+meant(name))
	return nil
}

// compile makes an expr of an operator and its argument, which stands at.
func (p *parser) compile(from, at int, op *operator, arg string) *expr {
	e := &expr{op: op, arg: arg}
	if op.takes != regex {
		test, err := op.reads(arg)
		if err != nil {
			return p.refuse(at, "~"+op.code+": "+err.Error())
		}
		e.test = test
		return e
	}
	o := haystacks[op.in]
	o.IgnoreCase = o.IgnoreCase || !p.CaseSensitive
	e.folds = o.IgnoreCase
	var err error
	if e.regex, err = pattern.Compile(arg, o); err != nil {
		var where *pattern.Error
		if errors.As(err, &where) {
			at = p.place(at, arg, where.Offset, o.Bytes)
			return p.refuse(at, "no regular expression: "+where.Reason)
		}
		return p.refuse(at, "no regular expression: "+err.Error())
	}
	return e
}

// place returns where the character or byte offset of an argument stands, which
// begins at. Where a quote has escapes it is the quote.
func (p *parser) place(at int, arg string, offset int, bytes bool) int {
	if bytes {
		offset = len([]rune(arg[:min(offset, len(arg))]))
	}
	if q := p.src[at]; q == '"' || q == '\'' {
		if strings.ContainsRune(string(p.src[at:p.at]), '\\') {
			return at
		}
		at++
	}
	return at + offset
}
