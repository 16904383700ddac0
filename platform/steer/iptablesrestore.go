package steer

import (
	"fmt"
	"io"
	"slices"
)

// wasChain is the chain of the IPv4 filter table that no packet passes: its
// rules' comments are the settings of before.
const wasChain = chainPrefix + "WAS"

// writeTables writes input for iptables-restore --noflush that puts tables in
// force where there is nothing of ours.
func writeTables(w io.Writer, tables []xtTable, comments bool) {
	for _, t := range tables {
		fmt.Fprintf(w, "*%s\n", t.name)
		t.write(w, comments)
		io.WriteString(w, "COMMIT\n")
	}
}

// write writes the chains, and the jumps to them.
func (t *xtTable) write(w io.Writer, comments bool) {
	for _, c := range t.chains {
		fmt.Fprintf(w, ":%s - [0:0]\n", c.name)
	}
	for _, c := range t.chains {
		if comments && c.why != "" {
			fmt.Fprintf(w, "# %s\n", c.why)
		}
		for _, r := range c.rules {
			fmt.Fprintf(w, "-A %s %s\n", c.name, r)
		}
	}
	for _, c := range t.chains {
		if c.hook != "" {
			fmt.Fprintf(w, "-I %s 1 -j %s\n", c.hook, c.name)
		}
	}
}

// writeRemoval writes input for iptables-restore --noflush that removes chains
// which are there. A chain that others jump to can't go, so all are emptied
// first.
func writeRemoval(w io.Writer, tables []xtTable) {
	for _, t := range tables {
		fmt.Fprintf(w, "*%s\n", t.name)
		for _, c := range t.chains {
			if c.hook != "" {
				fmt.Fprintf(w, "-D %s -j %s\n", c.hook, c.name)
			}
		}
		for _, op := range []string{"-F", "-X"} {
			for _, c := range t.chains {
				fmt.Fprintf(w, "%s %s\n", op, c.name)
			}
		}
		io.WriteString(w, "COMMIT\n")
	}
}

// writeChange writes input for iptables-restore --noflush that puts want in the
// place of what is there of ours, but for what begins with the name of a chain to
// keep. Each table changes as one: there is no moment without rules.
func writeChange(w io.Writer, there []xtThere, want []xtTable, keep ...string) {
	for _, name := range []string{"raw", "mangle", "nat", "filter"} {
		old := tableOf(there, name).without(keep)
		var table xtTable
		if i := slices.IndexFunc(want, func(t xtTable) bool { return t.name == name }); i >= 0 {
			table = want[i]
		}
		gone := slices.DeleteFunc(old.chains, func(chain string) bool {
			return slices.ContainsFunc(table.chains, func(c xtChain) bool { return c.name == chain })
		})
		if len(gone)+len(old.jumps)+len(table.chains) == 0 {
			continue
		}
		fmt.Fprintf(w, "*%s\n", name)
		for _, rule := range old.jumps {
			fmt.Fprintf(w, "-D %s\n", rule)
		}
		for _, chain := range gone {
			fmt.Fprintf(w, "-F %s\n", chain)
		}
		table.write(w, false)
		for _, chain := range gone {
			fmt.Fprintf(w, "-X %s\n", chain)
		}
		io.WriteString(w, "COMMIT\n")
	}
}

// notes is the table with the chain that holds settings.
func notes(was []change) []xtTable {
	c := xtChain{name: wasChain}
	for _, w := range was {
		c.rules = append(c.rules, "-m comment --comment "+quote(w.String()))
	}
	return []xtTable{{"filter", []xtChain{c}}}
}
