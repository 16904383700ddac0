package rootless

import (
	"net/netip"

	"transom/platform/nft"
)

// tableName is what the table is called; only we can see it.
const tableName = "transom"

// priority is that of the mangle chains, where TPROXY may be.
const priority = -150

// table is the packet filter of the network. What the program sends goes out by lo
// and comes in again, where it is given to our sockets. It is refused there, too:
// on its way out that would be an error of sending (EPERM) that programs don't
// expect.
func (n *Network) table() *nft.Table {
	return &nft.Table{Family: nft.Inet, Name: tableName, Chains: []nft.Chain{
		{Name: "capture", Type: "filter", Hook: nft.Prerouting, Priority: priority, Rules: n.rules()},
	}}
}

// rules bring TCP and UDP to others to us, and refuse what the program can't have:
// our own sockets by the port that they are bound to, several receivers at once,
// QUIC, and what has no ports, which lo would answer in others' names.
func (n *Network) rules() []nft.Rule {
	to := nft.TProxy(netip.AddrPortFrom(netip.IPv6Unspecified(), insidePort))
	var rules []nft.Rule
	for _, a := range n.Resolvers {
		at := nft.DAddr(netip.PrefixFrom(a, a.BitLen()))
		rules = append(rules,
			nft.Rule{at, nft.DPort(nft.UDP, 53), to, nft.Accept()},
			nft.Rule{at, nft.DPort(nft.TCP, 53), to, nft.Accept()})
	}
	for _, own := range n.own() {
		rules = append(rules,
			nft.Rule{own, nft.DPort(nft.TCP, insidePort), nft.TCPOpening(), nft.RejectReset()},
			nft.Rule{own, nft.Accept()})
	}
	rules = append(rules,
		nft.Rule{nft.DAddr(netip.MustParsePrefix("224.0.0.0/3")), nft.Drop()},
		nft.Rule{nft.DAddr(netip.MustParsePrefix("ff00::/8")), nft.Drop()})
	if n.RejectQUIC {
		rules = append(rules, nft.Rule{nft.DPort(nft.UDP, 443), nft.RejectPort()})
	}
	return append(rules,
		nft.Rule{nft.L4Proto(nft.TCP), to, nft.Accept()},
		nft.Rule{nft.L4Proto(nft.UDP), to, nft.Accept()},
		nft.Rule{nft.RejectPort()})
}

// own matches what the program sends to itself.
func (n *Network) own() []nft.Stmt {
	four := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	six := []netip.Prefix{netip.MustParsePrefix("::1/128")}
	for _, a := range n.addrs() {
		p := netip.PrefixFrom(a, a.BitLen())
		if a.Is4() {
			four = append(four, p)
		} else {
			six = append(six, p)
		}
	}
	return []nft.Stmt{nft.DAddr(four...), nft.DAddr(six...)}
}
