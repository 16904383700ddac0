package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"transom/capture"
	"transom/egress"
	"transom/flow"
	"transom/internal/engine/leg"
	"transom/internal/engine/record"
	"transom/internal/engine/relay"
	"transom/internal/engine/upstream"
	"transom/internal/proto/h1"
	"transom/internal/proto/h2"
	"transom/internal/proto/sniff"
	"transom/policy"
)

// A session is one client connection on its way through the layers.
type session struct {
	e      *Engine
	p      *Program
	ctx    context.Context // of all that it does
	cancel context.CancelCauseFunc
	raw    net.Conn // the socket
	c      net.Conn // the innermost stream found so far
	prefix []byte   // what was read of c and not handled
	info   *flow.Conn
	hello  *sniff.Hello // of the TLS layer found last
	asked  time.Time    // when that was sent
	up     *upstream.Set
	rec    *record.Conn
	end    flow.Connection
	http   atomic.Pointer[func()] // drains what serves HTTP, or relays datagrams
	drains atomic.Bool

	locals []pair                 // our connections to servers, for the guard; the dial under way owns it
	poke   atomic.Pointer[func()] // ends a wait for a client that has not begun to speak
}

// serve reads the connection to its end. Its error says how it ended if not
// well; it has not been logged or recorded.
func (s *session) serve(ctx context.Context, cc *capture.Conn) error {
	switch {
	case cc.Err != nil:
		return s.destinationUnknown(cc.Err)
	case cc.Direct || s.e.Guard.Ours(s.info.Dst):
		if s.info.Network == "udp" {
			return errUDPToUs
		}
		return s.direct(ctx)
	}
	p := pair{s.info.Client, s.info.Dst, s.info.Network == "udp"}
	if !s.e.Guard.enter(p, s) {
		return errLoop
	}
	defer s.e.Guard.leave(p, s)
	if p.udp {
		return s.datagrams(ctx)
	}
	return s.intercept(ctx)
}

// destinationUnknown says so where an operator sees it.
func (s *session) destinationUnknown(err error) error {
	if ok, skipped := s.e.unknown.pass(); ok {
		s.e.Log.Warn("can't learn where a connection was meant to go; it is refused",
			"client", s.info.Client, "local", s.info.Local, "err", err, "since_last", skipped)
	}
	return &endError{reason: "destination unknown: " + err.Error(), err: err, ours: true}
}

// intercept is the loop: peek, decide, hand on, look again.
func (s *session) intercept(ctx context.Context) error {
	v := s.p.Policy.Decide(s.info)
	if v.Action == policy.Block {
		return s.blocked(v)
	}
	s.dial(ctx)
	err := s.layers(ctx, v)
	s.hangUpLike(err)
	return err
}

// layers takes one layer after the other off a connection whose server is
// being dialled. v is what policy said so far.
func (s *session) layers(ctx context.Context, v policy.Verdict) error {
	switch v.Action {
	case policy.Block:
		return s.blocked(v)
	case policy.Pass:
		return s.pass(ctx, v.Reason)
	}
	for {
		layer, err := s.peek(ctx)
		if err != nil {
			return err
		}
		s.debugLayer(layer)
		if v.Action == policy.Inspect {
			switch layer.Proto {
			case "http/1.1":
				return s.serveHTTP(ctx)
			case "h2":
				return s.serveHTTP2(ctx)
			}
		}
		s.learned(s.info.With(layer))
		if w := s.p.Policy.Decide(s.info); w.Action > v.Action {
			v = w
		}
		switch {
		case v.Action == policy.Block:
			return s.blocked(v)
		case v.Action == policy.Pass:
			return s.pass(ctx, v.Reason)
		case layer.Proto == "" && v.Action == policy.Inspect && s.info.Dst.Port() == portDNS:
			return s.dnsStream(ctx)
		case layer.Proto == "":
			return s.messages(ctx, s.unparsed(v))
		case layer.Proto != "tls":
			return s.messages(ctx, v)
		}
		if done, err := s.terminate(ctx); done || err != nil {
			return err
		}
	}
}

// learned takes a new state of what is known of the connection.
func (s *session) learned(info *flow.Conn) {
	s.info = info
	s.rec.Update(info)
}

// dial begins to connect to where the client meant to go.
func (s *session) dial(ctx context.Context) {
	t := egress.Target{Network: "tcp", Addr: s.info.Dst, Host: s.info.Host, Far: s.far()}
	if !s.chosen() {
		t.Client = s.info.Client
	}
	s.up = upstream.Dial(ctx, s.upstreamConfig(), t)
}

// chosen reports whether the client chose us as its proxy.
func (s *session) chosen() bool { return s.info.Via == "proxy" || s.info.Via == "connect" }

// far reports whether the client may not be taken to what only this host should
// reach: it chose us as its proxy, and is not on this host. The client of a
// captured connection could reach its destination without us.
func (s *session) far() bool {
	return s.chosen() && !s.info.Client.Addr().IsLoopback()
}

// upstreamConfig is how servers are spoken to for s.
func (s *session) upstreamConfig() *upstream.Config {
	return &upstream.Config{
		Dialer:   s,
		Roots:    s.p.Roots,
		Insecure: s.p.Insecure,
		KeyLog:   s.p.KeyLog,
		Timeout:  s.e.Timeouts.Handshake,
		HTTP2: h2.ClientOptions{
			Limits: s.e.limits2(), Budget: s.e.Budget, Memory: s.e.Memory, IdleTimeout: s.e.Timeouts.Idle, Mirror: true, Takeover: s.takeover,
		},
		HTTP: h1.ClientOptions{Limits: s.e.Limits, Budget: s.e.Budget, IdleTimeout: s.e.Timeouts.Idle, Takeover: s.takeover},
	}
}

// Dial implements egress.Dialer: the program's dialer, watched by the guard.
func (s *session) Dial(ctx context.Context, t egress.Target) (net.Conn, error) {
	c, err := s.p.Dialer.Dial(ctx, t)
	if err != nil {
		return nil, err
	}
	p := pair{leg.AddrPort(c.LocalAddr()), leg.AddrPort(c.RemoteAddr()), t.Network == "udp"}
	if !s.e.Guard.dialed(p) {
		c.Close()
		return nil, errLoop
	}
	s.locals = append(s.locals, p)
	return c, nil
}

// hangUpLike ends the server's side as err says that the client's ended: with a
// reset if the client sent one, or if we cut the connection.
func (s *session) hangUpLike(err error) {
	var e *endError
	known := errors.As(err, &e)
	if s.up != nil && (known && e.client == flow.RST || !known && err != nil) {
		s.up.Reset()
	}
	s.hangUp()
}

// hangUp ends what is left of the server's side.
func (s *session) hangUp() {
	if s.up == nil {
		return
	}
	s.up.Close()
	for _, p := range s.locals {
		s.e.Guard.closed(p)
	}
	s.up, s.locals = nil, nil
}

// blocked ends the connection as the policy says.
func (s *session) blocked(v policy.Verdict) error {
	s.end.Action = v.Action.String()
	return &endError{reason: "blocked: " + v.Reason, how: flow.RST, ours: true}
}

// pass relays what comes as it is.
func (s *session) pass(ctx context.Context, reason string) error {
	s.end.Action, s.end.Reason = policy.Pass.String(), reason
	client, server, err := s.sides(ctx)
	if err != nil {
		return err
	}
	s.relayed(s.e.relay().Copy(ctx, client, server))
	return cause(ctx)
}

// messages relays what comes as messages, and records them.
func (s *session) messages(ctx context.Context, v policy.Verdict) error {
	s.end.Action = v.Action.String()
	if v.Reason != "" {
		s.end.Reason = v.Reason
	}
	client, server, err := s.sides(ctx)
	if err != nil {
		return err
	}
	r := s.converse(ctx, s.rec.Messages(s.info, s.p.Messages), s.info, client, server)
	s.relayed(r)
	if l := s.info.Server; r.Bytes[1] == 0 && r.Server != flow.NotClosed && l != nil && l.TLS != nil && l.TLS.WantsCert {
		s.end.Type, s.end.Reason = "tls", "server asked for a client certificate, which can't be relayed, and ended without a word"
	}
	if r.Silent && r.Client == flow.FIN {
		if refused := s.certificateRefused(io.EOF); refused != nil {
			s.end.Reason = refused.reason // it said nothing at all: that was its answer
		}
	}
	return cause(ctx)
}

// cause is why ctx is done, nil while it is not.
func cause(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

// sides takes both streams for a relay.
func (s *session) sides(ctx context.Context) (client, server relay.Side, err error) {
	if err := s.up.Ready(ctx); err != nil {
		return client, server, serverError(err)
	}
	s.learned(s.info.WithServer(s.up.Leg()))
	c, early := s.up.Take()
	client = relay.Side{Conn: s.c, Prefix: s.prefix}
	s.prefix = nil
	return client, relay.Side{Conn: c, Prefix: early}, nil
}

func (s *session) relayed(r relay.Result) {
	s.end.Bytes[0] += r.Bytes[0]
	s.end.Bytes[1] += r.Bytes[1]
	s.end.Client, s.end.Server = r.Client, r.Server
}

// finish ends the client's leg as err says, and writes the connection's record.
func (s *session) finish(err error) {
	var e *endError
	if errors.Is(err, errLoop) {
		s.warnLoop()
	}
	if errors.Is(err, errSilent) {
		s.end.Client, s.end.Reason, err = flow.ClosedByUs, errSilent.reason, nil
	}
	switch {
	case err == nil:
		s.c.Close()
	case errors.As(err, &e):
		if errors.Is(err, io.ErrUnexpectedEOF) && e.how == flow.FIN {
			_ = leg.Truncate(s.c) // the client is to see that something is missing; a lost conn needs no telling
			s.raw.Close()
		}
		leg.Like(s.c, e.how)
		s.end.Reason = e.reason
		if e.client != flow.NotClosed {
			s.end.Client = e.client
		}
		if e.server != flow.NotClosed {
			s.end.Server = e.server
		}
	default:
		leg.Reset(s.c) // what was cut is not to look complete
		s.end.Reason = err.Error()
		s.end.Client = first(s.end.Client, flow.ClosedByUs)
	}
	s.raw.Close()
	if s.end.Action == "" {
		s.end.Action = policy.Inspect.String()
	}
	s.debugEnd(err)
	s.rec.End(s.info, s.end, err)
}

// warnLoop says so where an operator sees it.
func (s *session) warnLoop() {
	if ok, skipped := s.e.loops.pass(); ok {
		s.e.Log.Warn("a connection of transom's own came back to it; the redirection rules must leave its traffic alone",
			"dst", s.info.Dst, "since_last", skipped)
	}
}

// drain asks the session to end after the exchange it is in. It may be called
// by any goroutine.
func (s *session) drain() {
	s.drains.Store(true)
	if poke := s.poke.Load(); poke != nil {
		(*poke)()
	}
	if drain := s.http.Load(); drain != nil {
		(*drain)()
	}
}

// abort resets the client's socket under whatever uses it. It may be called by
// any goroutine, once the session's context is done.
func (s *session) abort() {
	leg.Reset(s.raw)
}
