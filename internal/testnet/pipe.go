// Package testnet is the world in memory that the hermetic tests run in:
// connections that end as TCP connections do, an internet whose servers are Go
// functions, a capture source that yields what a test injects, a host that
// writes down what it was asked, and the one way to skip. Everything blocks on
// conditions and timers only, so it works in a testing/synctest bubble. Nothing
// but tests may import it.
package testnet

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// Buffer is how many bytes one direction of a Pipe holds before its writer has
// to wait. SetReadBuffer changes it for one end.
const Buffer = 64 << 10

// Pipe returns the two ends of a TCP connection in memory: the end of the one
// who dialled, whose address is client, and the end of the one who accepted at
// server.
//
// Both end as TCP ends. CloseWrite and Close send FIN; Close sends RST instead
// if SetLinger(0) was called or something received was not read. Who gets a RST
// still reads what had arrived, then ECONNRESET; who writes to a closed end
// succeeds once and gets a RST for it, then EPIPE. Unlike Linux, which reports
// a reset once and EOF after, reads keep failing with ECONNRESET.
func Pipe(client, server netip.AddrPort) (dialled, accepted *Conn) {
	return pipe(client, server, server, client)
}

// pipe returns two ends that need not agree on their addresses, as the ends of
// a redirected connection do not.
func pipe(aLocal, aRemote, bLocal, bRemote netip.AddrPort) (a, b *Conn) {
	mu := new(sync.Mutex)
	cond := sync.NewCond(mu)
	a = &Conn{mu: mu, cond: cond, local: aLocal, remote: aRemote, limit: Buffer}
	b = &Conn{mu: mu, cond: cond, local: bLocal, remote: bRemote, limit: Buffer}
	a.peer, b.peer = b, a
	return a, b
}

// A Conn is one end of a Pipe. As with a TCP connection, one goroutine may read
// while another writes, and any may close. The two ends share one lock: all
// fields below it are guarded by it.
type Conn struct {
	mu            *sync.Mutex
	cond          *sync.Cond // something changed on either end
	local, remote netip.AddrPort
	peer          *Conn

	in      []byte // received and not yet read
	limit   int    // how much in may hold
	segment int    // how much one Read may take; 0 is all
	fin     bool   // FIN received
	rst     bool   // RST received
	told    bool   // a write has been told about rst
	shut    bool   // FIN sent
	closed  bool
	linger  int // as SetLinger was told, plus one; 0 is the default

	read, write deadline
}

var _ net.Conn = (*Conn)(nil)

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.fail("read", net.ErrClosed)
		case c.read.expired:
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case len(c.in) > 0:
			return c.takeLocked(p), nil
		case c.fin:
			return 0, io.EOF
		case c.rst:
			return 0, c.fail("read", os.NewSyscallError("read", syscall.ECONNRESET))
		}
		c.cond.Wait()
	}
}

// AwaitReset is what platform.AwaitReset does for a socket.
func (c *Conn) AwaitReset() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.rst {
		if c.closed || c.read.expired {
			return nil
		}
		c.cond.Wait()
	}
	return c.fail("read", os.NewSyscallError("read", syscall.ECONNRESET))
}

// takeLocked moves received bytes to p, and lets the writer go on.
func (c *Conn) takeLocked(p []byte) int {
	if c.segment > 0 && len(p) > c.segment {
		p = p[:c.segment]
	}
	n := copy(p, c.in)
	c.in = c.in[n:]
	if len(c.in) == 0 {
		c.in = nil
	}
	c.cond.Broadcast()
	return n
}

// Write implements net.Conn. It waits while the peer's buffer is full.
func (c *Conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := 0
	for {
		switch {
		case c.closed:
			return done, c.fail("write", net.ErrClosed)
		case c.write.expired:
			return done, c.fail("write", os.ErrDeadlineExceeded)
		case c.rst:
			return done, c.fail("write", os.NewSyscallError("write", c.resetLocked()))
		case c.shut:
			return done, c.fail("write", os.NewSyscallError("write", syscall.EPIPE))
		case c.peer.closed: // the kernel takes it, and gets a RST for it
			c.rst = true
			c.cond.Broadcast()
			return len(p), nil
		case done == len(p):
			return done, nil
		}
		if n := min(len(p)-done, c.peer.limit-len(c.peer.in)); n > 0 {
			c.peer.in = append(c.peer.in, p[done:done+n]...)
			done += n
			c.cond.Broadcast()
			continue
		}
		c.cond.Wait()
	}
}

// resetLocked is the errno a write gets after a RST: ECONNRESET the first time,
// EPIPE from then on, and from the start if a FIN had come before.
func (c *Conn) resetLocked() syscall.Errno {
	if c.told || c.fin {
		return syscall.EPIPE
	}
	c.told = true
	return syscall.ECONNRESET
}

// CloseWrite sends FIN. What the peer sends can still be read.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return c.fail("close", net.ErrClosed)
	case c.rst:
		return c.fail("close", os.NewSyscallError("shutdown", syscall.ENOTCONN))
	}
	c.shut, c.peer.fin = true, true
	c.cond.Broadcast()
	return nil
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	c.closed = true
	c.read.stop()
	c.write.stop()
	if !c.rst {
		if c.linger == 1 || len(c.in) > 0 {
			c.peer.rst = true
		} else {
			c.peer.fin = true
		}
	}
	c.in = nil
	c.cond.Broadcast()
	return nil
}

// SetLinger says how Close ends the connection, as TCPConn's does: with a RST
// if sec is 0, with a FIN otherwise.
func (c *Conn) SetLinger(sec int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.fail("set", net.ErrClosed)
	}
	c.linger = sec + 1
	return nil
}

// SetReadBuffer bounds how many bytes may wait to be read from c.
func (c *Conn) SetReadBuffer(bytes int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = max(bytes, 1)
	c.cond.Broadcast()
	return nil
}

// SetSegment makes every Read return at most n bytes, as if the peer's segments
// held no more; 0 is no bound.
func (c *Conn) SetSegment(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.segment = n
}

// Buffered reports how many received bytes wait to be read.
func (c *Conn) Buffered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.in)
}

// LocalAddr implements net.Conn. It is a *net.TCPAddr.
func (c *Conn) LocalAddr() net.Addr { return net.TCPAddrFromAddrPort(c.local) }

// RemoteAddr implements net.Conn. It is a *net.TCPAddr.
func (c *Conn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

// fail wraps err as package net does.
func (c *Conn) fail(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// SetDeadline implements net.Conn.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, &c.read, &c.write) }

// SetReadDeadline implements net.Conn.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.read) }

// SetWriteDeadline implements net.Conn.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.write) }

func (c *Conn) setDeadlines(t time.Time, which ...*deadline) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.fail("set", net.ErrClosed)
	}
	for _, d := range which {
		d.setLocked(t, c.mu, c.cond)
	}
	c.cond.Broadcast()
	return nil
}

// A deadline wakes those who wait on a condition when its time has come.
type deadline struct {
	expired bool
	timer   *time.Timer
}

func (d *deadline) setLocked(t time.Time, mu *sync.Mutex, cond *sync.Cond) {
	d.stop()
	d.expired = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.expired = true
		return
	}
	var self *time.Timer
	self = time.AfterFunc(left, func() {
		mu.Lock()
		defer mu.Unlock()
		if d.timer == self { // a later deadline may have taken its place
			d.expired = true
			cond.Broadcast()
		}
	})
	d.timer = self
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
