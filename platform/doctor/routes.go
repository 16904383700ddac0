package doctor

import (
	"fmt"
	"net/netip"
	"slices"
)

// A Detour is a route to a part of an interface's network that leaves by another.
type Detour struct {
	To               netip.Prefix
	Interface, Route string // whose network it is of, and where it leads
}

// detours is about devices that are not where routes say, as far as can be told before
// one is heard: what they are answered leaves elsewhere. It may be meant so.
func detours(m *Machine) (found []Finding) {
	for _, d := range m.Detours {
		if !slices.Contains(m.Steering.Interfaces, d.Interface) {
			continue
		}
		to := d.To.String()
		if d.To.IsSingleIP() {
			to = d.To.Addr().String()
		}
		found = append(found, Finding{
			ID: "route", Level: Warning,
			What: fmt.Sprintf("a route leads to %s by %s, though that is of the network of %s", to, d.Route, d.Interface),
			Why:  "a device there that is behind " + d.Interface + " gets no answers, and what it sends may be dropped (rp_filter)",
			Mend: fmt.Sprintf("ip route del %s dev %s", d.To, d.Route),
		})
	}
	return found
}
