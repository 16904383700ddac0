package engine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"

	"transom/egress"
	"transom/exchange"
	"transom/flow"
	"transom/internal/engine/leg"
	"transom/internal/proto/h1"
	"transom/internal/proto/h2"
	"transom/policy"
)

// direct serves a client that connected to the proxy itself: the landing page
// for an ordinary request, and explicit proxying for a request in absolute form
// or CONNECT (RFC 9112, section 3.2). Only peers of private networks are served.
func (s *session) direct(ctx context.Context) error {
	s.end.Action = "direct"
	if !private(s.info.Client.Addr()) {
		return &endError{reason: "connected to the proxy itself from a public address", how: flow.RST, ours: true}
	}
	var never atomic.Bool
	layer, err := s.sniff(&never)
	if err != nil && !s.spare(ctx, err) {
		return err
	}
	if len(s.prefix) == 0 { // a browser's spare connection, say
		s.end.Client = first(s.end.Client, flow.FIN)
		return nil
	}
	if layer.Proto == "h2" { // nobody proxies this way; it has come to see us
		s.learned(s.info.With(layer))
		srv := h2.NewServer(s.c, s.prefix, s.rec.HTTP(nil)(s.p.Direct), s.options2())
		return s.ended2(ctx, s.run2(ctx, srv))
	}
	if layer.Proto != "http/1.1" {
		return &endError{
			reason: "connected to the proxy itself, and did not speak HTTP: send traffic through it instead",
			how:    flow.FIN, ours: true,
		}
	}
	x := &explicit{s: s}
	srv := s.server(x, nil)
	srv.o.Quiet = func() func() { return x.watch(ctx) }
	err = srv.run(ctx, s)
	err = s.exchangesEnded(ctx, srv.h, err)
	s.hangUpLike(err)
	return err
}

// spare reports whether err, the end of a connection to us, is the end of one
// that was opened and never used, and notes how it ended.
func (s *session) spare(ctx context.Context, err error) bool {
	var e *endError
	if len(s.prefix) > 0 || ctx.Err() != nil || errors.Is(err, errSilent) || !errors.As(err, &e) {
		return false
	}
	s.end.Client = e.client
	return true
}

// private reports whether a is loopback, private, link-local, unique-local or of
// a provider's network behind its NAT (RFC 6598).
func private(a netip.Addr) bool {
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() ||
		netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(a)
}

// explicit handles the requests of a client that uses us as its proxy. It keeps
// the connection to one server at a time.
type explicit struct{ s *session }

// Exchange implements exchange.Handler.
func (x *explicit) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	if req.Method == "CONNECT" {
		return x.connect(ctx, req)
	}
	authority, path, ok := absolute(req.Target)
	if !ok {
		if req.Target[0] != '/' && req.Target != "*" {
			return x.answer(ctx, req, 400, "Bad Request", "only http is proxied this way; use CONNECT for "+strconv.Quote(req.Target)), nil
		}
		return x.landing(ctx, req)
	}
	host, port, err := splitAuthority(authority, "80")
	if err != nil {
		return x.answer(ctx, req, 400, "Bad Request", err.Error()), nil
	}
	to := x.towards(host, port)
	v := x.s.p.Policy.Decide(to.With(flow.Layer{Proto: "http/1.1", Host: authority}))
	if v.Action == policy.Block {
		return nil, x.s.blocked(v)
	}
	again := x.at(to)
	if err := x.reach(ctx, to); err != nil {
		return x.failed(ctx, req, err)
	}
	req.Conn = x.s.info
	req.Target = path
	if path == "/" && req.Method == "OPTIONS" && !strings.HasSuffix(req.Received.Target, "/") {
		req.Target = "*" // the server itself is meant (RFC 9112, section 3.2.4)
	}
	if _, ok := req.Header.Lookup("Host"); ok { // RFC 9112, section 3.2.2
		req.Header.Set("Host", authority)
	} else {
		req.Header = append(flow.Header{{Name: "Host", Value: authority}}, req.Header...)
	}
	req.Header.Del("Proxy-Connection")
	req.Header.Del("Proxy-Authorization")
	if v.Action == policy.Pass { // it goes straight to the server, and on no record
		resp, err := x.s.up.Exchange(ctx, req)
		if err != nil && ctx.Err() == nil {
			return x.unanswered(authority, again, err)
		}
		return resp, err
	}
	lost := false
	resp, err := x.handler(authority, again, &lost).Exchange(ctx, req)
	switch {
	case err != nil && ctx.Err() == nil:
		return x.unanswered(authority, again, err)
	case lost:
		x.drop()
	}
	return resp, err
}

// handler is for what is recorded. What is to be recorded as bytes is
// recorded as HTTP, since it does not leave as the bytes that came. lost becomes
// whether the server has not answered, which the client is told.
func (x *explicit) handler(authority string, again bool, lost *bool) exchange.Handler {
	return x.s.chain(exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
		resp, err := x.s.up.Exchange(ctx, req)
		if *lost = err != nil && ctx.Err() == nil && answers(again, err) && malformedResponse(err) == nil; *lost {
			err = told(err, notAnswered(authority, err))
		}
		return resp, err
	}))
}

func notAnswered(authority string, err error) string {
	return "the server at " + authority + " did not answer: " + err.Error()
}

// unanswered answers a request that was sent in vain. A server that ends a
// connection that has served before may not have seen the request. Only the
// client knows whether it can be sent again, and does so when it sees what it
// would see without us (RFC 9112, section 9.3.1).
func (x *explicit) unanswered(authority string, again bool, err error) (*exchange.Response, error) {
	if theClients(err) {
		return nil, err
	}
	x.drop()
	if !answers(again, err) {
		return nil, serverError(err)
	}
	return badGateway(notAnswered(authority, err)), nil
}

// answers reports whether a client is told of err by a response.
func answers(again bool, err error) bool {
	how := leg.Ended(err)
	return !theClients(err) && !(again && (how == flow.FIN || how == flow.RST))
}

// theClients reports whether err is the client's own doing, or our decision.
func theClients(err error) bool {
	var (
		ours   *endError
		client *h1.ClientError
		body   *h1.RequestBodyError
	)
	return errors.As(err, &ours) || errors.As(err, &client) || errors.As(err, &body)
}

// watch drops a server that ends its connection, or speaks unasked, while the
// client is quiet; the next request gets a new one.
func (x *explicit) watch(ctx context.Context) (stop func()) {
	if x.s.up == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	gone := make(chan bool, 1)
	go func() { gone <- x.s.up.Wait(ctx) != nil }()
	return func() {
		cancel()
		if <-gone {
			x.drop()
		}
	}
}

// towards is the connection with the destination that a request names.
func (x *explicit) towards(host string, port uint16) *flow.Conn {
	info := *x.s.info
	info.Via, info.Host, info.Dst, info.Server = "proxy", host, netip.AddrPortFrom(netip.Addr{}, port), nil
	if a, err := netip.ParseAddr(host); err == nil {
		info.Host, info.Dst = "", netip.AddrPortFrom(a.Unmap(), port)
	}
	return &info
}

// at reports whether the last request's connection can serve one to the same
// destination.
func (x *explicit) at(to *flow.Conn) bool {
	return x.s.up != nil && x.s.info.Host == to.Host && x.s.info.Dst == to.Dst && x.s.up.Usable()
}

// reach connects unless the last request did.
func (x *explicit) reach(ctx context.Context, to *flow.Conn) error {
	if x.at(to) {
		return nil
	}
	x.drop()
	x.s.info = to
	x.s.dial(ctx)
	if err := x.s.up.Ready(ctx); err != nil {
		return err
	}
	x.s.info = to.WithServer(x.s.up.Leg())
	return nil
}

func (x *explicit) drop() { x.s.hangUp() }

// failed answers for a server that can't be reached. A request that leads back
// to us is for us.
func (x *explicit) failed(ctx context.Context, req *exchange.Request, err error) (*exchange.Response, error) {
	x.drop()
	if !errors.Is(err, ErrSelf) {
		req.Conn = x.s.info // not where the client connected to, but where it wanted to go
	}
	if errors.Is(err, ErrSelf) && req.Method == "CONNECT" {
		return x.answer(ctx, req, 403, "Forbidden", "a tunnel to transom itself leads nowhere; open http://"+req.Target+"/ instead"), nil
	}
	if errors.Is(err, ErrSelf) {
		if _, path, ok := absolute(req.Target); ok {
			req.Target = path
		}
		return x.landing(ctx, req)
	}
	if errors.Is(err, egress.ErrNear) {
		return x.answer(ctx, req, 403, "Forbidden", "not connected to "+err.Error()), nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return x.record(ctx, req, told(err, "can't connect to "+x.authority(req)+": "+err.Error()))
}

// record puts a request on the record that never got to its server, and returns what its
// client is told.
func (x *explicit) record(ctx context.Context, req *exchange.Request, err error) (*exchange.Response, error) {
	failing := exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) { return nil, err })
	return x.s.rec.HTTP(nil)(failing).Exchange(ctx, req)
}

// landing answers what is meant for us, on the record.
func (x *explicit) landing(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	return x.s.rec.HTTP(nil)(x.s.p.Direct).Exchange(ctx, req)
}

func (x *explicit) authority(req *exchange.Request) string {
	if a, _, ok := absolute(req.Target); ok {
		return a
	}
	return req.Target
}

// connect opens a tunnel, which is then a connection like a captured one.
func (x *explicit) connect(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	host, port, err := splitAuthority(req.Target, "")
	if err != nil {
		return x.answer(ctx, req, 400, "Bad Request", err.Error()), nil
	}
	to := x.towards(host, port)
	if v := x.s.p.Policy.Decide(to); v.Action == policy.Block {
		return nil, x.s.blocked(v)
	}
	x.drop()
	if err := x.reach(ctx, to); err != nil {
		return x.failed(ctx, req, err)
	}
	info := *x.s.info
	info.ID, info.Via = flow.NewID(info.Start), "connect"
	resp := &exchange.Response{
		ResponseHead: flow.ResponseHead{Status: 200, Reason: "Connection established", Proto: flow.HTTP11},
		Body:         exchange.NoBody(),
		Takeover: func(ctx context.Context, client net.Conn) error {
			inner := &session{e: x.s.e, p: x.s.p, raw: x.s.raw, ctx: x.s.ctx, cancel: x.s.cancel, c: client, info: &info, up: x.s.up, locals: x.s.locals}
			x.s.up, x.s.locals = nil, nil
			inner.carry(ctx, x.s.rec)
			return cause(ctx)
		},
	}
	return resp, nil
}

// absolute takes a target in absolute form apart. Only http is proxied that
// way; https comes by CONNECT.
func absolute(target string) (authority, path string, ok bool) {
	rest, ok := strings.CutPrefix(target, "http://")
	if !ok {
		if len(target) < 7 || !strings.EqualFold(target[:7], "http://") {
			return "", "", false
		}
		rest = target[7:]
	}
	authority, path = rest, "/"
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
		if path[0] != '/' {
			path = "/" + path
		}
	}
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	return authority, path, authority != ""
}

// splitAuthority takes host[:port] apart.
func splitAuthority(authority, defaultPort string) (host string, port uint16, err error) {
	host, p, err := net.SplitHostPort(authority)
	if err != nil {
		host, p = strings.Trim(authority, "[]"), defaultPort
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil || n == 0 || host == "" {
		return "", 0, errors.New("the target " + strconv.Quote(authority) + " is not host:port")
	}
	return host, uint16(n), nil
}

// answer is our own answer, on the record; the connection ends after it.
func (x *explicit) answer(ctx context.Context, req *exchange.Request, status int, reason, why string) *exchange.Response {
	r := exchange.Text(status, strconv.Itoa(status)+" "+reason+"\n\ntransom: "+why+"\n")
	r.Reason = reason
	r.Header.Add("Connection", "close")
	own := exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) { return r, nil })
	_, _ = x.s.rec.HTTP(nil)(own).Exchange(ctx, req) // gives r, recorded
	return r
}

var (
	_ exchange.Handler = (*explicit)(nil)
	_ egress.Dialer    = (*session)(nil)
)
