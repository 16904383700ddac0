package rootless

import (
	"bufio"
	"bytes"
	"net/netip"
	"slices"
	"strings"
)

// maxRoutes is how many destinations are taken one by one. A router of the
// internet's core has more; there everything is said to be reachable.
const maxRoutes = 512

// reachable makes Routes of the destinations of a host's routes: what lies within
// another is left out, and so are those that nobody is at.
func reachable(dsts []netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	slices.SortFunc(dsts, func(a, b netip.Prefix) int { return a.Bits() - b.Bits() })
	for _, d := range dsts {
		d = d.Masked()
		if a := d.Addr(); a.IsMulticast() || a.IsLoopback() || a.Is6() && a.IsLinkLocalUnicast() {
			continue
		}
		within := func(o netip.Prefix) bool { return o.Addr().Is4() == d.Addr().Is4() && o.Contains(d.Addr()) }
		if !slices.ContainsFunc(out, within) {
			out = append(out, d)
		}
	}
	if len(out) > maxRoutes {
		return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	}
	return out
}

// resolvers finds the name servers of a resolv.conf that are on loopback, as
// systemd-resolved and dnsmasq are. Where none is named the C library asks the
// host itself.
func resolvers(conf []byte) []netip.Addr {
	var local []netip.Addr
	named := false
	lines := bufio.NewScanner(bytes.NewReader(conf))
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		named = true
		a, err := netip.ParseAddr(words[1])
		if a = a.Unmap().WithZone(""); err == nil && a.IsLoopback() && !slices.Contains(local, a) {
			local = append(local, a)
		}
	}
	if !named {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	}
	return local
}
