package ws

import (
	"encoding/binary"
	"math/bits"
)

// appendMasked appends src, masked or unmasked (RFC 6455, section 5.3, where
// both are the same). src begins at octet at of the payload.
func appendMasked(dst, src []byte, mask [4]byte, at int64) []byte {
	from := len(dst)
	dst = append(dst, src...)
	xor(dst[from:], mask, at)
	return dst
}

// xor masks p in place, eight octets at a time.
func xor(p []byte, mask [4]byte, at int64) {
	key := binary.LittleEndian.Uint32(mask[:])
	key = bits.RotateLeft32(key, -8*int(at&3))
	wide := uint64(key)<<32 | uint64(key)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^wide)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(wide >> (8 * i))
	}
}
