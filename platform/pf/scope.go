package pf

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// Link-local addresses have their interface's number in the second pair of
// bytes while they are in these kernels, and on the wire and in rules they don't.
// Which of the two a state has depends on who looked at the packet first, so
// both are asked for.

// scopes returns the forms of a question, the likelier first.
func scopes(client, local netip.AddrPort) ([]question, error) {
	bare := question{client: withoutZone(client), local: withoutZone(local)}
	c, err := scope(client)
	if err != nil {
		return nil, err
	}
	l, err := scope(local)
	if err != nil {
		return nil, err
	}
	if embedded := (question{client: c, local: l}); embedded != bare {
		return []question{bare, embedded}, nil
	}
	return []question{bare}, nil
}

func withoutZone(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().WithZone(""), a.Port())
}

// scope puts the number of the zone into a link-local address.
func scope(a netip.AddrPort) (netip.AddrPort, error) {
	zone := a.Addr().Zone()
	if zone == "" || !a.Addr().IsLinkLocalUnicast() {
		return withoutZone(a), nil
	}
	n, err := number(zone)
	if err != nil {
		return a, fmt.Errorf("interface of %s: %w", a, err)
	}
	b := a.Addr().As16()
	binary.BigEndian.PutUint16(b[2:], n)
	return netip.AddrPortFrom(netip.AddrFrom16(b), a.Port()), nil
}

// number is that of an interface.
func number(zone string) (uint16, error) {
	if n, err := strconv.ParseUint(zone, 10, 16); err == nil {
		return uint16(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, err
	}
	return uint16(i.Index), nil
}

// unscope is the reverse of scope; otherwise is the zone of an address that says none.
func unscope(a netip.Addr, otherwise string) netip.Addr {
	if !a.Is6() || !a.IsLinkLocalUnicast() {
		return a
	}
	b := a.As16()
	n := binary.BigEndian.Uint16(b[2:])
	if n == 0 {
		return a.WithZone(otherwise)
	}
	b[2], b[3] = 0, 0
	return netip.AddrFrom16(b).WithZone(zoneName(n))
}

// zoneName is the reverse of number.
func zoneName(n uint16) string {
	if i, err := net.InterfaceByIndex(int(n)); err == nil {
		return i.Name
	}
	return strconv.Itoa(int(n))
}
