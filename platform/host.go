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

	"transom/platform/pf"
)

// Here returns the host as this process sees it, with the rights that it has.
// Own is complete when Here returns and is kept current until Close. Sockets
// are made in the network namespace of the thread that calls Listen or Dial;
// addresses are those of the thread that called Here. log gets what an operator
// should know of options that were refused; nil is silence. Apply is for steer.Here.
func Here(log *slog.Logger) (Host, error) {
	original, forget := openOriginal(logOr(log))
	return hereWith(log, original, forget)
}

// An Origin finds out where redirected connections were meant to go, by the ends
// that they have here. Its error wraps pf.ErrNoState if nobody knows of one.
// *pf.Asker is one.
type Origin interface {
	Original(client, local netip.AddrPort) (netip.AddrPort, error)
	Close() error
}

// HereBy is Here, but for where connections were meant to go: o is asked. It is for
// macOS, where only root gets an answer and this process isn't root when it asks.
// Close closes o; so does HereBy, if it fails.
func HereBy(log *slog.Logger, o Origin) (Host, error) {
	return hereWith(log, askFor(o), o.Close)
}

func hereWith(log *slog.Logger, original original, forget func() error) (Host, error) {
	log = logOr(log)
	own, err := watchAddresses(log)
	if err != nil {
		return nil, errors.Join(err, forget())
	}
	return &here{log: log, own: own, original: original, forget: forget}, nil
}

// logOr is silence for nil.
func logOr(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// An original asks where a redirected connection was meant to go; v6 is the family
// of its address, which the socket's need not be.
type original func(c *net.TCPConn, v6 bool) (netip.AddrPort, error)

// askFor asks o for a connection by its ends.
func askFor(o Origin) original {
	return func(c *net.TCPConn, _ bool) (netip.AddrPort, error) {
		client, ok1 := c.RemoteAddr().(*net.TCPAddr)
		local, ok2 := c.LocalAddr().(*net.TCPAddr)
		if !ok1 || !ok2 {
			return netip.AddrPort{}, net.ErrClosed
		}
		return o.Original(client.AddrPort(), local.AddrPort())
	}
}

// here implements Host by system calls of this process.
type here struct {
	log  *slog.Logger
	own  *addresses
	told sync.Once // that SO_MARK is refused

	// original is a field so that tests can play kernels that are not there (no
	// conntrack at all). forget closes what it asks.
	original original
	forget   func() error
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
func (h *here) Close() error { return errors.Join(h.own.close(), h.forget()) }

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
	if err := listenable(s.Bind.Addr()); err != nil {
		return nil, err
	}
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
		return local, viaForeign, nil // a socket for a foreign address: it was given to us as it was
	}
	dst, err := h.original(t, local.Addr().Is6())
	switch {
	case err != nil && (noEntry(err) || errors.Is(err, pf.ErrNoState)):
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
