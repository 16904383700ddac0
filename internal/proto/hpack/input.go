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

// string returns a string literal as it is in the block, and whether it is
// Huffman coded (section 5.2).
func (in *input) string() (raw []byte, huffman bool, err error) {
	huffman = in.more() && in.block[in.at]&0x80 != 0
	n, err := in.integer(7)
	if err != nil {
		return nil, huffman, err
	}
	if n > uint64(len(in.block)-in.at) {
		return nil, huffman, errShort
	}
	raw = in.block[in.at : in.at+int(n)]
	in.at += int(n)
	return raw, huffman, nil
}

// text appends what a string literal says to dst.
func (in *input) text(dst []byte) (_ []byte, huffman bool, err error) {
	raw, huffman, err := in.string()
	switch {
	case err != nil:
		return dst, huffman, err
	case huffman:
		dst, err = appendHuffman(dst, raw)
		return dst, true, err
	}
	return append(dst, raw...), false, nil
}

// count returns how many fields are left in the block, up to where a limit is
// passed for sure or the block is malformed.
func (in input) count(l Limit) int {
	n := 0
	for in.more() && (l.Fields == 0 || n < l.Fields) && (l.Size == 0 || n < l.Size/overhead) && in.skip() {
		n++
	}
	return n
}

// skip skips a field. It reports false at what is none.
func (in *input) skip() bool {
	var name uint64
	var err error
	switch c := in.block[in.at]; {
	case c&0x80 != 0:
		_, err = in.integer(7)
		return err == nil
	case c&0x40 != 0:
		name, err = in.integer(6)
	case c&0x20 != 0:
		return false
	default:
		name, err = in.integer(4)
	}
	if err == nil && name == 0 {
		_, _, err = in.string()
	}
	if err == nil {
		_, _, err = in.string()
	}
	return err == nil
}
