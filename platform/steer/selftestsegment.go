package steer

import (
	"encoding/binary"
	"net/netip"
)

// TCP flags (RFC 9293, section 3.1).
const (
	flagSYN = 0x02
	flagACK = 0x10
)

const protoTCP = 6

// A segment is the head of a TCP segment, with its addresses.
type segment struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    byte
}

// parseSegment reads an IPv4 or IPv6 packet. ok is false for what is no whole TCP
// head, has extension headers, or is a fragment. Checksums are not looked at: the
// kernel has not made them yet.
func parseSegment(b []byte) (s segment, ok bool) {
	if len(b) == 0 {
		return s, false
	}
	switch b[0] >> 4 {
	case 4:
		size := int(b[0]&15) * 4
		fragment := len(b) >= 20 && binary.BigEndian.Uint16(b[6:])&0x3fff != 0
		if size < 20 || len(b) < size || b[9] != protoTCP || fragment {
			return s, false
		}
		return parseTCP(b[size:], netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])))
	case 6:
		if len(b) < 40 || b[6] != protoTCP {
			return s, false
		}
		return parseTCP(b[40:], netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])))
	}
	return s, false
}

func parseTCP(b []byte, src, dst netip.Addr) (segment, bool) {
	if len(b) < 20 {
		return segment{}, false
	}
	return segment{
		src:   netip.AddrPortFrom(src, binary.BigEndian.Uint16(b)),
		dst:   netip.AddrPortFrom(dst, binary.BigEndian.Uint16(b[2:])),
		seq:   binary.BigEndian.Uint32(b[4:]),
		ack:   binary.BigEndian.Uint32(b[8:]),
		flags: b[13],
	}, true
}

// accepted is what a listening server says to a SYN.
func (s segment) accepted() segment {
	return segment{src: s.dst, dst: s.src, seq: s.ack, ack: s.seq + 1, flags: flagSYN | flagACK}
}

// packet writes the segment as a packet that can make so many hops: one is for a
// packet that is for its next host, or for nobody.
func (s segment) packet(hops byte) []byte {
	tcp := binary.BigEndian.AppendUint16(nil, s.src.Port())
	tcp = binary.BigEndian.AppendUint16(tcp, s.dst.Port())
	tcp = binary.BigEndian.AppendUint32(tcp, s.seq)
	tcp = binary.BigEndian.AppendUint32(tcp, s.ack)
	tcp = append(tcp, 5<<4, s.flags, 0xff, 0xff, 0, 0, 0, 0) // five words, a full window, no checksum yet
	src, dst := s.src.Addr().AsSlice(), s.dst.Addr().AsSlice()
	// The pseudo-header sums up alike in both families (RFC 8200, section 8.1).
	pseudo := append(append(append([]byte(nil), src...), dst...), 0, protoTCP, 0, byte(len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], checksum(append(pseudo, tcp...)))
	if s.src.Addr().Is4() {
		return append(head4(src, dst, len(tcp), hops), tcp...)
	}
	ip := []byte{6 << 4, 0, 0, 0, 0, byte(len(tcp)), protoTCP, hops}
	return append(append(append(ip, src...), dst...), tcp...)
}

// head4 is an IPv4 header (RFC 791, section 3.1) that forbids fragments.
func head4(src, dst []byte, payload int, hops byte) []byte {
	ip := []byte{4<<4 | 5, 0, 0, byte(20 + payload), 0, 0, 0x40, 0, hops, protoTCP, 0, 0}
	ip = append(append(ip, src...), dst...)
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return ip
}

// checksum is the Internet's (RFC 1071), of an even number of bytes.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
