package h2

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"transom/exchange"
	"transom/flow"
)

// ClientOptions say how a Client works. The zero ClientOptions are good.
type ClientOptions struct {
	Limits      Limits
	Budget      *exchange.Budget // for bodies held in memory
	Memory      *Memory          // for what is on its way; nil is no bound but each connection's
	IdleTimeout time.Duration    // with nothing moving during an exchange; 0 is none

	// Mirror says that a Server will name this Client as its Upstream: the
	// connection then begins as that one's client began.
	Mirror bool
	// Upgrade, if set, is how HTTP/1.1 ended on the connection.
	Upgrade *Upgrade
	// Opened, if set, is told how we began, when the first request is sent.
	Opened func(*Opening)
	// Takeover, if set, carries on what a CONNECT has begun, between the
	// client's stream and the server's, and closes both. Nil relays bytes.
	Takeover func(ctx context.Context, req *flow.RequestHead, client, server net.Conn) error
}

// interimMax is how many 1xx responses one request may have.
const interimMax = 32

// A Client performs requests on one connection to a server, side by side. It is
// an exchange.Handler.
type Client struct {
	conn
	o       ClientOptions
	reading sync.WaitGroup

	// Guarded by the connection's lock.
	opened       bool
	opening      Opening
	first        bool // a request was sent
	granted      bool
	lastID       uint32
	lastPromised uint32
	pushes       bool         // the server may push
	max          int          // streams that the server lets be open at once
	slots        sync.Cond    // that has changed, or one has ended
	sent         []sentStream // of late, in order
	forgotten    uint32       // the client's highest number before those
	reordered    bool         // the numbers are not the same
	adopted      *reply       // that nobody has asked for yet
	away         error        // the server takes none above
	awayLast     uint32
	gone         error // how the connection ended
	down         *Server
	untold       []func(*Server)
	pings        int  // of the client's that the server has not answered
	heard        bool // it has sent DATA since it answered the last
}

// A sentStream is a request by both its numbers.
type sentStream struct{ theirs, here uint32 }

// maxSent is how many are remembered, for frames that name one.
const maxSent = 256

// NewClient returns a client for nc, which Close closes. It reads from nc at
// once.
func NewClient(nc net.Conn, prefix []byte, o ClientOptions) *Client {
	c := &Client{o: o, max: maxStreams, pushes: true}
	c.init(nc, prefix, o.IdleTimeout, o.Limits, c)
	c.slots.L = &c.mu
	c.in.still = true
	c.memory = o.Memory
	c.out.held = true
	if o.Upgrade != nil {
		c.adopt(o.Upgrade)
	}
	if !o.Mirror {
		c.open(ownClientSettings())
		c.grant(8 << 20)
	}
	c.reading.Go(c.read)
	return c
}

// read is the reading goroutine.
func (c *Client) read() {
	err := c.readLoop()
	var bad *ConnError
	if errors.As(err, &bad) {
		c.goAway(0, bad.Code, "")
	}
	c.mu.Lock()
	c.gone = err
	down := c.down
	c.slots.Broadcast()
	c.mu.Unlock()
	c.die(ofServer(err))
	c.out.fail(ofServer(err))
	if down != nil {
		down.serverGone(err)
	}
}

// Close closes the connection and waits for what the Client has started. It may
// be called more than once.
func (c *Client) Close() error {
	c.Finish()
	c.die(&GoneError{net.ErrClosed})
	c.out.fail(net.ErrClosed)
	err := c.nc.Close()
	c.reading.Wait()
	c.out.wait()
	return err
}

// Finish writes what has been said and not written. It waits for that a second
// at most.
func (c *Client) Finish() {
	c.mu.Lock()
	over := c.err != nil || !c.opened
	c.mu.Unlock()
	if !over {
		c.out.finish()
	}
}

// Usable reports whether another exchange can be begun.
func (c *Client) Usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil && c.away == nil
}

// promise implements side. What a server pushes is declined, stream by stream:
// nobody pushes any more but a few servers to a few clients, and none of them
// minds. Its fields had to be decoded, for those that come after.
func (c *Client) promise(h *fieldBlock) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case !c.pushes:
		return violation(ProtocolError, "PUSH_PROMISE frame, though SETTINGS_ENABLE_PUSH is 0")
	case h.id%2 == 0 || h.id > c.lastID:
		return violation(ProtocolError, "PUSH_PROMISE frame on stream %d, which is idle", h.id)
	case h.promised == 0 || h.promised%2 != 0 || h.promised <= c.lastPromised:
		return violation(ProtocolError, "PUSH_PROMISE frame for stream %d, which is not idle", h.promised)
	}
	c.lastPromised = h.promised
	return &badStream{h.promised, &StreamError{Code: Cancel, What: "pushed"}}
}

// idleLocked implements side.
func (c *Client) idleLocked(id uint32) bool {
	if id%2 == 0 {
		return id > c.lastPromised
	}
	return id > c.lastID
}

// closedLocked implements side.
func (c *Client) closedLocked(s *stream) {
	c.calm.pay(payStream)
	c.slots.Signal()
}

var _ exchange.Handler = (*Client)(nil)
