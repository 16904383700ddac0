package steer

import (
	"transom/platform"
)

// showIPTables writes s for iptables.
func showIPTables(b *script, s platform.Steering) error {
	b.head(&s, "iptables", "iptables, ip6tables and ip (iproute2)")
	t := steeringOf(s)
	b.forSockets(t)
	if t.tproxy() {
		b.comment("", "While nobody listens, what is captured gets no answer, until down: TPROXY drops it.")
	} else {
		b.comment("", "While nobody listens, what is captured is refused, until down.")
	}
	v4, v6 := (&xtables{t, false}).tables(), (&xtables{t, true}).tables()
	was := []xtTable{{"filter", []xtChain{{name: wasChain}}}}
	b.linux(t, filterText{
		present: "iptables-save | grep -q '^:" + chainPrefix + "'",
		keep: "{\n" +
			"\t\tprintf '*filter\\n:" + wasChain + " - [0:0]\\n'\n" +
			"\t\tsed 's/.*/-A " + wasChain + " -m comment --comment \"&\"/'\n" +
			"\t\techo COMMIT\n" +
			"\t} | iptables-restore -w 5 --noflush",
		kept: "iptables -w 5 -S " + wasChain + ` | sed -n 's/.*--comment "\{0,1\}\([^"]*\).*/\1/p'`,
		up: func() {
			b.comment("\t", "The rules. Each table's are put in force at once; other rules stay. Ours are in chains of their own, which the built-in chains jump to first.")
			b.xtRestore("iptables", func() { writeTables(b, v4, true) })
			b.comment("\t", "The same for IPv6.")
			b.linef("\tif [ -e /proc/net/if_inet6 ]; then")
			b.xtRestore("ip6tables", func() { writeTables(b, v6, false) })
			b.linef("\tfi")
		},
		stop: func() {
			b.comment("\t", "The rules. Connections that are open need them: end transom before.")
			b.xtRestore("iptables", func() { writeRemoval(b, v4) })
			b.linef("\tif [ -e /proc/net/if_inet6 ]; then")
			b.xtRestore("ip6tables", func() { writeRemoval(b, v6) })
			b.linef("\tfi")
		},
		remove: func() {
			if len(s.Interfaces) > 0 {
				b.xtRestore("iptables", func() { writeRemoval(b, was) })
			}
		},
	})
	return nil
}

// xtRestore writes a call of iptables-restore with its input.
func (b *script) xtRestore(program string, input func()) {
	b.linef("\t%s-restore -w 5 --noflush <<'END'", program)
	input()
	b.linef("END")
}
