package rootless

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/platform/nft"
)

// lay lays out the network of the calling thread's new namespace.
func (n *Network) lay() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	source := map[bool]net.IP{} // by whether it is IPv6
	for _, a := range n.addrs() {
		if err := addTo(lo, a); err != nil {
			return err
		}
		source[a.Is6()] = a.AsSlice()
	}
	for _, r := range n.Routes {
		if err := routeTo(lo, r, source[r.Addr().Is6()]); err != nil {
			return err
		}
	}
	if n.LowPort != 0 {
		if err := os.WriteFile(lowPortFile, strconv.AppendUint(nil, uint64(n.LowPort), 10), 0); err != nil {
			return err
		}
	}
	return n.filter()
}

// addTo gives lo an address of global scope: without one of those, programs ask
// for no addresses of that family (AI_ADDRCONFIG).
func addTo(lo netlink.Link, a netip.Addr) error {
	addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, a.BitLen())), Scope: unix.RT_SCOPE_UNIVERSE}
	if a.Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrAdd(lo, addr); err != nil {
		return fmt.Errorf("add address %s to lo: %w", a, err)
	}
	return nil
}

// routeTo makes a destination one of this namespace's own, which lo leads to. The
// source has to be said, or it would be the destination itself.
func routeTo(lo netlink.Link, to netip.Prefix, source net.IP) error {
	r := &netlink.Route{
		LinkIndex: lo.Attrs().Index, Dst: ipNet(to), Src: source,
		Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST, Table: unix.RT_TABLE_MAIN,
	}
	if err := netlink.RouteAdd(r); err != nil {
		return fmt.Errorf("route %s to lo: %w", to, err)
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// filter puts the rules in force.
func (n *Network) filter() error {
	c, err := nft.Dial()
	if err != nil {
		return err
	}
	defer c.Close()
	var b nft.Batch
	b.Add(n.table())
	return c.Commit(&b)
}
