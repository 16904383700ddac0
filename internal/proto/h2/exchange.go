package h2

import (
	"context"
	"io"
	"sync"

	"transom/exchange"
	"transom/flow"
)

// An exch is one exchange on a Server, in one allocation.
type exch struct {
	stream
	s        *Server
	ctx      context.Context
	cancel   context.CancelCauseFunc
	req      exchange.Request
	received flow.RequestHead
	body     exchange.Body
	turn     exchange.Turn
	handed   exchContext
	bound    *reply // that is given up with it; guarded by the connection's lock
}

// An exchContext is the context that a handler gets. It is its exch's, and no
// more than a way for a Client to find out whose it is.
type exchContext struct {
	context.Context
	x *exch
}

type exchKey struct{}

// Value implements context.Context.
func (c *exchContext) Value(key any) any {
	if key == (exchKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// exchOf returns the exchange that ctx is done with, nil if it is done by
// anything else.
func exchOf(ctx context.Context) *exch {
	c, _ := ctx.Value(exchKey{}).(*exchContext)
	if c == nil || ctx != context.Context(c) && ctx.Done() != c.Done() {
		return nil
	}
	return c.x
}

// prepare fills in the request.
func (x *exch) prepare(length int64, end bool) {
	s := x.s
	x.ctx, x.cancel = context.WithCancelCause(s.ctx)
	x.handed, x.stream.exch = exchContext{x.ctx, x}, x
	switch {
	case end:
		x.body.Reset(nil, 0, s.o.Budget)
	case length > 0:
		x.body.Reset((*requestBody)(x), length, s.o.Budget)
	default: // DATA or trailers may still come, even if it says 0
		x.body.Reset((*requestBody)(x), -1, s.o.Budget)
	}
	s.order.JoinAs(&x.turn)
	x.req = exchange.Request{
		RequestHead: x.received, Received: &x.received, Conn: s.o.Info, Body: &x.body,
		Interim: x.interim, Turn: &x.turn,
	}
}

// startLocked has the exchange performed.
func (x *exch) startLocked() {
	x.s.live[x] = struct{}{}
	x.s.handlers.Add(1)
	go x.run()
}

// run performs the exchange.
func (x *exch) run() {
	defer x.s.handlers.Done()
	defer x.done()
	resp, err := x.s.h.Exchange(&x.handed, &x.req)
	x.req.Turn.Pass()
	if err == nil {
		err = x.respond(resp)
	}
	if err != nil {
		x.failed(err)
	}
}

// done leaves nothing of the stream behind.
func (x *exch) done() {
	x.body.Close()
	x.body.Release()
	s := x.s
	s.mu.Lock()
	if x.err == nil {
		s.calm.pay(payStream)
		x.resetLocked(NoError, errStreamDone) // if the client still sends: it is answered
	}
	delete(s.live, x)
	s.ranLocked()
	x.cancelLocked(nil)
	s.mu.Unlock()
	s.kick()
}

// bind has r be cancelled when x is, as context.AfterFunc would with half a
// dozen allocations. It reports false if it can't.
func (x *exch) bind(r *reply) bool {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if x.bound != nil || x.ctx.Err() != nil {
		return false
	}
	x.bound = r
	return true
}

func (x *exch) unbind(r *reply) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if x.bound == r {
		x.bound = nil
	}
}

// cancelLocked cancels the context of an exchange that runs, and what is bound
// to it. That has a lock of its own, which is not waited for with ours held.
func (x *exch) cancelLocked(err error) {
	x.cancel(err)
	if r := x.bound; r != nil {
		x.bound = nil
		cause := context.Cause(x.ctx)
		x.s.handlers.Go(func() { r.cancelled(cause) })
	}
}

// failed ends a stream that has no response, or not all of it.
func (x *exch) failed(err error) {
	x.body.Close()
	code, told := codeOf(err)
	if cause := context.Cause(x.ctx); cause != nil {
		code, told = codeOf(cause)
	}
	s := x.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if told && !(s.away && x.id > s.awayLast) {
		x.resetLocked(code, err)
		return
	}
	x.endLocked(err)
}

// interim passes a 1xx response on.
func (x *exch) interim(h flow.ResponseHead) error { return x.sendHead(&h, false, true) }

// sendHead sends a response head; end says that nothing follows it.
func (x *exch) sendHead(h *flow.ResponseHead, end, flush bool) error {
	c := &x.s.conn
	c.mu.Lock()
	if err := x.readyLocked(); err != nil {
		c.mu.Unlock()
		return err
	}
	block := c.responseBlockLocked(h)
	c.out.end(appendBlock(c.out.begin(len(block)), x.id, block, end, nil, c.maxFrame))
	if end {
		x.sentLocked()
	}
	c.mu.Unlock()
	if !flush {
		return nil
	}
	return c.out.flush()
}

// respond sends the response.
func (x *exch) respond(resp *exchange.Response) error {
	if resp.Takeover != nil {
		defer resp.Body.Close()
		return x.takeover(resp)
	}
	err := x.send(resp)
	// Waits for an upload under way, and says if the server wants no more of it.
	if cerr := resp.Body.Close(); err == nil {
		err = cerr
	}
	return err
}

func (x *exch) send(resp *exchange.Response) error {
	h := &resp.ResponseHead
	own := resp.Received == nil || resp.Received.Proto < flow.HTTP2
	none := x.received.Method == "HEAD" && own || bodyless(h.Status)
	fitLength(&h.Header, resp.Body)
	if none || resp.Body.Size() == 0 {
		return x.sendHead(h, true, true)
	}
	if err := x.sendHead(h, false, resp.Body.Buffered() == 0); err != nil {
		return err
	}
	return x.sendBody(resp.Body, own)
}

// bodyless reports whether a response with this status never has content.
func bodyless(status int) bool { return status < 200 || status == 204 || status == 304 }

// fitLength makes content-length true again for a body that was changed.
func fitLength(h *flow.Header, body *exchange.Body) {
	if !body.Changed() {
		return
	}
	old, ok := h.Lookup("content-length")
	if !ok {
		return
	}
	if n, ok := decimal(old); body.Size() < 0 {
		h.Del("content-length")
	} else if !ok || n != body.Size() {
		h.Set("content-length", itoa(body.Size()))
	}
}

// copySize is what a body is moved through.
const copySize = 16 << 10

// copies holds the memory that bodies are moved through.
var copies = sync.Pool{New: func() any { return new([copySize]byte) }}

// sendBody sends a body and its trailer section. sized says that its end is
// known by its size alone.
func (s *stream) sendBody(body *exchange.Body, sized bool) error {
	lent := copies.Get().(*[copySize]byte)
	defer copies.Put(lent)
	sized = (sized || body.Changed()) && body.Size() >= 0
	for left := body.Size(); ; {
		n, err := body.Read(lent[:])
		left -= int64(n)
		switch {
		case sized && left < 0:
			return &StreamError{Code: InternalError, What: "body is longer than its size"}
		case err == io.EOF && sized && left > 0:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return s.sendEnd(lent[:n], body.Trailer())
		case err == nil && sized && left == 0:
			return s.write(lent[:n], true)
		}
		if n > 0 {
			if err := s.write(lent[:n], false); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// sendEnd sends the last of the payload and what is behind it.
func (s *stream) sendEnd(p []byte, trailer flow.Header) error {
	if len(trailer) == 0 {
		return s.write(p, true)
	}
	if len(p) > 0 {
		if err := s.write(p, false); err != nil {
			return err
		}
	}
	c := s.c
	c.mu.Lock()
	if err := s.readyLocked(); err != nil {
		c.mu.Unlock()
		return err
	}
	block := c.trailerBlockLocked(trailer)
	c.out.end(appendBlock(c.out.begin(len(block)), s.id, block, true, nil, c.maxFrame))
	s.sentLocked()
	c.mu.Unlock()
	return c.out.flush()
}

// A requestBody is an exch as the source of its request's body.
type requestBody exch

// Read implements io.Reader. Whoever reads the body before the request has gone
// on has it wait for the client, and the next ones need not.
func (b *requestBody) Read(p []byte) (int, error) {
	b.req.Turn.Pass()
	return b.read(p)
}

// Close implements io.Closer.
func (b *requestBody) Close() error { b.abandon(); return nil }

// Trailer implements exchange.Source.
func (b *requestBody) Trailer() flow.Header { return b.trailers() }

// Buffered tells a Body what it can read without waiting.
func (b *requestBody) Buffered() int { return b.bufferedNow() }
