package hpack

import (
	"encoding/binary"
	"errors"
	"slices"
)

var errHuffman = errors.New("invalid Huffman code or padding")

// longest is the length of the longest code.
const longest = 30

// appendHuffman appends what src says in the code of RFC 7541, appendix B.
func appendHuffman(dst, src []byte) ([]byte, error) {
	dst = slices.Grow(dst, len(src)*8/5) // no code is shorter than 5 bits
	out := dst[:cap(dst)]
	at := len(dst)
	var acc uint64 // bits not yet used, from the top
	var n uint     // how many
	for len(src) >= 8 {
		acc |= binary.BigEndian.Uint64(src) >> n
		src = src[(63-n)/8:]
		n |= 56
		for n >= longest {
			symbol, bits := shortCode(acc)
			if bits == 0 {
				if symbol, bits = longCode(uint32(acc >> 32)); bits == 0 {
					return dst, errHuffman
				}
			}
			out[at] = symbol
			at, acc, n = at+1, acc<<(bits&63), n-bits
		}
	}
	return appendTail(out[:at], src, acc, n)
}

// appendTail decodes the bits in acc, and those of src, which are few: here a
// code may be cut off by the end.
func appendTail(dst, src []byte, acc uint64, n uint) ([]byte, error) {
	for {
		for ; n <= 56 && len(src) > 0; n, src = n+8, src[1:] {
			acc |= uint64(src[0]) << (56 - n)
		}
		symbol, bits := shortCode(acc)
		if bits == 0 {
			symbol, bits = longCode(uint32(acc >> 32))
		}
		switch {
		case bits == 0: // EOS
			return dst, errHuffman
		case bits > n:
			return dst, padding(acc, n)
		}
		dst = append(dst, symbol)
		acc, n = acc<<bits, n-bits
	}
}

// padding checks what is left after the last symbol: less than a byte, of the
// most significant bits of EOS, which are ones (section 5.2).
func padding(acc uint64, n uint) error {
	if n > 7 || acc != ^uint64(0)<<(64-n) {
		return errHuffman
	}
	return nil
}

// shortCode returns the symbol that acc begins with and the length of its code
// if that is at most 8 bits, else length 0.
func shortCode(acc uint64) (byte, uint) {
	c := short[acc>>56]
	return byte(c), uint(c >> 8)
}

// longCode is shortCode for codes of 10 to 30 bits. It returns length 0 for
// EOS.
func longCode(acc uint32) (byte, uint) {
	for i := range long {
		if l := &long[i]; acc < l.past {
			return symbols[uint32(l.at)+acc>>(32-l.bits)-l.first], uint(l.bits)
		}
	}
	return 0, 0
}

// short has length<<8 | symbol for every byte that a code of at most 8 bits
// begins in.
var short = [256]uint16{
	0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x530, 0x531, 0x531, 0x531, 0x531, 0x531, 0x531, 0x531, 0x531,
	0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x532, 0x561, 0x561, 0x561, 0x561, 0x561, 0x561, 0x561, 0x561,
	0x563, 0x563, 0x563, 0x563, 0x563, 0x563, 0x563, 0x563, 0x565, 0x565, 0x565, 0x565, 0x565, 0x565, 0x565, 0x565,
	0x569, 0x569, 0x569, 0x569, 0x569, 0x569, 0x569, 0x569, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f, 0x56f,
	0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x573, 0x574, 0x574, 0x574, 0x574, 0x574, 0x574, 0x574, 0x574,
	0x620, 0x620, 0x620, 0x620, 0x625, 0x625, 0x625, 0x625, 0x62d, 0x62d, 0x62d, 0x62d, 0x62e, 0x62e, 0x62e, 0x62e,
	0x62f, 0x62f, 0x62f, 0x62f, 0x633, 0x633, 0x633, 0x633, 0x634, 0x634, 0x634, 0x634, 0x635, 0x635, 0x635, 0x635,
	0x636, 0x636, 0x636, 0x636, 0x637, 0x637, 0x637, 0x637, 0x638, 0x638, 0x638, 0x638, 0x639, 0x639, 0x639, 0x639,
	0x63d, 0x63d, 0x63d, 0x63d, 0x641, 0x641, 0x641, 0x641, 0x65f, 0x65f, 0x65f, 0x65f, 0x662, 0x662, 0x662, 0x662,
	0x664, 0x664, 0x664, 0x664, 0x666, 0x666, 0x666, 0x666, 0x667, 0x667, 0x667, 0x667, 0x668, 0x668, 0x668, 0x668,
	0x66c, 0x66c, 0x66c, 0x66c, 0x66d, 0x66d, 0x66d, 0x66d, 0x66e, 0x66e, 0x66e, 0x66e, 0x670, 0x670, 0x670, 0x670,
	0x672, 0x672, 0x672, 0x672, 0x675, 0x675, 0x675, 0x675, 0x73a, 0x73a, 0x742, 0x742, 0x743, 0x743, 0x744, 0x744,
	0x745, 0x745, 0x746, 0x746, 0x747, 0x747, 0x748, 0x748, 0x749, 0x749, 0x74a, 0x74a, 0x74b, 0x74b, 0x74c, 0x74c,
	0x74d, 0x74d, 0x74e, 0x74e, 0x74f, 0x74f, 0x750, 0x750, 0x751, 0x751, 0x752, 0x752, 0x753, 0x753, 0x754, 0x754,
	0x755, 0x755, 0x756, 0x756, 0x757, 0x757, 0x759, 0x759, 0x76a, 0x76a, 0x76b, 0x76b, 0x771, 0x771, 0x776, 0x776,
	0x777, 0x777, 0x778, 0x778, 0x779, 0x779, 0x77a, 0x77a, 0x826, 0x82a, 0x82c, 0x83b, 0x858, 0x85a, 0, 0,
}

// long has the codes of one length a row. Codes are given in order of length,
// so that one ends below past, which is written from the top of 32 bits. first
// is the lowest of them, and at the place of its symbol in symbols.
var long = [...]struct {
	past, first uint32
	bits, at    uint8
}{
	{past: 0xff400000, first: 0x3f8, bits: 10, at: 0},
	{past: 0xffa00000, first: 0x7fa, bits: 11, at: 5},
	{past: 0xffc00000, first: 0xffa, bits: 12, at: 8},
	{past: 0xfff00000, first: 0x1ff8, bits: 13, at: 10},
	{past: 0xfff80000, first: 0x3ffc, bits: 14, at: 16},
	{past: 0xfffe0000, first: 0x7ffc, bits: 15, at: 18},
	{past: 0xfffe6000, first: 0x7fff0, bits: 19, at: 21},
	{past: 0xfffee000, first: 0xfffe6, bits: 20, at: 24},
	{past: 0xffff4800, first: 0x1fffdc, bits: 21, at: 32},
	{past: 0xffffb000, first: 0x3fffd2, bits: 22, at: 45},
	{past: 0xffffea00, first: 0x7fffd8, bits: 23, at: 71},
	{past: 0xfffff600, first: 0xffffea, bits: 24, at: 100},
	{past: 0xfffff800, first: 0x1ffffec, bits: 25, at: 112},
	{past: 0xfffffbc0, first: 0x3ffffe0, bits: 26, at: 116},
	{past: 0xfffffe20, first: 0x7ffffde, bits: 27, at: 131},
	{past: 0xfffffff0, first: 0xfffffe2, bits: 28, at: 150},
	{past: 0xfffffffc, first: 0x3ffffffc, bits: 30, at: 179},
}

// symbols are those with long codes, in order of code.
const symbols = "" +
	"\x21\x22\x28\x29\x3f\x27\x2b\x7c\x23\x3e\x00\x24\x40\x5b\x5d\x7e\x5e\x7d\x3c\x60\x7b\x5c\xc3\xd0" +
	"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6\x81\x84\x85" +
	"\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9\x01" +
	"\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc" +
	"\xbf\xc5\xe7\xef\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed\xc7\xcf\xea\xeb\xc0\xc1\xc8\xc9" +
	"\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7" +
	"\xf8\xfa\xfb\xfc\xfd\xfe\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17" +
	"\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9\x0a\x0d\x16"
