package mitm

import (
	"strconv"
	"time"
)

// A builder puts a tnetstring together from its end to its beginning, since the
// length of what is inside comes first. So what is in a list or a dict is added last
// first, and the name of an entry behind its value. Its memory is used again.
type builder struct {
	buf []byte
	at  int // what there is begins here
}

func (b *builder) reset() { b.at = len(b.buf) }

// out returns all that was put, valid until the next reset.
func (b *builder) out() []byte { return b.buf[b.at:] }

func (b *builder) size() int { return len(b.buf) - b.at }

// room returns space for n octets before what there is.
func (b *builder) room(n int) []byte {
	if n > b.at {
		used := b.size()
		grown := make([]byte, max(2*len(b.buf), used+n, 4096))
		copy(grown[len(grown)-used:], b.out())
		b.buf, b.at = grown, len(grown)-used
	}
	b.at -= n
	return b.buf[b.at : b.at+n]
}

func (b *builder) octet(c byte) { b.room(1)[0] = c }

// open begins a list or a dict at its end; close is given what it returns.
func (b *builder) open(tag byte) int {
	b.octet(tag)
	return b.size()
}

func (b *builder) close(from int) { b.prefix(b.size() - from) }

func (b *builder) prefix(n int) {
	var digits [20]byte
	d := append(strconv.AppendInt(digits[:0], int64(n), 10), ':')
	copy(b.room(len(d)), d)
}

func (b *builder) put(tag byte, p []byte) {
	b.octet(tag)
	copy(b.room(len(p)), p)
	b.prefix(len(p))
}

func (b *builder) string(tag byte, s string) {
	b.octet(tag)
	copy(b.room(len(s)), s)
	b.prefix(len(s))
}

func (b *builder) null() { copy(b.room(3), "0:~") }

func (b *builder) bool(v bool) {
	if v {
		copy(b.room(7), "4:true!")
	} else {
		copy(b.room(8), "5:false!")
	}
}

func (b *builder) int(n int64) {
	var digits [20]byte
	b.put(tagInt, strconv.AppendInt(digits[:0], n, 10))
}

// time writes a moment with all digits that it has; null if it is zero.
func (b *builder) time(t time.Time) {
	if t.IsZero() {
		b.null()
		return
	}
	var digits [40]byte
	d := digits[:0]
	s, ns := t.Unix(), int64(t.Nanosecond())
	if s < 0 { // before 1970 the fraction counts towards zero
		d = strconv.AppendFloat(d, float64(s)+float64(ns)/1e9, 'f', -1, 64)
		b.put(tagFloat, d)
		return
	}
	d = append(strconv.AppendInt(d, s, 10), '.')
	for unit := int64(1e8); ; unit /= 10 {
		d = append(d, byte('0'+ns/unit%10))
		if unit == 1 || ns%unit == 0 {
			break
		}
	}
	b.put(tagFloat, d)
}

// key names the value that was put before.
func (b *builder) key(name string) { b.string(tagText, name) }

// Entries of a dict.

func (b *builder) keyNull(name string) {
	b.null()
	b.key(name)
}

func (b *builder) keyBool(name string, v bool) {
	b.bool(v)
	b.key(name)
}

func (b *builder) keyInt(name string, n int64) {
	b.int(n)
	b.key(name)
}

func (b *builder) keyTime(name string, t time.Time) {
	b.time(t)
	b.key(name)
}

// keyText writes text, which is UTF-8 without exception.
func (b *builder) keyText(name, s string) {
	b.string(tagText, valid(s))
	b.key(name)
}

func (b *builder) keyBytes(name, s string) {
	b.string(tagBytes, s)
	b.key(name)
}

// keySome writes text, or null if there is none.
func (b *builder) keySome(name, s string) {
	if s == "" {
		b.keyNull(name)
	} else {
		b.keyText(name, s)
	}
}
