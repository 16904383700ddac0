package main

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"transom/capture"
)

// defaultPort is where a transparent listener listens unless told otherwise.
const defaultPort = 8080

// parseMode reads one --mode: transparent[@[host:]port]. host and port are the
// defaults of --listen-host and --listen-port.
func parseMode(spec, host string, port uint16) (capture.Redirect, error) {
	kind, at, hasAt := strings.Cut(spec, "@")
	if kind == "regular" {
		return capture.Redirect{}, fmt.Errorf("mode %q has no listener of its own: the transparent one, which is the default, serves who uses it as a proxy, too", spec)
	}
	if kind != "transparent" {
		return capture.Redirect{}, fmt.Errorf("mode %q is not known; known is transparent[@[host:]port]", spec)
	}
	if hasAt {
		h, p, err := net.SplitHostPort(at)
		if err != nil {
			h, p = "", at
		}
		if h != "" {
			host = h
		}
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return capture.Redirect{}, fmt.Errorf("mode %q: %q is not a port, nor host:port (an IPv6 address stands in brackets)", spec, at)
		}
		port = uint16(n)
	}
	addr := netip.IPv6Unspecified()
	if host != "" {
		a, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if err != nil {
			return capture.Redirect{}, fmt.Errorf("mode %q: %q is not an address to listen on", spec, host)
		}
		addr = a
	}
	return capture.Redirect{Listen: netip.AddrPortFrom(addr, port)}, nil
}

// overlap reports whether two listeners want one port. The unspecified IPv6
// address listens for IPv4 too; port 0 is another one each time.
func overlap(a, b netip.AddrPort) bool {
	if a.Port() != b.Port() || a.Port() == 0 {
		return false
	}
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	all := netip.IPv6Unspecified()
	return x == y || x == all || y == all || x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified())
}
