package export

import (
	"encoding/hex"
	"strconv"
	"time"
	"unicode/utf8"

	"transom/flow"
)

// A writer appends JSON by hand: no reflection, no allocation but for b.
type writer struct {
	b      []byte
	comma  bool // the next member or element needs one before it
	latin1 bool // text is written as bytes are numbered
}

func (w *writer) open(c byte) {
	w.item()
	w.b = append(w.b, c)
	w.comma = false
}

func (w *writer) close(c byte) {
	w.b = append(w.b, c)
	w.comma = true
}

// item begins an element of an array. The value after a key is one, too.
func (w *writer) item() *writer {
	if w.comma {
		w.b = append(w.b, ',')
		w.comma = false
	}
	return w
}

// key begins a member of an object; name needs no escaping.
func (w *writer) key(name string) *writer {
	w.item()
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, '"', ':')
	return w
}

func (w *writer) int(n int64) {
	w.item()
	w.b = strconv.AppendInt(w.b, n, 10)
	w.comma = true
}

// flag writes a member only if it is true.
func (w *writer) flag(name string, v bool) {
	if v {
		w.key(name)
		w.b = append(w.b, "true"...)
		w.comma = true
	}
}

// optional writes a member only if it says something.
func (w *writer) optional(name, v string) {
	if v != "" {
		w.key(name).text(v)
	}
}

func (w *writer) texts(ss []string) {
	w.open('[')
	for _, s := range ss {
		w.item().text(s)
	}
	w.close(']')
}

// text writes the parts as one string.
func (w *writer) text(parts ...string) {
	w.item()
	w.b = append(w.b, '"')
	for _, s := range parts {
		if w.latin1 {
			w.b = appendLatin1(w.b, s)
		} else {
			w.b = appendText(w.b, s)
		}
	}
	w.b = append(w.b, '"')
	w.comma = true
}

func (w *writer) id(id flow.ID) {
	w.item()
	w.b = append(w.b, '"')
	for i, part := range [...][]byte{id[:4], id[4:6], id[6:8], id[8:10], id[10:]} {
		if i > 0 {
			w.b = append(w.b, '-')
		}
		w.b = hex.AppendEncode(w.b, part)
	}
	w.b = append(w.b, '"')
	w.comma = true
}

// stamp has all nine digits, so that lines sort as text.
const stamp = `"2006-01-02T15:04:05.000000000Z07:00"`

func (w *writer) time(t time.Time) {
	w.item()
	w.b = t.UTC().AppendFormat(w.b, stamp)
	w.comma = true
}

// appendText appends s without quotes; bytes that are not UTF-8 become U+FFFD.
func appendText(b []byte, s string) []byte {
	from := 0
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			if plain(rune(c)) {
				i++
				continue
			}
			b = append(b, s[from:i]...)
			b = escape(b, rune(c))
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n == 1 || !plain(r) {
			b = append(b, s[from:i]...)
			b = escape(b, r)
			from = i + n
		}
		i += n
	}
	return append(b, s[from:]...)
}

// appendLatin1 appends each byte of s as the code point of the same number.
func appendLatin1(b []byte, s string) []byte {
	for i := range len(s) {
		if r := rune(s[i]); plain(r) {
			b = utf8.AppendRune(b, r)
		} else {
			b = escape(b, r)
		}
	}
	return b
}

// plain reports whether r may stand in a line as it is: no control character,
// and none that reorders or breaks lines on a terminal.
func plain(r rune) bool {
	switch {
	case r < 0x20, r == '"', r == '\\':
		return false
	case r < 0x7f:
		return true
	case r < 0xa0:
		return false
	case r == 0x061c, r == 0xfeff, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x2069:
		return false
	}
	return true
}

func escape(b []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(b, '\\', byte(r))
	case '\n':
		return append(b, '\\', 'n')
	case '\r':
		return append(b, '\\', 'r')
	case '\t':
		return append(b, '\\', 't')
	}
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

func valid(s string) bool { return utf8.ValidString(s) }

func allValid(ss []string) bool {
	for _, s := range ss {
		if !valid(s) {
			return false
		}
	}
	return true
}

func validHeader(h flow.Header) bool {
	for i := range h {
		if !valid(h[i].Name) || !valid(h[i].Value) {
			return false
		}
	}
	return true
}
