package rootless

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Outside returns the network that is like this host's, as far as a program's
// attempts to reach others go: what has no route here has none there.
func Outside() (Network, error) {
	var n Network
	conf, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return n, err
	}
	n.Resolvers = resolvers(conf)
	n.LowPort = lowPort()
	own, err := ownAddrs()
	if err != nil {
		return n, fmt.Errorf("this host's addresses: %w", err)
	}
	four, six, local6 := families(own)
	for family, has := range map[int]bool{netlink.FAMILY_V4: four, netlink.FAMILY_V6: six} {
		if !has {
			continue
		}
		dsts, err := destinations(family)
		if err != nil {
			return n, fmt.Errorf("this host's routes: %w", err)
		}
		n.Routes = append(n.Routes, dsts...)
	}
	insides := insides6()
	if local6 {
		insides = insidesLocal6()
	}
	n.Inside = []netip.Addr{free(insides4(), own, n.Routes), free(insides, own, n.Routes)}
	n.Routes = reachable(n.Routes)
	return n, nil
}

// ownAddrs are this host's.
func ownAddrs() (own []netip.Addr, err error) {
	addrs, err := net.InterfaceAddrs()
	for _, a := range addrs {
		p, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		addr, _ := netip.AddrFromSlice(p.IP)
		own = append(own, addr.Unmap())
	}
	return own, err
}

// families reports of which a host has addresses that others can answer, and
// whether all IPv6 ones are local.
func families(own []netip.Addr) (four, six, local6 bool) {
	local6 = true
	for _, addr := range own {
		switch {
		case !addr.IsGlobalUnicast() && !addr.Is4() || addr.IsLoopback():
		case addr.Is4():
			four = true
		default:
			six = true
			local6 = local6 && addr.IsPrivate()
		}
	}
	return four, six, local6
}

// destinations are those of the routes in all tables, since a VPN may have one of
// its own.
func destinations(family int) ([]netip.Prefix, error) {
	routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, err
	}
	var dsts []netip.Prefix
	for _, r := range routes {
		if r.Table == unix.RT_TABLE_LOCAL || r.Type != unix.RTN_UNICAST {
			continue
		}
		dsts = append(dsts, prefixOf(family, r.Dst))
	}
	return dsts, nil
}

// prefixOf converts a destination; none is everything.
func prefixOf(family int, n *net.IPNet) netip.Prefix {
	if n == nil {
		if family == netlink.FAMILY_V6 {
			return netip.MustParsePrefix("::/0")
		}
		return netip.MustParsePrefix("0.0.0.0/0")
	}
	a, _ := netip.AddrFromSlice(n.IP)
	if family == netlink.FAMILY_V4 {
		a = a.Unmap()
	}
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a, bits)
}

// lowPortFile has the first port that anybody may listen on.
const lowPortFile = "/proc/sys/net/ipv4/ip_unprivileged_port_start"

// lowPort is what it is here, 0 if it can't be told.
func lowPort() uint16 {
	b, err := os.ReadFile(lowPortFile)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 16)
	if err != nil || n <= insidePort {
		return insidePort + 1
	}
	return uint16(n)
}
