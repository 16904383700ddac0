package egress

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
)

// A Spoof says whose address connections to servers come from, and remembers
// where that did not work: see Direct. It comes from ParseSpoof; nil and the zero
// Spoof assume no address. It may be used by several Directs, at the same time or
// one after the other, and must not be copied.
type Spoof struct {
	// From are the networks that clients are in, if that is known. What is
	// remembered is so for one of them, or for what has the first 24 bits of an
	// IPv4 address in common, or 64 of an IPv6 address, if that is less. It must
	// not change once the Spoof is used.
	From []netip.Prefix

	mode     SpoofMode
	addr     netip.Addr // of SpoofFixed
	networks networks
	family   sync.Once // that SpoofFixed has none of the other
	off      atomic.Bool
}

// A SpoofMode is a way to choose the source.
type SpoofMode uint8

// The sources that a server can be shown.
const (
	SpoofNone   SpoofMode = iota // this host's address
	SpoofIP                      // the client's address, and a port of the kernel's choice
	SpoofIPPort                  // the client's address and port
	SpoofFixed                   // one address for all clients
)

// ParseSpoof reads "none", "ip", "ip+port" or an address.
func ParseSpoof(text string) (*Spoof, error) {
	for _, m := range []SpoofMode{SpoofNone, SpoofIP, SpoofIPPort} {
		if text == m.String() {
			return &Spoof{mode: m}, nil
		}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil, fmt.Errorf("%q is no source: want none, ip, ip+port or an address", text)
	}
	if a = a.Unmap(); !assumable(a) {
		return nil, fmt.Errorf("%s is no source: connections can't come from such an address", a)
	}
	return &Spoof{mode: SpoofFixed, addr: a}, nil
}

// Mode returns how the source is chosen.
func (s *Spoof) Mode() SpoofMode {
	if s == nil {
		return SpoofNone
	}
	return s.mode
}

// Off has connections come from this host itself from now on. It is for when the
// host turns out not to get answers to others' addresses.
func (s *Spoof) Off() { s.off.Store(true) }

// Addr returns the address of SpoofFixed; it is not valid in other modes.
func (s *Spoof) Addr() netip.Addr {
	if s == nil {
		return netip.Addr{}
	}
	return s.addr
}

// String returns what ParseSpoof reads.
func (s *Spoof) String() string {
	if s.Mode() == SpoofFixed {
		return s.addr.String()
	}
	return s.Mode().String()
}

// String returns the word of the command line.
func (m SpoofMode) String() string {
	switch m {
	case SpoofIP:
		return "ip"
	case SpoofIPPort:
		return "ip+port"
	case SpoofFixed:
		return "fixed"
	}
	return "none"
}

// assumable reports whether a is an address that answers from afar come to.
func assumable(a netip.Addr) bool {
	return a.IsGlobalUnicast() && a.Zone() == "" && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// source returns where a connection to a server comes from on behalf of t; it
// is not valid if from this host itself. No address of ours is assumed: who has
// one is a program of this host. Nor is one assumed towards an address of ours,
// whose answer would go to the client without a way past us, or of the link.
func (d *Direct) source(t Target, to netip.Addr) netip.AddrPort {
	if d.Spoof.Mode() == SpoofNone || d.Spoof.off.Load() || !t.Client.IsValid() {
		return netip.AddrPort{}
	}
	client, to := t.Client.Addr().Unmap(), to.Unmap()
	if !assumable(client) || to.IsLoopback() || to.IsLinkLocalUnicast() || client == to || d.own(client) || d.own(to) {
		return netip.AddrPort{}
	}
	from := netip.AddrPortFrom(client, 0)
	switch d.Spoof.mode {
	case SpoofIPPort:
		from = netip.AddrPortFrom(client, t.Client.Port())
	case SpoofFixed:
		from = netip.AddrPortFrom(d.Spoof.addr, 0)
	}
	if from.Addr().Is4() != to.Is4() {
		d.otherFamily(to)
		return netip.AddrPort{}
	}
	return from
}

func (d *Direct) own(a netip.Addr) bool { return d.Own != nil && d.Own.Own(a) }

// otherFamily says once that a fixed address is for its family alone.
func (d *Direct) otherFamily(to netip.Addr) {
	if d.Spoof.mode != SpoofFixed || d.Log == nil {
		return
	}
	d.Spoof.family.Do(func() {
		have, lack := "IPv4", "IPv6"
		if to.Is4() {
			have, lack = lack, have
		}
		d.Log.Warn("connections to "+lack+" servers come from this host's own address: the source to assume is an "+have+" address", "source", d.Spoof.addr)
	})
}
