package view

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// text prints a body line by line.
func text(p *printer, body []byte) error {
	for line := range bytes.Lines(body) {
		p.put(Plain, untab(string(bytes.TrimRight(line, "\r\n"))))
		if !p.end() {
			break
		}
	}
	return nil
}

// IsText reports whether a person can read data: it is UTF-8, but for a last
// character that is cut, and has hardly any control characters.
func IsText(data []byte, cut bool) bool {
	runes, controls := 0, 0
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			if !cut || utf8.FullRune(data[i:]) {
				return false
			}
		case r == 0:
			return false
		case r != '\n' && r != '\r' && r != '\t' && r != '\f' && unicode.IsControl(r):
			controls++
		}
		runes++
		i += n
	}
	return controls*20 <= runes
}

const (
	hexRow = 16
	digits = "0123456789abcdef"
)

// hex prints offsets, bytes and what they are in ASCII.
func hex(p *printer, data []byte) error {
	b := make([]byte, 0, 80)
	for off := 0; off < len(data); off += hexRow {
		row := data[off:min(off+hexRow, len(data))]
		b = b[:0]
		for shift := 28; shift >= 0; shift -= 4 {
			b = append(b, digits[off>>shift&15])
		}
		p.bytes(Comment, b)
		p.bytes(Plain, appendHex(b[:0], row))
		p.bytes(String, appendASCII(b[:0], row))
		if !p.end() {
			break
		}
	}
	return nil
}

func appendHex(b, row []byte) []byte {
	for i := range hexRow {
		if i%8 == 0 {
			b = append(b, "  "...)
		} else {
			b = append(b, ' ')
		}
		if i < len(row) {
			b = append(b, digits[row[i]>>4], digits[row[i]&15])
		} else {
			b = append(b, "  "...)
		}
	}
	return append(b, "  "...)
}

func appendASCII(b, row []byte) []byte {
	for _, c := range row {
		if c < 0x20 || c >= 0x7f {
			c = '.'
		}
		b = append(b, c)
	}
	return b
}
