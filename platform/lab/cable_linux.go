package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// prepare sets up a new namespace from inside. What it inherits from the host's
// settings is made equal everywhere.
func (h *Host) prepare() error {
	settings := [][2]string{
		{"net.ipv4.ip_forward", "0"},
		{"net.ipv4.conf.all.rp_filter", "0"},
		{"net.ipv4.conf.default.rp_filter", "0"},
		{"net.ipv4.conf.all.send_redirects", "0"},
		{"net.ipv4.conf.default.send_redirects", "0"},
	}
	if _, err := os.Stat("/proc/sys/net/ipv6/conf/all"); err == nil {
		h.ipv6 = true
		settings = append(settings, [][2]string{
			{"net.ipv6.conf.all.disable_ipv6", "0"},
			{"net.ipv6.conf.default.disable_ipv6", "0"},
			{"net.ipv6.conf.lo.disable_ipv6", "0"},
			{"net.ipv6.conf.all.accept_dad", "0"},
			{"net.ipv6.conf.default.accept_dad", "0"},
			{"net.ipv6.conf.default.router_solicitations", "0"},
		}...)
	}
	for _, s := range settings {
		if err := sysctl(s[0], s[1]); err != nil {
			return err
		}
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// Forward makes the host a router.
func (h *Host) Forward() error {
	if err := h.Sysctl("net.ipv4.ip_forward", "1"); err != nil || !h.ipv6 {
		return err
	}
	return h.Sysctl("net.ipv6.conf.all.forwarding", "1")
}

// Connect lays a cable between two hosts. When it returns, both ends are up and
// can be used.
func (l *Lab) Connect(a, b End) error {
	err := a.Host.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs:     netlink.LinkAttrs{Name: a.Iface},
			PeerName:      b.Iface,
			PeerNamespace: netlink.NsFd(b.Host.ns.Fd()),
		})
	})
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("lab: connect %s and %s: %w: the kernel has no veth interfaces (modprobe veth)", a.Host.name, b.Host.name, err)
	case err != nil:
		return fmt.Errorf("lab: connect %s %s and %s %s: %w", a.Host.name, a.Iface, b.Host.name, b.Iface, err)
	}
	for _, e := range []End{a, b} {
		if err := e.Host.Do(e.up); err != nil {
			return fmt.Errorf("lab: set up %s on %s: %w", e.Iface, e.Host.name, err)
		}
	}
	for _, e := range []End{a, b} {
		if err := e.Host.Do(e.ready); err != nil {
			return fmt.Errorf("lab: wait for %s on %s: %w", e.Iface, e.Host.name, err)
		}
	}
	return nil
}

func (e End) up() error {
	link, err := netlink.LinkByName(e.Iface)
	if err != nil {
		return err
	}
	for _, p := range e.Addrs {
		if err := e.Host.add(link, p); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(link)
}

// add is called on a thread of the host.
func (h *Host) add(link netlink.Link, p netip.Prefix) error {
	if p.Addr().Is6() && !h.ipv6 {
		return nil
	}
	if err := netlink.AddrAdd(link, address(p)); err != nil {
		return fmt.Errorf("add address %s: %w", p, err)
	}
	return nil
}

func address(p netip.Prefix) *netlink.Addr {
	a := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		a.Flags = unix.IFA_F_NODAD
	}
	return a
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// readyWithin bounds the wait for an interface, which takes milliseconds on an idle machine.
const readyWithin = time.Minute

// ready waits until the interface carries packets and no address is tentative.
// The kernel tells of neither in one place, so it is asked again and again.
func (e End) ready() error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(readyWithin)
	defer late.Stop()
	for {
		link, err := netlink.LinkByName(e.Iface)
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
			return err
		}
		if err == nil && link.Attrs().OperState == netlink.OperUp && settled(addrs) {
			return nil
		}
		select {
		case <-tick.C:
		case <-late.C:
			return fmt.Errorf("not usable after %v (state %v, addresses %v)", readyWithin, link.Attrs().OperState, addrs)
		}
	}
}

func settled(addrs []netlink.Addr) bool {
	for _, a := range addrs {
		if a.Flags&unix.IFA_F_TENTATIVE != 0 {
			return false
		}
	}
	return true
}

// AddAddr gives an interface of the host one more address.
func (h *Host) AddAddr(iface string, p netip.Prefix) error {
	return h.Do(func() error {
		link, err := netlink.LinkByName(iface)
		if err != nil {
			return err
		}
		return h.add(link, p)
	})
}

// DelAddr takes an address away.
func (h *Host) DelAddr(iface string, p netip.Prefix) error {
	return h.Do(func() error {
		link, err := netlink.LinkByName(iface)
		if err != nil {
			return err
		}
		return netlink.AddrDel(link, address(p))
	})
}

// Route adds a route to dst by way of via.
func (h *Host) Route(dst netip.Prefix, via netip.Addr) error {
	return h.Do(func() error {
		if err := netlink.RouteAdd(&netlink.Route{Dst: ipNet(dst), Gw: via.AsSlice()}); err != nil {
			return fmt.Errorf("lab: route %s via %s on %s: %w", dst, via, h.name, err)
		}
		return nil
	})
}

// Divert routes packets that carry mark, in the bits of mask, to the host
// itself whatever their destination: the half of TPROXY that the packet filter
// does not do. Table is the routing table to use for it.
func (h *Host) Divert(mark, mask uint32, table int) error {
	return h.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		for _, any := range []string{"0.0.0.0/0", "::/0"} {
			dst := netip.MustParsePrefix(any)
			family := unix.AF_INET
			if dst.Addr().Is6() {
				if family = unix.AF_INET6; !h.ipv6 {
					continue
				}
			}
			rule := netlink.NewRule()
			rule.Family, rule.Mark, rule.Mask, rule.Table = family, mark, &mask, table
			if err := netlink.RuleAdd(rule); err != nil {
				return fmt.Errorf("lab: route by mark %#x on %s: %w", mark, h.name, err)
			}
			route := &netlink.Route{Dst: ipNet(dst), LinkIndex: lo.Attrs().Index, Type: unix.RTN_LOCAL, Scope: netlink.SCOPE_HOST, Table: table}
			if err := netlink.RouteAdd(route); err != nil {
				return fmt.Errorf("lab: route everything to %s itself: %w", h.name, err)
			}
		}
		return nil
	})
}
