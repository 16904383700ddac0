// Package upstream holds the server's side of one client connection: dialled
// beside the peek, TLS as the client's hello asks, and the end of every chain
// of middleware. It belongs to one client connection and dies with it.
package upstream

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"transom/egress"
	"transom/exchange"
	"transom/flow"
	"transom/internal/engine/leg"
	"transom/internal/proto/h1"
	"transom/internal/proto/h2"
	"transom/internal/proto/sniff"
)

// A Config is what all the Sets of a program share.
type Config struct {
	Dialer   egress.Dialer
	Roots    *x509.CertPool // what servers are verified against; nil is the system's
	Insecure bool           // accept any certificate
	KeyLog   io.Writer      // secrets in NSS format; nil for none
	HTTP     h1.ClientOptions
	HTTP2    h2.ClientOptions
	Timeout  time.Duration // for a TLS handshake; 0 is none
}

// A Set is the server's side of one client connection. Its methods are called
// by that connection's goroutine, but for those that say otherwise.
type Set struct {
	cfg    *Config
	target egress.Target
	given  bool // by Over

	dialed chan struct{} // closed when the dial has ended; guards what follows
	cancel context.CancelFunc
	reset  atomic.Bool // the connection is to end with a reset
	conn   net.Conn    // innermost stream: TCP, then TLS on it
	raw    net.Conn    // the socket
	leg    flow.Leg
	err    error

	early    []byte // what the server said before it was asked
	earlyErr error  // how it ended before it was asked
	client2  *h2.Client
	wg       sync.WaitGroup

	mu     sync.Mutex // guards what follows for HalfClose
	client *h1.Client
	ended  error // how the client has ended its side
}

// Dial starts to dial t and returns at once. The Set must be closed.
func Dial(ctx context.Context, cfg *Config, t egress.Target) *Set {
	s := &Set{cfg: cfg, target: t, dialed: make(chan struct{})}
	ctx, s.cancel = context.WithCancel(ctx)
	s.wg.Go(func() {
		defer close(s.dialed)
		c, err := cfg.Dialer.Dial(ctx, t)
		if err != nil {
			s.err = err
			s.leg.Err = err.Error()
			return
		}
		s.conn, s.raw = c, c
		s.leg.Dialed = time.Now()
		s.leg.From, s.leg.To = leg.AddrPort(c.LocalAddr()), leg.AddrPort(c.RemoteAddr())
	})
	return s
}

// Over returns a Set for a server that is reached through c already; l describes
// the leg. Close closes c.
func Over(cfg *Config, c net.Conn, l *flow.Leg) *Set {
	s := &Set{cfg: cfg, dialed: make(chan struct{}), conn: c, raw: c, given: true, cancel: func() {}}
	if l != nil {
		s.leg = *l
	}
	close(s.dialed)
	return s
}

// Ready waits until the connection stands. Its error keeps the errno of the
// dial in its chain.
func (s *Set) Ready(ctx context.Context) error {
	select {
	case <-s.dialed:
		return s.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Leg describes the server's leg as far as it is known. The result does not
// change any more.
func (s *Set) Leg() *flow.Leg {
	select {
	case <-s.dialed:
		l := s.leg
		return &l
	default:
		return nil
	}
}

// Watch calls notify, from another goroutine and at most once, when the dial
// has failed or the server has spoken or ended unasked; what it said is kept.
// stop ends the watching, waits for it, and tells whether there was something
// to notify of. After it the Set can be used as before.
func (s *Set) Watch(notify func()) (stop func() bool) {
	quit := make(chan struct{})
	result := make(chan bool, 1)
	s.wg.Go(func() {
		found := s.watch(quit)
		if found {
			notify()
		}
		result <- found
	})
	return func() bool {
		close(quit)
		s.deadline(past)
		found := <-result
		s.deadline(time.Time{})
		return found
	}
}

// deadline sets the read deadline of the connection, if it stands. A conn that
// was closed meanwhile has no more use for one.
func (s *Set) deadline(t time.Time) {
	select {
	case <-s.dialed:
		if s.err == nil {
			_ = s.conn.SetReadDeadline(t)
		}
	default:
	}
}

// past is a deadline that has gone by.
var past = time.Unix(1, 0)

func (s *Set) watch(quit <-chan struct{}) (found bool) {
	select {
	case <-s.dialed:
	case <-quit:
		return false
	}
	if s.err != nil {
		return true
	}
	select {
	case <-quit:
		return false
	default:
	}
	if len(s.early) > 0 && !sniff.ServerPreface(s.early) {
		return true // it spoke while it was heard out, see objection
	}
	var b [512]byte
	n, err := s.conn.Read(b[:])
	s.early = append(s.early, b[:n]...)
	if err != nil && !isTimeout(err) {
		s.earlyErr = err
	}
	// A server of HTTP/2 begins without being asked, but the client decides.
	return n > 0 && !sniff.ServerPreface(b[:n]) || s.earlyErr != nil
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// EarlyReset returns the reset that Watch has found where the server said
// nothing before it, or nil. Linux reports a reset once: who reads after that
// finds an end like any other.
func (s *Set) EarlyReset() error {
	if len(s.early) == 0 && leg.Ended(s.earlyErr) == flow.RST {
		return s.earlyErr
	}
	return nil
}

// Take hands the server's stream over, with what was read of it already; the
// Set no longer uses it. If the server has ended it, reading says so again.
func (s *Set) Take() (c net.Conn, prefix []byte) {
	prefix = s.early
	if s.client != nil {
		prefix = append(prefix, s.client.Unread()...)
	}
	return s.conn, prefix
}

// HTTP2 has the connection, which must stand, speak HTTP/2 from now on. opened
// is told how it began; upgrade is how it came to be, nil if it began so.
func (s *Set) HTTP2(opened func(*h2.Opening), upgrade *h2.Upgrade) *h2.Client {
	o := s.cfg.HTTP2
	o.Opened, o.Upgrade = opened, upgrade
	s.client2 = h2.NewClient(s.conn, s.early, o)
	s.early = nil
	return s.client2
}

// Exchange implements exchange.Handler on the one connection: over HTTP/2 if
// that is what it speaks, side by side, else over HTTP/1.1.
func (s *Set) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	if s.client2 != nil {
		return s.client2.Exchange(ctx, req)
	}
	if err := s.Ready(ctx); err != nil {
		return nil, err
	}
	return s.begin().Exchange(ctx, req)
}

// begin returns the client of HTTP/1.1.
func (s *Set) begin() *h1.Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client == nil {
		s.client = h1.NewClient(leg.Join(s.conn, s.early), s.cfg.HTTP)
		s.early = nil
		if s.ended != nil {
			s.client.HalfClose(s.ended)
		}
	}
	return s.client
}

// HalfClose ends our side of the server's connection as how says that the client
// has ended its own, once the request under way has gone out. It may be called
// by any goroutine.
func (s *Set) HalfClose(how error) {
	s.mu.Lock()
	s.ended = how
	c := s.client
	s.mu.Unlock()
	if c != nil {
		c.HalfClose(how)
	}
}

// Left reports whether the last exchange there can be is over, and nobody but
// the server may have ended the connection so far.
func (s *Set) Left() bool { return s.client != nil && s.client.Left() }

// EndLike ends the server's connection as how says that the client ended its
// own. The Set is still to be closed.
func (s *Set) EndLike(how error) {
	if s.client2 != nil {
		s.client2.Finish()
	}
	if s.conn != nil {
		leg.Alike(s.conn, how)
	}
}

// Usable reports whether another exchange can be tried on the connection.
func (s *Set) Usable() bool { return s.client == nil || s.client.Usable() }

// Wait waits, while no exchange is under way, until the server ends the
// connection or says something unasked; nil means that ctx was done first.
func (s *Set) Wait(ctx context.Context) error {
	if s.client == nil {
		return nil
	}
	return s.client.Wait(ctx)
}

// Reset ends the server's connection with a reset; one that is still being
// dialled when Close is called. It may be called by any goroutine.
func (s *Set) Reset() {
	s.reset.Store(true)
	select {
	case <-s.dialed:
		if s.raw != nil {
			leg.Reset(s.raw)
		}
	default:
	}
}

// Close ends the dial or the connection and waits for the Set's goroutines.
func (s *Set) Close() {
	s.cancel()
	<-s.dialed
	if s.reset.Load() && s.raw != nil {
		leg.Reset(s.raw)
	}
	if s.client != nil {
		s.client.Close()
	}
	if s.client2 != nil {
		s.client2.Close()
	}
	if s.conn != nil {
		s.conn.Close()
	}
	s.wg.Wait()
}

var _ exchange.Handler = (*Set)(nil)
