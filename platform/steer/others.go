package steer

import (
	"net/netip"
	"slices"

	"transom/platform/nft"
)

// link4 and link6 are the networks of link-local addresses.
var (
	link4 = netip.MustParsePrefix("169.254.0.0/16")
	link6 = netip.MustParsePrefix("fe80::/10")
)

// never4 and never6 are destinations that nobody forwards to, or that are no
// single host.
var (
	never4 = [...]netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{0}), 8),
		netip.PrefixFrom(netip.AddrFrom4([4]byte{127}), 8),
		link4,
		netip.PrefixFrom(netip.AddrFrom4([4]byte{224}), 3), // multicast, reserved, broadcast
	}
	never6 = [...]netip.Prefix{
		netip.PrefixFrom(netip.IPv6Unspecified(), 127), // unspecified and loopback
		link6,
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xff}), 8),
	}
)

// othersOfClients leaves alone what comes in and is not to be brought. To
// accept ends our chain and no other.
func (t *steering) othersOfClients() []nft.Rule {
	return slices.Concat([]nft.Rule{t.notByOurs()}, t.excluded(), t.onlyFromChosen())
}

// strangers leaves alone who is no client, whatever they send to.
func (t *steering) strangers() []nft.Rule {
	return slices.Concat([]nft.Rule{t.notByOurs()}, t.excludedSources(), t.onlyFromChosen())
}

func (t *steering) notByOurs() nft.Rule { return nft.Rule{nft.NotIIFName(t.ifaces...), nft.Accept()} }

func (t *steering) onlyFromChosen() []nft.Rule {
	if len(t.From) == 0 {
		return nil
	}
	from4, from6 := families(t.From)
	return []nft.Rule{onlyFrom(nft.IPv4, from4), onlyFrom(nft.IPv6, from6)}
}

// onlyFrom leaves alone clients of a family that are not in one of from.
func onlyFrom(f nft.Family, from []netip.Prefix) nft.Rule {
	if len(from) == 0 {
		return nft.Rule{nft.NFProto(f), nft.Accept()}
	}
	return nft.Rule{nft.NotSAddr(from...), nft.Accept()}
}

// othersOfHost leaves alone what this host sends and is not to be brought.
func (t *steering) othersOfHost() []nft.Rule {
	rules := []nft.Rule{
		{t.marked(t.marks.Upstream), nft.Accept()},
		{t.marked(t.marks.Client), nft.Accept()},
	}
	if t.Cgroup != "" {
		rules = append(rules, nft.Rule{nft.SocketCgroup(t.Cgroup), nft.Accept()})
	}
	rules = append(rules, nft.Rule{nft.OIFName("lo"), nft.Accept()})
	return append(rules, t.excluded()...)
}

// excluded leaves alone destinations that are this host or no single other, and
// what was excluded by name, as source or as destination.
func (t *steering) excluded() []nft.Rule {
	x4, x6 := families(t.Exclude)
	return append([]nft.Rule{
		{nft.DAddrType(nft.AddrLocal, nft.AddrBroadcast, nft.AddrMulticast), nft.Accept()},
		{nft.DAddr(append(never4[:], x4...)...), nft.Accept()},
		{nft.DAddr(append(never6[:], x6...)...), nft.Accept()},
	}, t.excludedSources()...)
}

func (t *steering) excludedSources() (rules []nft.Rule) {
	x4, x6 := families(t.Exclude)
	for _, x := range [][]netip.Prefix{x4, x6} {
		if len(x) > 0 {
			rules = append(rules, nft.Rule{nft.SAddr(x...), nft.Accept()})
		}
	}
	return rules
}

// families parts IPv4 from IPv6.
func families(list []netip.Prefix) (v4, v6 []netip.Prefix) {
	for _, p := range list {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return v4, v6
}
