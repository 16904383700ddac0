// Package platform is everything that differs between operating systems or
// needs privilege. It and the packages below it are the only ones with GOOS
// files.
//
// The same interfaces are implemented by this process, when it has the
// capabilities (package steer adds what it takes to steer packets), through a
// helper process that has them (package helper), and by a fake for tests
// (internal/testnet).
package platform

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// ErrUnsupported is wrapped by errors of features that this operating system
// lacks.
var ErrUnsupported = errors.New("not supported on this system")

// ErrDirect is wrapped by OriginalDst's error when nobody redirected the
// connection: its client meant the address it reached.
var ErrDirect = errors.New("connection was not redirected")

// Sockets opens sockets, with options that an ordinary program has no use for.
type Sockets interface {
	// Listen opens a TCP listener. Its connections never use MPTCP, whose
	// sockets cannot tell their original destination. If s.Transparent is
	// wanted but not permitted, the listener is opened without it unless
	// s.Require is set; Listener.Transparent tells.
	Listen(ctx context.Context, s Socket) (*Listener, error)
	// Dial connects to dst. Errors keep the errno in their chain.
	Dial(ctx context.Context, s Socket, dst netip.AddrPort) (net.Conn, error)
	// DialUDP returns a UDP socket that is connected to dst: each Read and Write is
	// one datagram. Errors keep the errno in their chain.
	DialUDP(ctx context.Context, s Socket, dst netip.AddrPort) (net.Conn, error)
}

// A Socket describes a socket by its options.
type Socket struct {
	Bind        netip.AddrPort // address and port to bind; an unspecified IPv6 address is dual-stack
	Transparent bool           // IP_TRANSPARENT: accept for, and bind to, foreign addresses
	Require     bool           // fail if an option can't be set
	Mark        uint32         // SO_MARK; 0 sets none
}

// A Listener is a TCP listener and what became of its options.
type Listener struct {
	*net.TCPListener
	Transparent bool  // IP_TRANSPARENT is set, so TPROXY works
	Denied      error // why it is not, if it was wanted

	inherited bool
}

// Inherited returns a transparent listener that another process has opened by
// Listen and sent here. How often to look for dead peers did not come with it.
func Inherited(l *net.TCPListener) *Listener {
	return &Listener{TCPListener: l, Transparent: true, inherited: true}
}

// Accept is AcceptTCP for net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptTCP()
	if err != nil {
		return nil, err // not a nil *TCPConn in an interface
	}
	return c, nil
}

// AcceptTCP waits for the next connection.
func (l *Listener) AcceptTCP() (*net.TCPConn, error) {
	c, err := l.TCPListener.AcceptTCP()
	if err == nil && l.inherited {
		_ = c.SetKeepAliveConfig(KeepAlive()) // of one that was closed already, it fails
	}
	return c, err
}

// Destinations asks the redirector where a connection was meant to go.
type Destinations interface {
	// OriginalDst returns the address that the client of c, a connection
	// accepted from Listen, meant to reach, and how that was learned:
	// "redirect", "tproxy" or "divert". If nobody redirected it the error wraps
	// ErrDirect. It must be called at once after accept: the redirector's
	// entry does not last. IPv4 addresses are never v4-mapped.
	OriginalDst(ctx context.Context, c net.Conn) (dst netip.AddrPort, via string, err error)
}

// Addresses knows the host's own addresses, kept current.
type Addresses interface {
	// Own reports whether a is an address of this host, loopback included.
	Own(a netip.Addr) bool
}

// Host is all of it.
type Host interface {
	Sockets
	Datagrams
	Destinations
	Addresses
	Network
	// Close takes back what has been applied, releases what the host holds and waits for its goroutines.
	Close() error
}
