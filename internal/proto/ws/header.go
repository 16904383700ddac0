package ws

import (
	"encoding/binary"
	"errors"
	"math"
)

// Opcodes (RFC 6455, section 11.8). Those from opClose on are of control
// frames.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xa
)

// Bits of the first octet (RFC 6455, section 5.2).
const (
	bitFin  = 0x80
	bitRSV1 = 0x40
	bitsRSV = 0x70
	bitMask = 0x80 // of the second
)

const (
	maxHeader  = 14  // octets
	maxControl = 125 // octets of a control frame's payload (RFC 6455, section 5.5)
)

// A header is all of a frame but its payload (RFC 6455, section 5.2).
type header struct {
	fin    bool
	rsv    byte // where they stand in the first octet
	op     byte
	masked bool
	long   bool // the length could have been written shorter
	mask   [4]byte
	length int64
}

// errLength says that nobody can tell where the frame ends: the most
// significant bit of a 64-bit length must be 0.
var errLength = errors.New("length of 2^63 octets or more")

// parseHeader reads the header that p begins with, n octets long. n is 0 if
// more is needed.
func parseHeader(p []byte) (h header, n int, err error) {
	if len(p) < 2 {
		return h, 0, nil
	}
	h.fin, h.rsv, h.op = p[0]&bitFin != 0, p[0]&bitsRSV, p[0]&0x0f
	h.masked, h.length = p[1]&bitMask != 0, int64(p[1]&^bitMask)
	n = 2
	switch h.length {
	case 126:
		if len(p) < 4 {
			return h, 0, nil
		}
		h.length, n = int64(binary.BigEndian.Uint16(p[2:])), 4
		h.long = h.length < 126
	case 127:
		if len(p) > 2 && p[2]&0x80 != 0 {
			return h, 0, errLength
		}
		if len(p) < 10 {
			return h, 0, nil
		}
		h.length, n = int64(binary.BigEndian.Uint64(p[2:])), 10
		h.long = h.length <= math.MaxUint16
	}
	if h.masked {
		if len(p) < n+4 {
			return h, 0, nil
		}
		h.mask, n = [4]byte(p[n:]), n+4
	}
	return h, n, nil
}

// appendHeader writes h as short as it can be.
func appendHeader(dst []byte, h *header) []byte {
	first := h.rsv | h.op
	if h.fin {
		first |= bitFin
	}
	var second byte
	if h.masked {
		second = bitMask
	}
	switch {
	case h.length < 126:
		dst = append(dst, first, second|byte(h.length))
	case h.length <= math.MaxUint16:
		dst = binary.BigEndian.AppendUint16(append(dst, first, second|126), uint16(h.length))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, second|127), uint64(h.length))
	}
	if h.masked {
		dst = append(dst, h.mask[:]...)
	}
	return dst
}
