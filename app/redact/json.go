package redact

import (
	"bytes"
	"errors"
)

var (
	errJSON = errors.New("it is no JSON")
	errDeep = errors.New("it is nested too deep")
	errEnd  = errors.New("it ends in the middle")
)

const (
	maxDepth   = 1000 // of values
	maxStrings = 5    // of JSON in strings of JSON
	maxPrefix  = 32   // how much may stand before JSON, so that no script can load it
)

// A scan goes through JSON and finds its secrets.
type scan struct {
	*Rules
	src    []byte
	at     int
	cuts   []cut
	path   []string
	name   []byte // the last one, folded
	said   [2]int // where the last string is
	deep   int
	level  int  // of strings
	strict bool // what is no JSON is an error; else, as in text, it goes on behind that
}

// inJSON finds secrets in values of JSON, one or several behind each other. part says that
// src may end in the middle.
func (r *Rules) inJSON(src []byte, part bool) ([]cut, error) {
	from := len(mark(src))
	cuts, err := r.values(src[from:], part)
	if err == errJSON {
		if begin := bytes.IndexAny(src[:min(len(src), maxPrefix)], "{["); begin > from {
			from = begin
			cuts, err = r.values(src[from:], part)
		}
	}
	return moved(cuts, from), err
}

func (r *Rules) values(src []byte, part bool) ([]cut, error) {
	s := &scan{Rules: r, src: src, strict: true}
	for {
		s.space()
		if s.at == len(src) {
			return s.cuts, nil
		}
		if err := s.value(); err == errEnd {
			if part {
				return s.cuts, nil
			}
			return nil, errJSON
		} else if err != nil {
			return nil, err
		}
	}
}

// inText finds secrets in the objects of JSON that a text has anywhere, of one that is
// broken as far as it is one. level is how many strings the text is in.
func (r *Rules) inText(src []byte, level int) ([]cut, error) {
	s := &scan{Rules: r, src: src, level: level}
	for {
		n := bytes.IndexByte(src[s.at:], '{')
		if n < 0 {
			return s.cuts, nil
		}
		s.at += n
		err := s.object()
		switch err {
		case nil:
		case errJSON: // on from where it is none any more
			s.back()
		case errEnd:
			return s.cuts, nil
		default:
			return nil, err
		}
	}
}

// object reads an object of a text. One whose quotes are escaped is in a string of a script,
// or of an array, that nobody has seen begin.
func (s *scan) object() error {
	next := s.at + 1 + len(s.src[s.at+1:]) - len(bytes.TrimLeft(s.src[s.at+1:], " \t"))
	if next == len(s.src) || s.src[next] != '\\' {
		return s.value()
	}
	from := s.at
	for s.at = next; s.at < len(s.src) && s.src[s.at] != '"' && s.src[s.at] != '\n' && s.src[s.at] != '\r'; s.at++ {
		if s.src[s.at] == '\\' {
			s.at++
		}
	}
	s.at = min(s.at, len(s.src))
	return s.inString(from, s.at)
}

// back goes back into the string behind which there is no JSON any more, if it ends as an object
// begins: then it was none, but what stands between two strings.
func (s *scan) back() {
	said := bytes.TrimRight(s.src[s.said[0]:s.said[1]], " \t")
	behind := s.src[s.said[1]:s.at]
	if len(said) > 0 && said[len(said)-1] == '{' && len(bytes.TrimSpace(bytes.TrimPrefix(behind, []byte(`"`)))) == 0 {
		s.at = s.said[0] + len(said) - 1
	}
	s.said = [2]int{} // once
}

func (s *scan) space() {
	for s.at < len(s.src) && (s.src[s.at] == ' ' || s.src[s.at] == '\t' || s.src[s.at] == '\n' || s.src[s.at] == '\r') {
		s.at++
	}
}

// peek returns the next byte that means something.
func (s *scan) peek() (byte, error) {
	s.space()
	if s.at == len(s.src) {
		return 0, errEnd
	}
	return s.src[s.at], nil
}

func (s *scan) value() error {
	c, err := s.peek()
	switch {
	case err != nil:
		return err
	case c == '{':
		return s.members('}', s.member)
	case c == '[':
		return s.members(']', s.value)
	case c == '"':
		_, err := s.text(false)
		return err
	}
	from := s.at
	for s.at < len(s.src) {
		c := s.src[s.at]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != 'E' && c != '+' && c != '-' && c != '.' {
			break
		}
		s.at++
	}
	if s.at == from {
		return errJSON
	}
	return nil
}

// members reads an object or an array.
func (s *scan) members(end byte, each func() error) error {
	if s.deep++; s.deep > maxDepth {
		return errDeep
	}
	defer func() { s.deep-- }()
	s.at++
	c, err := s.peek()
	if err == nil && c == end {
		s.at++
		return nil
	}
	for {
		if err := each(); err != nil {
			return err
		}
		c, err := s.peek()
		if err != nil {
			return err
		}
		if c != end && c != ',' {
			return errJSON
		}
		s.at++
		if c == end {
			return nil
		}
	}
}

// member reads a name and its value, which may be a secret.
func (s *scan) member() error {
	c, err := s.peek()
	if err != nil {
		return err
	}
	if c != '"' {
		return errJSON
	}
	name, err := s.text(true)
	if err != nil {
		return err
	}
	if c, err = s.peek(); err != nil {
		return err
	}
	if c != ':' {
		return errJSON
	}
	s.at++
	s.name = appendFolded(s.name[:0], name)
	secret := s.json[string(s.name)]
	perhaps := !secret && tellsSecret(s.name)
	if len(s.paths) > 0 {
		s.path = append(s.path, string(s.name))
		defer func() { s.path = s.path[:len(s.path)-1] }()
		secret = secret || s.secretPath(s.path)
	}
	if _, err := s.peek(); err != nil {
		return err
	}
	from, before := s.at, len(s.cuts)
	err = s.value()
	if err == errDeep || err == errJSON && s.strict || !secret && !perhaps {
		return err
	}
	said := s.src[from:s.at]
	if !secret && (string(said) == "true" || string(said) == "false") { // as in hasPassword
		return err
	}
	if len(said) > 0 && string(said) != "null" && string(said) != `""` {
		s.cuts = append(s.cuts[:before], cut{from, s.at, `"` + Mark + `"`}) // with what was found within
		if err == errJSON {
			return nil
		}
	}
	return err
}

// text reads a string, and returns it, if it is a name, without what is escaped. If it is
// none, it is looked into. One that does not end does so with its line, in text.
func (s *scan) text(name bool) ([]byte, error) {
	s.at++
	from, escaped := s.at, false
	to, err := len(s.src), errEnd
	for s.at < len(s.src) && err != nil {
		switch c := s.src[s.at]; {
		case c == '"':
			to, err = s.at, nil
		case !s.strict && (c == '\n' || c == '\r'):
			to, err = s.at, nil
			continue
		case c == '\\':
			escaped = true
			s.at++
		}
		s.at++
	}
	s.at = min(s.at, len(s.src))
	said := s.src[from:to]
	s.said = [2]int{from, to}
	switch {
	case !escaped:
	case name:
		said = meaning(said, escapes())
	default:
		if err := s.inString(from, to); err != nil {
			return nil, err
		}
	}
	return said, err
}

// inString finds secrets in JSON that is in a string.
func (s *scan) inString(from, to int) error {
	src := s.src[from:to]
	text := meaning(src, escapes())
	if bytes.IndexByte(text, '{') < 0 || bytes.IndexByte(text, '"') < 0 {
		return nil
	}
	if s.level == maxStrings {
		return errDeep
	}
	found, err := s.inText(text, s.level+1)
	if err == nil {
		s.cuts = append(s.cuts, moved(written(src, escapes(), found, escaped), from)...)
	}
	return err
}
