package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"transom/flow"
	"transom/platform"
)

// Redirect captures TCP connections that the host's packet filter sends to a
// port of ours: by REDIRECT or DNAT on this host, whose table is asked for the
// destination, or by TPROXY, whose connections keep it as their local address.
// Which of them it was is found out for each connection. Somebody else sets the
// rules.
type Redirect struct {
	// Listen is where to listen. An unspecified IPv6 address listens for IPv4
	// as well; the zero Addr does the same.
	Listen netip.AddrPort
	// RequireTransparent makes Open fail if TPROXY could not work, for want of
	// the right to set IP_TRANSPARENT. Otherwise that is only logged.
	RequireTransparent bool
	// Mark is the SO_MARK of the listener and of what it accepts; 0 sets none.
	Mark uint32
}

var _ Capture = Redirect{}

// String returns the mode that describes the capture on the command line:
// "transparent@8080", "transparent@127.0.0.1:8080", "tproxy@[::1]:8080".
func (r Redirect) String() string {
	mode := "transparent"
	if r.RequireTransparent {
		mode = "tproxy"
	}
	if a := r.Listen.Addr(); !a.IsValid() || a == netip.IPv6Unspecified() {
		return mode + "@" + strconv.Itoa(int(r.Listen.Port()))
	}
	return mode + "@" + r.Listen.String()
}

// Open implements Capture.
func (r Redirect) Open(ctx context.Context, env Env) (Source, error) {
	log := env.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	bind := r.Listen
	if !bind.Addr().IsValid() {
		bind = netip.AddrPortFrom(netip.IPv6Unspecified(), bind.Port())
	}
	if !env.Host.Own(bind.Addr()) && !bind.Addr().IsUnspecified() {
		// A transparent socket could be bound to it, and would wait for ever.
		return nil, fmt.Errorf("no interface of this host has the address %s", bind.Addr())
	}
	l, err := env.Host.Listen(ctx, platform.Socket{Bind: bind, Transparent: true, Require: r.RequireTransparent, Mark: r.Mark})
	if err != nil {
		return nil, err
	}
	log.Debug("listening for redirected connections", "capture", r.String(), "listen", l.Addr(), "tproxy", l.Transparent)
	if !l.Transparent && !errors.Is(l.Denied, platform.ErrUnsupported) {
		log.Info("REDIRECT works, TPROXY does not: its connections would be refused; for it, run with CAP_NET_RAW or CAP_NET_ADMIN", "err", l.Denied)
	}
	return &redirected{
		host:  env.Host,
		log:   log,
		l:     l,
		turn:  make(chan struct{}, 1),
		ended: make(chan struct{}),
	}, nil
}

// redirected is the source of a Redirect.
type redirected struct {
	host  platform.Host
	log   *slog.Logger
	l     *platform.Listener
	turn  chan struct{} // held by the one Accept that uses the listener's deadline
	ended chan struct{} // closed by Close
	close onceErr
}

// Addr implements Source.
func (r *redirected) Addr() net.Addr { return r.l.Addr() }

// Close implements Source.
func (r *redirected) Close() error {
	return r.close.do(func() error {
		close(r.ended)
		return r.l.Close()
	})
}

// Accept implements Source. The destination is asked for before it returns,
// since the packet filter forgets.
func (r *redirected) Accept(ctx context.Context) (*Conn, error) {
	c, err := r.accept(ctx)
	if err != nil {
		return nil, err
	}
	return r.identify(ctx, c), nil
}

// restWithin is how long Rest waits in all, since a listener can't be asked what waits
// without waiting.
const restWithin = time.Millisecond

// Rest implements Source.
func (r *redirected) Rest(most int) (rest []*Conn) {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	for len(rest) < most {
		_ = r.l.SetDeadline(time.Now().Add(restWithin)) // of a closed one, it fails, as the next does
		c, err := r.l.AcceptTCP()
		if err != nil {
			break // there is none, or none that could be had
		}
		rest = append(rest, r.identify(context.Background(), c))
	}
	return rest
}

// accept waits for one connection, and until passing failures have passed.
func (r *redirected) accept(ctx context.Context) (net.Conn, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	for pause := time.Duration(0); ; {
		c, err := r.acceptOnce(ctx)
		switch {
		case err == nil:
			if pause != 0 {
				r.log.Info("accepting connections again", "listen", r.l.Addr())
			}
			return c, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.Is(err, net.ErrClosed):
			return nil, net.ErrClosed
		case !passes(err):
			return nil, fmt.Errorf("accept on %s: %w", r.l.Addr(), err)
		}
		if pause == 0 {
			r.log.Warn("cannot accept connections for the moment; "+remedy(err), "listen", r.l.Addr(), "err", err)
		}
		pause = min(max(2*pause, 5*time.Millisecond), time.Second)
		if err := r.wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// acceptOnce ends early, with an error that means nothing, when ctx is done.
func (r *redirected) acceptOnce(ctx context.Context) (net.Conn, error) {
	if ctx.Done() == nil {
		return r.l.AcceptTCP()
	}
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = r.l.SetDeadline(time.Unix(1, 0))
	})
	c, err := r.l.AcceptTCP()
	if !stop() {
		<-woken
		_ = r.l.SetDeadline(time.Time{})
	}
	if err != nil {
		return nil, err // not a nil *TCPConn in an interface
	}
	return c, nil
}

func (r *redirected) wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-r.ended:
		return net.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// identify learns where c was meant to go.
func (r *redirected) identify(ctx context.Context, c net.Conn) *Conn {
	now := time.Now()
	info := &flow.Conn{
		ID:      flow.NewID(now),
		Start:   now,
		Network: "tcp",
		Client:  addrPort(c.RemoteAddr()),
		Local:   addrPort(c.LocalAddr()),
	}
	out := &Conn{Conn: c, Info: info}
	dst, via, err := r.host.OriginalDst(ctx, c)
	switch {
	case err == nil:
		info.Dst, info.Via = dst, via
	case errors.Is(err, platform.ErrDirect):
		info.Dst, info.Via, out.Direct = info.Local, "direct", true
	default:
		out.Err = err
	}
	return out
}

// addrPort returns a's address, never v4-mapped; the zone of a link-local
// address stays, as only with it the address means something.
func addrPort(a net.Addr) netip.AddrPort {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := t.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
