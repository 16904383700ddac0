package steer

import (
	"errors"
	"fmt"
	"strings"

	"transom/platform"
)

// ourSet is the set of rules of ipfw that is ours. All of one set are removed
// at once.
const ourSet = 29

// showIPFW writes s for ipfw of FreeBSD.
func showIPFW(b *script, s platform.Steering) error {
	switch {
	case len(s.UDPPorts) > 0:
		return errUDP
	case s.Local:
		return errors.New("local: ipfw can't tell transom's own connections from others of this host, there are no marks on FreeBSD; ask for interfaces alone")
	case s.Spoof && len(s.Ports) == 0:
		return errors.New("spoof with all ports: ipfw knows answers to transom by the port that they come from, so all that is sent to clients would end here; name the ports")
	}
	f := ipfw{b, s, ourSet}
	b.head(&s, "ipfw", "ipfw of FreeBSD")
	b.unproven()
	b.comment("", fmt.Sprintf("Packets are given to the listener as they are (fwd): a connection's local address is what the client meant to reach. It listens on 127.0.0.1 and ::1, port %d. While nobody listens, what would be captured is refused, until down.", s.Port))
	if s.Spoof {
		b.comment("", "Sockets towards servers have the clients' addresses: IP_BINDANY, and IPV6_BINDANY, is set before bind.")
	}
	f.up()
	b.linef("")
	b.lines(`
down() {
	set +e # go on, whatever is missing
	` + fmt.Sprintf("ipfw -q delete set %d", ourSet) + `
	# Settings, as they were.
	while read -r setting; do sysctl "$setting" >/dev/null; done <"$was"
	rm "$was"
}
`)
	b.bsdSettings()
	b.foot()
	return nil
}

// ipfw writes the parts of a script for ipfw.
type ipfw struct {
	*script
	s   platform.Steering
	set int
}

// Numbers of rules: those that jump over the others, and those.
const (
	ipfwLeft  = number
	ipfwTaken = number + 1
	ipfwAfter = number + 2
)

func (f *ipfw) up() {
	f.lines(`
set -eu
was=/var/run/transom-steer.was

up() {
	if [ -e "$was" ]; then echo "it is set up already: first take it back" >&2; exit 1; fi
	if ! kldstat -q -m ipfw; then
		echo "ipfw is not loaded: kldload ipfw, with net.inet.ip.fw.default_to_accept=1 in /boot/loader.conf, or its last rule denies everything" >&2
		exit 1
	fi
	settings >"$was"
`)
	f.comment("\t", "What is not captured is forwarded, and clients are not told of a shorter way, that doesn't lead past here.")
	f.lines(`
	sysctl net.inet.ip.forwarding=1 net.inet6.ip6.forwarding=1 >/dev/null
	sysctl net.inet.ip.redirect=0 net.inet6.ip6.redirect=0 >/dev/null
`)
	f.capture()
	f.linef("}")
}

// leave writes rules that jump over the others.
func (f *ipfw) leave() {
	f.comment("\t", "Left alone: these jump over the rules below.")
	for _, x := range f.families() {
		for _, n := range never(x.v6) {
			f.rule(ipfwLeft, "skipto %d tcp from any to %s in", ipfwAfter, n)
		}
		for _, n := range x.ofFamily(f.s.Exclude) {
			f.rule(ipfwLeft, "skipto %d ip from %s to any in", ipfwAfter, n)
			f.rule(ipfwLeft, "skipto %d ip from any to %s in", ipfwAfter, n)
		}
	}
}

// capture writes the rules that capture.
func (f *ipfw) capture() {
	f.leave()
	f.comment("\t", "Captured: what clients send to others than this host.")
	f.each(func(x *xtables, from, iface string) {
		me, proto, _ := ipfwWords(x.v6)
		f.rule(ipfwTaken, "fwd %s,%d tcp from %s to not %s%s proto %s in recv %s", x.loopback(), f.s.Port, from, me, f.ports(), proto, iface)
	})
	if f.s.Spoof {
		f.comment("\t", "Answers to connections that have the clients' addresses. Connections that were there before are cut off by these; so are those of other programs to the same ports that no rule above captures.")
		for _, x := range f.families() {
			me, proto, _ := ipfwWords(x.v6)
			for _, to := range ipfwClients(x) {
				if to == "any" {
					to = "not " + me
				}
				f.rule(ipfwTaken, "fwd %s tcp from any%s to %s proto %s in not recv lo0", x.loopback(), f.ports(), to, proto)
			}
		}
	}
	f.quic()
}

// open writes the rules that bring packets of connections that are captured already,
// which go on. ipfw keeps no state of what fwd has brought, and must not: by keep-state it
// would send probes to the real servers, whose answers end the connections. But for TCP uid looks for
// a socket with both of the packet's addresses and ports, and one at an address that is
// none of this host's is of such a connection. It is whose the listener was, root's. A
// handshake that is not over has no socket yet.
func (f *ipfw) open() {
	f.comment("\t", "Captured connections go on.")
	f.each(func(x *xtables, from, iface string) {
		me, proto, _ := ipfwWords(x.v6)
		f.rule(ipfwTaken, "fwd %s,%d tcp from %s to not %s%s proto %s in recv %s established uid 0", x.loopback(), f.s.Port, from, me, f.ports(), proto, iface)
	})
}

// refuse writes the rules that refuse what would be captured, but for what is open.
func (f *ipfw) refuse() {
	f.leave()
	f.open()
	f.each(func(x *xtables, from, iface string) {
		me, proto, _ := ipfwWords(x.v6)
		reset := "reset"
		if x.v6 {
			reset = "reset6"
		}
		f.rule(ipfwTaken, "%s tcp from %s to not %s%s proto %s in recv %s", reset, from, me, f.ports(), proto, iface)
	})
	f.quic()
}

// quic refuses QUIC.
func (f *ipfw) quic() {
	if quic := quicPorts(&f.s); len(quic) > 0 {
		f.comment("\t", "QUIC is refused at once, so that programs use TCP.")
		f.each(func(x *xtables, from, iface string) {
			me, proto, unreach := ipfwWords(x.v6)
			f.rule(ipfwTaken, "%s port udp from %s to not %s%s proto %s in recv %s", unreach, from, me, ipfwPorts(quic), proto, iface)
		})
	}
}

// rule writes a command that adds a rule.
func (f *ipfw) rule(number int, format string, a ...any) {
	f.linef("\tipfw -q add %d set %d %s", number, f.set, fmt.Sprintf(format, a...))
}

func (f *ipfw) families() []*xtables {
	return []*xtables{{steeringOf(f.s), false}, {steeringOf(f.s), true}}
}

// each calls do for each family, network of clients and interface.
func (f *ipfw) each(do func(x *xtables, from, iface string)) {
	for _, x := range f.families() {
		for _, from := range ipfwClients(x) {
			for _, iface := range f.s.Interfaces {
				do(x, from, iface)
			}
		}
	}
}

// ipfwClients returns the networks of clients of a family.
func ipfwClients(x *xtables) []string {
	if len(x.From) == 0 {
		return []string{"any"}
	}
	var out []string
	for _, n := range x.ofFamily(x.From) {
		out = append(out, n.String())
	}
	return out
}

// ipfwWords are the words that differ between the families.
func ipfwWords(v6 bool) (me, proto, unreach string) {
	if v6 {
		return "me6", "ip6", "unreach6"
	}
	return "me", "ip4", "unreach"
}

// ports writes the ports that are captured, with a space before them.
func (f *ipfw) ports() string { return ipfwPorts(f.s.Ports) }

func ipfwPorts(ports []platform.PortRange) string {
	if len(ports) == 0 {
		return ""
	}
	words := make([]string, len(ports))
	for i, r := range ports {
		words[i] = r.String()
	}
	return " " + strings.Join(words, ",")
}
