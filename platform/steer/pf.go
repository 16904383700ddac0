package steer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"transom/platform"
)

// showPF writes s for pf: rdr rules for macOS and FreeBSD, divert-to for
// OpenBSD. It is one text, since a person asks for pf and not for a system; the
// script sees where it is.
func showPF(b *script, s platform.Steering) error {
	if len(s.UDPPorts) > 0 {
		return errUDP
	}
	if s.Local {
		return errors.New("local: pf redirects what comes in by an interface, not what this host sends itself; ask for interfaces alone")
	}
	p := pf{b, s}
	b.head(&s, "pf", "pfctl")
	b.unproven()
	b.comment("", "macOS and FreeBSD: the packets' destination is changed (rdr); the listener asks /dev/pf (DIOCNATLOOK) for what it was. OpenBSD: packets are given to the listener as they are (divert-to), whose connections have the destination as their local address. The method is the system's, not a choice.")
	b.comment("", fmt.Sprintf("The listener listens on 127.0.0.1 port %d, and for IPv6 on ::1 (OpenBSD) or on the interface's link-local address (macOS, FreeBSD), and on no wildcard: pf finds it, and what was meant, by the exact address. While nobody listens, what would be captured is refused, until down.", s.Port))
	p.up()
	p.down()
	p.translation()
	p.diversion()
	b.bsdSettings()
	b.foot()
	return nil
}

// pf writes the parts of a script for pf.
type pf struct {
	*script
	s platform.Steering
}

func (p *pf) up() {
	p.lines(`
set -eu
was=/var/run/transom-steer.was

# Only what lies below com.apple is run on macOS without a change of /etc/pf.conf.
anchor=transom
if [ "$(uname -s)" = Darwin ]; then anchor=com.apple/transom; fi

up() {
	if [ -e "$was" ]; then echo "it is set up already: first take it back" >&2; exit 1; fi
`)
	if p.s.Spoof {
		p.comment("\t", "Connections from the clients' addresses: only OpenBSD's pf brings the answers back.")
		p.lines(`
	case "$(uname -s)" in
	Darwin) echo "spoof: macOS lets no socket have another host's address" >&2; exit 1 ;;
	FreeBSD) echo "spoof: FreeBSD's pf has no divert-reply; use: steer show --format ipfw" >&2; exit 1 ;;
	esac
`)
	}
	p.lines(`
	case "$(uname -s)" in
	Darwin) ;;
	FreeBSD)
		# /etc/pf.conf has to name the anchor, once for translation and once for filtering.
		if ! pfctl -s nat 2>/dev/null | grep -q 'rdr-anchor "transom"'; then
			echo 'add to /etc/pf.conf, and load it: rdr-anchor "transom" and, below, anchor "transom"' >&2
			exit 1
		fi ;;
	OpenBSD)
		if ! pfctl -s rules 2>/dev/null | grep -q 'anchor "transom"'; then
			echo 'add to /etc/pf.conf, and load it: anchor "transom"' >&2
			exit 1
		fi ;;
	*) echo "this is for pf of macOS, FreeBSD and OpenBSD" >&2; exit 1 ;;
	esac

	settings >"$was"
`)
	p.comment("\t", "What is not captured is forwarded, and clients are not told of a shorter way, that doesn't lead past here.")
	p.lines(`
	sysctl -w net.inet.ip.forwarding=1 net.inet6.ip6.forwarding=1 >/dev/null
	sysctl -w net.inet.ip.redirect=0 net.inet6.ip6.redirect=0 >/dev/null
	case "$(uname -s)" in
	Darwin)
		# pf counts who wants it on: the token is for down.
		rdr_rules | pfctl -q -a "$anchor" -f -
		pfctl -E 2>&1 | sed -n 's/^Token : //p' >"$was.token" ;;
	FreeBSD) rdr_rules | pfctl -q -a "$anchor" -f - ;;
	OpenBSD) divert_rules | pfctl -q -a "$anchor" -f - ;;
	esac
	if ! pfctl -s info 2>/dev/null | grep -q '^Status: Enabled'; then
		echo "pf is off: the rules are loaded and do nothing before: pfctl -e" >&2
	fi
}
`)
}

func (p *pf) down() {
	p.lines("")
	p.lines(`
down() {
	set +e # go on, whatever is missing
	# The rules; open connections keep their states.
	pfctl -q -a "$anchor" -F rules
	if [ "$(uname -s)" != OpenBSD ]; then pfctl -q -a "$anchor" -F nat; fi
	pfctl -q -a "$anchor" -F Tables
	if [ -e "$was.token" ]; then pfctl -q -X "$(cat "$was.token")"; rm "$was.token"; fi
	# Settings, as they were.
	while read -r setting; do sysctl -w "$setting" >/dev/null; done <"$was"
	rm "$was"
}
`)
}

// translation writes the rules for macOS and FreeBSD.
func (p *pf) translation() {
	p.linef("")
	p.comment("", "macOS and FreeBSD. An IPv6 packet that comes from outside can't be given to ::1, the kernel drops it; so it goes to the link-local address of the interface.")
	p.linef("rdr_rules() {")
	for i, name := range p.s.Interfaces {
		p.linef("\tll%d=$(ifconfig %s inet6 | sed -n 's/.*inet6 \\(fe80:[^%% ]*\\).*/\\1/p' | head -n 1)", i, name)
	}
	p.linef("\tcat <<END | sed '/->  port/d' # an interface without IPv6 has no such address")
	p.tables()
	p.each(func(f pfFamily, name string, i int) {
		target := "127.0.0.1"
		if f.v6 {
			target = fmt.Sprintf("$ll%d", i)
		}
		p.linef("rdr pass on %s %s proto tcp %s%s -> %s port %d", name, f.word, f.whose, p.ports(), target, p.s.Port)
	})
	p.quic()
	p.linef("END\n}")
}

// diversion writes the rules for OpenBSD.
func (p *pf) diversion() {
	p.linef("")
	p.comment("", "OpenBSD.")
	p.linef("divert_rules() {\n\tcat <<END")
	p.tables()
	p.each(func(f pfFamily, name string, _ int) {
		p.linef("pass in quick on %s %s proto tcp %s%s divert-to %s port %d", name, f.word, f.whose, p.ports(), f.loopback, p.s.Port)
	})
	if p.s.Spoof {
		p.linef("# Our own connections with the clients' addresses (SO_BINDANY): their answers come back to us.")
		for _, f := range p.families() {
			p.linef("pass out quick %s proto tcp %s%s ! received-on any divert-reply", f.word, f.whose, p.ports())
		}
	}
	p.quic()
	p.linef("END\n}")
}

// quic refuses QUIC, in words that all three know.
func (p *pf) quic() {
	ports := quicPorts(&p.s)
	if len(ports) == 0 {
		return
	}
	p.linef("# QUIC is refused at once, so that programs use TCP.")
	p.each(func(f pfFamily, name string, _ int) {
		p.linef("block return in quick on %s %s proto udp %s%s", name, f.word, f.whose, pfPorts(ports))
	})
}

// ports writes the ports that are captured.
func (p *pf) ports() string { return pfPorts(p.s.Ports) }

func pfPorts(ports []platform.PortRange) string {
	if len(ports) == 0 {
		return ""
	}
	words := make([]string, len(ports))
	for i, r := range ports {
		words[i] = strings.Replace(r.String(), "-", ":", 1)
	}
	return " port { " + strings.Join(words, ", ") + " }"
}

// A pfFamily is what rules of one family have in common.
type pfFamily struct {
	v6             bool
	word, loopback string
	whose          string // from whom, to whom
	clients, left  []string
}

// families returns those that have clients.
func (p *pf) families() []pfFamily {
	var out []pfFamily
	for _, f := range []pfFamily{{word: "inet", loopback: "127.0.0.1"}, {v6: true, word: "inet6", loopback: "::1"}} {
		if f.clients = clientsOf(&p.s, f.v6); len(f.clients) == 0 {
			continue
		}
		f.left = []string{"self"}
		for _, n := range slices.Concat(never(f.v6), (&xtables{steeringOf(p.s), f.v6}).ofFamily(p.s.Exclude)) {
			f.left = append(f.left, n.String())
		}
		f.whose = fmt.Sprintf("from <transom_clients_%s> to ! <transom_left_%s>", f.word, f.word)
		out = append(out, f)
	}
	return out
}

// tables writes who is captured, and what is left alone.
func (p *pf) tables() {
	for _, f := range p.families() {
		p.linef("table <transom_clients_%s> const { %s }", f.word, strings.Join(f.clients, ", "))
		p.linef("table <transom_left_%s> const { %s }", f.word, strings.Join(f.left, ", "))
	}
}

// each calls f for each family and interface.
func (p *pf) each(f func(f pfFamily, name string, i int)) {
	for _, family := range p.families() {
		for i, name := range p.s.Interfaces {
			f(family, name, i)
		}
	}
}

// clientsOf returns the clients' networks as a pf table has them: the longest
// entry that holds an address decides, and what is excluded has a ! before it.
func clientsOf(s *platform.Steering, v6 bool) []string {
	x := &xtables{steeringOf(*s), v6}
	from := x.ofFamily(s.From)
	if len(s.From) == 0 {
		from = []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
		if v6 {
			from = []netip.Prefix{netip.PrefixFrom(netip.IPv6Unspecified(), 0)}
		}
	}
	exclude := x.ofFamily(s.Exclude)
	var out []string
	for _, f := range from {
		if !within(exclude, f) {
			out = append(out, f.String())
		}
	}
	if len(out) == 0 {
		return nil
	}
	for _, e := range exclude {
		if within(from, e) {
			out = append(out, "!"+e.String())
		}
	}
	return out
}

// within reports whether a network lies in one of a list.
func within(list []netip.Prefix, n netip.Prefix) bool {
	for _, p := range list {
		if p.Bits() <= n.Bits() && p.Contains(n.Addr()) {
			return true
		}
	}
	return false
}

// bsdSettings writes what prints the settings that change, as they are.
func (b *script) bsdSettings() {
	b.linef("")
	b.lines(`
settings() {
	for key in net.inet.ip.forwarding net.inet6.ip6.forwarding net.inet.ip.redirect net.inet6.ip6.redirect; do
		echo "$key=$(sysctl -n "$key")"
	done
}
`)
	b.linef("")
}
