package h1

import (
	"errors"
	"io"
	"sync"

	"transom/exchange"
	"transom/flow"
)

// An upload sends a request body while the response is awaited and read.
type upload struct {
	done chan struct{}
	err  error // valid once done is closed
}

// newUpload begins to send body as p says. Whoever ends the exchange waits for
// done.
func newUpload(c *Client, p plan, body *exchange.Body) *upload {
	u := &upload{done: make(chan struct{})}
	go func() {
		defer close(u.done)
		u.err = send(c.conn, p, body)
		var w *writeError
		switch {
		case u.err == nil, errors.As(u.err, &w): // the server says what it thinks of it
		case errors.Is(u.err, io.ErrUnexpectedEOF):
			_ = closeWrite(c.conn) // it was cut short for us, so it is for the server
		default:
			c.abort(u.err)
		}
		c.uploaded()
	}()
	return u
}

// uploaded wakes who waits for the upload in Client.settleUpload.
func (c *Client) uploaded() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settle {
		_ = c.conn.SetReadDeadline(past) // a closed conn ends the read as well
	}
}

// settleUpload waits for an upload that outlasts its response. A server that
// ends the connection meanwhile ends the upload.
func (c *Client) settleUpload(r *reply) {
	c.mu.Lock()
	c.settle = true
	c.mu.Unlock()
	c.in.disarm()
	for c.in.err == nil && c.in.buffered() == 0 {
		select {
		case <-r.up.done:
		default:
			if err := c.in.fillQuietly(); err != nil && isTimeout(err) {
				<-r.up.done // woken
			}
			continue
		}
		break
	}
	if c.in.err != nil {
		r.req.Body.Close()
	}
	<-r.up.done
	c.mu.Lock()
	c.settle = false
	c.mu.Unlock()
	c.in.disarm()
}

// An end is a response body that tells its reply when it is over.
type end struct {
	*payload // nil if there is no body
	r        *reply
	once     sync.Once
}

func (e *end) Read(b []byte) (int, error) {
	if e.payload == nil {
		return 0, io.EOF
	}
	n, err := e.payload.Read(b)
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
func (e *end) Close() error {
	e.once.Do(e.finish)
	return nil
}

func (e *end) finish() {
	r := e.r
	c := r.c
	whole := e.payload == nil || e.payload.done()
	if !whole {
		c.last = true
		c.conn.Close()
	}
	if r.up != nil {
		r.settleUpload(whole)
	}
	c.in.release()
	c.under = nil
}

// settleUpload waits for the upload, or ends it if it has no sense any more.
func (r *reply) settleUpload(whole bool) {
	c := r.c
	select {
	case <-r.up.done:
	default:
		if !whole || c.last || r.unbegun() {
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
// server has answered without.
func (r *reply) unbegun() bool {
	return r.req.Header.HasToken("Expect", "100-continue") && r.req.Body.Buffered() == 0
}

func (e *end) Trailer() flow.Header {
	if e.payload == nil {
		return nil
	}
	return e.payload.Trailer()
}

// Framing implements exchange.Framed.
func (e *end) Framing() []byte {
	if e.payload == nil {
		return nil
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
