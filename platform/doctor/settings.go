package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The settings of the kernel that make a router of a host.

// number is a setting as a number, -1 if it is not known.
func (s Settings) number(name string) int {
	n, err := strconv.Atoi(s[name])
	if err != nil {
		return -1
	}
	return n
}

// sysctl is the command that changes settings.
func (m *Machine) sysctl(changes ...string) string {
	if m.ReadOnly {
		return ""
	}
	return "sysctl -w " + strings.Join(changes, " ")
}

// readOnly is said of settings that can't be changed from here.
const readOnly = "; /proc/sys is read-only here, as in a container: set it from outside"

// forwarding is about whether the host forwards at all. A gateway turns it on, and
// what somebody turns off while it runs stays off.
func forwarding(m *Machine) (found []Finding) {
	if len(m.Steering.Interfaces) == 0 {
		return nil
	}
	for _, f := range m.forwards() {
		if m.Settings[f.name] != "0" {
			continue
		}
		one := Finding{
			ID: "forwarding", Level: Warning, What: "this host does not forward " + f.family,
			Why:  "devices that have it as their gateway are cut off until transom gateway runs, which turns forwarding on",
			Mend: m.sysctl(f.name + "=1"),
		}
		if m.Running != nil {
			one.Level, one.Why = Fault, "somebody has turned it off: what transom does not capture is lost"
		}
		if m.ReadOnly {
			one.Level = Fault
			one.Why += readOnly
		}
		found = append(found, one)
	}
	if found == nil {
		return ok("forwarding", "this host forwards")
	}
	return found
}

// forwards are the settings that have a host forward.
func (m *Machine) forwards() []familySetting {
	if m.PF != nil {
		return []familySetting{{"IPv4", "net.inet.ip.forwarding"}, {"IPv6", "net.inet6.ip6.forwarding"}}
	}
	return []familySetting{{"IPv4", "net.ipv4.ip_forward"}, {"IPv6", "net.ipv6.conf.all.forwarding"}}
}

type familySetting struct{ family, name string }

// redirects is about a host beside the devices' router: it tells devices, by ICMP,
// to send to that router themselves, and they go past it from then on.
func redirects(m *Machine) (found []Finding) {
	for _, name := range m.Steering.Interfaces {
		one := "net.ipv4.conf." + slashed(name) + ".send_redirects"
		if m.Settings["net.ipv4.conf.all.send_redirects"] != "1" && m.Settings[one] != "1" {
			continue // both have to be off: one is enough to send them
		}
		f := Finding{
			ID: "redirects", Level: Warning, What: "this host tells devices behind " + name + " of shorter ways (send_redirects is on)",
			Why:  "until transom gateway runs, which turns it off, those that hear of one go past this host, some for minutes",
			Mend: m.sysctl("net.ipv4.conf.all.send_redirects=0", one+"=0"),
		}
		switch {
		case m.Running != nil && m.link(name).Default:
			f.Level, f.Why = Fault, "somebody has turned it on: devices go past this host to the router that is on the same network"
		case m.Running != nil:
			f.Why = "somebody has turned it on: devices go past this host if another router is on their network"
		case !m.link(name).Default:
			f.Level = Note
		}
		if m.Traffic != nil && m.Traffic.Redirects[name] > 0 {
			f.Level, f.What = Fault, fmt.Sprintf("%s; %d were sent just now", f.What, m.Traffic.Redirects[name])
		}
		if m.ReadOnly {
			f.Why += readOnly
		}
		found = append(found, f)
	}
	if found == nil && len(m.Steering.Interfaces) > 0 {
		return ok("redirects", "devices are told of no shorter ways")
	}
	return found
}

// reversePath is about packets that are dropped because an answer to them would
// leave elsewhere (rp_filter). The larger of two settings holds.
func reversePath(m *Machine) (found []Finding) {
	strict := func(name string) bool {
		return max(m.Settings.number("net.ipv4.conf.all.rp_filter"), m.Settings.number("net.ipv4.conf."+slashed(name)+".rp_filter")) == 1
	}
	var names []string
	for _, l := range m.Links {
		if !l.Loopback && l.Up && strict(l.Name) && (l.Default || slices.Contains(m.Steering.Interfaces, l.Name)) {
			names = append(names, l.Name)
		}
	}
	if m.Traffic != nil {
		for _, s := range m.Traffic.Strays {
			if !strict(s.Interface) {
				continue
			}
			found = append(found, Finding{
				ID: "rp-filter", Level: Fault,
				What: fmt.Sprintf("packets from %s come in by %s and are dropped (rp_filter is 1), since answers would leave by %s", s.From, s.Interface, s.Route),
				Why:  "strict filtering takes a device that is behind one interface and is routed to another for a forger",
				Mend: m.sysctl("net.ipv4.conf." + slashed(s.Interface) + ".rp_filter=2"),
			})
		}
		if found == nil && m.Traffic.Filtered > 0 && len(names) > 0 {
			var loose []string
			for _, n := range names {
				loose = append(loose, "net.ipv4.conf."+slashed(n)+".rp_filter=2")
			}
			found = append(found, Finding{
				ID: "rp-filter", Level: Warning,
				What: fmt.Sprintf("the kernel has just dropped %d packets because answers would leave by another interface (rp_filter)", m.Traffic.Filtered),
				Mend: m.sysctl(loose...),
			})
		}
	}
	switch {
	case found != nil:
		return found
	case len(names) > 0:
		return ok("rp-filter", "rp_filter is strict on "+strings.Join(names, ", ")+", and nothing was seen that it drops")
	}
	return ok("rp-filter", "rp_filter is not strict")
}

// slashed writes an interface's name as sysctl has it within a setting's: the dot
// of a VLAN is a slash.
func slashed(name string) string { return strings.ReplaceAll(name, ".", "/") }
