package doctor

import (
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/platform/steer"
)

// findDetours finds routes to parts of interfaces' networks that leave by others. What
// can't be listed is left out.
func (m *Machine) findDetours() {
	routes, _ := netlink.RouteListFiltered(unix.AF_UNSPEC, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	for _, r := range routes {
		to, ok := prefixOf(r.Dst)
		link, err := netlink.LinkByIndex(r.LinkIndex)
		if !ok || err != nil || r.Type != unix.RTN_UNICAST || r.LinkIndex == 0 {
			continue
		}
		for _, l := range m.Links {
			d := Detour{To: to, Interface: l.Name, Route: link.Attrs().Name}
			if d.Route != l.Name && isPartOf(to, l) && !slices.Contains(m.Detours, d) {
				m.Detours = append(m.Detours, d)
			}
		}
	}
}

// isPartOf reports whether a network is a part of an interface's own, and not all of
// it: two interfaces may be in one.
func isPartOf(to netip.Prefix, l steer.Link) bool {
	return slices.ContainsFunc(l.Addresses, func(a netip.Prefix) bool {
		return !a.Addr().IsLinkLocalUnicast() && a.Bits() < to.Bits() && a.Masked().Contains(to.Addr())
	})
}

func prefixOf(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits), ok
}
