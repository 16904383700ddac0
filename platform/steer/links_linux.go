package steer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Links lists the interfaces of this thread's network namespace. It takes no
// right.
func Links() ([]Link, error) {
	list, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	names := make(map[int]string, len(list))
	for _, l := range list {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	out, err := defaultInterfaces()
	if err != nil {
		return nil, err
	}
	links := make([]Link, 0, len(list))
	for _, l := range list {
		a := l.Attrs()
		link := Link{
			Name: a.Name, Up: a.Flags&net.FlagUp != 0, Loopback: a.Flags&net.FlagLoopback != 0,
			Kind: l.Type(), Master: names[a.MasterIndex], Default: out[a.Index],
		}
		if link.Kind == "device" {
			link.Kind = ""
		}
		if link.Addresses, err = addressesOf(l); err != nil {
			return nil, err
		}
		links = append(links, link)
	}
	return links, nil
}

func addressesOf(l netlink.Link) ([]netip.Prefix, error) {
	list, err := netlink.AddrList(l, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list the addresses of %s: %w", l.Attrs().Name, err)
	}
	var ps []netip.Prefix
	for _, a := range list {
		if p, ok := prefix(a.IPNet); ok && !p.Addr().IsLinkLocalUnicast() {
			ps = append(ps, p)
		}
	}
	return ps, nil
}

// prefix keeps the address within its network.
func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	ones, bits := n.Mask.Size()
	if a = a.Unmap(); !ok || bits != a.BitLen() {
		return netip.Prefix{}, false
	}
	return netip.PrefixFrom(a, ones), true
}

// defaultInterfaces finds where default routes leave, by index.
func defaultInterfaces() (map[int]bool, error) {
	routes, err := mainRoutes()
	if err != nil {
		return nil, err
	}
	out := make(map[int]bool)
	for _, r := range routes {
		if !isDefault(r) {
			continue
		}
		out[r.LinkIndex] = true
		for _, hop := range r.MultiPath {
			out[hop.LinkIndex] = true
		}
	}
	return out, nil
}

func mainRoutes() ([]netlink.Route, error) {
	routes, err := netlink.RouteListFiltered(unix.AF_UNSPEC, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	return routes, nil
}

func isDefault(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	ones, _ := r.Dst.Mask.Size()
	return ones == 0 && r.Dst.IP.IsUnspecified()
}

// Networks returns what is routed by the interfaces, default routes aside: the
// addresses that clients behind them may have.
func Networks(interfaces []string) ([]netip.Prefix, error) {
	routes, err := mainRoutes()
	if err != nil {
		return nil, err
	}
	var out []netip.Prefix
	for _, name := range interfaces {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return nil, fmt.Errorf("interface %s: %w", name, err)
		}
		for _, r := range routes {
			p, ok := prefix(r.Dst)
			if !ok || isDefault(r) || r.LinkIndex != l.Attrs().Index || p.Addr().IsLinkLocalUnicast() || p.Addr().IsMulticast() {
				continue
			}
			if p = p.Masked(); !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	if len(out) == 0 && len(interfaces) > 0 {
		return nil, errNoNetworks
	}
	return out, nil
}

// Inward reports whether a is this host's own, or behind an interface that is not
// the way out: if so, others may send what is for it to this host.
func Inward(a netip.Addr) (bool, error) {
	links, err := Links()
	if err != nil {
		return false, err
	}
	var behind []string
	for _, l := range links {
		if slices.ContainsFunc(l.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return true, nil
		}
		if !l.Default && !l.Loopback {
			behind = append(behind, l.Name)
		}
	}
	routed, err := Networks(behind)
	if errors.Is(err, errNoNetworks) {
		return false, nil
	}
	return slices.ContainsFunc(routed, func(p netip.Prefix) bool { return p.Contains(a) }), err
}
