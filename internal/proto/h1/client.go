package h1

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"transom/exchange"
	"transom/flow"
)

// ClientOptions say how a Client works. The zero ClientOptions are good.
type ClientOptions struct {
	Limits      Limits
	Budget      *exchange.Budget // for bodies held in memory
	IdleTimeout time.Duration    // with nothing moving to or from the server; 0 is none

	// Takeover, if set, carries on what a 101 or a CONNECT has begun, between
	// the client's stream and the server's, and closes both. Nil relays bytes.
	Takeover func(ctx context.Context, req *flow.RequestHead, client, server net.Conn) error
}

// interimMax is how many 1xx responses one request may have.
const interimMax = 32

// A Client performs requests on one connection to a server, one at a time. It
// is an exchange.Handler. The next Exchange may begin once the response body of
// the last was read to its end and closed.
type Client struct {
	conn net.Conn
	in   *input
	out  *output
	o    ClientOptions

	last   bool // the connection carries no further exchange
	broke  bool // and we have closed it
	under  *reply
	ctx    context.Context // of the exchange under way
	done   <-chan struct{} // of the contexts whose end aborts the connection
	unhook func() bool

	mu      sync.Mutex
	aborted error // why the connection was closed under an exchange
	settle  bool  // somebody waits for the upload and reads meanwhile
	sent    bool  // the request under way has gone out whole
	ended   error // how the client has ended its side; nil while it has not
}

// NewClient returns a client for c, which Close closes.
func NewClient(c net.Conn, o ClientOptions) *Client {
	cl := &Client{conn: c, in: newInput(c, nil), out: &output{conn: c, idle: o.IdleTimeout}, o: o}
	cl.in.idle = o.IdleTimeout
	return cl
}

// A reply is the response under way, in one allocation.
type reply struct {
	c        *Client
	resp     exchange.Response
	received flow.ResponseHead
	body     exchange.Body
	src      payload
	end      end
	req      *exchange.Request
	up       *upload // nil if the request went out whole
	asked    bool    // a 100 (Continue) was passed on
}

// Usable reports whether the connection can carry another exchange now.
func (c *Client) Usable() bool {
	return !c.last && c.under == nil && c.in.err == nil && c.in.buffered() == 0
}

// Left reports whether the connection's last exchange is over and the
// connection is as the server left it: open, or ended by the server.
func (c *Client) Left() bool {
	return c.last && c.under == nil && !c.broke && c.abortion() == nil
}

// Close closes the connection and waits for an upload under way. It may be
// called more than once.
func (c *Client) Close() error {
	if c.unhook != nil {
		c.unhook()
	}
	err := c.conn.Close()
	if r := c.under; r != nil && r.up != nil {
		r.req.Body.Close()
		<-r.up.done
	}
	c.last = true
	return err
}

// Unread returns what was read of the server and not used.
func (c *Client) Unread() []byte { return c.in.bytes() }

// Exchange implements exchange.Handler. A response that is malformed gives an
// error that errors.As finds a *MalformedError in; a server that ends the
// connection instead of answering gives io.EOF or its reset.
func (c *Client) Exchange(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
	if !c.Usable() {
		if c.in.err != nil {
			return nil, fmt.Errorf("send request: %w", c.in.err)
		}
		return nil, fmt.Errorf("the connection to the server carries no further request: %w", io.EOF)
	}
	if err := translatable(&req.RequestHead); err != nil {
		return nil, err
	}
	c.hook(ctx)
	r := &reply{c: c, req: req}
	c.under = r
	c.setSent(false)
	if err := r.send(); err != nil {
		return nil, c.broken(ctx, r, err)
	}
	if r.up == nil {
		c.setSent(true)
	}
	f, err := r.await(ctx)
	if err != nil {
		return nil, c.broken(ctx, r, err)
	}
	r.begin(f)
	return &r.resp, nil
}

// hook has the connection aborted when ctx is done. Contexts that end together
// are hooked once.
func (c *Client) hook(ctx context.Context) {
	c.ctx = ctx
	if ctx.Done() == c.done {
		return
	}
	if c.unhook != nil {
		c.unhook()
	}
	c.done = ctx.Done()
	c.unhook = context.AfterFunc(ctx, func() { c.abort(context.Cause(ctx)) })
}

// broken ends an exchange without response, and says why: the context's cause,
// the client's failure while its body was uploaded, or the server's.
func (c *Client) broken(ctx context.Context, r *reply, err error) error {
	c.drop(r)
	if r.up != nil {
		r.req.Body.Close()
		<-r.up.done
		r.up = nil
	}
	c.under = nil
	if a := c.abortion(); a != nil {
		return a
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// send writes the request. A body that is not at hand goes up by itself.
func (r *reply) send() error {
	c, req := r.c, r.req
	h := &req.RequestHead
	if h.Proto > flow.HTTP11 {
		toHTTP11(h)
	}
	p := plan{mode: modeNone}
	if req.Body.Size() != 0 || req.Body.Changed() {
		h.Header, p = frameBody(h.Header, req.Body, false, h.Proto == flow.HTTP10)
		if p.mode == modeClose { // HTTP/1.0 has no way to send it but to know its size
			return fmt.Errorf("the body of an HTTP/1.0 request was changed to one of unknown size; set its Content-Length")
		}
	}
	if h.Header.HasToken("Connection", "close") || h.Proto == flow.HTTP10 && !h.Header.HasToken("Connection", "keep-alive") {
		c.last = true
	}
	if x := req.Received; x != nil && x.Raw != nil && x.Proto <= flow.HTTP11 && h.Equal(x) {
		p.head = x.Raw
	} else {
		p.head = appendRequest(nil, h)
	}
	switch size := req.Body.Size(); {
	case p.mode == modeNone, size >= 0 && int64(req.Body.Buffered()) >= size && size <= copySize:
		if err := send(c.out, p, req.Body); err != nil && !isWriteError(err) {
			return err // one of writing may have an answer that came before it
		}
		return nil
	}
	req.Body.NoContinue()
	if err := write(c.out, p.head); err != nil {
		return nil // likewise: the answer is awaited
	}
	p.head = nil
	r.up = newUpload(c, p, req.Body)
	return nil
}

// await reads heads until the final one, and passes the others on.
func (r *reply) await(ctx context.Context) (framing, error) {
	for n := 0; ; n++ {
		if n > interimMax {
			return framing{}, malformed("interim responses", "more than the limit of %d", interimMax)
		}
		r.received = flow.ResponseHead{}
		f, err := r.c.readHead(&r.received)
		if err != nil {
			return f, err
		}
		if r.received.Status >= 200 || r.received.Status == 101 {
			return f, nil
		}
		if r.req.Interim != nil {
			if err := r.req.Interim(r.received); err != nil {
				return f, err
			}
			r.asked = r.asked || r.received.Status == 100
		}
	}
}

// readHead reads the next head.
func (c *Client) readHead(h *flow.ResponseHead) (framing, error) {
	for scanned := 0; ; {
		end, next, err := headEnd(c.in.bytes(), scanned)
		if err != nil {
			return framing{}, err
		}
		if end > 0 {
			f, err := parseResponse(c.in.bytes()[:end], c.o.Limits, h)
			if err == nil {
				c.in.use(end)
			}
			return f, err
		}
		scanned = next
		if c.in.buffered() > c.o.Limits.head() {
			return framing{}, malformed("head", "longer than the limit of %d bytes", c.o.Limits.head())
		}
		if err := c.fill(c.under); err != nil {
			if c.in.buffered() > 0 {
				err = unexpected(err)
			}
			return framing{}, fmt.Errorf("await response: %w", err)
		}
	}
}

// fill waits for more from the server. While an upload is moving, a silent
// server is not idle.
func (c *Client) fill(r *reply) error {
	for {
		var before int64
		if r.up != nil {
			before = r.up.moved.Load()
		}
		c.in.arm()
		err := c.in.fill()
		if err == nil || !isTimeout(err) || r.up == nil || r.up.moved.Load() == before {
			return err
		}
		c.in.disarm()
	}
}

// begin makes the response of the head that has come.
func (r *reply) begin(f framing) {
	c, h := r.c, &r.received
	m, n := modeClose, int64(-1)
	switch {
	case h.Status == 101, r.req.Method == "CONNECT" && h.Status < 300:
		m, n = modeNone, 0
		r.resp.Takeover = r.takeover
		c.last = true
	case r.req.Method == "HEAD", bodyless(h.Status):
		m, n = modeNone, 0
	case f.chunked:
		m = modeChunked
	case f.length >= 0:
		m, n = modeLength, f.length
	}
	if m == modeClose || !f.persists() {
		c.last = true
	}
	r.src.reset(c.in, m, n, c.o.Limits)
	r.end.r = r
	if n != 0 {
		r.end.payload = &r.src
	}
	r.body.Reset(&r.end, n, c.o.Budget)
	r.resp.ResponseHead, r.resp.Received, r.resp.Body = r.received, &r.received, &r.body
	if f.repeated {
		r.resp.Header.Set("Content-Length", strconv.FormatInt(f.length, 10))
	}
}

// takeover relays raw bytes both ways until both sides have ended.
func (r *reply) takeover(ctx context.Context, client net.Conn) error {
	r.c.in.disarm()
	r.c.out.disarm()
	if r.c.o.Takeover != nil {
		return r.c.o.Takeover(ctx, &r.req.RequestHead, client, &taken{Conn: r.c.conn, in: r.c.in})
	}
	return tunnel(ctx, client, &taken{Conn: r.c.conn, in: r.c.in})
}

// Wait waits, between exchanges, until the server ends the connection or sends
// something: io.EOF, its reset, or ErrUnsolicited. It returns nil when ctx is
// done first; the client can then be used as before.
func (c *Client) Wait(ctx context.Context) error {
	if c.under != nil {
		return nil // a response that nobody has read or closed stands in the way
	}
	if c.in.buffered() > 0 {
		return ErrUnsolicited
	}
	c.in.disarm()
	poked := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(poked)
		c.in.interrupt()
	})
	err := c.in.fillQuietly()
	if !stop() {
		<-poked
		c.in.disarm()
	}
	switch {
	case err == nil:
		return ErrUnsolicited
	case isTimeout(err):
		return nil
	case err == io.EOF:
		return err
	}
	return fmt.Errorf("idle connection to the server: %w", err)
}

var _ exchange.Handler = (*Client)(nil)
