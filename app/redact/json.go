package redact

import "errors"

// errJSON is of what should be JSON and is not.
var errJSON = errors.New("it is no JSON")

// maxDepth bounds how deep values may be nested.
const maxDepth = 1000

// A scan goes through JSON, and copies it to out without its secrets; all else stays as
// it was written. A text that ends in the middle is copied as far as it goes.
type scan struct {
	*Rules
	src  []byte
	at   int
	out  []byte
	done int // up to where src was copied, or left out
	path []string
	name []byte // the last one, folded
	deep int
}

// errEnd is of a text that ends in the middle.
var errEnd = errors.New("it ends in the middle")

// scanJSON returns values of JSON, one or several behind each other, without their
// secrets. part says that src may end in the middle.
func (r *Rules) scanJSON(src []byte, part bool) ([]byte, error) {
	s := &scan{Rules: r, src: src}
	for {
		s.space()
		if s.at == len(src) {
			break
		}
		if err := s.value(); err != nil {
			if err == errEnd && part {
				break
			}
			return nil, errJSON
		}
	}
	return append(s.out, src[s.done:]...), nil
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
		return errJSON
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
		s.at++
		if c == end {
			return nil
		}
		if c != ',' {
			return errJSON
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
	if len(s.paths) > 0 {
		s.path = append(s.path, string(s.name))
		defer func() { s.path = s.path[:len(s.path)-1] }()
		secret = secret || s.secretPath(s.path)
	}
	if _, err := s.peek(); err != nil {
		return err
	}
	from := s.at
	copied := len(s.out)
	done := s.done
	err = s.value()
	if err != nil && err != errEnd {
		return err
	}
	if said := s.src[from:s.at]; secret && string(said) != "null" && string(said) != `""` {
		// What was taken out within it goes with it.
		s.out = append(append(s.out[:copied], s.src[done:from]...), `"`+Mark+`"`...)
		s.done = s.at
	}
	return err
}

// text reads a string, and returns it, if it is a name, without what is escaped.
func (s *scan) text(name bool) ([]byte, error) {
	s.at++
	from, escaped := s.at, false
	for s.at < len(s.src) {
		switch s.src[s.at] {
		case '"':
			text := s.src[from:s.at]
			s.at++
			if escaped && name {
				text = []byte(unescape(string(text)))
			}
			return text, nil
		case '\\':
			escaped = true
			s.at++
		}
		s.at++
	}
	s.at = len(s.src)
	return nil, errEnd
}
