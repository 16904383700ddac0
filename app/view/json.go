package view

import (
	"bytes"
	"errors"
)

// jsonText prints JSON (RFC 8259), each token as it was written: a number
// keeps its digits and an object the names it has twice.
func jsonText(p *printer, body []byte) error {
	s := scanner{b: body}
	s.guard(p)
	for first := true; ; first = false {
		s.space()
		switch {
		case s.i == len(body) && first:
			return faultAt(s.i, "is empty")
		case s.i == len(body):
			return nil
		case !first && s.b[s.i] != '{' && s.b[s.i] != '[':
			return faultAt(s.i, "more after the value")
		}
		if err := s.value(p); err != nil {
			return err
		}
		if p.flush(); p.stopped {
			return nil
		}
	}
}

// jsonLines prints JSON values, one a line.
func jsonLines(p *printer, body []byte) error {
	at := 0
	for line := range bytes.Lines(body) {
		if s := (scanner{b: line}); len(bytes.TrimSpace(line)) > 0 {
			s.space()
			if err := s.value(p); err != nil {
				f := (*fault)(nil)
				errors.As(err, &f)
				return &fault{at + f.at, f.err}
			}
			if s.space(); s.i < len(line) {
				return faultAt(at+s.i, "more after the value")
			}
			if p.flush(); p.stopped {
				return nil
			}
		}
		at += len(line)
	}
	return nil
}

// isJSON reports whether body begins as an object or array does.
func isJSON(body []byte) bool {
	s := scanner{b: body}
	s.space()
	if s.i == len(body) || s.b[s.i] != '{' && s.b[s.i] != '[' {
		return false
	}
	open := s.b[s.i]
	s.i++
	s.space()
	if s.i == len(body) {
		return false
	}
	c := s.b[s.i]
	if open == '{' {
		return c == '"' || c == '}'
	}
	return bytes.IndexByte([]byte(`"{[]-0123456789tfn`), c) >= 0
}

// isLines reports whether body is more than one JSON value on lines of their own.
func isLines(body []byte) bool {
	first, rest, ok := bytes.Cut(body, []byte("\n"))
	return ok && isJSON(first) && isJSON(rest) && complete(first)
}

// complete reports whether b is one value of JSON.
func complete(b []byte) bool {
	s := scanner{b: b}
	s.space()
	var stack []byte
	for s.i < len(b) {
		c := s.b[s.i]
		switch c {
		case '{', '[':
			stack = append(stack, c)
			s.i++
		case '}', ']':
			if len(stack) == 0 || stack[len(stack)-1] != c-2 {
				return false
			}
			stack = stack[:len(stack)-1]
			s.i++
		case '"':
			if _, err := s.str(); err != nil {
				return false
			}
		default:
			s.i++
		}
	}
	return len(stack) == 0
}

// A scanner goes through JSON.
type scanner struct {
	b     []byte
	i     int
	stack []byte // of '{' and '['
}

func (s *scanner) space() {
	if s.i == 0 && bytes.HasPrefix(s.b, []byte("\ufeff")) {
		s.i = len("\ufeff")
	}
	for s.i < len(s.b) && (s.b[s.i] == ' ' || s.b[s.i] == '\n' || s.b[s.i] == '\r' || s.b[s.i] == '\t') {
		s.i++
	}
}

// guard prints what some put before JSON, so that no script can include it.
func (s *scanner) guard(p *printer) {
	for _, g := range []string{")]}',", ")]}'", "while(1);", "for(;;);"} {
		if bytes.HasPrefix(s.b, []byte(g)) {
			p.put(Comment, g)
			p.end()
			s.i = len(g)
			return
		}
	}
}

// value prints one value.
func (s *scanner) value(p *printer) error {
	base := p.indent
	defer func() { p.indent = base }()
	for !p.stopped {
		s.space()
		if err := s.item(p, base); err != nil {
			return err
		}
		for len(s.stack) > 0 { // what follows an item
			s.space()
			if s.i == len(s.b) {
				return faultAt(s.i, "ends within a value")
			}
			top := s.stack[len(s.stack)-1]
			if c := s.b[s.i]; c == ',' {
				s.i++
				p.put(Plain, ",")
				p.end()
				break
			} else if c != top+2 {
				return faultAt(s.i, "%q where a comma or %q belongs", c, top+2)
			}
			s.i++
			s.close(p, base)
		}
		if len(s.stack) == 0 {
			return nil
		}
		if err := s.name(p); err != nil {
			return err
		}
	}
	return nil
}

// close ends a line and an array or object on the next.
func (s *scanner) close(p *printer, base int) {
	top := s.stack[len(s.stack)-1]
	s.stack = s.stack[:len(s.stack)-1]
	p.flush()
	p.indent = base + len(s.stack)
	p.put(Plain, string(rune(top+2)))
}

// name prints the name of a member, if there is to be one.
func (s *scanner) name(p *printer) error {
	if s.stack[len(s.stack)-1] != '{' {
		return nil
	}
	s.space()
	if s.i == len(s.b) {
		return faultAt(s.i, "ends within an object")
	}
	if s.b[s.i] != '"' {
		return faultAt(s.i, "%q where a name belongs", s.b[s.i])
	}
	at := s.i
	name, err := s.str()
	if err != nil {
		return err
	}
	s.space()
	if s.i == len(s.b) || s.b[s.i] != ':' {
		return faultAt(at, "no colon after the name")
	}
	s.i++
	p.bytes(Key, name)
	p.put(Plain, ": ")
	return nil
}

// item prints a scalar or an empty container, or what a container begins with.
func (s *scanner) item(p *printer, base int) error {
	if s.i == len(s.b) {
		return faultAt(s.i, "ends where a value belongs")
	}
	at := s.i
	switch c := s.b[s.i]; {
	case c == '{' || c == '[':
		return s.open(p, base)
	case c == '"':
		v, err := s.str()
		if err != nil {
			return err
		}
		p.bytes(String, v)
	case c == '-' || c >= '0' && c <= '9':
		for s.i < len(s.b) && bytes.IndexByte([]byte("+-.eE0123456789"), s.b[s.i]) >= 0 {
			s.i++
		}
		p.bytes(Number, s.b[at:s.i])
	default:
		for s.i < len(s.b) && s.b[s.i] >= 'a' && s.b[s.i] <= 'z' {
			s.i++
		}
		switch w := string(s.b[at:s.i]); w {
		case "true", "false", "null":
			p.put(Word, w)
		default:
			return faultAt(at, "%q where a value belongs", c)
		}
	}
	return nil
}

func (s *scanner) open(p *printer, base int) error {
	for {
		c, at := s.b[s.i], s.i
		s.i++
		s.space()
		p.put(Plain, string(rune(c)))
		if s.i < len(s.b) && s.b[s.i] == c+2 {
			s.i++
			p.put(Plain, string(rune(c+2)))
			return nil
		}
		if len(s.stack) == maxDepth {
			return faultAt(at, "%w", errDeep)
		}
		s.stack = append(s.stack, c)
		p.end()
		p.indent = base + len(s.stack)
		if err := s.name(p); err != nil {
			return err
		}
		s.space()
		if s.i == len(s.b) || s.b[s.i] != '{' && s.b[s.i] != '[' {
			return s.item(p, base)
		}
	}
}

// str returns a string with its quotation marks.
func (s *scanner) str() ([]byte, error) {
	at := s.i
	for i := at + 1; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '\\':
			i++
		case c == '"':
			s.i = i + 1
			return s.b[at:s.i], nil
		case c == '\n': // a control character like any other, but likelier the end of what has no quotation mark
			return nil, faultAt(at, "a string that goes over the end of a line")
		}
	}
	return nil, faultAt(at, "a string without an end")
}
