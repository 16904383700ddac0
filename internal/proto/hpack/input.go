package hpack

import (
	"errors"
	"math"
)

var (
	errShort   = errors.New("block ends within a representation")
	errInteger = errors.New("integer too large")
)

// An input is a block and how far it was read.
type input struct {
	block []byte
	at    int
}

func (in *input) more() bool { return in.at < len(in.block) }

// integer reads an integer with a prefix of so many bits (section 5.1). It
// takes what 32 bits can hold, in as many bytes as they can need.
func (in *input) integer(prefix uint) (uint64, error) {
	if !in.more() {
		return 0, errShort
	}
	limit := uint64(1)<<prefix - 1
	v := uint64(in.block[in.at]) & limit
	in.at++
	if v < limit {
		return v, nil
	}
	for shift := uint(0); shift < 35; shift += 7 {
		if !in.more() {
			return 0, errShort
		}
		c := in.block[in.at]
		in.at++
		v += uint64(c&0x7f) << shift
		if c < 0x80 {
			if v > math.MaxUint32 {
				return 0, errInteger
			}
			return v, nil
		}
	}
	return 0, errInteger
}

// text appends a string literal to dst, and reports whether it was Huffman
// coded (section 5.2).
func (in *input) text(dst []byte) (_ []byte, huffman bool, err error) {
	huffman = in.more() && in.block[in.at]&0x80 != 0
	n, err := in.integer(7)
	if err != nil {
		return dst, huffman, err
	}
	if n > uint64(len(in.block)-in.at) {
		return dst, huffman, errShort
	}
	raw := in.block[in.at : in.at+int(n)]
	in.at += int(n)
	if !huffman {
		return append(dst, raw...), false, nil
	}
	dst, err = appendHuffman(dst, raw)
	return dst, true, err
}
