package wire

import (
	"encoding/binary"
	"net/netip"
	"time"

	"transom/flow"
)

// A reader reads a record, or a block within one. Its text is one string, which all
// texts that are read are parts of. After an error everything is zero.
type reader struct {
	s    string
	at   int    // in s
	base int    // of s in the record
	err  *error // of the record; the first
}

func newReader(b []byte, err *error) *reader {
	r := &reader{s: string(b), err: err}
	if v := r.octet(); *err == nil && v != version {
		r.at = 0
		r.fail("unknown version")
	}
	return r
}

func (r *reader) fail(what string) {
	if *r.err == nil {
		*r.err = &Error{Offset: r.base + r.at, What: what}
	}
	r.at = len(r.s)
}

// left reports whether there is more. Where there isn't, a field is one that was not
// known when the record was written.
func (r *reader) left() bool { return r.at < len(r.s) }

func (r *reader) octet() uint8 {
	if !r.left() {
		if r.base == 0 && r.at == 0 {
			r.fail("it is empty")
		}
		return 0
	}
	r.at++
	return r.s[r.at-1]
}

func (r *reader) truth() bool {
	v := r.octet()
	if v > 1 {
		r.at--
		r.fail("neither true nor false")
	}
	return v == 1
}

func (r *reader) number() uint64 {
	var v uint64
	for i := 0; r.left(); i++ {
		c := r.s[r.at]
		if i == binary.MaxVarintLen64-1 && c > 1 {
			r.fail("number too large")
			return 0
		}
		r.at++
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v
		}
		if !r.left() {
			r.fail("cut short within a number")
			return 0
		}
	}
	return 0
}

func (r *reader) integer() int64 {
	v := r.number()
	return int64(v>>1) ^ -int64(v&1)
}

// within reads a number that must fit.
func (r *reader) within(most uint64) uint64 {
	at := r.at
	v := r.number()
	if v > most {
		r.at = at
		r.fail("number too large")
		return 0
	}
	return v
}

// small reads an integer that must fit an int.
func (r *reader) small() int {
	at := r.at
	v := r.integer()
	if v != int64(int(v)) {
		r.at = at
		r.fail("number too large")
		return 0
	}
	return int(v)
}

// cut returns the next n octets.
func (r *reader) cut(n uint64) string {
	if n > uint64(len(r.s)-r.at) {
		r.fail("longer than what is there")
		return ""
	}
	s := r.s[r.at : r.at+int(n)]
	r.at += int(n)
	return s
}

func (r *reader) text() string  { return r.cut(r.number()) }
func (r *reader) bytes() []byte { return octets(r.text()) }

func octets(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func (r *reader) id() (id flow.ID) {
	copy(id[:], r.cut(uint64(len(id))))
	return id
}

func (r *reader) mayID() (id flow.ID) {
	if r.truth() {
		return r.id()
	}
	return id
}

// count reads the length of a list whose elements take at least each octets.
func (r *reader) count(each int) int {
	at := r.at
	n := r.number()
	if n > uint64((len(r.s)-r.at)/each) {
		r.at = at
		r.fail("more elements than there can be")
		return 0
	}
	return int(n)
}

func (r *reader) texts() []string {
	n := r.count(1)
	if n == 0 {
		return nil
	}
	ss := make([]string, n)
	for i := range ss {
		ss[i] = r.text()
	}
	return ss
}

func (r *reader) time(since time.Time) time.Time {
	at := r.at
	v := r.number()
	if v == 0 {
		return time.Time{}
	}
	v--
	s, ns := int64(v>>1)^-int64(v&1), r.integer()
	if ns <= -int64(time.Second) || ns >= int64(time.Second) {
		r.at = at
		r.fail("not a time")
		return time.Time{}
	}
	return time.Unix(since.Unix()+s, int64(since.Nanosecond())+ns)
}

func (r *reader) addr() netip.AddrPort {
	var ip netip.Addr
	switch at := r.at; r.octet() {
	case 0:
	case 4:
		if s := r.cut(4); s != "" {
			ip = netip.AddrFrom4([4]byte([]byte(s)))
		}
	case 16:
		if s := r.cut(16); s != "" {
			ip = netip.AddrFrom16([16]byte([]byte(s))).WithZone(r.text())
		}
	default:
		r.at = at
		r.fail("not an address")
	}
	return netip.AddrPortFrom(ip, uint16(r.within(1<<16-1)))
}

// block returns a reader of the next block, and false in place of one that isn't
// there.
func (r *reader) block() (reader, bool) {
	n := r.number()
	if n == 0 {
		return reader{}, false
	}
	b := reader{base: r.base + r.at, err: r.err}
	b.s = r.cut(n)
	b.base = r.base + r.at - len(b.s)
	return b, b.s != ""
}
