package pattern

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A class is one of \d, \s and \w: how it is written within a set and how the
// rest of all characters is, for both engines.
type class struct {
	linear, back       string
	notLinear, notBack string
}

// Spaces are those of str.isspace and bytes.isspace; letters and digits those of
// str.isalnum. What is searched by Go's regexp is ASCII where there are classes.
var (
	textClasses = map[rune]class{
		'd': {`\d`, `\d`, `\D`, `\D`},
		's': {`\t-\r\x1c-\x20`, `\s\x1c-\x1f`, `\x00-\x08\x0e-\x1b!-` + last, `\S`},
		'w': {`\w`, `\p{L}\p{N}_`, `\W`, `\W`},
	}
	byteClasses = map[rune]class{
		'd': {`\d`, `0-9`, `\D`, `\x00-/:-` + last},
		's': {`\t-\r\x20`, `\t-\r\x20`, `\x00-\x08\x0e-\x1f!-` + last, `\x00-\x08\x0e-\x1f!-` + last},
		'w': {`\w`, `0-9A-Z_a-z`, `\W`, `\W`},
	}
)

const last = "\U0010ffff"

// controls are the letters that stand for characters.
var controls = map[rune]rune{'a': 7, 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v'}

// class returns the class that r, which is behind a backslash, stands for.
func (t *translator) class(r rune) (linear, back string, ok bool) {
	classes := textClasses
	if t.Bytes || t.ascii {
		classes = byteClasses
	}
	if c, ok := classes[r]; ok {
		t.classes = !t.ascii
		return c.linear, c.back, true
	}
	if c, ok := classes[r|0x20]; ok {
		t.classes = !t.ascii
		return c.notLinear, c.notBack, true
	}
	return "", "", false
}

// escape reads what follows a backslash outside of sets.
func (t *translator) escape(at int) error {
	r, ok := t.more()
	if !ok {
		return t.fail(at, "nothing follows the backslash")
	}
	if linear, back, ok := t.class(r); ok {
		t.begin()
		t.split("["+linear+"]", "["+back+"]")
		return nil
	}
	switch {
	case r == 'A':
		t.emit(`\A`)
		t.repeatable = nothing
		return nil
	case r == 'Z' || r == 'z':
		t.emit(`\z`)
		t.repeatable = nothing
		return nil
	case r == 'b' || r == 'B':
		t.classes = !t.ascii
		t.emit(`\` + string(r))
		t.repeatable = nothing
		return nil
	case '1' <= r && r <= '9':
		return t.number(at, r)
	}
	c, err := t.character(at, r)
	if err != nil {
		return err
	}
	t.literal(c)
	return nil
}

// number reads the number of a group, or three octal digits.
func (t *translator) number(at int, first rune) error {
	digits := string(first)
	if t.at < len(t.src) && '0' <= t.src[t.at] && t.src[t.at] <= '9' {
		if octal(first) && octal(t.src[t.at]) && t.at+1 < len(t.src) && octal(t.src[t.at+1]) {
			c, err := t.octal(at, first, 2)
			if err == nil {
				t.literal(c)
			}
			return err
		}
		digits += string(t.src[t.at])
		t.at++
	}
	n, _ := strconv.Atoi(digits)
	return t.reference(at, n)
}

func octal(r rune) bool { return '0' <= r && r <= '7' }

// octal reads up to n more octal digits.
func (t *translator) octal(at int, first rune, n int) (rune, error) {
	c := first - '0'
	for ; n > 0 && t.at < len(t.src) && octal(t.src[t.at]); n-- {
		c = c*8 + t.src[t.at] - '0'
		t.at++
	}
	if c > 0o377 {
		return 0, t.fail(at, "the most in octal digits is \\377")
	}
	return t.ordinal(c), nil
}

// ordinal is the character with a number below 256.
func (t *translator) ordinal(c rune) rune {
	if t.Bytes {
		return wide(byte(c))
	}
	return c
}

// character reads an escape that stands for one.
func (t *translator) character(at int, r rune) (rune, error) {
	if c, ok := controls[r]; ok {
		return c, nil
	}
	switch {
	case r == '0':
		return t.octal(at, r, 2)
	case r == 'x':
		c, err := t.hex(at, 2)
		return t.ordinal(c & 0xff), err
	case r == 'u' && !t.Bytes:
		return t.hex(at, 4)
	case r == 'U' && !t.Bytes:
		return t.hex(at, 8)
	case 'a' <= r|0x20 && r|0x20 <= 'z' && r < 0x80, '1' <= r && r <= '9':
		return 0, t.fail(at, `\`+string(r)+" means nothing")
	}
	return r, nil
}

func (t *translator) hex(at, n int) (rune, error) {
	text := string(t.src[t.at:min(t.at+n, len(t.src))])
	c, err := strconv.ParseUint(text, 16, 32)
	if err != nil || len(text) < n || strings.ContainsAny(text, "+_") || !utf8.ValidRune(rune(c)) {
		return 0, t.fail(at, "want "+strconv.Itoa(n)+" hexadecimal digits of a character")
	}
	t.at += n
	return rune(c), nil
}

// set reads what follows a [.
func (t *translator) set(at int) error {
	t.emit("[")
	if t.take('^') {
		t.emit("^")
	}
	for first := true; ; first = false {
		r, ok := t.more()
		switch {
		case !ok:
			return t.fail(at, "a ] is missing for this [")
		case r == ']' && !first:
			t.emit("]")
			return nil
		}
		if err := t.member(t.at-1, r); err != nil {
			return err
		}
	}
}

// member reads a character of a set, a range or a class.
func (t *translator) member(at int, r rune) error {
	low, isClass, err := t.end(at, r)
	if err != nil {
		return err
	}
	if t.at+1 >= len(t.src) || t.src[t.at] != '-' || t.src[t.at+1] == ']' {
		if !isClass {
			t.emit(quote(low))
		}
		return nil
	}
	t.at++
	r, _ = t.more()
	up, wasClass, err := t.end(t.at-1, r)
	switch {
	case err != nil:
		return err
	case isClass || wasClass || up < low:
		return t.fail(at, "no range: want the lower character first, and none of \\d, \\s and \\w")
	}
	t.emit(quote(low) + "-" + quote(up))
	return nil
}

// end reads one end of a range, or writes a class.
func (t *translator) end(at int, r rune) (c rune, isClass bool, err error) {
	if r != '\\' {
		return r, false, nil
	}
	r, ok := t.more()
	if !ok {
		return 0, false, t.fail(at, "nothing follows the backslash")
	}
	if linear, back, ok := t.class(r); ok {
		t.split(linear, back)
		return 0, true, nil
	}
	switch {
	case r == 'b':
		return '\b', false, nil
	case octal(r):
		c, err = t.octal(at, r, 2)
		return c, false, err
	}
	c, err = t.character(at, r)
	return c, false, err
}
