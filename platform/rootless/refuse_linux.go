package rootless

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// refuse tells a client inside that nobody is at the port that it has sent a datagram
// to, in the name of the host that has said so outside.
func refuse(client, dst netip.AddrPort) error {
	family, proto, packet := unix.AF_INET, unix.IPPROTO_ICMP, unreachable4(client, dst)
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if dst.Addr().Is6() {
		family, proto, packet = unix.AF_INET6, unix.IPPROTO_ICMPV6, unreachable6(client, dst)
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, proto)
	if err != nil {
		return fmt.Errorf("open a raw socket: %w", err)
	}
	defer unix.Close(fd)
	err = unix.SetsockoptInt(fd, level, option, 1)
	if err == nil {
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(dst.Addr(), 0)))
	}
	if err != nil {
		return fmt.Errorf("speak as %s: %w", dst.Addr(), err)
	}
	return unix.Sendto(fd, packet, 0, sockaddr(netip.AddrPortFrom(client.Addr(), 0)))
}

// unreachable4 is ICMP that says so (RFC 792), with as much of the datagram as that
// asks for. What it does not tell of is left at zero: who gets it goes by addresses
// and ports.
func unreachable4(client, dst netip.AddrPort) []byte {
	const icmp, ip = 8, 20
	b := make([]byte, icmp+ip+8)
	b[0], b[1] = 3, 3 // destination unreachable, port unreachable
	h := b[icmp:]
	h[0], h[8], h[9] = 4<<4|ip/4, 64, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(h[2:], ip+8)
	copy(h[12:], client.Addr().AsSlice())
	copy(h[16:], dst.Addr().AsSlice())
	binary.BigEndian.PutUint16(h[10:], checksum(h[:ip]))
	ports(h[ip:], client, dst)
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}

// unreachable6 is the same by ICMPv6 (RFC 4443, section 3.1). The kernel adds the
// checksum.
func unreachable6(client, dst netip.AddrPort) []byte {
	const icmp, ip = 8, 40
	b := make([]byte, icmp+ip+8)
	b[0], b[1] = 1, 4
	h := b[icmp:]
	h[0], h[6], h[7] = 6<<4, unix.IPPROTO_UDP, 64
	binary.BigEndian.PutUint16(h[4:], 8)
	copy(h[8:], client.Addr().AsSlice())
	copy(h[24:], dst.Addr().AsSlice())
	ports(h[ip:], client, dst)
	return b
}

// ports writes the header of an empty UDP datagram.
func ports(h []byte, client, dst netip.AddrPort) {
	binary.BigEndian.PutUint16(h, client.Port())
	binary.BigEndian.PutUint16(h[2:], dst.Port())
	binary.BigEndian.PutUint16(h[4:], 8)
}

// checksum is that of RFC 1071, of an even number of bytes.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
