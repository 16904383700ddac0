package pf

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// A Layout is the struct pfioc_natlook of a system, sys/net/pfvar.h: four
// addresses of 16 bytes each, of which IPv4 uses the first four, and then
//
//	macOS    sxport dxport rsxport rdxport (unions of 4)  af proto variant direction
//	FreeBSD  sport dport rsport rdport  af proto direction
//	OpenBSD  rdomain rrdomain  sport dport rsport rdport  af proto direction
//
// Numbers are the machine's but for ports, which are in network byte order.
type Layout struct {
	System string // for a person

	size                 int
	sport, dport, rdport int
	rdomain              int // 0: it has none
	af, proto, direction int
	inet6                uint8 // AF_INET6
}

// Where the addresses are, in all of them.
const (
	atClient   = 0
	atLocal    = 16
	atOriginal = 48
)

// layouts are by the word that runtime.GOOS has.
var layouts = map[string]Layout{
	"darwin": {
		System: "macOS", size: 84, sport: 64, dport: 68, rdport: 76,
		af: 80, proto: 81, direction: 83, inet6: 30,
	},
	"freebsd": {
		System: "FreeBSD", size: 76, sport: 64, dport: 66, rdport: 70,
		af: 72, proto: 73, direction: 74, inet6: 28,
	},
	"openbsd": {
		System: "OpenBSD", size: 80, sport: 68, dport: 70, rdport: 74, rdomain: 64,
		af: 76, proto: 77, direction: 78, inet6: 24,
	},
}

// LayoutOf returns the layout of a system by its name in runtime.GOOS.
func LayoutOf(system string) (Layout, bool) {
	l, ok := layouts[system]
	return l, ok
}

// Values that are alike everywhere.
const (
	afInet = 2
	tcp    = 6 // IPPROTO_TCP
	// out is PF_OUT: the kernel takes the ends as the answer to a packet has them,
	// which for a state that rdr made is the side that was translated. PF_IN finds none.
	out = 2
)

// Request is DIOCNATLOOK, _IOWR('D', 23, struct pfioc_natlook).
func (l *Layout) Request() uint32 {
	const inOut = 0xc0000000
	return inOut | uint32(l.size)&0x1fff<<16 | 'D'<<8 | 23
}

// A question is whose connection is asked for, in the form that addresses have in
// the kernel.
type question struct {
	client, local netip.AddrPort
	domain        uint16 // routing domain
}

// encode writes a question to a struct that is zero.
func (l *Layout) encode(arg []byte, q question) {
	put(arg[atClient:], q.client.Addr())
	put(arg[atLocal:], q.local.Addr())
	binary.BigEndian.PutUint16(arg[l.sport:], q.client.Port())
	binary.BigEndian.PutUint16(arg[l.dport:], q.local.Port())
	if l.rdomain != 0 {
		binary.NativeEndian.PutUint16(arg[l.rdomain:], q.domain)
	}
	arg[l.af], arg[l.proto], arg[l.direction] = afInet, tcp, out
	if q.client.Addr().Is6() {
		arg[l.af] = l.inet6
	}
}

func put(b []byte, a netip.Addr) { copy(b, a.AsSlice()) }

// answer reads what the kernel wrote. local has the zone that a link-local
// destination is in, unless the kernel has said another.
func (l *Layout) answer(arg []byte, q question, local netip.AddrPort) (netip.AddrPort, error) {
	port := binary.BigEndian.Uint16(arg[l.rdport:])
	var a netip.Addr
	if q.client.Addr().Is4() {
		a = netip.AddrFrom4([4]byte(arg[atOriginal:]))
	} else {
		a = unscope(netip.AddrFrom16([16]byte(arg[atOriginal:])), local.Addr().Zone())
	}
	if a.IsUnspecified() || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("pf says that the connection of %s was meant for %s port %d, which is nobody: is this a %s?", q.client, a, port, l.System)
	}
	return netip.AddrPortFrom(a, port), nil
}
