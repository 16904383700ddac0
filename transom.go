// Package transom is a transparent intercepting proxy: it takes connections
// that were meant for somebody else, learns where they were meant to go, shows
// what they carry, and carries them on.
//
// A Proxy needs Captures, an authority (Settings.Issuer) and a Host; everything
// else has a default. See ARCHITECTURE.md for how it is built.
package transom

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"transom/ca"
	"transom/capture"
	"transom/egress"
	"transom/exchange"
	"transom/internal/engine"
	"transom/internal/engine/bus"
	"transom/internal/engine/record"
	"transom/internal/proto/h1"
	"transom/internal/proto/h2"
	"transom/internal/proto/tlsterm"
	"transom/message"
	"transom/platform"
	"transom/platform/splice"
	"transom/policy"
	"transom/store"
)

// A Proxy intercepts what its captures bring. Its fields must not change once
// Run, Watch or Follow has been called.
type Proxy struct {
	Captures []capture.Capture
	Settings               // what Reload can replace
	Host     platform.Host // the caller closes it, after Run
	// Steering is what Run makes of the host once everything listens, and takes
	// back at its end: first the capturing, and when the connections have ended
	// the rest. Its Port is the first capture's if it is 0. The zero Steering
	// leaves the host alone.
	Steering platform.Steering
	Store    store.Store  // default: in memory, within its default bound; the caller closes its own
	Owners   Owners       // finds the programs that clients on this host are; default: nobody looks
	Devices  Devices      // finds the devices that other clients are; default: nobody looks
	Log      *slog.Logger // default: discard
	Timeouts Timeouts     // zero fields have defaults
	Limits   Limits       // zero fields have defaults

	// Listening, if set, is called once everything is listening, with the
	// addresses in the order of Captures, and before anything is accepted. Its
	// error ends Run.
	Listening func([]net.Addr) error

	once   sync.Once
	engine *engine.Engine
	bus    *bus.Bus
	ended  chan struct{} // closed by End
	endOne sync.Once
}

// Settings are the parts of a proxy that can change while it runs.
type Settings struct {
	Policy   policy.Policy   // default: inspect everything
	Issuer   ca.Issuer       // needed
	Dialer   egress.Dialer   // default: straight from Host, names resolved by Resolver
	Resolver egress.Resolver // for the default Dialer; default: the system's
	Spoof    *egress.Spoof   // for the default Dialer: whose address servers see; default: this host's
	Mark     uint32          // for the default Dialer: SO_MARK of its sockets; default: none
	HTTP     []exchange.Middleware
	Messages []message.Middleware
	Direct   exchange.Handler // answers requests to the proxy itself; default: 404

	UpstreamRoots *x509.CertPool // what servers are verified against; default: the system's
	Insecure      bool           // accept any server certificate
	OnTLSFailure  TLSFailure
	KeyLog        io.Writer // TLS secrets of both legs, NSS format
}

// A TLSFailure says what a client gets when TLS with its server fails.
type TLSFailure = engine.TLSFailure

// The ways to answer for a failed handshake with a server.
const (
	Mirror      = engine.Mirror      // the same failure: its alert, or a certificate that does not verify either
	BadGateway  = engine.BadGateway  // a 502 to each request, that says why
	PassThrough = engine.PassThrough // the connection is relayed undecrypted
)

// Owners find out which program of this host a client is. They are asked at accept, and
// nobody waits for them but the record of a connection at its end, for a second.
type Owners = engine.Owners

// Devices find out which device a client is. They are asked at accept, and as little is
// waited for as for Owners.
type Devices = engine.Devices

// Timeouts bound the waits. Zero takes the default, a negative value waits for
// ever.
type Timeouts struct {
	Sniff     time.Duration // for the next byte of an ambiguous beginning: 300 ms
	Handshake time.Duration // for a TLS handshake, each leg: 10 s
	Dial      time.Duration // for a connection to a server: 10 s
	Head      time.Duration // for an HTTP head, from its first byte: 60 s
	Idle      time.Duration // with nothing moving: 600 s
	UDP       time.Duration // with no datagram, before the client has gone on after an answer: 30 s
	UDPStream time.Duration // with no datagram, after that: 180 s
	UDPDrain  time.Duration // with no datagram, once Run's context has ended: 1 s
	Grace     time.Duration // for open connections when Run's context ends: 10 s
}

// Limits bound memory. Zero takes the default.
type Limits struct {
	Head   int   // bytes of an HTTP head: 64 KiB
	Fields int   // fields of an HTTP head: 256
	Bodies int64 // bytes of all bodies and messages held in memory at once: 64 MiB
	// Streams is how many bytes HTTP/2 streams may have brought that have not
	// been passed on, of all connections at once: 32 MiB. Each connection may
	// have 256 KiB in any case, and none more than 16 MiB.
	Streams int64

	// Message is how long a WebSocket message may be for middleware to see it: 16
	// MiB. A longer one passes by, and the record says so.
	Message int64
}

// Run intercepts until ctx is done, then lets the open connections finish
// within the grace period, waits for all it has started, and returns. It
// returns nil for an orderly end, also before it could begin, and an error if
// it could not start or a capture broke. It may be called once.
func (p *Proxy) Run(ctx context.Context) error {
	if err := p.check(); err != nil {
		return err
	}
	p.setup()
	if err := p.Reload(p.Settings); err != nil {
		return err
	}
	defer p.engine.Pipes.Close()
	if ctx.Err() != nil {
		return nil
	}
	sources, err := p.open(ctx)
	if err != nil && ctx.Err() != nil {
		return nil // Open fails of that, too
	}
	if err != nil {
		return err
	}
	defer closeAll(sources)
	for _, s := range sources {
		if a, ok := s.Addr().(*net.TCPAddr); ok {
			defer p.engine.Guard.Listen(uint16(a.Port))()
		}
	}
	unsteer, err := p.steer(ctx, sources)
	if err != nil && ctx.Err() != nil {
		return nil // what was put in force was taken back
	}
	if err != nil {
		return err
	}
	if p.Listening != nil {
		if err := p.Listening(addrs(sources)); err != nil && ctx.Err() != nil {
			return unsteer()
		} else if err != nil {
			return errors.Join(err, unsteer())
		}
	}
	return errors.Join(p.serve(ctx, sources), unsteer())
}

// End cuts short the grace period of a Run whose context is done.
func (p *Proxy) End() {
	p.setup()
	p.endOne.Do(func() { close(p.ended) })
}

// Reload replaces the settings for new connections, and the middleware for the
// next exchange of open ones. On error the old ones stay in force.
func (p *Proxy) Reload(s Settings) error {
	p.setup()
	if s.Issuer == nil {
		return errors.New("transom: Settings.Issuer is needed: without an authority nothing can be decrypted")
	}
	if s.Policy == nil {
		s.Policy = &policy.Hosts{}
	}
	if s.Dialer == nil {
		s.Dialer = &egress.Direct{
			Host: p.Host, Resolver: s.Resolver, Refuse: p.engine.Guard.Refuse,
			Timeout: p.timeout(p.Timeouts.Dial, 10*time.Second),
			Spoof:   s.Spoof, Mark: s.Mark, Own: p.Host, Log: p.Log,
		}
	}
	if s.Direct == nil {
		s.Direct = exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return exchange.Text(404, "404 Not Found\n\nThis is transom, an intercepting proxy.\n"), nil
		})
	}
	prog := &engine.Program{
		Policy: s.Policy, Issuer: s.Issuer, Dialer: s.Dialer, Direct: s.Direct,
		Roots: s.UpstreamRoots, Insecure: s.Insecure, OnTLSFailure: s.OnTLSFailure, KeyLog: s.KeyLog,
	}
	if len(s.HTTP) > 0 {
		prog.HTTP = exchange.Chain(s.HTTP...)
	}
	if len(s.Messages) > 0 {
		prog.Messages = message.Chain(s.Messages...)
	}
	p.engine.Program.Store(prog)
	return nil
}

// Flows returns the store that flows are recorded in.
func (p *Proxy) Flows() store.Store {
	p.setup()
	return p.Store
}

// Close ends what Watch and Follow yield, once all that waits was seen. It is for after
// Run.
func (p *Proxy) Close() {
	p.setup()
	p.bus.Close()
}

func (p *Proxy) check() error {
	switch {
	case len(p.Captures) == 0:
		return errors.New("transom: nothing to capture: Captures is empty")
	case p.Host == nil:
		return errors.New("transom: Host is needed: platform.Here is this process")
	}
	return nil
}

func (p *Proxy) setup() {
	p.once.Do(func() {
		if p.Log == nil {
			p.Log = slog.New(slog.DiscardHandler)
		}
		if p.Store == nil {
			p.Store = store.NewMemory(store.MemoryOptions{})
		}
		p.ended = make(chan struct{})
		p.bus = new(bus.Bus)
		p.engine = &engine.Engine{
			Recorder: &record.Recorder{Bus: p.bus, Store: p.Store, Log: p.Log},
			Guard:    engine.NewGuard(p.Host),
			Log:      p.Log,
			Timeouts: engine.Timeouts{
				Sniff:     p.timeout(p.Timeouts.Sniff, 300*time.Millisecond),
				Handshake: p.timeout(p.Timeouts.Handshake, 10*time.Second),
				Head:      p.timeout(p.Timeouts.Head, time.Minute),
				Idle:      p.timeout(p.Timeouts.Idle, 10*time.Minute),
				UDP:       p.timeout(p.Timeouts.UDP, 30*time.Second),
				UDPStream: p.timeout(p.Timeouts.UDPStream, 3*time.Minute),
				UDPDrain:  p.timeout(p.Timeouts.UDPDrain, time.Second),
			},
			Limits:   h1.Limits{Head: orDefault(p.Limits.Head, 64<<10), Fields: orDefault(p.Limits.Fields, 256)},
			Pipes:    splice.NewPool(0),
			Budget:   exchange.NewBudget(orDefault(p.Limits.Bodies, 64<<20)),
			Memory:   h2.NewMemory(orDefault(p.Limits.Streams, 32<<20)),
			Sessions: tlsterm.NewSessions(tlsterm.SessionsOptions{}),
			Message:  p.Limits.Message,
			Owners:   p.Owners,
			Devices:  p.Devices,
		}
	})
}

func (p *Proxy) timeout(set, byDefault time.Duration) time.Duration {
	return max(orDefault(set, byDefault), 0)
}

func orDefault[T comparable](set, byDefault T) T {
	var zero T
	if set == zero {
		return byDefault
	}
	return set
}

func (p *Proxy) open(ctx context.Context) ([]capture.Source, error) {
	var sources []capture.Source
	for _, c := range p.Captures {
		s, err := c.Open(ctx, capture.Env{Host: p.Host, Log: p.Log})
		if err != nil {
			closeAll(sources)
			return nil, fmt.Errorf("%s: %w", c, err)
		}
		sources = append(sources, s)
	}
	return sources, nil
}

func closeAll(sources []capture.Source) {
	for _, s := range sources {
		s.Close()
	}
}

func addrs(sources []capture.Source) []net.Addr {
	var as []net.Addr
	for _, s := range sources {
		as = append(as, s.Addr())
	}
	return as
}
