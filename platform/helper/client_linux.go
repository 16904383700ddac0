package helper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// endWithin bounds the wait for the helper and the watch at the end.
const endWithin = 10 * time.Second

// A Client is a platform.Host whose rights are those of a helper. What needs no
// right it does itself.
type Client struct {
	platform.Host // what needs no right
	charter       Charter
	log           *slog.Logger
	line          *line
	leash         *os.File // the watch sees it end with this process
	watch         *exec.Cmd
	watched       chan error // gets how the watch ended
	ready         func()     // to be called at the first hello
	ends          sync.WaitGroup
	unmarked      sync.Once // that marks are refused
	close         func() error

	applying sync.Mutex // held by the one Apply
	mu       sync.Mutex
	state    state // what was asked for last
	closing  bool

	ending chan string // of capacity one
	lost   chan struct{}
	losing sync.Once
	why    error // set before lost is closed
}

var _ platform.Host = (*Client)(nil)

// Lost is closed when the helper is gone for good, before Close. Nothing is
// captured any more then.
func (c *Client) Lost() <-chan struct{} { return c.lost }

// Ending gets a reason to end, when somebody has told the helper or its watch to.
// Both go on until Close.
func (c *Client) Ending() <-chan string { return c.ending }

// Err says why the helper is gone; it wraps ErrLost. It is nil before that.
func (c *Client) Err() error {
	select {
	case <-c.lost:
		return c.why
	default:
		return nil
	}
}

// lose ends everything that needs the helper.
func (c *Client) lose(why string) {
	c.losing.Do(func() {
		c.why = fmt.Errorf("%w: %s", ErrLost, why)
		close(c.lost)
	})
	c.line.end(c.why)
}

// heard is told what the line does not handle.
func (c *Client) heard(r report) {
	switch r.kind {
	case sayLost:
		c.lose(string(r.text))
		return
	case sayEnd:
		select {
		case c.ending <- string(r.text):
		default: // nobody needs to be told twice
		}
		return
	}
	// What was in force went with the helper that died. An Apply under way asks
	// again by itself; that does no harm.
	if c.wants() != off {
		c.ends.Go(c.rearm)
	}
	c.ready()
}

// rearm asks a new helper for what the old one was asked for. If it can't be had
// the capturing has stopped, and nobody would notice.
func (c *Client) rearm() {
	ctx, cancel := context.WithTimeout(context.Background(), applyWithin)
	defer cancel()
	c.applying.Lock()
	defer c.applying.Unlock()
	to := c.wants()
	if to == off {
		return
	}
	err := c.apply(ctx, to)
	switch {
	case err == nil:
		c.log.Info("the helper was started again: connections are captured as before", "state", to)
	case errors.Is(err, errRestarted): // the next hello does it
	default:
		c.lose("capture connections again after the helper died: " + err.Error())
	}
}

// apply asks for a state once.
func (c *Client) apply(ctx context.Context, to state) error {
	_, err := c.line.ask(ctx, request{kind: askApply, state: to}, -1)
	return err
}

// Apply implements platform.Network for the steering of the charter. It refuses
// others without asking. When the helper is gone for good so is what was applied.
func (c *Client) Apply(ctx context.Context, want platform.Steering) error {
	to, err := c.charter.covers(want)
	if err != nil {
		return err
	}
	if c.Err() != nil {
		if to == on {
			return c.Err()
		}
		return nil // done or being done
	}
	c.applying.Lock()
	defer c.applying.Unlock()
	before := c.set(to)
	err = again(func() error { return c.apply(ctx, to) })
	if err != nil && to != on && errors.Is(err, ErrLost) {
		return nil
	}
	var said *remoteError
	if err != nil && (to == off || errors.As(err, &said)) {
		c.set(before) // without an answer it may be in force, and Close takes it back
	}
	return err
}

// wants is what was asked for last.
func (c *Client) wants() state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

func (c *Client) set(to state) (before state) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, c.state = c.state, to
	return before
}

// again calls f, and again when the helper died meanwhile: more often than it may.
func again(f func() error) error {
	err := f()
	for tries := 0; errors.Is(err, errRestarted) && tries < deathsMax; tries++ {
		err = f()
	}
	return err
}

// SelfTest runs the self-test that the helper has for its charter.
func (c *Client) SelfTest(ctx context.Context) error {
	return again(func() error {
		_, err := c.line.ask(ctx, request{kind: askTest}, -1)
		return err
	})
}

// Listen implements platform.Sockets. A listener that is transparent or marked is
// the helper's.
func (c *Client) Listen(ctx context.Context, s platform.Socket) (*platform.Listener, error) {
	if !s.Transparent && s.Mark == 0 {
		return c.Host.Listen(ctx, s)
	}
	if s.Mark != 0 && s.Mark != c.charter.marks().Client {
		return nil, fmt.Errorf("listen on %s: %w: mark %#x, it was started for %#x", s.Bind, ErrRefused, s.Mark, c.charter.marks().Client)
	}
	var l *platform.Listener
	err := again(func() (err error) {
		l, err = c.listen(ctx, s.Bind)
		return err
	})
	if err == nil || s.Require || !errors.Is(err, ErrRefused) {
		return l, err
	}
	wanted := s.Transparent
	s.Transparent, s.Mark = false, 0
	if l, denied := c.Host.Listen(ctx, s); denied == nil {
		if wanted {
			l.Denied = err
		}
		return l, nil
	}
	return nil, err
}

func (c *Client) listen(ctx context.Context, a netip.AddrPort) (*platform.Listener, error) {
	got, err := c.line.ask(ctx, request{kind: askListen, addr: unmap(a)}, -1)
	if err != nil {
		return nil, err // which says what was asked for
	}
	if got.fd < 0 {
		return nil, fmt.Errorf("listen on %s: the helper sent no listener", a)
	}
	f := os.NewFile(uintptr(got.fd), "listener")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", a, err)
	}
	return platform.Inherited(l.(*net.TCPListener)), nil
}

// triesOfDial bounds the search for a source port that is free for a destination.
const triesOfDial = 32

// Dial implements platform.Sockets. A socket that is bound or marked is prepared by
// the helper before it connects. A source port of 0 is chosen anew while the one
// that was is taken.
func (c *Client) Dial(ctx context.Context, s platform.Socket, dst netip.AddrPort) (net.Conn, error) {
	if !s.Bind.Addr().IsValid() && s.Mark == 0 {
		return c.Host.Dial(ctx, s, dst)
	}
	s.Bind, dst = unmap(s.Bind), unmap(dst)
	if s.Mark != 0 && s.Mark != c.charter.marks().Upstream {
		return nil, fmt.Errorf("dial %s: %w: mark %#x, it was started for %#x", dst, ErrRefused, s.Mark, c.charter.marks().Upstream)
	}
	var conn net.Conn
	var err error
	for range triesOfDial {
		err = again(func() (err error) {
			conn, err = c.dial(ctx, s.Bind, dst)
			return err
		})
		if !s.Bind.Addr().IsValid() || s.Bind.Port() != 0 || !errors.Is(err, unix.EADDRNOTAVAIL) {
			break
		}
	}
	if err != nil && !s.Bind.Addr().IsValid() && !s.Require && errors.Is(err, ErrRefused) {
		c.unmarked.Do(func() {
			c.log.Warn("sockets are not marked: rules that exempt the proxy's own traffic by mark do not see it", "err", err)
		})
		return c.Host.Dial(ctx, platform.Socket{}, dst)
	}
	return conn, err
}

func (c *Client) dial(ctx context.Context, bind, dst netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: platform.KeepAlive(),
		ControlContext: func(ctx context.Context, _, _ string, raw syscall.RawConn) error {
			return c.prepare(ctx, raw, request{kind: askPrepare, addr: bind})
		},
	}
	d.SetMultipathTCP(false)
	return d.DialContext(ctx, "tcp", dst.String())
}

// prepare has the helper prepare a socket.
func (c *Client) prepare(ctx context.Context, raw syscall.RawConn, r request) error {
	var err error
	if e := raw.Control(func(fd uintptr) {
		_, err = c.line.ask(ctx, r, int(fd))
	}); e != nil {
		return e
	}
	return err
}
