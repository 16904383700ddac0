package filter

import (
	"strings"

	"transom/pattern"
)

// An expr is a node of an expression: an operator with its argument, or what joins
// others.
type expr struct {
	join rune    // '!', '&', '|', or 0
	of   []*expr // what is joined

	op    *operator
	arg   string
	regex *pattern.Pattern
	folds bool  // regex ignores case
	test  *test // for other arguments
}

// match reports whether s matches.
func (e *expr) match(s *subject) bool {
	switch e.join {
	case '!':
		before := s.err
		ok := e.of[0].match(s)
		return !ok || before == nil && s.err != nil // undecided is undecided
	case '&':
		for _, x := range e.of {
			if !x.match(s) {
				return false
			}
		}
		return true
	case '|':
		for _, x := range e.of {
			if x.match(s) {
				return true
			}
		}
		return false
	}
	switch {
	case e.regex != nil:
		return e.op.search(s, e.regex)
	case e.test != nil:
		return e.test.decides(s)
	}
	return e.op.is(s)
}

func (e *expr) needsBody() bool {
	for _, x := range e.of {
		if x.needsBody() {
			return true
		}
	}
	return e.op != nil && e.op.body
}

// append writes e so that it is read as the same, as an operand of what joins.
func (e *expr) append(b []byte, outer rune) []byte {
	switch e.join {
	case 0:
		return e.appendOperator(b)
	case '!':
		return e.of[0].append(append(b, '!'), '!')
	}
	inside := outer != 0 && (outer != '|' || e.join != '&')
	if inside {
		b = append(b, '(')
	}
	for i, x := range e.of {
		if i > 0 {
			b = append(b, ' ', byte(e.join), ' ')
		}
		b = x.append(b, e.join)
	}
	if !inside {
		return b
	}
	if e.endsInName() {
		b = append(b, ' ') // mitmproxy wants it there
	}
	return append(b, ')')
}

// endsInName reports whether what append writes ends in an operator's name.
func (e *expr) endsInName() bool {
	if e.join == 0 {
		return e.op.takes == nothing
	}
	last := e.of[len(e.of)-1]
	if e.join != '!' && last.join == '|' || e.join == '!' && last.join != 0 && last.join != '!' || e.join == '&' && last.join == '&' {
		return false // in parentheses
	}
	return last.endsInName()
}

func (e *expr) appendOperator(b []byte) []byte {
	b = append(append(b, '~'), e.op.code...)
	if e.op.takes == nothing {
		return b
	}
	b = append(b, ' ')
	if e.arg != "" && !strings.ContainsAny(e.arg, special+white+"\f") {
		return append(b, e.arg...)
	}
	b = append(b, '"')
	for i := range len(e.arg) {
		if c := e.arg[i]; c == '"' || c == '\\' {
			b = append(b, '\\', c)
		} else if j := strings.IndexByte("\t\n\f\r", c); j >= 0 {
			b = append(b, '\\', "tnfr"[j])
		} else {
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// describe writes e in words.
func (e *expr) describe(b []byte) []byte {
	switch e.join {
	case '!':
		return e.of[0].describeWithin(append(b, "not "...))
	case '&', '|':
		for i, x := range e.of {
			if i > 0 && e.join == '&' {
				b = append(b, " and "...)
			} else if i > 0 {
				b = append(b, " or "...)
			}
			b = x.describeWithin(b)
		}
		return b
	}
	b = append(b, e.op.says...)
	switch {
	case e.op.takes == nothing:
		return b
	case e.regex == nil:
		return append(append(b, ' '), e.arg...)
	}
	b = append(append(append(b, " /"...), e.arg...), '/')
	if e.folds {
		b = append(b, 'i')
	}
	return b
}

func (e *expr) describeWithin(b []byte) []byte {
	if e.join == '&' || e.join == '|' {
		return append(e.describe(append(b, '(')), ')')
	}
	return e.describe(b)
}
