package pattern

import (
	"bytes"
	"strings"
)

// A literal is text that is in whatever a pattern matches, but for the case of ASCII. Most
// of what is searched has it not, and to see that is many times as fast as to match.
type literal struct {
	parts []string // that follow each other, with something or nothing between
	whole bool     // this is all of the pattern: where it is, that matches
	exact bool     // in this case
}

// literalOf returns what is seen of that: what stands between dots, of which each may be
// repeated, and anchors. It has to be ASCII, unless bytes are searched: the case of some
// letters beyond is within.
func literalOf(text string, o Options) (l literal) {
	parts, whole := parts(text)
	for _, p := range parts {
		if !o.Bytes && !ascii(p) {
			return literal{}
		}
	}
	return literal{parts: parts, whole: whole && len(parts) == 1, exact: !o.IgnoreCase}
}

func parts(text string) (all []string, whole bool) {
	whole = true
	var part []byte
	end := func() {
		if len(part) > 0 {
			all = append(all, string(part))
		}
		part = part[:0]
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case strings.IndexByte(`|()[]{}?+*`, c) >= 0:
			return nil, false
		case c == '\\':
			if i++; i == len(text) || isAlnum(text[i]) || text[i] >= 0x80 {
				return nil, false // a class, a back-reference, a boundary
			}
			part = append(part, text[i])
		case c == '.' || c == '^' || c == '$':
			if c == '.' && i+1 < len(text) && text[i+1] == '*' {
				i++
			}
			whole = false
			end()
		default:
			part = append(part, c)
		}
	}
	end()
	return all, whole
}

func isAlnum(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

// Literals returns texts that are in whatever the pattern matches, one behind the other, but
// for the case of ASCII; nil if none is seen. Of what is not ASCII they say nothing unless
// bytes are searched.
func (p *Pattern) Literals() []string { return p.literal.parts }

// quick reports whether the pattern is found in s, if that is plain to see.
func quick[T string | []byte](l *literal, s T) (found, known bool) {
	switch {
	case l.parts == nil:
		return false, false
	case l.whole && l.exact:
		return index(s, l.parts[0]) >= 0, true
	}
	for _, part := range l.parts {
		at := indexFold(s, part)
		if at < 0 {
			return false, true
		}
		s = s[at+len(part):]
	}
	return true, l.whole
}

func index[T string | []byte](s T, what string) int {
	switch s := any(s).(type) {
	case string:
		return strings.Index(s, what)
	case []byte:
		return bytes.Index(s, []byte(what))
	}
	return -1
}

// indexFold returns where s has what in it, no matter which case of ASCII, or -1.
func indexFold[T string | []byte](s T, what string) int {
	first, last := fold(what[0]), len(what)-1
	end := fold(what[last])
	for i := 0; i+last < len(s); i++ {
		if fold(s[i]) == first && fold(s[i+last]) == end && equalFold(s[i:i+last], what) {
			return i
		}
	}
	return -1
}

// equalFold compares as far as s goes.
func equalFold[T string | []byte](s T, what string) bool {
	for i := range len(s) {
		if fold(s[i]) != fold(what[i]) {
			return false
		}
	}
	return true
}

// fold makes lower case of ASCII.
func fold(c byte) byte {
	if c-'A' < 26 {
		return c | 0x20
	}
	return c
}
