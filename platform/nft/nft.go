// Package nft gives the kernel's packet filter, nf_tables, the rules a
// transparent proxy needs, without the nft program: tables are values, a Batch
// of them is put in force as one, and an owned table is gone at the moment its
// owner is. Rules also print as nft would write them. It decides nothing about
// which rules there should be.
package nft

import (
	"fmt"
	"strings"
)

// A Family is the kind of packets a table sees.
type Family uint8

// Families: Inet is IPv4 and IPv6 in one table.
const (
	Inet Family = 1
	IPv4 Family = 2
	IPv6 Family = 10
	// Netdev is at interfaces, before all others; it is only listed.
	Netdev Family = 5
)

// String returns nft's word: "inet", "ip" or "ip6".
func (f Family) String() string {
	switch f {
	case Inet:
		return "inet"
	case IPv4:
		return "ip"
	case IPv6:
		return "ip6"
	case Netdev:
		return "netdev"
	}
	return fmt.Sprintf("family %d", uint8(f))
}

// A Table is a set of chains under a name of our own.
type Table struct {
	Family Family
	Name   string
	// Owned tables belong to the Conn that adds them: no other process can
	// change them, and the kernel removes them when the Conn is closed, however
	// the process ends. Linux 5.12 and later.
	Owned  bool
	Chains []Chain
}

// A Chain is a list of rules, run for each packet at a hook.
type Chain struct {
	Name string
	// Type is "filter", "nat" or "route"; "" makes a chain that rules Jump to.
	Type     string
	Hook     Hook
	Priority int  // lower runs first; nat redirects at -100 by convention
	Drop     bool // the policy for packets that no rule decides on; not for nat
	Rules    []Rule
}

// A Hook is a place on a packet's way.
type Hook uint32

// Hooks of the inet, ip and ip6 families.
const (
	Prerouting Hook = iota
	Input
	Forward
	Output
	Postrouting
	Ingress // at an interface
)

// String returns nft's word.
func (h Hook) String() string {
	if names := [...]string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}; int(h) < len(names) {
		return names[h]
	}
	return fmt.Sprintf("hook %d", uint32(h))
}

// A Rule is matches, and then what is done with packets that all of them match.
type Rule []Stmt

// A Stmt is one match or action of a rule.
type Stmt struct {
	text    string
	exprs   func(*encoder) []byte // the kernel's expressions, encoded; nil for a comment
	comment string
}

// String returns the statement as nft writes it.
func (s Stmt) String() string { return s.text }

// String returns the rule as nft writes it.
func (r Rule) String() string {
	words := make([]string, len(r))
	for i, s := range r {
		words[i] = s.text
	}
	return strings.Join(words, " ")
}

// String returns the table in nft's syntax. nft -f accepts it; if the table is
// owned it must then be in interactive use (nft -i), as nft's own end ends it.
func (t *Table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "table %s %s {\n", t.Family, t.Name)
	if t.Owned {
		b.WriteString("\tflags owner\n")
	}
	for i, c := range t.Chains {
		if i > 0 || t.Owned {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "\tchain %s {\n", c.Name)
		if c.Type != "" {
			policy := "accept"
			if c.Drop {
				policy = "drop"
			}
			fmt.Fprintf(&b, "\t\ttype %s hook %s priority %d; policy %s;\n", c.Type, c.Hook, c.Priority, policy)
		}
		for _, r := range c.Rules {
			fmt.Fprintf(&b, "\t\t%s\n", r)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

// Redirection returns a table that sends TCP connections that come in by iface
// and go to one of ports, or to any if none is given, over IPv4 and IPv6, to the
// port to of this host. The host's own addresses keep their services. It runs
// just before the nat rules of others (docker's, for one), which would otherwise
// decide first.
func Redirection(table, iface string, ports []uint16, to uint16) *Table {
	which := L4Proto(TCP)
	if len(ports) > 0 {
		which = DPort(TCP, ports...)
	}
	return &Table{Family: Inet, Name: table, Owned: true, Chains: []Chain{{
		Name: "prerouting", Type: "nat", Hook: Prerouting, Priority: -110,
		Rules: []Rule{{IIFName(iface), which, NotLocal(), Redirect(to)}},
	}}}
}
