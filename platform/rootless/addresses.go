package rootless

import "net/netip"

// Addresses that a program may have inside are of nets for documentation and for
// benchmarks, so that they are nobody's whom it may want to reach. Hosts do have some
// of them, in laboratories for one, and the first that isn't had is taken.

// insides4 are those of IPv4: RFC 5737, RFC 2544 and RFC 7600.
func insides4() []netip.Addr {
	return addrs("192.0.2.2", "198.51.100.2", "203.0.113.2", "198.18.74.2", "198.19.74.2", "192.0.0.8")
}

// insides6 are those of IPv6: RFC 3849, RFC 9637 and RFC 5180.
func insides6() []netip.Addr {
	return addrs("2001:db8::2", "2001:db8:7261:6e73::2", "3fff:7261:6e73::2", "2001:2:0:7261::2")
}

// insidesLocal6 are in their place where all addresses outside are unique local ones:
// with another kind inside, programs would prefer IPv6 where they don't outside.
func insidesLocal6() []netip.Addr {
	return addrs("fd74:7261:6e73::2", "fd6f:6d72:756e::2", "fdb5:1c0e:93a7::2")
}

func addrs(texts ...string) []netip.Addr {
	out := make([]netip.Addr, len(texts))
	for i, text := range texts {
		out[i] = netip.MustParseAddr(text)
	}
	return out
}

// free is the first of some addresses that is none of a host's own and that it has no
// route to, besides one for all; or where each has a route, that with the widest.
func free(of, own []netip.Addr, routes []netip.Prefix) netip.Addr {
	best, least := of[0], 0
	for i, a := range of {
		if t := taken(a, own, routes); i == 0 || t < least {
			best, least = a, t
		}
	}
	return best
}

// taken is how narrow a host's way to an address is; 0 is that it knows none.
func taken(a netip.Addr, own []netip.Addr, routes []netip.Prefix) int {
	narrowest := 0
	for _, r := range routes {
		if r.Contains(a) {
			narrowest = max(narrowest, r.Bits())
		}
	}
	for _, o := range own {
		if o == a {
			return a.BitLen() + 1
		}
	}
	return narrowest
}
