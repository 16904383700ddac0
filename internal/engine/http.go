package engine

import (
	"context"
	"errors"
	"sync/atomic"

	"transom/exchange"
	"transom/flow"
	"transom/internal/engine/leg"
	"transom/internal/engine/record"
	"transom/internal/proto/h1"
	"transom/internal/proto/h2"
	"transom/platform"
	"transom/policy"
)

// serveHTTP reads the client's requests until one of the sides ends, or until a
// request is for somebody we leave alone.
func (s *session) serveHTTP(ctx context.Context) error {
	if err := s.up.Ready(ctx); err != nil {
		return serverError(err)
	}
	s.learned(s.info.WithServer(s.up.Leg()))
	d := &decider{policy: s.p.Policy, base: s.info}
	s.learned(s.info.With(flow.Layer{Proto: "http/1.1"}))
	srv := s.server(s.chain(s.up), d.decide)
	srv.o.Quiet = func() func() { return s.watchServer(ctx, srv.h) }
	srv.o.HalfClosed = s.up.HalfClose
	err := srv.run(ctx, s)
	switch {
	case errors.Is(err, h1.ErrHandOver):
		s.prefix = srv.h.Unread()
		if d.verdict.Action == policy.Block {
			return s.blocked(d.verdict)
		}
		s.learned(d.info)
		if d.verdict.Action == policy.Record {
			return s.messages(ctx, d.verdict)
		}
		return s.pass(ctx, d.verdict.Reason)
	case errors.Is(err, h1.ErrUnsolicited):
		return s.unsolicited(ctx, srv.h.Unread())
	}
	return s.exchangesEnded(ctx, srv.h, err)
}

// exchangesEnded says how the client's leg is to end after its last exchange.
func (s *session) exchangesEnded(ctx context.Context, srv *h1.Server, err error) error {
	var (
		gone   *serverGone
		client *h1.ClientError
		bad    *h1.MalformedError
		ours   *endError
	)
	switch {
	case err == nil && srv.End() != nil:
		s.end.Client = flow.FIN
		if s.up != nil {
			s.up.EndLike(srv.End())
		}
		return nil
	case err == nil && s.left():
		return s.settle(ctx)
	case err == nil:
		s.end.Client = flow.ClosedByUs
		return nil
	case errors.As(err, &gone) && leg.Ended(gone.err) == flow.FIN:
		return s.settle(ctx)
	case errors.As(err, &gone):
		s.end.Server = leg.Ended(gone.err)
		return serverError(gone.err)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &ours):
		return err
	case errors.As(err, &client):
		return clientError(client.Err)
	case errors.As(err, &bad):
		return &endError{reason: "malformed request: " + bad.Error(), how: flow.FIN, client: flow.ClosedByUs, err: err}
	}
	if leg.Ended(err) == flow.FIN && s.left() {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	return serverError(err)
}

// left reports whether the server has said its last and its connection is as it
// left it.
func (s *session) left() bool { return s.up != nil && s.up.Left() }

// settle carries over how the sides end once the last exchange is over, or can't
// be completed because the server has ended. Nothing else that they say goes
// on: it would be read by nobody but the other side.
func (s *session) settle(ctx context.Context) error {
	client, server, err := s.sides(ctx)
	if err != nil {
		return err
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	poke := func() { cancel() }
	s.poke.Store(&poke)
	defer s.poke.Store(nil)
	if s.drains.Load() {
		cancel()
	}
	r := s.e.relay().Endings(waiting, client, server)
	s.end.Client, s.end.Server = r.Client, r.Server
	return cause(ctx)
}

// A server is an h1.Server under construction: its options refer to itself.
type server struct {
	h *h1.Server
	o h1.Options
	x exchange.Handler
}

func (s *session) server(x exchange.Handler, decide func(*flow.RequestHead) bool) *server {
	scheme := "http"
	if s.info.TLS() != nil {
		scheme = "https"
	}
	return &server{x: x, o: h1.Options{
		Limits:      s.e.Limits,
		Scheme:      scheme,
		Info:        s.info,
		Budget:      s.e.Budget,
		HeadTimeout: s.e.Timeouts.Head,
		IdleTimeout: s.e.Timeouts.Idle,
		Decide:      decide,
		Refused:     s.rec.Refused,
		AwaitReset:  func() error { return platform.AwaitReset(s.raw) },
	}}
}

func (v *server) run(ctx context.Context, s *session) error {
	v.h = h1.NewServer(s.c, s.prefix, v.x, v.o)
	s.prefix = nil
	defer s.drainBy(v.h.Drain)()
	err := v.h.Serve(ctx)
	v.h.Linger(ctx)
	return err
}

// drainBy has drain called when the session is to finish, until done is.
func (s *session) drainBy(drain func()) (done func()) {
	s.http.Store(&drain)
	if s.drains.Load() {
		drain()
	}
	return func() { s.http.Store(nil) }
}

// watchServer looks after the server's connection while the client is quiet: if
// the server ends it, the client is told at once.
func (s *session) watchServer(ctx context.Context, srv *h1.Server) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := s.up.Wait(ctx)
		switch {
		case err == nil:
		case errors.Is(err, h1.ErrUnsolicited):
			srv.Interrupt(err)
		default:
			srv.Interrupt(&serverGone{err})
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// serverGone says that the server ended a connection that was idle.
type serverGone struct{ err error }

func (e *serverGone) Error() string { return "server ended the idle connection: " + e.err.Error() }
func (e *serverGone) Unwrap() error { return e.err }

// unsolicited relays what a server says unasked on an idle connection (a 408
// before it closes, say), and whatever follows.
func (s *session) unsolicited(ctx context.Context, unread []byte) error {
	s.prefix = unread
	client, server, err := s.sides(ctx)
	if err != nil {
		return err
	}
	s.relayed(s.e.relay().Copy(ctx, client, server))
	return nil
}

// chain returns the handler of the client's requests: the middleware in force
// around up. A reload is taken up by the next exchange.
func (s *session) chain(up exchange.Handler) exchange.Handler {
	var now atomic.Pointer[chained]
	return exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
		p, c := s.e.Program.Load(), now.Load()
		if c == nil || c.of != p {
			c = &chained{of: p, Handler: s.rec.HTTP(p.HTTP)(telling(up))}
			now.Store(c)
		}
		return c.Exchange(ctx, req)
	})
}

// telling marks the errors of up that its client is told of by a 502.
func telling(up exchange.Handler) exchange.Handler {
	return exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
		resp, err := up.Exchange(ctx, req)
		if why := malformedResponse(err); why != nil {
			err = told(err, "the server's response is malformed: "+why.Error())
		}
		return resp, err
	})
}

// told is err, with the 502 that says why.
func told(err error, why string) error {
	return &record.Answered{Response: badGateway(why), Err: err}
}

// A chained handler is the middleware of one program.
type chained struct {
	of *Program
	exchange.Handler
}

// malformedResponse returns what is wrong with a response, nil if that is not
// why err is.
func malformedResponse(err error) error {
	if err == nil {
		return nil // before the variables below, which are on the heap
	}
	var (
		bad1 *h1.MalformedError
		its  *h1.RequestBodyError
		bad2 *h2.MalformedError
	)
	switch {
	case errors.As(err, &its):
		return nil
	case errors.As(err, &bad1):
		return bad1
	case errors.As(err, &bad2):
		return bad2
	}
	return nil
}

// badGateway is our own 502; the connection ends after it.
func badGateway(why string) *exchange.Response {
	r := exchange.Text(502, "502 Bad Gateway\n\ntransom: "+why+"\n")
	r.Reason = "Bad Gateway"
	r.Header.Add("Connection", "close")
	return r
}

// A decider asks the policy about each request; the same answer serves
// consecutive requests for the same authority.
type decider struct {
	policy  policy.Policy
	base    *flow.Conn
	asked   bool
	last    string
	verdict policy.Verdict
	info    *flow.Conn
}

func (d *decider) decide(h *flow.RequestHead) bool {
	if !d.asked || h.Authority != d.last {
		d.asked, d.last = true, h.Authority
		d.info = d.base.With(flow.Layer{Proto: "http/1.1", Host: h.Authority})
		d.verdict = d.policy.Decide(d.info)
	}
	return d.verdict.Action == policy.Inspect
}
