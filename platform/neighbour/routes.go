package neighbour

import (
	"encoding/binary"
	"net/netip"
)

// macOS and the BSDs list neighbours as routes with RTF_LLINFO: messages of struct
// rt_msghdr, each with the addresses that its bits name, of which the first is the
// neighbour's and the second, a struct sockaddr_dl, has its hardware address.

// A layout is what differs, see net/route.h of each.
type layout struct {
	header int // bytes of struct rt_msghdr; 0 says that rtm_hdrlen, behind the type, does
	index  int // where rtm_index is
	align  int // that an address takes a multiple of
	inet6  byte
}

// layouts are by the word that runtime.GOOS has.
var layouts = map[string]layout{
	"darwin":  {header: 92, index: 4, align: 4, inet6: 30},
	"freebsd": {header: 152, index: 4, align: 8, inet6: 28},
	"openbsd": {index: 6, align: 8, inet6: 24},
}

// What is alike.
const (
	atAddrs = 12 // rtm_addrs: which addresses follow
	afInet  = 2
	afLink  = 18

	hasDst     = 1 << 0
	hasGateway = 1 << 1
)

// parseRoutes reads a list of routes, in the byte order of this machine.
func (l layout) parseRoutes(b []byte) []news {
	var all []news
	for len(b) >= 16 && len(all) < addressesMost {
		size := int(binary.NativeEndian.Uint16(b))
		if size < 16 || size > len(b) {
			break
		}
		if n, ok := l.parseRoute(b[:size]); ok {
			all = append(all, n)
		}
		b = b[size:]
	}
	return all
}

func (l layout) parseRoute(b []byte) (n news, ok bool) {
	header := l.header
	if header == 0 {
		header = int(binary.NativeEndian.Uint16(b[4:]))
	}
	has := binary.NativeEndian.Uint32(b[atAddrs:])
	if header < 16 || header > len(b) || has&(hasDst|hasGateway) != hasDst|hasGateway {
		return n, false
	}
	n.index = int(binary.NativeEndian.Uint16(b[l.index:]))
	dst, rest, ok := l.sockaddr(b[header:])
	if !ok {
		return n, false
	}
	gateway, _, ok := l.sockaddr(rest)
	if !ok {
		return n, false
	}
	if n.addr, ok = l.address(dst); !ok {
		return n, false
	}
	n.mac, n.sure = mac{}, true
	n.mac, ok = linkAddress(gateway)
	return n, ok
}

// sockaddr cuts one off. Its first byte is its length, its second its family.
func (l layout) sockaddr(b []byte) (one, rest []byte, ok bool) {
	if len(b) < 2 || b[0] < 2 || int(b[0]) > len(b) {
		return nil, nil, false
	}
	size := int(b[0])
	return b[:size], b[min((size+l.align-1)/l.align*l.align, len(b)):], true
}

func (l layout) address(s []byte) (netip.Addr, bool) {
	switch {
	case s[1] == afInet && len(s) >= 8:
		return netip.AddrFrom4([4]byte(s[4:8])), true
	case s[1] == l.inet6 && len(s) >= 24:
		a := [16]byte(s[8:24])
		if a[0] == 0xfe && a[1]&0xc0 == 0x80 {
			a[2], a[3] = 0, 0 // where the kernel keeps the interface
		}
		return plain(netip.AddrFrom16(a)), a[0] != 0xff
	}
	return netip.Addr{}, false
}

// linkAddress reads a struct sockaddr_dl: the address is behind the interface's name.
func linkAddress(s []byte) (mac, bool) {
	if s[1] != afLink || len(s) < 8 {
		return mac{}, false
	}
	name, size := int(s[5]), int(s[6])
	if 8+name+size > len(s) {
		return mac{}, false
	}
	return macOf(s[8+name : 8+name+size])
}
