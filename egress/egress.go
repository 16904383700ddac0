// Package egress opens connections to servers.
package egress

import (
	"context"
	"net"
	"net/netip"
)

// A Target is where to go, and as whom.
type Target struct {
	Network string         // "tcp" or "udp", whose conns are one datagram a Read and a Write
	Addr    netip.AddrPort // if only the name is known, its address is invalid and its port set
	Host    string         // the name to resolve if Addr has no address
	From    netip.AddrPort // source to assume; zero for the host's choice
	// Client is the captured client that the connection is for, zero if there is
	// none or it chose us as its proxy. A dialer may assume its address.
	Client netip.AddrPort

	// Far rules out addresses that only this host should reach: loopback,
	// unspecified, link-local. The error wraps ErrNear. A dialer that leaves
	// resolving to somebody else can't tell for names.
	Far bool
}

// A Dialer opens connections. Dial's errors keep the system's errno in their
// chain (errors.Is with syscall.ECONNREFUSED and the like): the client is told
// the same way. The caller closes the connection.
type Dialer interface {
	Dial(ctx context.Context, t Target) (net.Conn, error)
}
