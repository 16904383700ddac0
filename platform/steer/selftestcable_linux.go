package steer

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/platform"
)

// Names of the devices that a self-test makes. What it puts into the kernel goes
// with the first of them, but for a table that has an owner.
const (
	cableNear = "transom-test0" // packets leave and come in by it
	cableFar  = "transom-test1" // the test reads and writes here what a server would
)

// macNear and macFar are set so that nobody sets others. They begin with a bit that
// says that nobody made them.
var (
	macNear = [...]byte{0x02, 't', 'r', 's', 'm', 0}
	macFar  = [...]byte{0x02, 't', 'r', 's', 'm', 1}
)

// Servers that are nowhere: addresses for documentation (RFC 5737, RFC 3849, RFC
// 9637) and for benchmarks (RFC 2544).
var (
	nowhere4 = [...]netip.Addr{
		netip.AddrFrom4([4]byte{192, 0, 2, 1}), netip.AddrFrom4([4]byte{198, 51, 100, 1}),
		netip.AddrFrom4([4]byte{203, 0, 113, 1}), netip.AddrFrom4([4]byte{198, 18, 0, 1}),
	}
	nowhere6 = [...]netip.Addr{
		netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: 1}),
		netip.AddrFrom16([16]byte{0: 0x3f, 1: 0xff, 15: 1}),
	}
)

// A cable is two devices of this host that are connected to each other: what is
// sent by one has come in by the other, as if from outside.
//
// The far one has another address than packets to the near one's next host are
// sent to. So the kernel drops what comes in by it, and only who listens there
// sees it.
type cable struct {
	*netlink.Handle
	near, far netlink.Link
}

// layCable makes the devices, in place of those that an earlier test left.
func layCable(h *netlink.Handle) (*cable, error) {
	if err := removeCable(h); err != nil {
		return nil, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = cableNear, macNear[:]
	err := h.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: cableFar, PeerHardwareAddr: macFar[:]})
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, fmt.Errorf("the kernel has no veth interfaces to test with (modprobe veth): %w", platform.ErrUnsupported)
	}
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("add the interface %s (needs CAP_NET_ADMIN): %w", cableNear, err)
	}
	if err != nil {
		return nil, fmt.Errorf("add the interface %s: %w", cableNear, err)
	}
	c := &cable{Handle: h}
	if err := c.up(); err != nil {
		return nil, errors.Join(err, removeCable(h))
	}
	return c, nil
}

// up makes the devices ready, the near one last: then it is usable at once.
func (c *cable) up() (err error) {
	if c.near, err = c.LinkByName(cableNear); err != nil {
		return fmt.Errorf("find %s: %w", cableNear, err)
	}
	if c.far, err = c.LinkByName(cableFar); err != nil {
		return fmt.Errorf("find %s: %w", cableFar, err)
	}
	for _, l := range []netlink.Link{c.far, c.near} {
		if err := c.LinkSetARPOff(l); err != nil { // nobody is asked for addresses
			return fmt.Errorf("set up %s: %w", l.Attrs().Name, err)
		}
		if err := c.silence(l); err != nil {
			return fmt.Errorf("set up %s for IPv6: %w", l.Attrs().Name, err)
		}
		if err := c.LinkSetUp(l); err != nil {
			return fmt.Errorf("set up %s: %w", l.Attrs().Name, err)
		}
	}
	return nil
}

// silence leaves a device without an IPv6 address of its own, so that nothing is
// said to neighbours by it. Without IPv6 there is nothing to be silent.
func (c *cable) silence(l netlink.Link) error {
	const none = 1 // IN6_ADDR_GEN_MODE_NONE
	err := c.LinkSetIP6AddrGenMode(l, none)
	if absent(err) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// serverFor finds an address that is nobody's, and routes it by the cable.
func (c *cable) serverFor(client netip.Addr) (netip.Addr, error) {
	list := nowhere4[:]
	if client.Is6() {
		if err := speakIPv6(); err != nil {
			return netip.Addr{}, err
		}
		list = nowhere6[:]
	}
	for _, a := range list {
		if c.taken(a) {
			continue
		}
		return a, c.routeBy(a)
	}
	return netip.Addr{}, fmt.Errorf("this host has routes to all of %v, which are reserved; one has to be free for a test", list)
}

// speakIPv6 lets the near device have IPv6 where new ones have not.
func speakIPv6() error {
	s, err := openSettings()
	if err != nil {
		return err
	}
	return errors.Join(s.write("ipv6/conf/"+cableNear+"/disable_ipv6", "0"), s.close())
}

// routeBy routes an address by the cable, in each table that a rule looks in: what
// other traffic is routed by is not what is tested, and a strict check of the way back
// would refuse an answer from where the address is not.
func (c *cable) routeBy(a netip.Addr) error {
	tables, err := c.tables(a)
	if err != nil {
		return err
	}
	for _, t := range tables {
		route := &netlink.Route{
			Dst:   &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())},
			Table: t, LinkIndex: c.near.Attrs().Index, Scope: netlink.SCOPE_LINK, Protocol: protocol,
		}
		if err := c.RouteAdd(route); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("route %s by %s in table %d: %w", a, cableNear, t, err)
		}
	}
	return nil
}

// tables are those that rules of an address's family look in, but for the one of this
// host's own addresses and ours.
func (c *cable) tables(a netip.Addr) ([]int, error) {
	family := unix.AF_INET
	if a.Is6() {
		family = unix.AF_INET6
	}
	rules, err := again(func() ([]netlink.Rule, error) { return c.RuleList(family) })
	if err != nil {
		return nil, fmt.Errorf("list routing rules: %w", err)
	}
	list := []int{unix.RT_TABLE_MAIN}
	for _, r := range rules {
		if r.Table > 0 && r.Table != unix.RT_TABLE_LOCAL && r.Table != number && !slices.Contains(list, r.Table) {
			list = append(list, r.Table)
		}
	}
	return list, nil
}

// taken reports whether there is a route to an address that is not for everything.
func (c *cable) taken(a netip.Addr) bool {
	routes, err := c.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
	return err == nil && len(routes) > 0 && !isDefault(routes[0])
}

// remove takes the devices away, and the routes with them.
func (c *cable) remove() error { return removeCable(c.Handle) }

// removeCable removes the devices, if there are any.
func removeCable(h *netlink.Handle) error {
	l, err := findCable(h)
	if err != nil || l == nil {
		return err
	}
	if err := h.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("remove the interface %s: %w", cableNear, err)
	}
	return nil
}

// findCable looks for the near device; nil if there is none.
func findCable(h *netlink.Handle) (netlink.Link, error) {
	l, err := h.LinkByName(cableNear)
	if _, none := errors.AsType[netlink.LinkNotFoundError](err); none {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for the interface %s: %w", cableNear, err)
	}
	return l, nil
}
