package steer

import (
	"fmt"
	"io"
)

// wasChain is the chain of the IPv4 filter table that no packet passes: its
// rules' comments are the settings of before.
const wasChain = chainPrefix + "WAS"

// writeTables writes input for iptables-restore --noflush that puts tables in
// force where there is nothing of ours.
func writeTables(w io.Writer, tables []xtTable, comments bool) {
	for _, t := range tables {
		fmt.Fprintf(w, "*%s\n", t.name)
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
		io.WriteString(w, "COMMIT\n")
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
