//go:build darwin || freebsd || openbsd

package steer

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"golang.org/x/net/route"
	"golang.org/x/sys/unix"

	"transom/platform"
)

// Links lists the host's interfaces. Their kinds are not known here.
func Links() ([]Link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the interfaces: %w", err)
	}
	out, err := waysOut()
	if err != nil {
		return nil, err
	}
	var links []Link
	for _, i := range all {
		l := Link{Name: i.Name, Up: i.Flags&net.FlagUp != 0, Loopback: i.Flags&net.FlagLoopback != 0, Default: out[i.Index]}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, fmt.Errorf("list the addresses of %s: %w", i.Name, err)
		}
		for _, a := range addrs { // each interface has a link-local one, with or without anybody behind it
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
				l.Addresses = append(l.Addresses, p)
			}
		}
		links = append(links, l)
	}
	return links, nil
}

// waysOut are the numbers of the interfaces that a default route leaves by.
func waysOut() (map[int]bool, error) {
	b, err := route.FetchRIB(unix.AF_UNSPEC, route.RIBTypeRoute, 0)
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	messages, err := route.ParseRIB(route.RIBTypeRoute, b)
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	out := map[int]bool{}
	for _, m := range messages {
		if m, ok := m.(*route.RouteMessage); ok && m.Flags&unix.RTF_UP != 0 && m.Flags&scoped == 0 && toAll(m.Addrs) {
			out[m.Index] = true
		}
	}
	return out, nil
}

// toAll reports whether a route is the default one.
func toAll(addrs []route.Addr) bool {
	zero := func(i int, none bool) bool {
		if i >= len(addrs) {
			return none
		}
		switch a := addrs[i].(type) {
		case *route.Inet4Addr:
			return a.IP == [4]byte{}
		case *route.Inet6Addr:
			return a.IP == [16]byte{}
		}
		return addrs[i] == nil && none
	}
	return zero(unix.RTAX_DST, false) && zero(unix.RTAX_NETMASK, true)
}

// NotForwarding returns which families, as a person names them, the host does not
// forward, of those it has. It takes no right.
func NotForwarding() (families []string, err error) {
	for _, f := range [...]struct{ family, key string }{{"IPv4", "net.inet.ip.forwarding"}, {"IPv6", "net.inet6.ip6.forwarding"}} {
		if now, err := unix.SysctlUint32(f.key); err == nil && now == 0 {
			families = append(families, f.family)
		}
	}
	return families, nil
}

// Inward is for addresses that are assumed, which is not done by pf.
func Inward(netip.Addr) (bool, error) {
	return false, fmt.Errorf("find the way to an address: %w", platform.ErrUnsupported)
}

// Networks returns the networks of the interfaces' own addresses.
func Networks(interfaces []string) (out []netip.Prefix, err error) {
	links, err := Links()
	if err != nil {
		return nil, err
	}
	for _, name := range interfaces {
		for _, l := range links {
			if l.Name != name {
				continue
			}
			for _, a := range l.Addresses {
				out = append(out, a.Masked())
			}
		}
	}
	if len(out) == 0 && len(interfaces) > 0 {
		return nil, errNoNetworks
	}
	return out, nil
}

// WatchLinks watches nothing: rules of pf name interfaces, which may come and go.
func WatchLinks([]string, *slog.Logger) (func() error, error) {
	return func() error { return nil }, nil
}

// Translations is for addresses that are assumed, which is not done by pf.
func Translations(platform.Steering, []netip.Prefix) ([]Translation, error) {
	return nil, fmt.Errorf("find translations of addresses: %w", platform.ErrUnsupported)
}
