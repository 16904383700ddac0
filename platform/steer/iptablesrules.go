package steer

import (
	"fmt"
	"net/netip"
	"strings"

	"transom/platform"
)

// everywhere is x for all sources: this host's programs are no clients, and
// their addresses are not among the clients'.
func (x *xtables) everywhere() *xtables {
	here := *x.steering
	here.From = nil
	here.UDPPorts = nil // which are clients'
	return &xtables{&here, x.v6}
}

// fromInterfaces writes a rule for each interface that clients are behind.
func (x *xtables) fromInterfaces(rule string) []string {
	out := make([]string, len(x.ifaces))
	for i, name := range x.ifaces {
		out[i] = "-i " + name + " " + rule
	}
	return out
}

// leftAlone are rules that return for what is not captured: what is meant for
// this host, for many, for the link, or excluded.
func (x *xtables) leftAlone() []string {
	types := "LOCAL,BROADCAST,MULTICAST"
	if x.v6 {
		// There is no broadcast, and of several types an IPv6 address has to be
		// all at once. Groups are among the bypassed.
		types = "LOCAL"
	}
	out := []string{"-m addrtype --dst-type " + types + " -j RETURN"}
	for _, p := range never(x.v6) {
		out = append(out, fmt.Sprintf("-d %s -j RETURN", p))
	}
	for _, p := range x.ofFamily(x.Exclude) {
		out = append(out, fmt.Sprintf("-s %s -j RETURN", p), fmt.Sprintf("-d %s -j RETURN", p))
	}
	return out
}

// excludedSources are rules that return for clients that are left alone.
func (x *xtables) excludedSources() (out []string) {
	for _, p := range x.ofFamily(x.Exclude) {
		out = append(out, fmt.Sprintf("-s %s -j RETURN", p))
	}
	return out
}

// leftAloneHere is leftAlone for what this host sends itself.
func (x *xtables) leftAloneHere() []string {
	out := []string{
		fmt.Sprintf("-m mark --mark %s -j RETURN", x.mark(x.marks.Upstream)),
		fmt.Sprintf("-m mark --mark %s -j RETURN", x.mark(x.marks.Client)),
	}
	if path := strings.Trim(x.Cgroup, "/"); path != "" {
		out = append(out, fmt.Sprintf("-m cgroup --path %s -j RETURN", path))
	}
	return append(append(out, "-o lo -j RETURN"), x.leftAlone()...)
}

// captured writes the rules for what is captured of a protocol, each ending in
// target.
func (x *xtables) captured(proto, target string) []string {
	return x.rules(proto, portMatches(x.Ports), target)
}

// capturedUDP writes the rules for datagrams that are captured, if any are.
func (x *xtables) capturedUDP(target string) []string {
	ports := udpPorts(&x.Steering)
	if len(ports) == 0 {
		return nil
	}
	return x.rules("udp", portMatches(ports), target)
}

// refusedQUIC answers UDP, by which a browser would go past a proxy for TCP.
func (x *xtables) refusedQUIC() []string {
	return x.rules("udp", portMatches(quicPorts(&x.Steering)), "-j REJECT")
}

// refused refuses what would be captured, but for connections that go on.
func (x *xtables) refused() []string {
	out := x.captured("tcp", "-m conntrack ! --ctstate ESTABLISHED,RELATED -j REJECT --reject-with tcp-reset")
	if len(quicPorts(&x.Steering)) > 0 {
		out = append(out, x.refusedQUIC()...)
	}
	return append(out, x.capturedUDP("-j REJECT")...)
}

// rules writes a rule for each network and each list of ports.
func (x *xtables) rules(proto string, ports []string, target string) []string {
	var out []string
	for _, p := range ports {
		out = append(out, "-p "+proto+p+" "+target)
	}
	return x.from(out...)
}

// from writes rules for each network that clients are in: if none is of this
// family, for none of it.
func (x *xtables) from(rules ...string) []string {
	if len(x.From) == 0 {
		return rules
	}
	var out []string
	for _, p := range x.ofFamily(x.From) {
		for _, r := range rules {
			out = append(out, "-s "+p.String()+" "+r)
		}
	}
	return out
}

// ofFamily keeps the networks of x's family.
func (x *xtables) ofFamily(list []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range list {
		if p.Addr().Is6() == x.v6 {
			out = append(out, p.Masked())
		}
	}
	return out
}

func (x *xtables) loopback() string {
	if x.v6 {
		return "::1"
	}
	return "127.0.0.1"
}

// portMatches writes the matches for ports, each with a space before it: an
// empty one for all. The multiport match takes fifteen, and a range is two.
func portMatches(ports []platform.PortRange) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	var out, words []string
	room := 0
	flush := func() {
		if len(words) > 0 {
			out = append(out, " -m multiport --dports "+strings.Join(words, ","))
		}
		words, room = nil, 15
	}
	flush()
	for _, r := range ports {
		word, size := fmt.Sprint(r.First), 1
		if r.Last != r.First {
			word, size = fmt.Sprintf("%d:%d", r.First, r.Last), 2
		}
		if size > room {
			flush()
		}
		words, room = append(words, word), room-size
	}
	flush()
	return out
}

// mark writes a mark as iptables and ip take it.
func (t *steering) mark(value uint32) string { return fmt.Sprintf("%#x/%#x", value, t.marks.Mask) }

// never are the destinations of a family that nobody forwards to.
func never(v6 bool) []netip.Prefix {
	if v6 {
		return never6[:]
	}
	return never4[:]
}
