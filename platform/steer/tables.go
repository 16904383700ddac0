package steer

import (
	"math"
	"net/netip"
	"slices"

	"transom/platform"
	"transom/platform/nft"
)

// Priorities of our chains, between those of others.
const (
	first           = math.MinInt32 // see bridged
	beforeConntrack = -300          // "raw"
	clientLeg       = beforeConntrack - 1
	serverLeg       = -151 // after conntrack, just before "mangle"
	delivered       = -150 // before filters
	redirecting     = -110 // before the nat rules of others, docker's for one
	refusing        = -10  // before the filters of others
)

// Tables returns the nft tables of a steering, in the order in which they are
// put in force. The first is harmless and stays while we drain; nil if s brings
// nothing.
func Tables(s platform.Steering) []*nft.Table {
	if s.IsZero() {
		return nil
	}
	t := steeringOf(s)
	list := []*nft.Table{t.divert(), claim()}
	if !s.Draining {
		list[1] = t.interception()
	}
	if t.refuses() {
		list = append(list, t.closed())
		if s.Draining { // as long as we live nobody can take away what refuses
			list[1].Chains = t.closed().Chains
		}
	}
	return list
}

// claim is a table that does nothing and has an owner: it keeps others from
// steering this host, and from cleaning up after who lives.
func claim() *nft.Table { return &nft.Table{Family: nft.Inet, Name: tableName, Owned: true} }

// steering is a Steering with its defaults filled in.
type steering struct {
	platform.Steering
	marks  platform.Marks
	ifaces []string // sorted, each once
}

// gateway reports whether connections of others are brought.
func (t *steering) gateway() bool { return len(t.ifaces) > 0 }

func (t *steering) tproxy() bool { return t.gateway() && t.Method == platform.TPROXY }

func (t *steering) redirects() bool { return t.Local || t.gateway() && t.Method == platform.Redirect }

func (t *steering) spoofs() bool { return t.gateway() && t.Spoof }

// diverts reports whether packets to foreign addresses are to be delivered to
// this host, by our mark.
func (t *steering) diverts() bool { return t.tproxy() || t.spoofs() || t.loops() }

// loops reports whether what this host sends is to come in again by lo.
func (t *steering) loops() bool { return t.Program != "" && len(t.UDPPorts) > 0 }

// in marks a packet to be delivered to this host.
func (t *steering) in() nft.Stmt { return nft.SetMark(t.marks.In, t.marks.Mask) }

func (t *steering) marked(mark uint32) nft.Stmt { return nft.Mark(mark, t.marks.Mask) }

// divert keeps the connections alive that are open. All of it but the chain for
// what was redirected asks for a socket of ours, or our mark.
func (t *steering) divert() *nft.Table {
	table := &nft.Table{Family: nft.Inet, Name: divertName}
	add := func(c nft.Chain) { table.Chains = append(table.Chains, c) }
	if t.tproxy() {
		add(t.fromClients())
	}
	if t.spoofs() {
		add(nft.Chain{
			// With masquerade a packet finds its socket only when conntrack
			// knows it: this is after, where clientLeg is before.
			Name: "from_servers", Type: "filter", Hook: nft.Prerouting, Priority: serverLeg,
			Rules: []nft.Rule{
				t.listening(),
				{nft.L4Proto(nft.TCP), nft.SocketTransparent(), t.in(), nft.Accept()},
			},
		})
		if len(t.UDPPorts) > 0 {
			table.Chains[len(table.Chains)-1].Rules = append(table.Chains[len(table.Chains)-1].Rules, t.fromUDPServers())
		}
	}
	add(t.out())
	if t.redirects() {
		add(t.delivered())
		// The kernel changes the addresses of open connections only as long as
		// there is some chain of this type.
		add(nft.Chain{Name: "keep", Type: "nat", Hook: nft.Prerouting, Priority: redirecting + 1})
	}
	return table
}

// listening leaves alone what only the listener would be found for, which is
// every packet to its port, whoever it is for.
func (t *steering) listening() nft.Rule {
	return nft.Rule{nft.L4Proto(nft.TCP), nft.SocketWildcard(), nft.Accept()}
}

// fromClients is what clients send on connections that TPROXY took. Conntrack
// must not see it: our connection to the server may have the same addresses and
// ports. The client's side is known by its interface and not by its socket's
// mark, which a connection has neither while it is being opened nor after it was
// closed.
func (t *steering) fromClients() nft.Chain {
	c := nft.Chain{
		Name: "from_clients", Type: "filter", Hook: nft.Prerouting, Priority: clientLeg,
		Rules: []nft.Rule{t.listening()},
	}
	if t.spoofs() { // a server behind a client's interface
		c.Rules = append(c.Rules, nft.Rule{
			nft.L4Proto(nft.TCP), nft.SocketTransparent(), nft.SocketMark(t.marks.Upstream, t.marks.Mask), nft.Accept(),
		})
	}
	c.Rules = append(c.Rules, nft.Rule{
		nft.IIFName(t.ifaces...), nft.L4Proto(nft.TCP), nft.SocketTransparent(), t.in(), nft.Notrack(), nft.Accept(),
	})
	return c
}

// out is what our sockets send.
func (t *steering) out() nft.Chain {
	c := nft.Chain{Name: "to_both", Type: "filter", Hook: nft.Output, Priority: beforeConntrack}
	// Sockets towards clients begin no connection. One that was accepted could be
	// made to: it is transparent, and marked, so it would get past what the host
	// has to say about who may connect where, and from which address.
	c.Rules = append(c.Rules, nft.Rule{t.marked(t.marks.Client), nft.TCPOpening(), nft.Drop()})
	// Nobody is captured on the way to a link-local address, where a cloud tells its
	// machines their secrets; so nor do sockets towards servers, which firewalls let
	// pass for the mark, get there.
	for _, near := range [...]netip.Prefix{link4, link6} {
		c.Rules = append(c.Rules, nft.Rule{t.marked(t.marks.Upstream), nft.DAddr(near), nft.Drop()})
	}
	if len(t.UDPPorts) > 0 {
		// Those of UDP have the addresses of anybody. They answer clients, and speak
		// to nobody else.
		by := t.ifaces
		if t.loops() {
			by = []string{"lo"}
		}
		c.Rules = append(c.Rules,
			nft.Rule{t.marked(t.marks.Client), nft.L4Proto(nft.UDP), nft.OIFName(by...), nft.Notrack(), nft.Accept()},
			nft.Rule{t.marked(t.marks.Client), nft.L4Proto(nft.UDP), nft.Drop()})
	}
	if t.tproxy() {
		// The other half of fromClients. This host's own programs are reached
		// by way of lo, where conntrack turns the addresses back.
		c.Rules = append(c.Rules,
			nft.Rule{nft.OIFName("lo"), nft.Accept()},
			nft.Rule{t.marked(t.marks.Client), nft.Notrack()})
	}
	if t.Local || t.spoofs() && !t.tproxy() {
		// What was redirected is known to conntrack by the addresses that our
		// connection to the server has as well: a zone keeps them apart. Only for
		// this direction: answers come without one.
		c.Rules = append(c.Rules, nft.Rule{t.marked(t.marks.Upstream), nft.OriginalZone(number)})
	}
	return c
}

// delivered marks what was redirected, on its last few steps, so that one rule
// in the firewalls of others is enough for all that is for us; and one that
// iptables can list, which it can't if there is a word about conntrack.
func (t *steering) delivered() nft.Chain {
	var by []string
	if t.Method == platform.Redirect {
		by = slices.Clone(t.ifaces)
	}
	if t.Local {
		by = append(by, "lo")
	}
	return nft.Chain{
		Name: "redirected", Type: "filter", Hook: nft.Input, Priority: delivered,
		Rules: []nft.Rule{{nft.IIFName(by...), nft.DPort(nft.TCP, t.Port), nft.CTStatusDNAT(), t.in()}},
	}
}

// visits marks likewise what clients send to the listener itself, where the
// certificate is to be had. Whoever listens there after us is not meant.
func (t *steering) visits() nft.Chain {
	return nft.Chain{
		Name: "visits", Type: "filter", Hook: nft.Input, Priority: delivered,
		Rules: append(t.strangers(), nft.Rule{nft.DPort(nft.TCP, t.Port), t.in()}),
	}
}

// sent are the marks of the sockets that have something to say: to clients, and
// to servers.
func (t *steering) sent() []uint32 { return []uint32{t.marks.Client, t.marks.Upstream} }

// interception brings new connections.
func (t *steering) interception() *nft.Table {
	table := &nft.Table{Family: nft.Inet, Name: tableName, Owned: true}
	add := func(c nft.Chain) { table.Chains = append(table.Chains, c) }
	if t.tproxy() {
		add(nft.Chain{
			Name: "capture", Type: "filter", Hook: nft.Prerouting, Priority: beforeConntrack,
			Rules: slices.Concat(
				[]nft.Rule{{t.marked(t.marks.In), nft.Accept()}}, // an open one's
				t.othersOfClients(),
				// TPROXY goes first: where nobody listens it ends the rule, and
				// the packet goes on as if we were not there, tracked.
				[]nft.Rule{{t.ports(nft.TCP), t.tproxyHere(), t.in(), nft.Notrack(), nft.Accept()}},
				t.captureUDP(),
			),
		})
		add(t.bridged())
	} else if t.gateway() {
		add(nft.Chain{
			Name: "capture", Type: "nat", Hook: nft.Prerouting, Priority: redirecting,
			Rules: append(t.othersOfClients(), nft.Rule{t.ports(nft.TCP), nft.Redirect(t.Port)}),
		})
	}
	if t.Local {
		add(nft.Chain{
			Name: "capture_local", Type: "nat", Hook: nft.Output, Priority: redirecting,
			Rules: append(append(t.othersOfHost(), t.ofProgram(t.ports(nft.TCP), nft.Redirect(t.Port))), t.noQUICOfProgram()...),
		})
	}
	if t.gateway() {
		add(t.visits())
	}
	if t.Program != "" {
		table.Chains = append(table.Chains, t.loop()...)
		return table
	}
	for _, c := range t.refusal("refuse_quic", t.noQUIC()) {
		add(c)
	}
	return table
}

func (t *steering) tproxyHere() nft.Stmt {
	return nft.TProxy(netip.AddrPortFrom(netip.IPv6Unspecified(), t.Port))
}

// bridged gives packets to the listener that a bridge has shown to the chains of
// IP by itself, before it passed them up (net.bridge.bridge-nf-call-iptables,
// which is on wherever Docker is). On the way up they forget their socket, and the
// kernel spares them a second round of these chains, by one of its own at the very
// front. Of chains of one priority the one that came last goes first: this one,
// unless br_netfilter is loaded later (see tend). What has been marked by then
// has been decided on.
func (t *steering) bridged() nft.Chain {
	c := nft.Chain{Name: "bridged", Type: "filter", Hook: nft.Prerouting, Priority: first}
	add := func(p nft.Proto) {
		c.Rules = append(c.Rules, nft.Rule{nft.IIFName(t.ifaces...), t.marked(t.marks.In), nft.L4Proto(p), t.tproxyHere(), nft.Accept()})
	}
	add(nft.TCP)
	if len(t.UDPPorts) > 0 {
		add(nft.UDP)
	}
	return c
}

func (t *steering) ports(p nft.Proto) nft.Stmt {
	if len(t.Ports) == 0 {
		return nft.L4Proto(p)
	}
	return nft.DPortIn(p, t.Ports...)
}

// unique sorts names and leaves each once.
func unique(names []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(names)))
}
