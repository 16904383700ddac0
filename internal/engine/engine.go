// Package engine reads a captured connection layer by layer: peek, decide, hand
// on, look again. It is the only package that knows every protocol and every
// decision; codecs know no policy, and policies know no protocol.
package engine

import (
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"transom/ca"
	"transom/capture"
	"transom/egress"
	"transom/exchange"
	"transom/flow"
	"transom/internal/engine/record"
	"transom/internal/engine/relay"
	"transom/internal/proto/h1"
	"transom/internal/proto/h2"
	"transom/internal/proto/tlsterm"
	"transom/message"
	"transom/platform/splice"
	"transom/policy"
)

// A Program is all that a reload replaces: compiled, immutable, swapped whole.
type Program struct {
	Policy   policy.Policy
	Issuer   ca.Issuer
	Dialer   egress.Dialer
	HTTP     exchange.Middleware // nil for none
	Messages message.Middleware  // nil for none

	// Direct answers requests that are meant for the proxy itself.
	Direct exchange.Handler

	Roots        *x509.CertPool // what servers are verified against; nil is the system's
	Insecure     bool           // accept any server certificate
	OnTLSFailure TLSFailure
	KeyLog       io.Writer // TLS secrets of both legs, NSS format; nil for none
}

// A TLSFailure says what the client gets when TLS with the server fails.
type TLSFailure uint8

const (
	// Mirror shows the client the same failure: the server's alert, or for a
	// certificate that does not verify, one of ours that does not either.
	Mirror TLSFailure = iota
	// BadGateway answers each request with a 502 that says why.
	BadGateway
	// PassThrough relays the connection without decrypting it.
	PassThrough
)

// Timeouts bound the waits of a connection. Zero is for ever.
type Timeouts struct {
	Sniff     time.Duration // for the next byte, while what came is ambiguous
	Handshake time.Duration // for a TLS handshake, each leg
	Head      time.Duration // for an HTTP head, from its first byte
	Idle      time.Duration // with nothing moving
	UDP       time.Duration // with no datagram, in a conversation of one exchange at most
	UDPStream time.Duration // the same in one that goes on
	UDPDrain  time.Duration // the same once we are to stop
}

// An Engine serves connections with the current program.
type Engine struct {
	Program  atomic.Pointer[Program]
	Recorder *record.Recorder
	Guard    *Guard
	Log      *slog.Logger
	Timeouts Timeouts
	Limits   h1.Limits
	Budget   *exchange.Budget  // for all bodies and messages held in memory
	Memory   *h2.Memory        // for all that is on its way by HTTP/2
	Pipes    *splice.Pool      // for what is passed in the kernel; nil for none
	Sessions *tlsterm.Sessions // for resuming TLS; nil for full handshakes only
	Owners   Owners            // finds the programs that clients are; nil for nobody
	Devices  Devices           // finds the devices that clients are; nil for nobody
	Message  int64             // how long a message may be for middleware to see it; 0 is the protocol's default

	mu            sync.Mutex
	sessions      map[*session]struct{}
	conversations map[flow.ID]injectable // that go on
	draining      bool
	loops         quieter
	unknown       quieter
}

// Serve reads one captured connection to its end and closes it.
func (e *Engine) Serve(ctx context.Context, cc *capture.Conn) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	rec, settle := e.record(cc)
	defer settle()
	s := &session{e: e, p: e.Program.Load(), raw: cc.Conn, c: cc.Conn, info: cc.Info, rec: rec}
	s.ctx, s.cancel = ctx, cancel
	e.enter(s)
	defer e.leave(s)
	s.debugBegin()
	stop := context.AfterFunc(ctx, s.abort)
	defer stop()
	s.finish(s.serve(ctx, cc))
}

// Drain lets every connection finish the exchange it is in and end then;
// connections that carry something else go on, silent or not: a server that says
// nothing behind a client's FIN may be at work. It returns at once.
func (e *Engine) Drain() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.draining = true
	for s := range e.sessions {
		s.drain()
	}
}

// Open returns how many clients are connected.
func (e *Engine) Open() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	clients := map[net.Conn]struct{}{} // a tunnel is a session within another
	for s := range e.sessions {
		clients[s.raw] = struct{}{}
	}
	return len(clients)
}

func (e *Engine) enter(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.sessions == nil {
		e.sessions = map[*session]struct{}{}
	}
	e.sessions[s] = struct{}{}
	if e.draining {
		s.drain()
	}
}

func (e *Engine) leave(s *session) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.sessions, s)
}

// tendEach is how often what is under way is looked at for the store.
const tendEach = time.Second

// Tend has the store know of exchanges and conversations of which nothing comes any more, as far as they have
// come, until ctx is done.
func (e *Engine) Tend(ctx context.Context) {
	tick := time.NewTicker(tendEach)
	defer tick.Stop()
	var all []*record.Conn
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			all = e.recorded(all[:0])
			for _, rec := range all {
				rec.Tend(now)
			}
			clear(all)
		}
	}
}

// recorded appends the records of all connections.
func (e *Engine) recorded(all []*record.Conn) []*record.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.sessions {
		all = append(all, s.rec)
	}
	return all
}

func (e *Engine) relay() *relay.Relay {
	return &relay.Relay{Pipes: e.Pipes, Idle: e.Timeouts.Idle}
}

// A quieter lets one log line through for each kind of trouble and minute, and
// counts the rest.
type quieter struct {
	mu      sync.Mutex
	last    time.Time
	skipped int
}

// pass reports whether to log now, and how many were held back before.
func (q *quieter) pass() (ok bool, skipped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := time.Now(); q.last.IsZero() || now.Sub(q.last) >= time.Minute {
		q.last, skipped, q.skipped = now, q.skipped, 0
		return true, skipped
	}
	q.skipped++
	return false, 0
}
