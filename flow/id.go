package flow

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"time"
)

// An ID names one flow or connection. It is a UUID of version 7 (RFC 9562,
// section 5.7) whose 12 bits after the milliseconds carry the fraction of the
// millisecond, so IDs sort by creation time.
type ID [16]byte

// NewID returns an ID for something created at t.
func NewID(t time.Time) ID {
	var id ID
	ns := t.UnixNano()
	ms, frac := ns/1e6, uint64(ns%1e6)*4096/1e6
	binary.BigEndian.PutUint64(id[:8], uint64(ms)<<16|0x7000|frac)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64()&(1<<62-1)|1<<63)
	return id
}

// ParseID reads the text form that String writes.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, fmt.Errorf("flow id %q: want 8-4-4-4-12 hexadecimal digits", s)
	}
	if _, err := hex.Decode(id[:], []byte(s[:8]+s[9:13]+s[14:18]+s[19:23]+s[24:])); err != nil {
		return ID{}, fmt.Errorf("flow id %q: %w", s, err)
	}
	return id, nil
}

// String returns the text form, 8-4-4-4-12 lower-case hexadecimal digits.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[:8], id[:4])
	b[8] = '-'
	hex.Encode(b[9:13], id[4:6])
	b[13] = '-'
	hex.Encode(b[14:18], id[6:8])
	b[18] = '-'
	hex.Encode(b[19:23], id[8:10])
	b[23] = '-'
	hex.Encode(b[24:], id[10:])
	return string(b[:])
}

// IsZero reports whether the ID names nothing.
func (id ID) IsZero() bool { return id == ID{} }
