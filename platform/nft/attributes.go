package nft

import (
	"bytes"
	"encoding/binary"
)

// attributes are netlink attributes one after the other.
type attributes []byte

// next splits off the first attribute. It is false at the end, and where the
// rest is malformed.
func (a attributes) next() (typ uint16, value []byte, rest attributes, ok bool) {
	if len(a) < 4 {
		return 0, nil, nil, false
	}
	size := int(binary.NativeEndian.Uint16(a))
	if size < 4 || size > len(a) {
		return 0, nil, nil, false
	}
	const typeMask = 0x3fff // without the flags for nested ones and byte order
	return binary.NativeEndian.Uint16(a[2:]) & typeMask, a[4:size], a[min((size+3)&^3, len(a)):], true
}

// get returns the first attribute of a type, nil if there is none.
func (a attributes) get(want uint16) attributes {
	for {
		typ, value, rest, ok := a.next()
		if !ok || typ == want {
			return value
		}
		a = rest
	}
}

// text returns an attribute that is a string.
func (a attributes) text(typ uint16) string { return cString(a.get(typ)) }

// number returns an attribute that is a big-endian number of 32 bits; ok is
// false if there is none.
func (a attributes) number(typ uint16) (n uint32, ok bool) {
	v := a.get(typ)
	if len(v) < 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(v), true
}

// cString is b up to a NUL.
func cString(b []byte) string {
	text, _, _ := bytes.Cut(b, []byte{0})
	return string(text)
}
