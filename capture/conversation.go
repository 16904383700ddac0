package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"transom/platform"
)

// drainMost is how many datagrams are taken from the listener so that what was
// sent first is read first.
const drainMost = 4096

// answerWithin is how long a socket may take to be made: it may be another
// process that makes it.
const answerWithin = 10 * time.Second

// A conversation is the Conn of what one client sends from one port to one
// destination. One goroutine may read while others write.
//
// Reading goes through three states:
//
//	queued   what the listener has heard is read; when that is all,
//	joining  a socket is made, and connected to the client. What reached the
//	         listener before that is taken from it, and read;
//	joined   the socket is read. What comes to the listener all the same, from a
//	         processor that was late, interrupts that.
type conversation struct {
	pair
	t          *table
	start      time.Time
	next, prev *conversation // in the table's ring; guarded by its lock, as is what follows

	more    *sync.Cond // the queue has changed, or it is over
	queue   [][]byte   // heard and not read
	bytes   int64      // of queue
	lost    int64      // datagrams that found no room
	socket  socket     // nil until it is wanted
	joining bool       // somebody makes the socket
	joined  bool       // what came before it has been heard
	waiting bool       // somebody reads the socket
	ended   error
}

var _ net.Conn = (*conversation)(nil)

// linkLocked puts c in front of a ring.
func (c *conversation) linkLocked(head *conversation) {
	c.next, c.prev = head.next, head
	c.next.prev, head.next = c, c
}

// touchLocked says that c is not silent.
func (c *conversation) touchLocked() {
	if c.ended != nil || c.t.recent.next == c {
		return
	}
	c.next.prev, c.prev.next = c.prev, c.next
	c.linkLocked(&c.t.recent)
}

func (c *conversation) over() bool {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.ended != nil
}

// Waits reports whether something was heard that is not read, or was read last, so
// that who has read it may not be done with it.
func (c *conversation) Waits() bool {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.ended == nil && (len(c.queue) > 0 || !c.joined)
}

// Refuse tells the client that nobody is at the port that it sends to, if somebody has
// the right to.
func (c *conversation) Refuse() {
	if c.t.refuse == nil {
		return
	}
	if err := c.t.refuse(c.client, c.dst); err != nil {
		c.t.log.Debug("a client is not told that its datagrams are refused", "client", c.client, "dst", c.dst, "err", err)
	}
}

// Lost returns how many datagrams of the client's found no room.
func (c *conversation) Lost() int64 {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.lost
}

// Read implements net.Conn: it reads one datagram. What does not fit into p is
// cut off; a datagram is no longer than platform.MaxDatagram.
func (c *conversation) Read(p []byte) (int, error) {
	pool := sync.Pool{New: func() any { return new(platform.Packet) }}
	b, n, err := c.ReadPooled(&pool)
	if err != nil {
		return 0, err
	}
	return copy(p, b[:n]), nil
}

// ReadPooled is Read into a buffer of pool, see platform.PacketConn.
func (c *conversation) ReadPooled(pool *sync.Pool) (*platform.Packet, int, error) {
	for {
		b, n, s, err := c.heardOrSocket(pool)
		if b != nil || err != nil {
			return b, n, err
		}
		b, n, err = s.ReadPooled(pool)
		again, err := c.read(s, err)
		if from := s.Sender(); err == nil && !again && from.IsValid() && from != c.client {
			// The kernel found the socket for somebody else before it was connected.
			c.t.heard(b[:n], from, c.dst)
			pool.Put(b)
			continue
		}
		if !again {
			return b, n, err
		}
	}
}

// heardOrSocket returns what has been heard, or the socket to read when that is all.
func (c *conversation) heardOrSocket(pool *sync.Pool) (b *platform.Packet, n int, s socket, err error) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	for {
		switch {
		case c.ended != nil:
			return nil, 0, nil, c.ended
		case len(c.queue) > 0:
			p := c.queue[0]
			c.queue[0] = nil
			c.queue = c.queue[1:]
			c.bytes -= int64(len(p))
			c.t.queued -= int64(len(p))
			b = pool.Get().(*platform.Packet)
			return b, copy(b[:], p), nil, nil
		case c.joined:
			c.waiting = true
			return nil, 0, c.socket, nil
		}
		if err := c.joinLocked(); err != nil {
			return nil, 0, nil, err
		}
		c.t.mu.Unlock()
		err := c.t.l.Drain(drainMost, c.t.heard)
		c.t.mu.Lock()
		if err != nil && !errors.Is(err, net.ErrClosed) && !passes(err) {
			return nil, 0, nil, err
		}
		c.joined = true
	}
}

// read says what became of reading the socket: whether to look again at what was
// heard.
func (c *conversation) read(s socket, err error) (again bool, _ error) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.waiting = false
	switch {
	case c.ended != nil && err != nil:
		return false, c.ended
	case errors.Is(err, os.ErrDeadlineExceeded):
		return true, s.SetReadDeadline(time.Time{})
	case err == nil:
		c.touchLocked()
	}
	return false, err
}

// joinLocked sees to it that there is a socket. It gives up the lock meanwhile.
func (c *conversation) joinLocked() error {
	for c.joining {
		c.more.Wait()
	}
	if c.socket != nil || c.ended != nil {
		return c.ended
	}
	c.joining = true
	c.t.mu.Unlock()
	s, err := c.make()
	c.t.mu.Lock()
	c.joining = false
	c.more.Broadcast()
	switch {
	case err != nil:
		return err
	case c.ended != nil:
		s.Close()
		return c.ended
	}
	c.socket = s
	return nil
}

// make asks for a socket, and again if one had to be given up for it.
func (c *conversation) make() (socket, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerWithin)
	defer cancel()
	s, err := c.t.answer(ctx, c.client, c.dst)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		c.t.giveUp(c)
		s, err = c.t.answer(ctx, c.client, c.dst)
	}
	if err != nil {
		return nil, fmt.Errorf("make a socket that answers %s from %s: %w", c.client, c.dst, err)
	}
	return s, nil
}

// giveUp ends the conversation that was silent for longest, so that c can have its
// descriptors.
func (t *table) giveUp(c *conversation) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if o := t.recent.prev; o != &t.recent && o != c {
		t.crowded++
		t.removeLocked(o, ErrCrowded)
		t.tellLocked()
	}
}

// Write implements net.Conn: it sends p to the client as one datagram, from where
// the client's went to.
func (c *conversation) Write(p []byte) (int, error) {
	c.t.mu.Lock()
	err := c.joinLocked()
	if err == nil {
		err = c.ended
	}
	s := c.socket
	c.touchLocked()
	c.t.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := s.Write(p)
	if err != nil && c.over() {
		return n, net.ErrClosed
	}
	return n, err
}

// Close implements net.Conn.
func (c *conversation) Close() error {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	c.t.removeLocked(c, net.ErrClosed)
	return nil
}

// LocalAddr implements net.Conn: where the client meant to go.
func (c *conversation) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.dst) }

// RemoteAddr implements net.Conn.
func (c *conversation) RemoteAddr() net.Addr { return net.UDPAddrFromAddrPort(c.client) }

// SetDeadline implements net.Conn. There are no deadlines: Close ends what waits.
func (c *conversation) SetDeadline(time.Time) error { return os.ErrNoDeadline }

// SetReadDeadline implements net.Conn, as SetDeadline.
func (c *conversation) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// SetWriteDeadline implements net.Conn, as SetDeadline.
func (c *conversation) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
