package pcapng

import (
	"encoding/binary"
	"net/netip"
)

const (
	protoTCP, protoUDP = 6, 17

	flagFIN, flagSYN, flagRST, flagPSH, flagACK = 1, 2, 4, 8, 16

	maxPayload  = 65535 - 60 - 60 // of one packet, whatever its headers
	maxDatagram = 65535 - 20 - 8
)

// Both ends of a conversation, of one family. ends[0] is the client.
type ends [2]netip.AddrPort

// appendIP appends an IP header for a payload of size bytes that goes away from end
// number from.
func (e *ends) appendIP(dst []byte, from int, proto byte, size int) []byte {
	src, dest := e[from].Addr(), e[1-from].Addr()
	if src.Is6() {
		dst = append(dst, 6<<4, 0, 0, 0)
		dst = binary.BigEndian.AppendUint16(dst, uint16(size))
		dst = append(dst, proto, 64)
		return append(append(dst, src.AsSlice()...), dest.AsSlice()...)
	}
	at := len(dst)
	dst = append(dst, 4<<4|5, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(20+size))
	dst = append(dst, 0, 0, 0x40, 0, 64, proto, 0, 0) // it may not be cut
	dst = append(append(dst, src.AsSlice()...), dest.AsSlice()...)
	binary.BigEndian.PutUint16(dst[at+10:], ^fold(sum(0, dst[at:])))
	return dst
}

// checksum sets the one of a TCP or UDP header with its payload (RFC 9293, section
// 3.1), which stands at offset of.
func (e *ends) checksum(segment []byte, proto byte, of int) {
	s := uint64(proto) + uint64(len(segment))
	s = sum(sum(s, e[0].Addr().AsSlice()), e[1].Addr().AsSlice())
	c := ^fold(sum(s, segment))
	if c == 0 && proto == protoUDP {
		c = 0xffff // 0 is none (RFC 768)
	}
	binary.BigEndian.PutUint16(segment[of:], c)
}

// sum adds the 16-bit words of p.
func sum(s uint64, p []byte) uint64 {
	for len(p) >= 4 {
		s += uint64(binary.BigEndian.Uint32(p)) // which are the same modulo 0xffff
		p = p[4:]
	}
	if len(p) >= 2 {
		s += uint64(binary.BigEndian.Uint16(p))
		p = p[2:]
	}
	if len(p) == 1 {
		s += uint64(p[0]) << 8
	}
	return s
}

func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// appendTCP appends a packet of TCP.
func (e *ends) appendTCP(dst []byte, from int, seq, ack uint32, flags byte, payload []byte) []byte {
	head := 20
	if flags&flagSYN != 0 {
		head = 28
	}
	dst = e.appendIP(dst, from, protoTCP, head+len(payload))
	at := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, e[from].Port())
	dst = binary.BigEndian.AppendUint16(dst, e[1-from].Port())
	dst = binary.BigEndian.AppendUint32(dst, seq)
	dst = binary.BigEndian.AppendUint32(dst, ack)
	dst = append(dst, byte(head/4)<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	if head > 20 {
		dst = append(dst, 2, 4, maxPayload>>8, maxPayload&0xff, 1, 3, 3, 14) // MSS; a window as large as there is
	}
	dst = append(dst, payload...)
	e.checksum(dst[at:], protoTCP, 16)
	return dst
}

// appendUDP appends a packet of UDP.
func (e *ends) appendUDP(dst []byte, from int, payload []byte) []byte {
	dst = e.appendIP(dst, from, protoUDP, 8+len(payload))
	at := len(dst)
	dst = binary.BigEndian.AppendUint16(dst, e[from].Port())
	dst = binary.BigEndian.AppendUint16(dst, e[1-from].Port())
	dst = binary.BigEndian.AppendUint16(dst, uint16(8+len(payload)))
	dst = append(append(dst, 0, 0), payload...)
	e.checksum(dst[at:], protoUDP, 6)
	return dst
}
