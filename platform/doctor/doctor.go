// Package doctor finds what is wrong with capturing on this host, and the command
// that mends it. Look gathers what there is to know, in a Machine; Examine judges
// it, by checks that are functions of the Machine alone. Neither changes anything,
// and what can't be seen without rights is said to be unseen. The package steers
// nothing and starts nothing.
package doctor

import (
	"cmp"
	"slices"
	"strings"
)

// A Level says how bad a Finding is.
type Level uint8

// Levels, the worst last.
const (
	OK      Level = iota // it was looked at, and is as it should be
	Note                 // good to know
	Warning              // it works, less well or not for all
	Fault                // it does not work
)

// String returns the word for it.
func (l Level) String() string {
	return [...]string{"ok", "note", "warning", "fault"}[min(l, Fault)]
}

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// A Finding is one thing that a check has found.
type Finding struct {
	ID    string // of the kind, which does not change; docs/doctor.md lists them
	Level Level
	What  string // one line
	Why   string // what comes of it; "" if that is plain
	Mend  string // a command for a shell that mends it; "" if there is none, or nothing to mend
}

// checks are all there are, in the order in which their findings are shown within
// a level.
var checks = [...]func(*Machine) []Finding{
	running, capabilities, kernel, interfaces,
	forwarding, redirects, reversePath, detours, bridges, offloads,
	port, rules, others, leftovers,
	arriving, quic, asymmetry,
	authority, trusted, devices, clients,
	namespaces,
}

// checksByPF are those of a system that pf steers.
var checksByPF = [...]func(*Machine) []Finding{
	running, pfRights, pfReady, interfaces,
	forwarding, pfRedirects,
	port, pfRules, leftovers,
	authority, trusted, devices, clients,
}

// Examine returns what is to be said of a machine, the worst first.
func Examine(m *Machine) (found []Finding) {
	list := checks[:]
	if m.PF != nil {
		list = checksByPF[:]
	}
	for _, check := range list {
		found = append(found, check(m)...)
	}
	if !m.Root || m.Sudo {
		for i := range found {
			found[i].Mend = byRoot(found[i].Mend)
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(b.Level, a.Level) })
	return found
}

// Sick reports whether there is a fault among findings.
func Sick(found []Finding) bool {
	return slices.ContainsFunc(found, func(f Finding) bool { return f.Level == Fault })
}

// ok is the one finding of a check that has found nothing.
func ok(id, what string) []Finding { return []Finding{{ID: id, Level: OK, What: what}} }

// byRoot is a command with what it takes to be done by who is not root.
func byRoot(command string) string {
	first, _, _ := strings.Cut(command, " ")
	second, _, _ := strings.Cut(strings.TrimPrefix(command, "transom "), " ")
	if slices.Contains([]string{"sysctl", "nft", "iptables", "ip6tables", "ip", "modprobe", "kill", "timedatectl", "ifconfig", "pfctl", "kldload", "sockstat"}, first) ||
		first == "transom" && slices.Contains([]string{"gateway", "cleanup", "doctor"}, second) {
		return "sudo " + strings.ReplaceAll(command, " && ", " && sudo ")
	}
	return command
}

// unseen is for what takes rights to look at.
func (m *Machine) unseen(id, what string) []Finding {
	if m.Root {
		return []Finding{{ID: id, Level: Note, What: what + " could not be looked at without CAP_NET_ADMIN and CAP_NET_RAW"}}
	}
	return []Finding{{ID: id, Level: Note, What: what + " could not be looked at without root", Mend: "sudo " + m.again()}}
}

// again is the command that examines the machine once more.
func (m *Machine) again() string { return cmp.Or(m.Command, "transom doctor") }

// gateway is the command that captures here, with more options.
func (m *Machine) gateway(more ...string) string {
	return strings.Join(append([]string{cmp.Or(m.Gateway, "transom gateway")}, more...), " ")
}
