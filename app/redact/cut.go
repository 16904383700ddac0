package redact

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A cut is what is to go of a text, and what stands there then.
type cut struct {
	from, to int
	text     string
}

// apply makes cuts, which lie in order.
func apply(data []byte, cuts []cut) []byte {
	if len(cuts) == 0 {
		return data
	}
	var out []byte
	done := 0
	for _, c := range cuts {
		out = append(append(out, data[done:c.from]...), c.text...)
		done = c.to
	}
	return append(out, data[done:]...)
}

// moved returns cuts of a text that begins at by.
func moved(cuts []cut, by int) []cut {
	for i := range cuts {
		cuts[i].from += by
		cuts[i].to += by
	}
	return cuts
}

// A step reads one piece of a text that is written in another way: where the next one
// begins, and what it means. A frame belongs to how it is written, and is never cut.
type step func(src []byte, at int) (next int, means []byte, frame bool)

// meaning is what all of src means.
func meaning(src []byte, read step) []byte {
	out := make([]byte, 0, len(src))
	for at := 0; at < len(src); {
		next, means, _ := read(src, at)
		out, at = append(out, means...), next
	}
	return out
}

// written returns the cuts in src that cuts in its meaning come to. So all that stays is
// written as it was. quote writes what stands in their place.
func written(src []byte, read step, cuts []cut, quote func(string) string) []cut {
	var out []cut
	pos := 0 // in the meaning
	for at, k := 0, 0; at < len(src) && k < len(cuts); {
		next, means, frame := read(src, at)
		end := pos + len(means)
		for k < len(cuts) && cuts[k].from < end {
			c := cuts[k]
			if !frame {
				piece := cut{from: at, to: next}
				if len(means) == next-at { // it means itself
					piece = cut{from: at + max(c.from-pos, 0), to: at + min(c.to, end) - pos}
				}
				if n := len(out) - 1; c.from < pos && n >= 0 && out[n].to == piece.from {
					out[n].to = piece.to
				} else {
					if c.from >= pos {
						piece.text = quote(c.text)
					}
					out = append(out, piece)
				}
			}
			if c.to > end {
				break
			}
			k++
		}
		pos, at = end, next
	}
	return out
}

// escapes reads what stands between the quotes of a string of JSON. What is no escape
// means itself.
func escapes() step {
	var b [utf8.UTFMax]byte
	return func(src []byte, at int) (int, []byte, bool) {
		if n := bytes.IndexByte(src[at:], '\\'); n != 0 {
			if n < 0 {
				n = len(src) - at
			}
			return at + n, src[at : at+n], false
		}
		if at+1 == len(src) {
			return at + 1, src[at:], false
		}
		if i := strings.IndexByte(`"\/bfnrt`, src[at+1]); i >= 0 {
			return at + 2, append(b[:0], "\"\\/\b\f\n\r\t"[i]), false
		}
		u := hex4(src[at:])
		if u < 0 {
			return at + 1, src[at : at+1], false
		}
		if utf16.IsSurrogate(u) {
			if r := utf16.DecodeRune(u, hex4(src[at+6:])); r != utf8.RuneError {
				return at + 12, utf8.AppendRune(b[:0], r), false
			}
		}
		return at + 6, utf8.AppendRune(b[:0], u), false
	}
}

// hex4 is the number of an escape as \u0041, or -1.
func hex4(s []byte) rune {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return -1
	}
	var u rune
	for _, c := range s[2:6] {
		d := hexDigit(c)
		if d < 0 {
			return -1
		}
		u = u<<4 | rune(d)
	}
	return u
}

func hexDigit(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// escaped writes what stands between the quotes of a string of JSON.
func escaped(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `"`, `\"`)
}

// percents reads the value of a field of a URL-encoded form.
func percents() step {
	var b [1]byte
	return func(src []byte, at int) (int, []byte, bool) {
		n := bytes.IndexAny(src[at:], "%+")
		switch {
		case n < 0:
			return len(src), src[at:], false
		case n > 0:
			return at + n, src[at : at+n], false
		case src[at] == '+':
			b[0] = ' '
			return at + 1, b[:], false
		case at+2 < len(src) && hexDigit(src[at+1]) >= 0 && hexDigit(src[at+2]) >= 0:
			b[0] = byte(hexDigit(src[at+1])<<4 | hexDigit(src[at+2]))
			return at + 3, b[:], false
		}
		return at + 1, src[at : at+1], false
	}
}
