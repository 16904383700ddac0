package engine

import (
	"context"
	"errors"
	"net"
	"sync"

	"transom/exchange"
	"transom/flow"
	"transom/internal/engine/leg"
	"transom/internal/engine/record"
	"transom/internal/engine/upstream"
	"transom/internal/proto/h2"
	"transom/policy"
)

// serveHTTP2 reads the client's requests, and carries what is said about the
// connection from one side to the other, until one of them ends. Policy is asked
// about each request: they can't be handed over to somebody else one by one, so
// what it wants left alone goes on unchanged and unrecorded.
func (s *session) serveHTTP2(ctx context.Context) error {
	if err := s.up.Ready(ctx); err != nil {
		return serverError(err)
	}
	return s.exchange2(ctx, nil)
}

// upgraded goes on where HTTP/1.1 ended (RFC 7540, section 3.2): the request of
// h is answered once more, by HTTP/2.
func (s *session) upgraded(ctx context.Context, h *record.Handshake, client, server net.Conn) error {
	settings, err := h2.UpgradeSettings(h.Request.Header.Get("HTTP2-Settings"))
	if err != nil {
		return &endError{reason: "upgrade to HTTP/2: " + err.Error(), how: flow.FIN, client: flow.ClosedByUs, err: err}
	}
	defer func(c net.Conn, up *upstream.Set) {
		s.up.Close()
		s.c, s.up = c, up
	}(s.c, s.up)
	s.c, s.prefix = client, nil
	s.up = upstream.Over(s.upstreamConfig(), server, s.up.Leg())
	return s.exchange2(ctx, &h2.Upgrade{Head: h.Request, Settings: settings})
}

// exchange2 serves HTTP/2 on both legs, which stand.
func (s *session) exchange2(ctx context.Context, upgrade *h2.Upgrade) error {
	base := s.info.WithServer(s.up.Leg())
	k := &known{s: s, info: base.With(flow.Layer{Proto: "h2"})}
	s.learned(k.info)
	up := s.up.HTTP2(k.serverBegan, upgrade)
	to := exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
		resp, err := s.up.Exchange(ctx, req)
		req.Conn = k.latest() // both sides have begun by now
		return resp, err
	})
	h := &chooser{s: s, base: base, up: to, chain: s.chain(to), plain: s.rec.HTTP(nil)(to)}
	o := s.options2()
	o.Upstream, o.Opened, o.Upgrade = up, k.clientBegan, upgrade
	srv := h2.NewServer(s.c, s.prefix, h, o)
	err := s.run2(ctx, srv)
	s.info = k.latest()
	if why := h.passedAll(); why != "" {
		s.end.Action, s.end.Reason = policy.Pass.String(), why
	}
	if end := srv.End(); leg.Ended(end) == flow.FIN {
		s.up.EndLike(end)
	}
	return s.ended2(ctx, err)
}

func (s *session) options2() h2.Options {
	return h2.Options{
		Limits: s.e.limits2(), Info: s.info, Budget: s.e.Budget, Memory: s.e.Memory, IdleTimeout: s.e.Timeouts.Idle,
		Refused: s.rec.RefusedHead, Opened: s.began2,
	}
}

// began2 learns how a client has begun that we answer ourselves. It is called
// by Serve.
func (s *session) began2(o *h2.Opening) *flow.Conn {
	if s.info.Last().Proto != "h2" {
		s.info = s.info.With(flow.Layer{Proto: "h2"})
	}
	s.learned(s.info.H2(o.Fingerprint()))
	return s.info
}

func (e *Engine) limits2() h2.Limits { return h2.Limits{Head: e.Limits.Head, Fields: e.Limits.Fields} }

func (s *session) run2(ctx context.Context, srv *h2.Server) error {
	s.prefix = nil
	defer s.drainBy(srv.Drain)()
	err := srv.Serve(ctx)
	srv.Linger(ctx)
	if err == nil {
		s.end.Client = flow.ClosedByUs
		if srv.Finished() {
			s.end.Client = flow.FIN
		}
	}
	return err
}

// ended2 says how the client's leg is to end.
func (s *session) ended2(ctx context.Context, err error) error {
	var (
		gone   *h2.GoneError
		client *h2.ClientError
		bad    *h2.ConnError
	)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &gone):
		if errors.As(gone.Err, &bad) {
			return &endError{reason: "server broke HTTP/2: " + bad.Error(), how: flow.FIN, server: flow.ClosedByUs, err: err}
		}
		if s.end.Server = leg.Ended(gone.Err); s.end.Server == flow.FIN {
			s.c.Close()
			return nil
		}
		return serverError(gone.Err)
	case errors.As(err, &bad):
		return &endError{reason: "client broke HTTP/2: " + bad.Error(), how: flow.FIN, client: flow.ClosedByUs, err: err}
	case errors.As(err, &client):
		return clientError(client.Err)
	}
	return serverError(err)
}

// A known is what is known of an HTTP/2 connection while many exchanges run on
// it.
type known struct {
	s    *session
	mu   sync.Mutex
	info *flow.Conn
}

func (k *known) latest() *flow.Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.info
}

func (k *known) clientBegan(o *h2.Opening) *flow.Conn {
	return k.learn(func(c *flow.Conn) *flow.Conn { return c.H2(o.Fingerprint()) })
}

func (k *known) serverBegan(o *h2.Opening) {
	k.learn(func(c *flow.Conn) *flow.Conn {
		l := *c.Server
		l.H2 = o.Fingerprint()
		return c.WithServer(&l)
	})
}

func (k *known) learn(f func(*flow.Conn) *flow.Conn) *flow.Conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.info = f(k.info)
	k.s.rec.Update(k.info)
	return k.info
}

// A chooser is the handler of a connection's requests: policy says for each
// which way it goes.
type chooser struct {
	s    *session
	base *flow.Conn

	up    exchange.Handler // as it is
	chain exchange.Handler // recorded and with the middleware
	plain exchange.Handler // recorded

	mu      sync.Mutex
	asked   bool
	last    string
	verdict policy.Verdict
	passed  string // why one was passed
	others  bool   // one was not
}

// Exchange implements exchange.Handler.
func (h *chooser) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	v := h.decide(req.Authority)
	switch v.Action {
	case policy.Inspect:
		return h.chain.Exchange(ctx, req)
	case policy.Record:
		return h.plain.Exchange(ctx, req)
	case policy.Pass:
		return h.up.Exchange(ctx, req)
	}
	h.s.rec.RefusedHead(&req.RequestHead, 0, errors.New("blocked: "+v.Reason))
	return nil, &h2.StreamError{Code: h2.Cancel, What: "blocked: " + v.Reason}
}

// decide asks the policy; the same answer serves consecutive requests for the
// same authority.
func (h *chooser) decide(authority string) policy.Verdict {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.asked || authority != h.last {
		h.asked, h.last = true, authority
		h.verdict = h.s.p.Policy.Decide(h.base.With(flow.Layer{Proto: "h2", Host: authority}))
	}
	if h.verdict.Action == policy.Pass {
		h.passed = h.verdict.Reason
	} else {
		h.others = true
	}
	return h.verdict
}

// passedAll returns why policy had all requests passed, "" if it had not: then
// the connection's record is all that is known of them.
func (h *chooser) passedAll() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.others {
		return ""
	}
	return h.passed
}
