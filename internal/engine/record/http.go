package record

import (
	"context"
	"sync"
	"time"

	"transom/exchange"
	"transom/flow"
)

// HTTP records what mw is given and, where mw changes it, what it makes of it.
// mw may be nil. The result is for this connection only.
//
//	client → outer → mw → inner → server
//
// What passes outer on the way in is the original; what passes inner was sent.
// On the way back it is the other way round.
func (c *Conn) HTTP(mw exchange.Middleware) exchange.Middleware {
	return func(next exchange.Handler) exchange.Handler {
		next = inner{next}
		if mw != nil {
			next = mw(next)
		}
		return &outer{c: c, next: next}
	}
}

type outer struct {
	c    *Conn
	next exchange.Handler
}

// Exchange implements exchange.Handler.
func (o *outer) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	x := o.c.begin(ctx, req)
	resp, err := o.next.Exchange(x, req)
	if err != nil {
		if resp := x.fail(err); resp != nil {
			return resp, nil
		}
		return nil, err
	}
	if resp.Takeover != nil {
		x.handshake(resp)
	}
	x.respond(resp)
	return resp, nil
}

type inner struct{ next exchange.Handler }

// Exchange implements exchange.Handler.
func (i inner) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	x, _ := ctx.Value(liveKey{}).(*live)
	if x == nil { // middleware made a request of its own
		return i.next.Exchange(ctx, req)
	}
	x.send(req)
	resp, err := i.next.Exchange(ctx, req)
	if err != nil {
		return nil, err
	}
	x.receive(req, resp)
	return resp, nil
}

// Note adds an oddity to the record of the exchange that ctx belongs to.
func Note(ctx context.Context, text string) {
	if x, _ := ctx.Value(liveKey{}).(*live); x != nil {
		x.mu.Lock()
		defer x.mu.Unlock()
		x.notes = append(x.notes, text)
	}
}

type liveKey struct{}

// A live is an exchange under way, and the context it runs in. What is known of
// it is gathered here and published in two snapshots: start when it begins,
// kept when it ends; and in between for who follows, see growth.go.
type live struct {
	context.Context
	c     *Conn
	near  links
	start startSnapshot
	kept  *keptSnapshot
	body  *exchange.Body // the request's, as it came
	reqIn tap
	first tap // respIn, unless the request was sent more than once
	growth

	mu        sync.Mutex
	watched   bool // interim responses are
	conn      *flow.Conn
	sent      *flow.RequestHead // if not as it came
	replaced  [2]bool           // the request's and the response's body is not what came
	reqOut    *tap              // if replaced
	respIn    *tap              // nil until there is a response from the server
	respOut   *tap              // if replaced
	got       flow.ResponseHead // as it came
	gotBody   *exchange.Body
	firstByte time.Time
	interim   []flow.ResponseHead
	notes     []string
	err       string
	failed    bool
	responded bool // the response is known
	taken     bool // by something that is not HTTP
	finished  bool
	forwarded bool   // what the request's body was replaced with is known
	rev       uint32 // of the last snapshot
}

type startSnapshot struct {
	flow flow.Flow
	http flow.HTTP
}

// A keptSnapshot is what stays when the exchange is over, in one piece.
type keptSnapshot struct {
	flow flow.Flow
	http flow.HTTP
	req  flow.RequestHead  // as it came
	resp flow.ResponseHead // as it was sent
}

// Value implements context.Context.
func (x *live) Value(key any) any {
	if key == (liveKey{}) {
		return x
	}
	return x.Context.Value(key)
}

func (x *live) links() *links { return &x.near }

// begin publishes the request as it came.
func (c *Conn) begin(ctx context.Context, req *exchange.Request) *live {
	now := time.Now()
	x := &live{Context: ctx, c: c, kept: &keptSnapshot{req: req.RequestHead}, conn: req.Conn, body: req.Body}
	if x.conn == nil {
		x.conn = c.latest()
	}
	if req.Proto < flow.HTTP2 {
		c.settle()
	}
	x.reqIn.attach(x, req.Body)
	x.start.http = flow.HTTP{Request: &x.kept.req, RequestBody: x.reqIn.ref()}
	x.start.flow = flow.Flow{ID: flow.NewID(now), Conn: x.conn, Start: now, Detail: &x.start.http}
	c.enter(x)
	c.publish(&x.start.flow)
	return x
}

// send notes what of the request goes out, where that is not what came. It is
// called again if middleware tries again.
func (x *live) send(req *exchange.Request) {
	x.mu.Lock()
	x.watchInterimLocked(req)
	old := x.reqOut
	x.sent, x.reqOut, x.replaced[0], x.forwarded = nil, nil, false, true
	if !req.RequestHead.Equal(&x.kept.req) {
		h := req.RequestHead
		x.sent = &h
	}
	if req.Body != x.body || req.Body.Changed() {
		x.replaced[0] = true
		x.reqOut = &tap{}
		x.reqOut.attach(x, req.Body)
	}
	x.mu.Unlock()
	old.close()
}

// watchInterimLocked records the responses before the final one.
func (x *live) watchInterimLocked(req *exchange.Request) {
	if req.Interim == nil || x.watched {
		return
	}
	x.watched = true
	pass := req.Interim
	req.Interim = func(h flow.ResponseHead) error {
		x.mu.Lock()
		x.interim = append(x.interim, h)
		x.mu.Unlock()
		return pass(h)
	}
}

// receive notes the response as it came.
func (x *live) receive(req *exchange.Request, resp *exchange.Response) {
	now := time.Now()
	x.mu.Lock()
	old := x.respIn
	x.respIn = &x.first
	if old != nil {
		x.respIn = &tap{}
	}
	x.firstByte, x.got, x.gotBody = now, resp.ResponseHead, resp.Body
	if req.Conn != nil {
		x.conn = req.Conn
	}
	x.respIn.attach(x, resp.Body)
	x.mu.Unlock()
	old.close()
}

// respond notes the response that goes back.
func (x *live) respond(resp *exchange.Response) {
	x.mu.Lock()
	x.kept.resp = resp.ResponseHead
	if resp.Received == nil {
		x.kept.resp = ours(resp.ResponseHead, x.kept.req.Proto)
	}
	x.kept.http.Response = &x.kept.resp
	if x.firstByte.IsZero() {
		x.firstByte = time.Now()
	}
	if resp.Body != x.gotBody || resp.Body.Changed() {
		x.replaced[1] = true
		x.respOut = &tap{}
		x.respOut.attach(x, resp.Body)
	}
	x.responded = true
	x.told.Store(0) // or what took long to ask for would take as long again to be known as answered
	x.taken = resp.Takeover != nil
	finish := x.settledLocked()
	x.mu.Unlock()
	if finish {
		x.finish()
		return
	}
	x.grew()
}
