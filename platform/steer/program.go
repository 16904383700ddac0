package steer

import (
	"net/netip"

	"transom/platform/nft"
)

// ofProgram narrows a rule about what this host sends down to the program that is
// captured, if it is one. A connection is brought by the packet that opens it, which
// has a socket. What the kernel sends for sockets that are no more has none, and
// conntrack knows where that belongs.
func (t *steering) ofProgram(r ...nft.Stmt) nft.Rule {
	if t.Program == "" {
		return r
	}
	return append(nft.Rule{nft.SocketCgroup(t.Program)}, r...)
}

// nobody is a port that nobody listens on.
const nobody = 1

// noQUICOfProgram has a program's QUIC go to a port that nobody listens on, which the
// kernel answers. To reject it where it goes out would be an error of sending (EPERM),
// which programs don't expect, and where it comes in again the kernel does not answer
// in the name of an address that is not its own.
func (t *steering) noQUICOfProgram() []nft.Rule {
	ports := quicPorts(&t.Steering)
	if t.Program == "" || len(ports) == 0 {
		return nil
	}
	return []nft.Rule{t.ofProgram(nft.DPortIn(nft.UDP, ports...), nft.Redirect(nobody))}
}

// loop brings the datagrams of a program: what it sends is marked, which has it
// routed to lo, and comes in again there, as it is, where TPROXY takes it.
func (t *steering) loop() []nft.Chain {
	ports := udpPorts(&t.Steering)
	if len(ports) == 0 {
		return nil
	}
	out := t.ofProgram(nft.DPortIn(nft.UDP, ports...), t.in(), nft.Notrack(), nft.Accept())
	var in []nft.Rule
	for _, lo := range [...]netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()} {
		in = append(in, nft.Rule{
			nft.IIFName("lo"), t.marked(t.marks.In), nft.L4Proto(nft.UDP), nft.TProxy(netip.AddrPortFrom(lo, t.Port)), nft.Accept(),
		})
	}
	return []nft.Chain{
		{Name: "send_again", Type: "route", Hook: nft.Output, Priority: beforeConntrack, Rules: append(t.othersOfHost(), out)},
		{Name: "capture_program", Type: "filter", Hook: nft.Prerouting, Priority: beforeConntrack, Rules: in},
	}
}
