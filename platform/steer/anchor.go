package steer

import (
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"transom/platform"
)

// anchorText writes what one of pf's anchors has in it for s: rdr rules, or on
// OpenBSD divert-to. Whose it is, and what has to be put back, is in the names of
// tables without addresses: they are in the kernel, beside what they are about.
// linkLocal returns an interface's link-local address.
func anchorText(system string, s platform.Steering, m anchorMemory, linkLocal func(string) (netip.Addr, bool)) string {
	var b script
	p := pf{&b, s}
	for _, name := range m.names() {
		b.linef("table <%s> persist", name)
	}
	p.tables()
	switch {
	case s.Draining && !s.Refusing:
	case s.Draining:
		p.each(func(f pfFamily, name string, _ int) {
			p.linef("block return in quick on %s %s proto tcp %s%s", name, f.word, f.whose, p.ports())
		})
		p.quic()
	default:
		p.each(func(f pfFamily, name string, _ int) { p.bring(system, f, name, linkLocal) })
		p.quic()
	}
	return b.String()
}

// bring writes the rule that captures. An IPv6 packet that comes from outside can't be
// given to ::1 by rdr, the kernel drops it, and an interface without IPv6 has nobody
// behind it that would need a rule.
func (p *pf) bring(system string, f pfFamily, name string, linkLocal func(string) (netip.Addr, bool)) {
	if system == "openbsd" {
		p.linef("pass in quick on %s %s proto tcp %s%s divert-to %s port %d", name, f.word, f.whose, p.ports(), f.loopback, p.s.Port)
		return
	}
	target := f.loopback
	if f.v6 {
		a, ok := linkLocal(name)
		if !ok {
			return
		}
		target = a.WithZone("").String()
	}
	p.linef("rdr pass on %s %s proto tcp %s%s -> %s port %d", name, f.word, f.whose, p.ports(), target, p.s.Port)
}

// An anchorMemory is whose an anchor is, and what is to be put back with it.
type anchorMemory struct {
	pid   int
	token uint64            // macOS's, by which pf is on; 0 is none
	was   map[string]string // settings, by their short names
}

// names are those of the tables, of at most 31 bytes each.
func (m *anchorMemory) names() []string {
	names := []string{"transom_pid_" + strconv.Itoa(m.pid)}
	if m.token != 0 {
		names = append(names, fmt.Sprintf("transom_on_%d", m.token))
	}
	for _, short := range slices.Sorted(maps.Keys(m.was)) {
		names = append(names, "transom_was_"+short+"_"+m.was[short])
	}
	return names
}

// add notes what settings were; of one that is noted already somebody has made what it is
// now.
func (m *anchorMemory) add(was map[string]string) {
	if m.was == nil {
		m.was = map[string]string{}
	}
	maps.Copy(m.was, was)
}

// isMemory reports whether a table's name is one that something is remembered by.
func isMemory(name string) bool {
	return slices.ContainsFunc([]string{"transom_pid_", "transom_on_", "transom_was_"}, func(p string) bool { return strings.HasPrefix(name, p) })
}

// tookOverRules says what becomes of what a dead process has left.
func tookOverRules(log *slog.Logger, what string) {
	log.Warn("an earlier run has left something behind, which is taken over", "what", what)
}

// remembered reads the names of an anchor's tables, as pfctl -s Tables prints them. ok
// is false if it is nobody's.
func remembered(text string) (m anchorMemory, ok bool) {
	m.was = map[string]string{}
	for _, name := range strings.Fields(text) {
		name, ours := strings.CutPrefix(name, "transom_")
		if !ours {
			continue
		}
		switch kind, rest, _ := strings.Cut(name, "_"); kind {
		case "pid":
			n, err := strconv.ParseInt(rest, 10, 32)
			if err == nil && n > 0 {
				m.pid, ok = int(n), true
			}
		case "on":
			if n, err := strconv.ParseUint(rest, 10, 64); err == nil {
				m.token = n
			}
		case "was":
			short, value, _ := strings.Cut(rest, "_")
			if _, err := strconv.ParseUint(value, 10, 31); err == nil && settingOf(short) != "" {
				m.was[short] = value
			}
		}
	}
	return m, ok
}
