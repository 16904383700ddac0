package har

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// A text appends JSON. Strings of HTTP are bytes: what is not UTF-8 is taken for
// Latin-1, as browsers do.
type text struct {
	b     []byte
	comma bool
}

func (t *text) open(c byte) {
	t.item()
	t.b, t.comma = append(t.b, c), false
}

func (t *text) close(c byte) { t.b, t.comma = append(t.b, c), true }

func (t *text) item() *text {
	if t.comma {
		t.b, t.comma = append(t.b, ','), false
	}
	return t
}

func (t *text) key(name string) *text {
	t.item()
	t.b = append(append(append(t.b, '"'), name...), '"', ':')
	return t
}

func (t *text) str(s string) {
	t.item()
	t.b = append(t.b, '"')
	if utf8.ValidString(s) {
		t.b = appendUTF8(t.b, s)
	} else {
		t.b = appendLatin1(t.b, s)
	}
	t.b, t.comma = append(t.b, '"'), true
}

func (t *text) int(n int64) {
	t.item()
	t.b, t.comma = strconv.AppendInt(t.b, n, 10), true
}

// millis writes a duration as HAR has them, with all its digits; unknown as -1.
func (t *text) millis(d time.Duration) {
	t.item()
	if d < 0 {
		t.b = append(t.b, "-1"...)
	} else {
		t.b = appendDecimal(t.b, int64(d), 6)
	}
	t.comma = true
}

// seconds writes when something was, as Chromium has messages.
func (t *text) seconds(at time.Time) {
	t.item()
	t.b, t.comma = appendDecimal(t.b, max(at.UnixNano(), 0), 9), true
}

func (t *text) time(at time.Time) {
	t.item()
	t.b = append(t.b, '"')
	t.b = at.UTC().AppendFormat(t.b, "2006-01-02T15:04:05.000000000Z07:00")
	t.b, t.comma = append(t.b, '"'), true
}

// appendDecimal appends n / 10^places, without zeros at the end.
func appendDecimal(b []byte, n int64, places int) []byte {
	unit := int64(1)
	for range places {
		unit *= 10
	}
	b = strconv.AppendInt(b, n/unit, 10)
	n %= unit
	if n == 0 {
		return b
	}
	b = append(b, '.')
	for n > 0 {
		unit /= 10
		b = append(b, byte('0'+n/unit))
		n %= unit
	}
	return b
}

const hexDigits = "0123456789abcdef"

// appendUTF8 appends s, which is UTF-8 or a piece of that, without quotes.
func appendUTF8[T string | []byte](b []byte, s T) []byte {
	from := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c != 0x7f {
			continue
		}
		b = append(b, s[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(b, s[from:]...)
}

// appendLatin1 appends each byte of s as the character of the same number.
func appendLatin1(b []byte, s string) []byte {
	for i := range len(s) {
		if s[i] < utf8.RuneSelf {
			b = appendUTF8(b, s[i:i+1])
		} else {
			b = utf8.AppendRune(b, rune(s[i]))
		}
	}
	return b
}
