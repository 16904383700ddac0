package h2

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"transom/exchange"
)

// A tunnel is a stream as a connection: what CONNECT has begun (RFC 9113,
// section 8.5; RFC 8441). DATA is its payload, END_STREAM its FIN, RST_STREAM
// its RST.
type tunnel struct {
	s *stream

	turn chan struct{} // capacity 1: full during a Write, which no other is to cut

	mu     sync.Mutex
	linger bool // Close is a reset
	read   alarm
	write  alarm
}

// An alarm ends waits on a stream when a deadline has gone by.
type alarm struct {
	timer *time.Timer
	rung  bool
}

func newTunnel(s *stream) *tunnel {
	t := &tunnel{s: s, turn: make(chan struct{}, 1)}
	s.c.mu.Lock()
	s.tunnel = t
	s.c.mu.Unlock()
	return t
}

// Read implements net.Conn.
func (t *tunnel) Read(p []byte) (int, error) { return t.s.read(p) }

// Write implements net.Conn.
func (t *tunnel) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	if err := t.s.write(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite ends our side.
func (t *tunnel) CloseWrite() error { return t.s.write(nil, true) }

// SetLinger says how Close ends the stream: with a reset if sec is 0.
func (t *tunnel) SetLinger(sec int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.linger = sec == 0
	return nil
}

// Close implements net.Conn. Where the peer has not ended its side, it is told
// that nobody listens any more; if the other side was reset, it is as that was.
func (t *tunnel) Close() error {
	t.mu.Lock()
	linger := t.linger
	t.mu.Unlock()
	_ = t.SetDeadline(time.Time{}) // no timer is left
	if code, ok := t.s.farReset(); ok {
		t.s.reset(code, net.ErrClosed)
	} else if linger {
		t.s.reset(ConnectError, net.ErrClosed)
	} else {
		_ = t.s.write(nil, true) // it fails if the stream has ended
		t.s.reset(Cancel, net.ErrClosed)
	}
	t.s.abandon()
	return nil
}

// LocalAddr implements net.Conn.
func (t *tunnel) LocalAddr() net.Addr { return t.s.c.nc.LocalAddr() }

// RemoteAddr implements net.Conn.
func (t *tunnel) RemoteAddr() net.Addr { return t.s.c.nc.RemoteAddr() }

// SetDeadline implements net.Conn.
func (t *tunnel) SetDeadline(at time.Time) error {
	t.set(&t.read, at)
	t.set(&t.write, at)
	return nil
}

// SetReadDeadline implements net.Conn.
func (t *tunnel) SetReadDeadline(at time.Time) error { t.set(&t.read, at); return nil }

// SetWriteDeadline implements net.Conn.
func (t *tunnel) SetWriteDeadline(at time.Time) error { t.set(&t.write, at); return nil }

func (t *tunnel) set(a *alarm, at time.Time) {
	c := t.s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.timer != nil {
		a.timer.Stop()
	}
	a.timer, a.rung = nil, false
	if at.IsZero() {
		return
	}
	wait := time.Until(at)
	if wait <= 0 {
		a.rung = true
		t.s.cond.Broadcast()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(wait, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if a.timer == timer {
			a.rung = true
			t.s.cond.Broadcast()
		}
	})
	a.timer = timer
}

// late reports whether a deadline has gone by. A stream that is no tunnel has
// none.
func (t *tunnel) readLateLocked() bool  { return t != nil && t.read.rung }
func (t *tunnel) writeLateLocked() bool { return t != nil && t.write.rung }

// takeover hands the client's stream to who answered CONNECT.
func (x *exch) takeover(resp *exchange.Response) error {
	if err := x.sendHead(&resp.ResponseHead, false, true); err != nil {
		return err
	}
	err := resp.Takeover(x.ctx, newTunnel(&x.stream))
	if x.ctx.Err() != nil {
		return context.Cause(x.ctx)
	}
	return err
}

// takeover carries a tunnel on until both sides have ended.
func (r *reply) takeover(ctx context.Context, client net.Conn) error {
	defer r.unfollow()
	server := newTunnel(&r.stream)
	if r.cl.o.Takeover != nil {
		return r.cl.o.Takeover(ctx, &r.req.RequestHead, client, server)
	}
	return relay(ctx, client, server)
}

// relay moves bytes both ways: a side's FIN goes on as one, any other end ends
// both.
func relay(ctx context.Context, a, b net.Conn) error {
	stop := context.AfterFunc(ctx, func() {
		a.Close()
		b.Close()
	})
	defer stop()
	var there error
	var wg sync.WaitGroup
	wg.Go(func() { there = oneWay(b, a) })
	back := oneWay(a, b)
	wg.Wait()
	b.Close()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(there, back)
}

func oneWay(dst, src net.Conn) error {
	lent := copies.Get().(*[copySize]byte)
	defer copies.Put(lent)
	for {
		n, err := src.Read(lent[:])
		if n > 0 {
			if _, werr := dst.Write(lent[:n]); werr != nil {
				err = werr
			}
		}
		if err == io.EOF {
			return closeWrite(dst)
		}
		if err != nil {
			src.Close()
			dst.Close()
			return err
		}
	}
}

func closeWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

// Is lets a reset of a stream be taken for that of a connection: the one is the
// other's where a stream is a connection.
func (e *StreamError) Is(target error) bool { return e.Remote && target == syscall.ECONNRESET }
