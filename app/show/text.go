package show

import (
	"unicode"
	"unicode/utf8"
)

// Text from the network can hold anything. On a terminal it must not move the
// cursor, colour, reorder or pile up: what is not plainly printable is shown as
// \n, \x1b or \u202e. A backslash stays one, so this is for eyes, not for
// programs, which have JSON.

// maxMarks is how many combining marks may sit on one character.
const maxMarks = 2

// safe appends s, at most limit columns wide, and returns its width. A longer
// one ends in "…". limit 0 is none.
func safe(b []byte, s string, limit int) ([]byte, int) {
	width, marks := 0, 0
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		at := len(b)
		w := 0
		switch {
		case r == utf8.RuneError && n == 1:
			b, w = hexEscape(b, 'x', rune(s[i]), 2), 4
		case unicode.In(r, unicode.Mn, unicode.Me):
			if marks++; marks <= maxMarks {
				b = utf8.AppendRune(b, r)
			}
			i += n
			continue
		case unicode.IsPrint(r):
			b, w = utf8.AppendRune(b, r), runeWidth(r)
		default:
			b = escape(b, r)
			w = len(b) - at
		}
		marks = 0
		if limit > 0 && width+w > limit-1 && (i+n < len(s) || width+w > limit) {
			return append(b[:at], "…"...), width + 1
		}
		width += w
		i += n
	}
	return b, width
}

func escape(b []byte, r rune) []byte {
	switch {
	case r == '\n':
		return append(b, '\\', 'n')
	case r == '\r':
		return append(b, '\\', 'r')
	case r == '\t':
		return append(b, '\\', 't')
	case r < 0x100:
		return hexEscape(b, 'x', r, 2)
	case r < 0x10000:
		return hexEscape(b, 'u', r, 4)
	}
	return hexEscape(b, 'U', r, 8)
}

func hexEscape(b []byte, kind byte, r rune, digits int) []byte {
	b = append(b, '\\', kind)
	for shift := 4 * (digits - 1); shift >= 0; shift -= 4 {
		b = append(b, "0123456789abcdef"[r>>shift&15])
	}
	return b
}

// wide are the ranges that terminals draw two columns wide (Unicode TR 11, W
// and F, without the gaps).
var wide = [][2]rune{
	{0x1100, 0x115f},
	{0x231a, 0x231b},
	{0x2329, 0x232a},
	{0x23e9, 0x23f3},
	{0x25fd, 0x25fe},
	{0x2614, 0x2615},
	{0x2648, 0x2653},
	{0x26a1, 0x26a1},
	{0x26bd, 0x26be},
	{0x2705, 0x2705},
	{0x274c, 0x274c},
	{0x2753, 0x2757},
	{0x2795, 0x2797},
	{0x2b1b, 0x2b1c},
	{0x2b50, 0x2b50},
	{0x2e80, 0x303e},
	{0x3041, 0xa4cf},
	{0xa960, 0xa97c},
	{0xac00, 0xd7a3},
	{0xf900, 0xfaff},
	{0xfe10, 0xfe19},
	{0xfe30, 0xfe6f},
	{0xff00, 0xff60},
	{0xffe0, 0xffe6},
	{0x16fe0, 0x18aff},
	{0x1b000, 0x1b2ff},
	{0x1f004, 0x1f004},
	{0x1f0cf, 0x1f0cf},
	{0x1f18e, 0x1f19a},
	{0x1f200, 0x1f320},
	{0x1f32d, 0x1f64f},
	{0x1f680, 0x1f6ff},
	{0x1f7e0, 0x1f7eb},
	{0x1f90c, 0x1f9ff},
	{0x1fa70, 0x1faff},
	{0x20000, 0x3fffd},
}

func runeWidth(r rune) int {
	if r < wide[0][0] {
		return 1
	}
	for _, w := range wide {
		if r < w[0] {
			break
		}
		if r <= w[1] {
			return 2
		}
	}
	return 1
}

// Text returns s as it is shown to a person, on a terminal too, at most limit columns
// wide; 0 is no limit.
func Text(s string, limit int) string {
	b, _ := safe(nil, s, limit)
	return string(b)
}
