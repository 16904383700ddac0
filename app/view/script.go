package view

import (
	"bytes"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/js"
)

const (
	spaced    = " = == === != !== => && || ?? += -= *= /= %= &&= ||= ??= <= >= ? "
	joins     = " , ; ) ] . ?. ( else catch finally while : "
	beforeRE  = " return typeof case in of delete void throw new else do await yield instanceof "
	beforeObj = " ( , = : [ ? && || ?? return ... default "
)

// A script is how far JavaScript has been printed.
type script struct {
	*printer
	base  int
	stack []byte // of what is open: { a block, o an object, ( and [, ` a template
	prev  string // the token before, without white space
	space bool   // white space came
	brk   bool   // a line break came
	full  bool   // the line should end, unless what comes joins it
}

// javascript prints JavaScript: lines end where statements, blocks and members
// do, and where they did.
func javascript(p *printer, body []byte) error {
	in := parse.NewInputBytes(slices.Clip(body)) // clipped, it is copied; else the byte after it is written to
	l := js.NewLexer(in)
	s := script{printer: p, base: p.indent}
	defer func() { p.indent = s.base }()
	for at := 0; !p.stopped; {
		kind, b := l.Next()
		if (kind == js.DivToken || kind == js.DivEqToken) && s.expectsValue() {
			if k, re := l.RegExp(); k == js.RegExpToken {
				kind, b = k, re
			} else {
				return faultAt(at, "a regular expression without an end")
			}
		}
		if kind == js.ErrorToken {
			if at < len(body) {
				return faultAt(at, "is no token")
			}
			return nil
		}
		if !s.token(kind, b) {
			return faultAt(at, "%w", errDeep)
		}
		at += len(b)
	}
	return nil
}

// expectsValue reports whether a / begins a regular expression here.
func (s *script) expectsValue() bool {
	if s.prev == "" {
		return true
	}
	c := s.prev[len(s.prev)-1]
	if strings.IndexByte(")]}\"'`/", c) >= 0 {
		return false
	}
	if c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
		return strings.Contains(beforeRE, " "+s.prev+" ")
	}
	return s.prev != "++" && s.prev != "--"
}

// token prints one token, and reports false where it is too deep.
func (s *script) token(kind js.TokenType, b []byte) bool {
	switch kind {
	case js.WhitespaceToken:
		s.space = true
		return true
	case js.LineTerminatorToken:
		s.brk = true
		return true
	case js.CommentToken, js.CommentLineTerminatorToken:
		s.before("")
		s.comment(b)
		if kind == js.CommentLineTerminatorToken || bytes.HasPrefix(b, []byte("//")) {
			s.full = true
		}
		return true
	}
	t := string(b)
	shuts := t == "}" || t == ")" || t == "]"
	if shuts {
		s.shut(t)
	}
	s.before(t)
	switch {
	case t == "{" || t == "(" || t == "[" || kind == js.TemplateStartToken:
		if len(s.stack) == maxDepth {
			return false
		}
		s.opens(t)
	case kind == js.TemplateEndToken && len(s.stack) > 0:
		s.stack = s.stack[:len(s.stack)-1]
	}
	s.write(kind, t)
	s.after(t)
	s.prev = t
	return true
}

func (s *script) opens(t string) {
	c := t[0]
	if c == '{' && s.prev != "" && strings.Contains(beforeObj, " "+s.prev+" ") {
		c = 'o'
	}
	s.stack = append(s.stack, c)
}

func (s *script) top() byte {
	if len(s.stack) == 0 {
		return '{'
	}
	return s.stack[len(s.stack)-1]
}

// shut closes what is open.
func (s *script) shut(t string) {
	top := s.top()
	if len(s.stack) == 0 {
		return
	}
	s.stack = s.stack[:len(s.stack)-1]
	if t == "}" && s.prev != "{" && (top == '{' || top == 'o') {
		s.flush()
	}
	s.level()
	if t == "}" && s.prev == "{" {
		s.full, s.brk = false, false // nothing is inside
	}
}

// level sets the indent by the blocks that are open.
func (s *script) level() {
	n := 0
	for _, c := range s.stack {
		if c == '{' || c == 'o' {
			n++
		}
	}
	s.indent = s.base + n
}

// before ends the line or puts a blank before t, if either belongs there.
func (s *script) before(t string) {
	joins := t != "" && s.prev == "}" && strings.Contains(joins, " "+t+" ")
	if s.full && !joins || s.brk && !joins && t != "}" {
		s.flush()
	}
	if len(s.line) == 0 {
		s.level()
	} else if s.space || s.full && (t == "else" || t == "catch" || t == "finally") || strings.Contains(spaced, " "+t+" ") {
		s.put(Plain, " ")
	}
	s.full, s.space, s.brk = false, false, false
}

// after says what is to follow t.
func (s *script) after(t string) {
	top := s.top()
	switch {
	case t == "{" || t == "}" && (top == '{' || top == 'o'):
		s.full = true
	case t == ";" && top == '{', t == "," && top == 'o':
		s.full = true
	case t == ",", t == ":" && top == 'o', t == ";", strings.Contains(spaced, " "+t+" "):
		s.space = true
	}
}

func (s *script) write(kind js.TokenType, t string) {
	k := Plain
	switch {
	case kind == js.StringToken || kind == js.RegExpToken || kind >= js.TemplateToken && kind <= js.TemplateEndToken:
		k = String
	case js.IsNumeric(kind):
		k = Number
	case js.IsReservedWord(kind) || t == "let" || t == "async" || t == "of":
		k = Word
	}
	for {
		line, rest, more := strings.Cut(t, "\n")
		s.put(k, untab(strings.TrimSuffix(line, "\r")))
		if !more {
			return
		}
		s.end()
		indent := s.indent
		s.indent = 0 // a template's lines begin where they began
		s.line = append(s.line, Token{})
		s.indent = indent
		t = rest
	}
}
