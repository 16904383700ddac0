package h2

import (
	"context"
	"errors"
	"fmt"
	"io"

	"transom/exchange"
	"transom/flow"
)

// A reply is the response under way, in one allocation.
type reply struct {
	stream
	cl       *Client
	req      *exchange.Request
	resp     exchange.Response
	received flow.ResponseHead
	body     exchange.Body
	upload   chan struct{}   // closed when the request's body has gone; nil without one
	ctx      context.Context // whose end gives the exchange up; nil before it began
	bound    *exch           // with which it is cancelled; nil if stop is set
	stop     func() bool     // has it no longer be cancelled with its context

	// Guarded by the connection's lock.
	interim  []flow.ResponseHead
	headed   bool // received is the final head
	uploaded bool // upload is closed, or about to be
	bare     bool // it ended the stream
	length   int64
}

// Exchange implements exchange.Handler. Errors: *StreamError for a reset,
// *GoAwayError for a request that the server will not look at, *GoneError for a
// connection that has ended, *MalformedError for a response that is none.
func (c *Client) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	r, begun := c.replyTo(req)
	r.ctx = ctx
	var err error
	if begun {
		r.follow(ctx)
	} else {
		req.Turn.Wait(ctx)
		err = r.begin(ctx)
	}
	req.Turn.Pass()
	if err == nil {
		c.pair(r)
		err = r.await()
	}
	if err != nil {
		r.finish(Cancel, err)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	r.respond()
	return &r.resp, nil
}

// begin sends the head, and has the body follow it.
func (r *reply) begin(ctx context.Context) error {
	c, req := r.cl, r.req
	tunnel := req.Method == "CONNECT"
	fitLength(&req.Header, req.Body)
	end := !tunnel && req.Body.Size() == 0
	if !tunnel {
		fromH1(&req.RequestHead, req.Body, end)
	}
	if err := r.open(ctx, end); err != nil {
		return err
	}
	req.Turn.Pass() // before flush, so that the next one goes into the same write
	r.follow(ctx)
	if tunnel || end || req.Body.Buffered() == 0 {
		_ = c.out.flush() // if it fails, the reader knows why, and what had come before
	}
	if tunnel || end {
		return nil
	}
	r.upload = make(chan struct{})
	req.Body.NoContinue()
	go r.send()
	return nil
}

// follow has the exchange be given up when ctx is done.
func (r *reply) follow(ctx context.Context) {
	if x := exchOf(ctx); x != nil && x.bind(r) {
		r.bound = x
		return
	}
	r.stop = context.AfterFunc(ctx, func() { r.cancelled(context.Cause(ctx)) })
}

// unfollow ends follow, if it began.
func (r *reply) unfollow() {
	if r.bound != nil {
		r.bound.unbind(r)
	} else if r.stop != nil {
		r.stop()
	}
}

// fromH1 takes out of an HTTP/1 request what has no place here.
func fromH1(h *flow.RequestHead, body *exchange.Body, end bool) {
	if h.Proto < flow.HTTP2 && !end && body.Size() < 0 {
		h.Header.Del("content-length")
	}
}

// open sends the head as soon as the server lets another stream be open.
func (r *reply) open(ctx context.Context, end bool) error {
	c := r.cl
	c.mu.Lock()
	defer c.mu.Unlock()
	for waits := false; ; {
		switch {
		case c.err != nil:
			return c.err
		case c.away != nil && c.lastID+2 > c.awayLast:
			return c.away
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case len(c.streams) < c.max && c.opened && c.out.full():
			if err := c.roomLocked(); err != nil {
				return err
			}
			continue
		case len(c.streams) < c.max && c.opened:
			return r.sendHeadLocked(end)
		}
		if !waits {
			waits = true
			defer context.AfterFunc(ctx, func() {
				c.mu.Lock()
				defer c.mu.Unlock()
				c.slots.Broadcast()
			})()
			continue
		}
		c.slots.Wait()
	}
}

// sendHeadLocked takes a number and appends the HEADERS frame.
func (r *reply) sendHeadLocked(end bool) error {
	c, h := r.cl, &r.req.RequestHead
	id, theirs := c.lastID+2, uint32(0)
	if c.lastID == 0 {
		id = 1
	}
	if h.H2 != nil {
		if theirs = h.H2.Stream; theirs >= id && theirs%2 == 1 {
			id = theirs
		}
	}
	if id > maxWindow {
		return &GoneError{errors.New("the connection has no stream left")}
	}
	var prio []byte
	if h.H2 != nil {
		prio = c.priorityHereLocked(h.H2.Priority)
	}
	c.lastID = id
	if theirs != 0 {
		c.rememberLocked(theirs, id)
	}
	r.openLocked(&c.conn, id)
	r.stream.reply = r
	block := c.requestBlockLocked(h)
	c.out.end(appendBlock(c.out.begin(len(block)), id, block, end, prio, c.maxFrame))
	if end {
		r.sentLocked()
	}
	if !c.first {
		c.first = true
		c.openedLocked(h)
	}
	return nil
}

// openedLocked tells how we began.
func (c *Client) openedLocked(h *flow.RequestHead) {
	c.opening.Pseudo = "msap"
	if h.H2 != nil {
		c.opening.Pseudo = pseudoOrder(h.H2.Pseudo)
	}
	if c.o.Opened != nil {
		c.o.Opened(&c.opening)
	}
}

func (c *Client) rememberLocked(theirs, here uint32) {
	if len(c.sent) == maxSent {
		for _, p := range c.sent[:maxSent/2] {
			c.forgotten = max(c.forgotten, p.theirs)
		}
		c.sent = append(c.sent[:0], c.sent[maxSent/2:]...)
	}
	c.sent = append(c.sent, sentStream{theirs, here})
	c.reordered = c.reordered || theirs != here
}

// send is the goroutine that sends the request's body.
func (r *reply) send() {
	defer close(r.upload)
	h := &r.req.RequestHead
	err := r.sendBody(r.req.Body, h.Proto < flow.HTTP2)
	r.c.mu.Lock()
	r.uploaded = true
	var gone *GoneError // that, too, is the reader's to tell: an answer may have come before
	over := err == nil || r.err != nil || errors.As(err, &gone)
	r.cond.Broadcast()
	r.c.mu.Unlock()
	if !over { // the body is broken, so the request is
		r.cancelled(err)
	}
}

// cancelled gives the exchange up, since its context is done.
func (r *reply) cancelled(err error) {
	code, told := codeOf(err)
	var reset *StreamError
	if !errors.As(err, &reset) {
		code = Cancel // nothing is wrong with us
	}
	r.c.mu.Lock()
	if told {
		r.resetLocked(code, err)
	} else {
		r.endLocked(err)
	}
	if r.in != io.EOF {
		r.in = err
	}
	r.cond.Broadcast()
	r.c.mu.Unlock()
	r.c.kick()
}

// await waits for the final head, and passes the others on.
func (r *reply) await() error {
	c := r.c
	c.mu.Lock()
	for n := 0; ; {
		switch {
		case len(r.interim) > 0:
			h := r.interim[0]
			r.interim = r.interim[1:]
			c.mu.Unlock()
			if n++; n > interimMax {
				return &MalformedError{"interim responses", fmt.Sprintf("more than the limit of %d", interimMax)}
			}
			if r.req.Interim != nil {
				if err := r.req.Interim(h); err != nil {
					return err
				}
			}
			c.mu.Lock()
			continue
		case r.headed:
			c.mu.Unlock()
			return nil
		case r.in != nil:
			err := r.in
			c.mu.Unlock()
			if err == io.EOF {
				err = &MalformedError{"response", "ends without a head"}
			}
			return err
		}
		if r.thirstyLocked() { // some servers keep the head until they can send what follows
			c.kick()
		}
		r.cond.Wait()
	}
}

// respond makes the response of the head that has come.
func (r *reply) respond() {
	h := &r.received
	r.resp.ResponseHead, r.resp.Received, r.resp.Body = *h, h, &r.body
	switch {
	case r.req.Method == "CONNECT" && h.Status < 300 && !r.bare:
		r.body.Reset(nil, 0, r.cl.o.Budget)
		r.resp.Takeover = r.takeover
	case r.bare:
		r.body.Reset((*responseBody)(r), 0, r.cl.o.Budget)
	case r.length > 0 && r.req.Method != "HEAD":
		r.body.Reset((*responseBody)(r), r.length, r.cl.o.Budget)
	default:
		r.body.Reset((*responseBody)(r), -1, r.cl.o.Budget)
	}
}

// settle waits for an upload that outlasts its response, and ends the exchange.
// Its error is the server's, that wants no more of the request.
func (r *reply) settle() error {
	c := r.c
	c.mu.Lock()
	for r.upload != nil && !r.uploaded && r.err == nil {
		r.cond.Wait()
	}
	going := !r.uploaded
	c.mu.Unlock()
	if r.upload != nil {
		if going { // the server wants no more of it
			r.req.Body.Close()
		}
		<-r.upload
	}
	r.unfollow()
	c.mu.Lock()
	defer c.mu.Unlock()
	if reset, ok := r.err.(*StreamError); ok && reset.Remote {
		return reset
	}
	return nil
}

// finish gives up what is left of the exchange.
func (r *reply) finish(code Code, err error) {
	if r.c == nil {
		return // it never began
	}
	if r.ctx.Err() != nil {
		r.cancelled(context.Cause(r.ctx))
	}
	r.reset(code, err)
	r.abandon()
	if r.upload != nil {
		r.req.Body.Close()
		<-r.upload
	}
	r.unfollow()
}
