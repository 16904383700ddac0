package h1

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"transom/exchange"
	"transom/flow"
)

// An upload sends a request body while the response is awaited and read.
type upload struct {
	done  chan struct{}
	err   error        // valid once done is closed
	moved atomic.Int64 // bytes that the server has taken
	moot  atomic.Bool  // the server has answered without all of it
}

// newUpload begins to send body as p says. Whoever ends the exchange waits for
// done.
func newUpload(c *Client, p plan, body *exchange.Body) *upload {
	u := &upload{done: make(chan struct{})}
	p.moved = &u.moved
	go func() {
		u.err = send(c.out, p, body)
		switch {
		case u.err == nil:
			c.setSent(true)
		case isWriteError(u.err), u.moot.Load(): // the server says, or has said, what it thinks of it
		default: // it was cut short for us, so it is for the server
			c.abort(u.err)
		}
		close(u.done)
		c.uploaded()
	}()
	return u
}

// uploaded wakes who waits for the upload in Client.settleUpload.
func (c *Client) uploaded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settle {
		c.in.interrupt()
	}
}

// settleUpload waits for an upload that outlasts its response. A server that
// ends the connection meanwhile ends the upload.
func (c *Client) settleUpload(r *reply) {
	c.mu.Lock()
	c.settle = true
	c.mu.Unlock()
	for going := true; going && !r.up.ended(); {
		moved := r.up.moved.Load()
		c.in.arm()
		if r.up.ended() {
			break // the deadline that was to wake us may have been taken off
		}
		err := c.in.fill()
		going = isTimeout(err) && r.up.moved.Load() != moved
	}
	if !r.up.ended() { // the server has ended the connection, or takes no more
		c.conn.Close()
		r.req.Body.Close()
		<-r.up.done
	}
	c.mu.Lock()
	c.settle = false
	c.mu.Unlock()
	c.in.disarm()
}

func (u *upload) ended() bool {
	select {
	case <-u.done:
		return true
	default:
		return false
	}
}

// An end is a response body that tells its reply when it is over.
type end struct {
	*payload // nil if there is no body
	r        *reply

	mu              sync.Mutex
	reading, closed bool
}

func (e *end) Read(b []byte) (int, error) {
	if e.payload == nil {
		return 0, io.EOF
	}
	if !e.enter() {
		return 0, io.ErrClosedPipe
	}
	n, err := e.payload.Read(b)
	if e.leave() {
		e.r.c.last = true // Close has closed the connection
		e.finish()
		return n, io.ErrClosedPipe
	}
	if err != nil && err != io.EOF {
		if a := e.r.c.abortion(); a != nil {
			err = a
		}
	}
	return n, err
}

// Close ends the exchange. A body that was not read to its end takes the
// connection with it; else the next exchange can begin, once the request has
// been uploaded whole.
//
// During a Read it closes the connection, which ends that Read, and leaves the
// rest to it.
func (e *end) Close() error {
	e.mu.Lock()
	first, reading := !e.closed, e.reading
	e.closed = true
	e.mu.Unlock()
	switch {
	case first && reading:
		return e.r.c.conn.Close()
	case first:
		e.finish()
	}
	return nil
}

// Discard is Close by who reads the body: of what is left a little is read, so
// that the connection can go on.
func (e *end) Discard() {
	if e.payload != nil && !e.payload.done() && e.enter() {
		e.drain()
		e.leave()
	}
	e.Close()
}

// enter begins a Read, unless the body was closed.
func (e *end) enter() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading = !e.closed
	return e.reading
}

// leave ends a Read and reports whether the body was closed meanwhile.
func (e *end) leave() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reading = false
	return e.closed
}

func (e *end) finish() {
	r := e.r
	c := r.c
	whole := e.payload == nil || e.payload.done()
	if !whole {
		c.drop(r)
	}
	if r.up != nil {
		r.settleUpload(whole)
	}
	c.in.release()
	c.under = nil
}

// drain reads what is left of a body that nobody wants, if it is little.
func (e *end) drain() {
	c, p := e.r.c, e.payload
	if c.last || p.mode == modeLength && p.left > drainMax {
		return
	}
	c.in.deadline(time.Now().Add(drainTime))
	defer c.in.disarm()
	p.drain()
}

// settleUpload waits for the upload, or ends it if it has no sense any more.
func (r *reply) settleUpload(whole bool) {
	c := r.c
	select {
	case <-r.up.done:
	default:
		if !whole || c.last || r.unbegun() {
			r.up.moot.Store(whole)
			r.req.Body.Close()
			<-r.up.done
		} else {
			c.settleUpload(r)
		}
	}
	if r.up.err != nil {
		c.last = true
	}
	r.up = nil
}

// unbegun reports whether the client waits to be asked for a body that the
// server has answered without. One that was asked, or has not waited, is sending.
func (r *reply) unbegun() bool {
	return r.req.Header.HasToken("Expect", "100-continue") && !r.asked &&
		r.up.moved.Load() == 0 && r.req.Body.Buffered() == 0
}

func (e *end) Trailer() flow.Header {
	if e.payload == nil {
		return nil
	}
	return e.payload.Trailer()
}

// Framing implements exchange.Framed.
func (e *end) Framing() (before, after []byte) {
	if e.payload == nil {
		return nil, nil
	}
	return e.payload.Framing()
}

// Buffered tells a Body what it can read without waiting.
func (e *end) Buffered() int {
	if e.payload == nil {
		return 0
	}
	return e.payload.Buffered()
}

// NoContinue has no meaning for a response.
func (e *end) NoContinue() {}
