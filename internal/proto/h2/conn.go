package h2

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/http2"

	"transom/flow"
	"transom/internal/proto/hpack"
)

// Limits bound what one connection may take of memory. Zero fields have
// defaults.
type Limits struct {
	Head   int // bytes of a field section, as RFC 9113, section 6.5.2 counts: 64 KiB
	Fields int // fields of one: 256
}

func (l Limits) block() hpack.Limit {
	b := hpack.Limit{Size: l.Head, Fields: l.Fields}
	if b.Size == 0 {
		b.Size = 64 << 10
	}
	if b.Fields == 0 {
		b.Fields = 256
	}
	return b
}

const (
	// maxBlock is how long a field block may be on the wire; past it the
	// connection ends. A block that is merely past Limits costs its stream.
	maxBlock = 256 << 10
	// maxParts is how many frames one block may come in.
	maxParts = 64
	// maxBuffered is how much payload a connection may have received that
	// nobody has read. Past it nothing is read from the connection, whatever
	// its windows allow.
	maxBuffered = 16 << 20
)

// A side is what the two ends of a connection do differently. All but fields
// and promise are called with the connection's lock held.
type side interface {
	// fields takes a whole field block. s is nil if its stream is not open.
	fields(s *stream, h *fieldBlock) error
	// promise takes a field block of a PUSH_PROMISE frame.
	promise(h *fieldBlock) error
	// idle reports whether a stream has not been used yet.
	idleLocked(id uint32) bool
	// settings takes a SETTINGS frame that has been applied.
	settingsLocked(list []Setting)
	// goAway takes a GOAWAY frame.
	goAwayLocked(last uint32, code Code, debug []byte)
	// relay takes a frame of the connection as a whole that is for the other
	// connection. payload is valid during the call.
	relayLocked(kind http2.FrameType, flags http2.Flags, id uint32, payload []byte)
	// closed is told that a stream is no longer in the table.
	closedLocked(s *stream)
}

// A fieldBlock is a HEADERS frame with its CONTINUATION frames.
type fieldBlock struct {
	hpack.Block
	id       uint32
	limit    hpack.Limit // it was decoded with
	end      bool        // END_STREAM
	binary   bool        // values of -bin fields may have any bytes
	push     bool        // it is a PUSH_PROMISE frame
	promised uint32      // and the stream that is about
	priority *flow.H2Priority
}

// A conn is one connection. Its lock guards all streams on it.
type conn struct {
	nc     net.Conn
	in     input
	fr     *http2.Framer // only reads
	out    output
	side   side
	server bool // we are the server on it
	limits hpack.Limit

	// The read loop's own.
	dec     *hpack.Decoder
	pending fieldBlock // being put together; fields and promise take it for their call
	block   []byte     // its fragments, as far as they have come
	parts   int
	inBlock bool      // more of it is to come
	greeted bool      // the peer's first frame has come
	late    []*stream // that are to be woken when what has been read is used up

	mu       sync.Mutex
	enc      *hpack.Encoder
	scratch  []byte // a block is encoded here
	streams  map[uint32]*stream
	err      error // the connection is over
	calm     calm
	resets   [64]uint32 // streams that we have reset lately
	nextSlot int

	announced []promised    // that the peer has not acknowledged
	readMax   atomic.Uint32 // longest frame that it may send
	window    int64         // that new streams have to send
	maxFrame  int
	binary    [2]bool // we, and the peer, have said settingBinary
	send      int64   // the connection's window to send
	starved   []*stream
	recvInit  int64 // window that new streams have to receive
	recv      int64 // the connection's window to receive
	recvMax   int64 // what that is when everything is given back
	owed      int64 // what was received and not given back
	buffered  int64
	memory    *Memory   // that others share
	eased     sync.Cond // buffered has fallen
	fed       bool      // DATA was sent since the last PING came
}

func (c *conn) init(nc net.Conn, prefix []byte, idle time.Duration, l Limits, s side) {
	c.nc, c.side, c.limits = nc, s, l.block()
	c.out.init(nc, idle, c.broken)
	c.out.lost = c.rouse
	c.in = input{conn: nc, data: prefix, idle: idle, moved: c.out.lastMoved, quiet: c.quiet, before: c.wakeNow}
	c.fr = http2.NewFramer(nil, &c.in)
	c.fr.SetMaxReadFrameSize(1<<24 - 1) // frame knows better
	c.fr.AllowIllegalReads = true       // of the order, too: the Framer knows no PUSH_PROMISE in pieces
	c.readMax.Store(defaultMaxFrame)
	c.dec, c.enc = hpack.NewDecoder(defaultTable), hpack.NewEncoder()
	c.streams = map[uint32]*stream{}
	c.window, c.maxFrame, c.send = defaultWindow, defaultMaxFrame, defaultWindow
	c.recvInit, c.recv, c.recvMax = defaultWindow, defaultWindow, defaultWindow
	c.eased.L = &c.mu
}

// broken takes an error of writing, after which a client has no use for us.
func (c *conn) broken(err error) error {
	if c.server {
		c.in.stop()
		return ofClient(err)
	}
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		c.in.stop() // else what it has sent before it left is still to be read
	}
	return ofServer(err)
}

// quiet reports whether no stream is open.
func (c *conn) quiet() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.streams) == 0
}

// readLoop takes frames until something ends the connection. A *ConnError is
// the peer's violation; any other error is the stream's.
func (c *conn) readLoop() error {
	defer c.wakeNow()
	for {
		if err := c.ease(); err != nil {
			return err
		}
		fh, err := c.fr.ReadFrameHeader()
		if err != nil {
			err = c.brokenFrame(fh.Type, err)
		} else {
			err = c.frame(fh)
		}
		if failed := c.out.failed(); err != nil && c.in.isStopped() && failed != nil {
			return failed
		}
		if err != nil {
			err = c.survive(err)
		}
		if err != nil {
			return err
		}
		c.kick()
	}
}

// wakeLate wakes who waits for s: after the next frame, if that has come already.
// A head and the payload behind it then go on together.
func (c *conn) wakeLate(s *stream) {
	if len(c.in.data) < frameHeaderLen {
		s.cond.Broadcast()
		return
	}
	c.late = append(c.late, s)
}

// wakeNow wakes all that were to be woken late.
func (c *conn) wakeNow() {
	for i, s := range c.late {
		s.cond.Broadcast()
		c.late[i] = nil
	}
	c.late = c.late[:0]
}

// survive resets the stream that err is about, if it is about no more.
func (c *conn) survive(err error) error {
	var bad *badStream
	if errors.As(err, &bad) {
		return c.refuse(bad)
	}
	return err
}

// ease waits while too much has been received that nobody reads. That ends as
// waiting for the peer does: when writing to it fails, and when nothing has moved
// for too long.
func (c *conn) ease() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.crowdedLocked() {
		return c.err
	}
	c.wakeNow()
	if c.in.idle > 0 {
		alarm := time.AfterFunc(c.in.idle, c.rouse)
		defer alarm.Stop()
		defer func() { c.in.armed = time.Time{} }() // reading has all its time again
		for since := time.Now(); c.fullLocked(); c.eased.Wait() {
			moved := c.out.lastMoved()
			if moved.Before(since) {
				moved = since
			}
			left := c.in.idle - time.Since(moved)
			if left <= 0 {
				return os.ErrDeadlineExceeded
			}
			alarm.Reset(left)
		}
		return c.err
	}
	for c.fullLocked() {
		c.eased.Wait()
	}
	return c.err
}

// fullLocked reports whether ease has to wait.
func (c *conn) fullLocked() bool {
	return c.crowdedLocked() && c.err == nil && c.out.failed() == nil
}

// rouse has ease look again.
func (c *conn) rouse() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.eased.Broadcast()
}

// refuse resets the stream that a violation is about.
func (c *conn) refuse(bad *badStream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[bad.id]; s != nil {
		s.resetLocked(bad.err.Code, bad.err)
		return c.calm.cost(costReset, "one that cost a stream: "+bad.Error())
	}
	c.noteResetLocked(bad.id)
	c.appendLocked(func(b []byte) []byte { return appendReset(b, bad.id, bad.err.Code) })
	return c.calm.cost(costReset, "one that was refused: "+bad.Error())
}

// appendLocked appends frames to the output.
func (c *conn) appendLocked(f func([]byte) []byte) {
	c.out.end(f(c.out.begin(0)))
}

// roomLocked waits until streams may say more. The lock is let go meanwhile, so
// what was true of a stream may not be any more. Whoever finds room has it to
// himself: all who append hold the lock. Else hundreds who come at once would
// together append more than a peer may leave unread.
func (c *conn) roomLocked() error {
	for c.out.full() {
		c.mu.Unlock()
		err := c.out.waitRoom()
		c.mu.Lock()
		if err != nil {
			return err
		}
	}
	return nil
}

// kick has what was appended written by somebody else than the read loop, which
// must not wait for a peer that waits for it.
func (c *conn) kick() { c.out.kick() }

// goAway tells the peer that the connection ends, and why.
func (c *conn) goAway(last uint32, code Code, debug string) {
	c.mu.Lock()
	c.appendLocked(func(b []byte) []byte { return appendGoAway(b, last, code, debug) })
	c.mu.Unlock()
	_ = c.out.flushAll() // the connection is at its end
}

// die ends all streams with err, and what is begun later.
func (c *conn) die(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	for _, s := range c.streams {
		s.endLocked(err)
	}
	c.eased.Broadcast()
}

// noteResetLocked remembers a stream that we have reset: frames for it may be on
// their way.
func (c *conn) noteResetLocked(id uint32) {
	c.resets[c.nextSlot] = id
	c.nextSlot = (c.nextSlot + 1) % len(c.resets)
}

func (c *conn) resetLatelyLocked(id uint32) bool {
	for _, r := range c.resets {
		if r == id {
			return true
		}
	}
	return false
}
