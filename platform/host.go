package platform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Here returns the host as this process sees it, with the rights that it has.
// Own is complete when Here returns and is kept current until Close. Sockets
// are made in the network namespace of the thread that calls Listen or Dial;
// addresses are those of the thread that called Here. log gets what an operator
// should know of options that were refused; nil is silence. Apply is for steer.Here.
func Here(log *slog.Logger) (Host, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	own, err := watchAddresses(log)
	if err != nil {
		return nil, err
	}
	return &here{log: log, own: own, original: originalDst}, nil
}

// here implements Host by system calls of this process.
type here struct {
	log  *slog.Logger
	own  *addresses
	told sync.Once // that SO_MARK is refused

	// original asks the kernel where a redirected connection was meant to go;
	// v6 chooses the table. It is a field so that tests can play kernels that
	// are not there (no conntrack at all).
	original func(c *net.TCPConn, v6 bool) (netip.AddrPort, error)
}

var _ Host = (*here)(nil)

// Own implements Addresses. It takes no lock.
func (h *here) Own(a netip.Addr) bool { return h.own.has(a) }

// Apply implements Network: it can only take back, which is nothing.
func (h *here) Apply(_ context.Context, want Steering) error {
	if want.IsZero() {
		return nil
	}
	return fmt.Errorf("steer packets: %w by this host: it was made without; package steer makes one with", ErrUnsupported)
}

// Close implements Host.
func (h *here) Close() error { return h.own.close() }

// KeepAlive finds dead peers within three minutes without waking an idle phone
// every 15 seconds, which is what Go would do.
func KeepAlive() net.KeepAliveConfig {
	return net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 8}
}

// Listen implements Sockets.
func (h *here) Listen(ctx context.Context, s Socket) (*Listener, error) {
	l, err := h.listen(ctx, s)
	if err != nil && s.Bind.Addr() == netip.IPv6Unspecified() && noIPv6(err) {
		s.Bind = netip.AddrPortFrom(netip.IPv4Unspecified(), s.Bind.Port())
		l, err = h.listen(ctx, s)
	}
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // which says listen and the address too
		}
		return nil, fmt.Errorf("listen on %s: %w", s.Bind, err)
	}
	return l, nil
}

func (h *here) listen(ctx context.Context, s Socket) (*Listener, error) {
	o := options{Socket: s}
	lc := net.ListenConfig{Control: o.control, KeepAliveConfig: KeepAlive()}
	lc.SetMultipathTCP(false)
	l, err := lc.Listen(ctx, network(s.Bind), s.Bind.String())
	if err != nil {
		return nil, err
	}
	h.marked(&o)
	return &Listener{
		TCPListener: l.(*net.TCPListener),
		Transparent: s.Transparent && o.denied == nil,
		Denied:      o.denied,
	}, nil
}

// network keeps IPv4 addresses on IPv4 sockets and lets only the unspecified
// IPv6 address be dual-stack.
func network(a netip.AddrPort) string {
	switch {
	case a.Addr().Unmap().Is4():
		return "tcp4"
	case a.Addr().Is6() && !a.Addr().IsUnspecified():
		return "tcp6"
	}
	return "tcp"
}

// Dial implements Sockets. The connection has TCP_NODELAY set, as Go's have,
// and sends keep-alives after a minute.
func (h *here) Dial(ctx context.Context, s Socket, dst netip.AddrPort) (net.Conn, error) {
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	o := options{Socket: s, dial: true}
	d := net.Dialer{Control: o.control, KeepAliveConfig: KeepAlive()}
	d.SetMultipathTCP(false)
	if s.Bind.Addr().IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.Bind.Addr().Unmap(), s.Bind.Port()))
	}
	c, err := d.DialContext(ctx, "tcp", dst.String())
	h.marked(&o)
	return c, err
}

// marked tells once that marks are refused.
func (h *here) marked(o *options) {
	if o.unmarked == nil {
		return
	}
	h.told.Do(func() {
		h.log.Warn("sockets are not marked: rules that exempt the proxy's own traffic by mark do not see it; give it CAP_NET_ADMIN or CAP_NET_RAW", "mark", o.Mark, "err", o.unmarked)
	})
}

// OriginalDst implements Destinations.
func (h *here) OriginalDst(_ context.Context, c net.Conn) (netip.AddrPort, string, error) {
	t, err := tcp(c)
	if err != nil {
		return netip.AddrPort{}, "", err
	}
	la, ok := t.LocalAddr().(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, "", fmt.Errorf("original destination of a connection that is closed: %w", net.ErrClosed)
	}
	local := la.AddrPort()
	local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	if !h.Own(local.Addr()) {
		return local, "tproxy", nil // a socket for a foreign address: TPROXY gave it to us
	}
	dst, err := h.original(t, local.Addr().Is6())
	switch {
	case err != nil && noEntry(err):
		return netip.AddrPort{}, "", fmt.Errorf("%w: nothing is known of a connection to %s: %w", ErrDirect, local, err)
	case err != nil:
		return netip.AddrPort{}, "", fmt.Errorf("ask for the original destination of a connection to %s: %w", local, err)
	case dst.Port() == local.Port() && dst.Addr().WithZone("") == local.Addr().WithZone(""):
		return netip.AddrPort{}, "", fmt.Errorf("%w: its client meant %s", ErrDirect, local)
	}
	return dst, "redirect", nil
}

// tcp finds the socket below c.
func tcp(c net.Conn) (*net.TCPConn, error) {
	for inner := c; ; {
		if t, ok := inner.(*net.TCPConn); ok {
			return t, nil
		}
		w, ok := inner.(interface{ NetConn() net.Conn })
		if !ok {
			return nil, fmt.Errorf("original destination of %T: %w: it is no TCP socket", c, ErrUnsupported)
		}
		inner = w.NetConn()
	}
}
