package steer

import (
	"fmt"
	"slices"

	"transom/platform"
)

// chainPrefix is how all chains of ours begin, and nobody else's.
const chainPrefix = "TRANSOM_"

// An xtTable is what a steering has in one table of iptables.
type xtTable struct {
	name   string
	chains []xtChain
}

// An xtChain is a chain of ours. All of it can be written anew at any time: a
// chain that iptables-restore is told of begins empty.
type xtChain struct {
	name  string
	hook  string // the built-in chain that jumps here before anything else; "" is none
	why   string
	rules []string // without -A and the chain's name
}

// hooked returns the chain that a built-in one jumps to.
func hooked(hook, why string, rules ...string) xtChain {
	return xtChain{name: chainPrefix + hook, hook: hook, why: why, rules: rules}
}

// xtables writes a steering in the language of iptables, for one family.
type xtables struct {
	*steering
	v6 bool
}

// steeringOf fills in the defaults of s.
func steeringOf(s platform.Steering) *steering {
	return &steering{s, s.Marks.OrDefault(), unique(s.Interfaces)}
}

// tables returns the tables that have something of ours in them. They do what
// the nft tables do, where iptables can: TPROXY without a listener drops, so
// that clients wait in vain, and mangle's other rules are not run for what is
// ours.
func (x *xtables) tables() []xtTable {
	var out []xtTable
	for _, t := range []xtTable{
		{"raw", x.raw()},
		{"mangle", x.mangle()},
		{"nat", x.nat()},
		{"filter", x.filter()},
	} {
		t.chains = slices.DeleteFunc(t.chains, func(c xtChain) bool { return len(c.rules) == 0 })
		if len(t.chains) > 0 {
			out = append(out, t)
		}
	}
	return out
}

// raw is before connection tracking.
func (x *xtables) raw() []xtChain {
	var pre, client []string
	// Sockets towards clients begin no connection: see steering.out.
	// Those towards servers have no business on the link: likewise.
	near := link4
	if x.v6 {
		near = link6
	}
	out := []string{
		fmt.Sprintf("-p tcp --syn -m mark --mark %s -j DROP", x.mark(x.marks.Client)),
		fmt.Sprintf("-d %s -m mark --mark %s -j DROP", near, x.mark(x.marks.Upstream)),
	}
	udp := len(x.UDPPorts) > 0
	if udp {
		// Sockets that answer datagrams have the addresses of anybody. They speak to
		// clients and to nobody else.
		for _, name := range x.ifaces {
			out = append(out, fmt.Sprintf("-o %s -p udp -m mark --mark %s -j TRANSOM_UNTRACKED", name, x.mark(x.marks.Client)))
		}
		for _, name := range x.ifaces {
			out = append(out, fmt.Sprintf("-o %s -p udp -m mark --mark %s -j RETURN", name, x.mark(x.marks.Client)))
		}
		out = append(out, fmt.Sprintf("-p udp -m mark --mark %s -j DROP", x.mark(x.marks.Client)))
	}
	if x.tproxy() {
		pre = x.fromInterfaces("-p tcp -j TRANSOM_CLIENT")
		if udp && !x.Draining {
			pre = append(pre, x.fromInterfaces("-p udp -j TRANSOM_CLIENT")...)
		}
		if x.spoofs() {
			// The socket's mark tells the two legs apart where servers are
			// behind a client interface. Nothing else does: with all ports
			// captured, a port says nothing.
			client = append(client, fmt.Sprintf("-p tcp -m socket --transparent --restore-skmark -m mark --mark %s -j RETURN", x.mark(x.marks.Upstream)))
		}
		client = append(client, "-p tcp -m socket --transparent -g TRANSOM_UNTRACKED")
		if !x.Draining {
			client = append(client, x.leftAlone()...)
			client = append(client, x.captured("tcp", "-g TRANSOM_UNTRACKED")...)
			client = append(client, x.capturedUDP("-g TRANSOM_UNTRACKED")...)
		}
		// On lo are answers to connections of this host that were redirected:
		// without tracking they would have the wrong source.
		out = append(out, fmt.Sprintf("! -o lo -m mark --mark %s -j CT --notrack", x.mark(x.marks.Client)))
	}
	untracked := []string{"-j CT --notrack"}
	if !x.tproxy() {
		untracked = nil
	}
	if x.Local || x.spoofs() && !x.tproxy() {
		out = append(out, fmt.Sprintf("-m mark --mark %s -j CT --zone-orig %d", x.mark(x.marks.Upstream), number))
	}
	return []xtChain{
		hooked("PREROUTING", "Clients' packets, before connection tracking.", pre...),
		{name: "TRANSOM_CLIENT", why: "What transom takes is not tracked: its two connections have the same addresses and ports, and would be taken for one.", rules: client},
		{name: "TRANSOM_UNTRACKED", rules: untracked},
		hooked("OUTPUT", "What transom's sockets send: towards clients untracked, too; towards servers apart from the connections that tracking has redirected.", out...),
	}
}

// mangle is where packets are given to sockets.
func (x *xtables) mangle() []xtChain {
	if !x.diverts() {
		return nil
	}
	pre := []string{"-p tcp -m socket --transparent -j TRANSOM_DIVERT"}
	var client []string
	if x.tproxy() && !x.Draining {
		tproxy := fmt.Sprintf("-j TPROXY --on-port %d --on-ip %s --tproxy-mark %s", x.Port, x.loopback(), x.mark(x.marks.In))
		pre = append(pre, x.fromInterfaces("-p tcp -j TRANSOM_CLIENT")...)
		client = append(x.leftAlone(), x.captured("tcp", tproxy)...)
		if len(x.UDPPorts) > 0 {
			pre = append(pre, x.fromInterfaces("-p udp -j TRANSOM_CLIENT")...)
			client = append(client, x.capturedUDP(tproxy)...)
		}
	}
	if x.spoofs() && len(x.UDPPorts) > 0 {
		// Behind the captures: of sockets towards clients only those are to be found
		// that are connected, which TPROXY sees to.
		pre = append(pre, fmt.Sprintf("-p udp -m socket --transparent --restore-skmark -m mark --mark %s -j TRANSOM_DIVERT", x.mark(x.marks.Upstream)))
	}
	return []xtChain{
		hooked("PREROUTING", "Packets of connections that have a socket here, with an address that is not this host's.", pre...),
		{name: "TRANSOM_DIVERT", why: "The mark has the routing deliver them here.", rules: []string{
			fmt.Sprintf("-j MARK --set-xmark %s", x.mark(x.marks.In)),
			"-j ACCEPT",
		}},
		{name: "TRANSOM_CLIENT", why: "New connections of clients are given to the listener, as they are.", rules: client},
	}
}

// nat is where connections are redirected.
func (x *xtables) nat() []xtChain {
	if x.Draining {
		return nil
	}
	redirect := fmt.Sprintf("-j REDIRECT --to-ports %d", x.Port)
	var pre, client, out []string
	if x.gateway() && !x.tproxy() {
		pre = x.fromInterfaces("-p tcp -j TRANSOM_CLIENT")
		client = append(x.leftAlone(), x.captured("tcp", redirect)...)
	}
	if x.Local {
		out = append(x.leftAloneHere(), x.everywhere().captured("tcp", redirect)...)
	}
	return []xtChain{
		hooked("PREROUTING", "Clients' connections.", pre...),
		{name: "TRANSOM_CLIENT", why: "Connections of clients are sent to the listener; tracking remembers where they were meant to go.", rules: client},
		hooked("OUTPUT", "Connections of this host's own programs, but for transom's.", out...),
	}
}

// filter lets our packets past other rules, and refuses.
func (x *xtables) filter() []xtChain {
	var input []string
	if x.diverts() {
		input = append(input, fmt.Sprintf("-m mark --mark %s -j ACCEPT", x.mark(x.marks.In)))
	}
	if x.redirects() {
		input = append(input, fmt.Sprintf("-p tcp --dport %d -m conntrack --ctstate DNAT -j ACCEPT", x.Port))
	}
	var visits []string
	if x.gateway() && !x.Draining {
		input = append(input, x.fromInterfaces(fmt.Sprintf("-p tcp --dport %d -j TRANSOM_VISITS", x.Port))...)
		visits = append(x.excludedSources(), x.from("-j ACCEPT")...)
	}
	var out []string
	for _, m := range x.sent() {
		out = append(out, fmt.Sprintf("-m mark --mark %s -j ACCEPT", x.mark(m)))
	}
	chains := []xtChain{
		hooked("INPUT", "Past firewalls that let nothing in: what was given to the listener or has a socket of transom's.", input...),
		{name: "TRANSOM_VISITS", why: "And what clients send to the listener itself, where the certificate is to be had.", rules: visits},
		hooked("OUTPUT", "Past firewalls that let nothing out: what transom answers clients, and sends to servers.", out...),
	}
	if !x.Draining && len(quicPorts(&x.Steering)) > 0 {
		chains = append(chains, x.refusal("TRANSOM_QUIC", "QUIC is refused at once, so that programs use TCP.", (*xtables).refusedQUIC)...)
	}
	if x.refuses() {
		chains = append(chains, x.refusal(closedChain, "What would be captured never comes here; while nobody captures it, it is refused.", (*xtables).refused)...)
	}
	return chains
}

// closedChain begins the names of the chains that stay when transom is gone, if
// nothing may go past it.
const closedChain = chainPrefix + "CLOSED"

// refusal returns chains that refuse what clients send past this host, and what
// this host sends itself.
func (x *xtables) refusal(name, why string, refused func(*xtables) []string) []xtChain {
	var chains []xtChain
	if x.gateway() {
		chains = append(
			chains,
			xtChain{name: name, hook: "FORWARD", why: why, rules: x.fromInterfaces("-j " + name + "_CLIENT")},
			xtChain{name: name + "_CLIENT", rules: append(x.leftAlone(), refused(x)...)},
		)
	}
	if x.Local {
		chains = append(chains, xtChain{name: name + "_HERE", hook: "OUTPUT", why: why, rules: append(x.leftAloneHere(), refused(x.everywhere())...)})
	}
	return chains
}
