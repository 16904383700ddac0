package steer

import (
	"fmt"
	"strings"
)

// A filterText is what differs between the packet filters in a script for
// Linux.
type filterText struct {
	present string // a command that succeeds if something of ours is there
	// keep reads lines and keeps them in the packet filter, kept prints
	// them: there is no file that could be lost or be out of date.
	keep, kept string
	up         func() // writes what sets the rules up
	stop       func() // writes what ends the capturing
	remove     func() // writes what removes the rest
}

// linux writes the script: the functions up and down, and what they use.
func (b *script) linux(t *steering, f filterText) {
	b.lines(`
set -eu
families=-4
if [ -e /proc/net/if_inet6 ]; then families="-4 -6"; fi

up() {
	if ` + f.present + `; then
		echo "it is set up already, by this or by transom: first take it back" >&2
		exit 1
	fi
`)
	if t.gateway() {
		b.settings(t, f.keep)
	}
	f.up()
	if t.diverts() {
		b.route(t)
	}
	b.lines(`
}

down() {
	set +e # go on, whatever is missing
`)
	f.stop()
	if t.diverts() {
		b.unroute()
	}
	if t.gateway() {
		b.unsettings(f.kept)
	}
	f.remove()
	b.linef("}\n")
	if t.gateway() {
		b.settingNames(t)
	}
	b.foot()
}

// settingNames writes what prints the settings that change, as they are kept.
func (b *script) settingNames(t *steering) {
	b.comment("", "The settings that change: those that up changes, and those that Linux changes along with them. The order is that in which they are put back: Linux would change the others again.")
	b.lines(`
note() { # VALUE FILE...: what the files are going to say, and what they say
	value=$1
	shift
	for f in "$@"; do
		if [ -e "$f" ]; then echo "$(echo "${f#/proc/sys/}" | tr ./ /.) = $value (was $(cat "$f"))"; fi
	done
}

settings() (
	cd /proc/sys/net
	if [ "$(cat ipv4/ip_forward)" = 0 ]; then
		note 1 /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/forwarding
		note 0 /proc/sys/net/ipv4/conf/all/accept_redirects
	fi
`)
	for _, name := range append([]string{"all"}, t.ifaces...) {
		b.linef("\tnote 0 /proc/sys/net/ipv4/conf/%s/send_redirects", name)
	}
	b.lines(`
	if [ -e ipv6 ] && [ "$(cat ipv6/conf/all/forwarding)" = 0 ]; then
		note 1 /proc/sys/net/ipv6/conf/all/forwarding /proc/sys/net/ipv6/conf/*/forwarding
		note 2 $(routed)
	fi
)

routed() { # the interfaces that take routes from routers
	for f in /proc/sys/net/ipv6/conf/*/accept_ra; do
		if [ "$(cat "$f")" = 1 ] && [ "$(cat "${f%accept_ra}forwarding")" = 0 ]; then echo "$f"; fi
	done
}
`)
	b.linef("")
}

// settings keeps the settings of before and changes them.
func (b *script) settings(t *steering, keep string) {
	b.comment("\t", "Settings. Their values of before are kept as comments in the packet filter itself, for down.")
	b.linef("\tsettings | %s", keep)
	b.comment("\t", "What is not captured is forwarded. A host that forwards takes no more routes from routers over IPv6, unless it is told to before.")
	b.lines(`
	sysctl -qw net/ipv4/ip_forward=1
	if [ -e /proc/sys/net/ipv6 ]; then
		for f in $(routed); do echo 2 >"$f"; done
		sysctl -qw net/ipv6/conf/all/forwarding=1
	fi
`)
	b.comment("\t", "And clients are not told of a shorter way, that doesn't lead past here.")
	for _, name := range append([]string{"all"}, t.ifaces...) {
		b.linef("\tsysctl -qw net/ipv4/conf/%s/send_redirects=0", name)
	}
}

// unsettings puts the settings back.
func (b *script) unsettings(kept string) {
	b.comment("\t", "Settings, as they were.")
	b.linef("\t%s |", kept)
	b.linef("\t\tsed 's/ = .* (was \\(.*\\))$/=\\1/' |")
	b.linef("\t\twhile read -r setting; do sysctl -qw \"$setting\"; done")
}

// route writes the policy routing.
func (b *script) route(t *steering) {
	b.linef("")
	b.comment("\t", fmt.Sprintf("Packets with the mark %s are delivered on this host, whatever their destination is. What this host sends itself is left out, by jumping over the rule: with net.ipv4.conf.*.src_valid_mark, as WireGuard and Tailscale set it, the kernel looks for the way back with the mark on, and would find itself. protocol %d says whose they are.", t.mark(t.marks.In), protocol))
	b.linef("\tfor family in $families; do")
	b.linef("\t\tip $family route replace local default dev lo table %d proto %d", number, protocol)
	b.linef("\t\tip $family rule add pref %d nop protocol %d", number+2, protocol)
	b.linef("\t\tip $family rule add pref %d iif lo fwmark %s goto %d protocol %d", number, t.mark(t.marks.In), number+2, protocol)
	b.linef("\t\tip $family rule add pref %d fwmark %s lookup %d protocol %d", number+1, t.mark(t.marks.In), number, protocol)
	b.linef("\tdone")
}

func (b *script) unroute() {
	b.comment("\t", "Policy routing.")
	b.linef("\tfor family in $families; do")
	for i := range 3 {
		b.linef("\t\tip $family rule del pref %d protocol %d", number+i, protocol)
	}
	b.linef("\t\tip $family route flush table %d", number)
	b.linef("\tdone")
}

// forSockets says what the proxy's sockets have to be like.
func (b *script) forSockets(t *steering) {
	if t.tproxy() {
		b.comment("", fmt.Sprintf("The listener's socket has IP_TRANSPARENT set, and the mark (SO_MARK) %#x, which the connections that it accepts inherit. A connection's local address is what the client meant to reach.", t.marks.Client))
	} else {
		b.comment("", "The listener asks for what the client meant to reach by SO_ORIGINAL_DST.")
	}
	var why []string
	if t.spoofs() {
		why = append(why, "they have the clients' addresses and IP_TRANSPARENT set")
	}
	if t.Local {
		why = append(why, "without it they would be captured themselves")
	}
	if len(why) > 0 {
		b.comment("", fmt.Sprintf("Sockets towards servers have the mark %#x: %s.", t.marks.Upstream, strings.Join(why, "; ")))
	}
}
