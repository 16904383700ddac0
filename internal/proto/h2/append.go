package h2

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

// appendFrame appends the header of a frame, whose payload follows (RFC 9113,
// section 4.1).
func appendFrame(b []byte, length int, kind http2.FrameType, flags http2.Flags, stream uint32) []byte {
	return append(b, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags),
		byte(stream>>24)&0x7f, byte(stream>>16), byte(stream>>8), byte(stream))
}

func appendWindowUpdate(b []byte, stream, n uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, http2.FrameWindowUpdate, 0, stream), n)
}

func appendReset(b []byte, stream uint32, code Code) []byte {
	return binary.BigEndian.AppendUint32(appendFrame(b, 4, http2.FrameRSTStream, 0, stream), uint32(code))
}

func appendGoAway(b []byte, last uint32, code Code, debug string) []byte {
	b = appendFrame(b, 8+len(debug), http2.FrameGoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	b = binary.BigEndian.AppendUint32(b, uint32(code))
	return append(b, debug...)
}

func appendSettings(b []byte, list []Setting) []byte {
	b = appendFrame(b, 6*len(list), http2.FrameSettings, 0, 0)
	for _, s := range list {
		b = binary.BigEndian.AppendUint16(b, s.ID)
		b = binary.BigEndian.AppendUint32(b, s.Value)
	}
	return b
}

// appendBlock appends a field block, in as many frames as it needs (RFC 9113,
// section 4.3). prio may be nil.
func appendBlock(b []byte, stream uint32, block []byte, end bool, prio []byte, maxFrame int) []byte {
	first := block[:min(len(block), maxFrame-len(prio))]
	block = block[len(first):]
	var flags http2.Flags
	if end {
		flags |= http2.FlagHeadersEndStream
	}
	if len(prio) > 0 {
		flags |= http2.FlagHeadersPriority
	}
	if len(block) == 0 {
		flags |= http2.FlagHeadersEndHeaders
	}
	b = appendFrame(b, len(prio)+len(first), http2.FrameHeaders, flags, stream)
	b = append(append(b, prio...), first...)
	for len(block) > 0 {
		next := block[:min(len(block), maxFrame)]
		block = block[len(next):]
		flags = 0
		if len(block) == 0 {
			flags = http2.FlagContinuationEndHeaders
		}
		b = append(appendFrame(b, len(next), http2.FrameContinuation, flags, stream), next...)
	}
	return b
}

func appendDataFrame(b []byte, stream uint32, p []byte, end bool) []byte {
	var flags http2.Flags
	if end {
		flags = http2.FlagDataEndStream
	}
	return append(appendFrame(b, len(p), http2.FrameData, flags, stream), p...)
}
