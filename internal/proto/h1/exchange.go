package h1

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"transom/exchange"
	"transom/flow"
)

// An exch is one exchange on a Server, in one allocation.
type exch struct {
	s        *Server
	req      exchange.Request
	received flow.RequestHead
	body     exchange.Body
	src      payload
	f        framing
	asked    atomic.Bool // the client was sent a 100 (Continue), ours or the server's
}

// perform carries one exchange out. again reports whether the connection can
// carry another.
func (x *exch) perform(ctx context.Context, f framing) (again bool, err error) {
	s := x.s
	x.f = f
	x.prepare()
	s.watch.allow()
	if x.src.done() {
		s.watch.start()
	} else {
		s.in.disarm()
	}
	defer x.body.Release()
	resp, err := s.h.Exchange(ctx, &x.req)
	if err != nil {
		return false, x.failed(ctx, err)
	}
	again, err = x.respond(ctx, resp)
	if gone := s.watch.stop(); gone != nil && err != nil {
		err = gone
	}
	return again, err
}

// failed ends an exchange that has no response.
func (x *exch) failed(ctx context.Context, err error) error {
	gone := x.s.watch.stop()
	x.body.Close()
	x.s.in.disarm()
	var bad *RequestBodyError
	switch {
	case gone != nil:
		return gone
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &bad):
		return x.s.answer(bad.Err.Status, err)
	}
	return err
}

// prepare fills in the request.
func (x *exch) prepare() {
	s, f := x.s, &x.f
	m, n := modeNone, int64(0)
	switch {
	case f.chunked:
		m, n = modeChunked, -1
	case f.length > 0:
		m, n = modeLength, f.length
	}
	x.src.reset(s.in, m, n, s.o.Limits)
	x.src.ended = s.watch.start
	if f.expect && !f.v10 && m != modeNone {
		x.src.expect = func() error {
			x.asked.Store(true)
			return write(s.out, []byte("HTTP/1.1 100 Continue\r\n\r\n"))
		}
	}
	x.body.Reset(&x.src, n, s.o.Budget)
	x.req = exchange.Request{
		RequestHead: x.received, Received: &x.received, Conn: s.o.Info, Body: &x.body, Interim: x.interim,
	}
}

// interim passes a 1xx response on.
func (x *exch) interim(h flow.ResponseHead) error {
	if x.f.v10 {
		return nil // RFC 9110, section 15.2
	}
	head := h.Raw
	if head == nil {
		if err := translatableResponse(&h); err != nil {
			return err
		}
		reasoned(&h)
		head = appendResponse(nil, &h)
	}
	if h.Status == 100 {
		x.asked.Store(true)
	}
	return x.clientError(write(x.s.out, head))
}

// respond sends the response and sees to the rest of the request.
func (x *exch) respond(ctx context.Context, resp *exchange.Response) (again bool, err error) {
	defer resp.Body.Close()
	if err := translatableResponse(&resp.ResponseHead); err != nil {
		return false, err
	}
	if resp.Takeover != nil {
		return false, x.takeover(ctx, resp)
	}
	p, again := x.plan(resp)
	if err := send(x.s.out, p, resp.Body); err != nil {
		x.body.Close()
		if ctx.Err() != nil {
			return false, context.Cause(ctx) // why both sides were ended
		}
		if isWriteError(err) {
			err = &ClientError{err}
			x.s.watch.cancel(err) // nobody wants the rest of the response
		}
		return false, err
	}
	if err := resp.Body.Close(); err != nil { // waits for an upload under way
		return false, err
	}
	return x.finishRequest(again), nil
}

// clientError blames an error of writing on the client.
func (x *exch) clientError(err error) error {
	if isWriteError(err) {
		return &ClientError{err}
	}
	return err
}

// plan decides how the response is sent, and whether the connection goes on.
func (x *exch) plan(resp *exchange.Response) (p plan, again bool) {
	h := &resp.ResponseHead
	came := resp.Received != nil && resp.Received.Proto <= flow.HTTP11 // as it is to go
	if !came {
		reasoned(h)
	}
	persists := x.f.persists() && !x.s.stopping()
	if x.received.Method == "HEAD" || bodyless(h.Status) {
		p.mode = modeNone
		if resp.Received == nil && h.Status != 304 && bodyless(h.Status) { // RFC 9110, section 8.6
			h.Header.Del("Content-Length")
			h.Header.Del("Transfer-Encoding")
		}
	} else {
		h.Header, p = frameBody(h.Header, resp.Body, came, x.f.v10)
		if p.mode == modeChunked && x.f.v10 && !p.framed {
			p.mode = modeClose
		}
	}
	if r := resp.Received; r != nil && r.Raw != nil && r.Proto <= flow.HTTP11 && h.Equal(r) {
		p.head = r.Raw
	} else {
		p.head = appendResponse(nil, h)
	}
	rf := framing{length: -1, v10: h.Proto == flow.HTTP10}
	for i := range h.Header {
		if flow.EqualFold(h.Header[i].Name, "Connection") {
			rf.connection(h.Header[i].Value)
		}
	}
	return p, persists && rf.persists() && p.mode != modeClose
}

// finishRequest reads what is left of the request's body, if it is little, so
// that the connection can go on, or can at least be closed without a reset that
// would destroy the response on its way (RFC 9112, section 9.6).
func (x *exch) finishRequest(again bool) bool {
	if x.src.done() {
		return again
	}
	if x.f.expect && !x.asked.Load() && !x.src.got && x.src.Buffered() == 0 {
		return false // it was never asked for, and may not come
	}
	if x.src.closed.Swap(false) && x.src.err == io.ErrClosedPipe {
		x.src.err = nil // given up: by who replaced it, or who was uploading it
	}
	x.s.in.deadline(time.Now().Add(drainTime))
	defer x.s.in.disarm()
	if x.src.drain() {
		return again
	}
	x.s.unread = true
	return false
}

// takeover hands the connection to who answered 101 or CONNECT.
func (x *exch) takeover(ctx context.Context, resp *exchange.Response) error {
	s := x.s
	h := &resp.ResponseHead
	head := appendResponse(nil, h)
	if r := resp.Received; r != nil && r.Raw != nil && h.Equal(r) {
		head = r.Raw
	}
	if err := write(s.out, head); err != nil {
		return &ClientError{err}
	}
	s.out.disarm()
	if gone := s.watch.stop(); gone != nil {
		return gone
	}
	s.in.disarm()
	err := resp.Takeover(ctx, &taken{Conn: s.conn, in: s.in})
	if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
