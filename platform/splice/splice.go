// Package splice moves bytes from one TCP socket to another that nobody wants
// to see: in the kernel where it can, else through a buffer. It moves one
// direction; how the ends of a connection hang together is its caller's affair.
package splice

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Watch follows one direction while it is moved. Its functions are called by
// the goroutine that moves.
type Watch struct {
	// Moved is told of n more bytes that dst has taken. May be nil.
	Moved func(n int)
	// Deadline says when waiting will have been too long, as of now; zero is
	// never. It is asked when a wait begins and again when that time has come:
	// a later answer goes on waiting. If both directions answer with the time
	// when either last moved, a connection ends when both are idle. May be nil.
	Deadline func() time.Time
}

// Copy moves bytes from src to dst until one of them fails or src ends, which
// is io.EOF as readErr; exactly one error is not nil. n counts what dst has
// taken. A deadline that passes is os.ErrDeadlineExceeded, as readErr or
// writeErr after the side that was waited for. Closing either conn ends Copy.
//
// While it waits for src it holds neither a pipe nor a buffer. It uses src's
// read deadline and dst's write deadline, if w has a Deadline.
func (p *Pool) Copy(dst, src *net.TCPConn, w Watch) (n int64, readErr, writeErr error) {
	m := &mover{pool: p, src: src, dst: dst, watch: w}
	from, err := src.SyscallConn()
	if err != nil {
		return 0, err, nil
	}
	to, err := dst.SyscallConn()
	if err != nil {
		return 0, nil, err
	}
	defer m.release()
	read, write := m.read, m.write // made once: each is an allocation
	for {
		if err := m.wait(from, false, read); err != nil {
			return m.total, err, nil
		}
		if m.held == 0 {
			return m.total, io.EOF, nil
		}
		if err := m.wait(to, true, write); err != nil {
			return m.total, nil, err
		}
	}
}

// A mover moves one direction: a portion is read into a pipe or a buffer, then
// written out of it until nothing of it is left.
type mover struct {
	pool     *Pool
	src, dst *net.TCPConn
	watch    Watch
	total    int64

	pipe  *pipe   // what holds the portion, if the kernel moves
	buf   *buffer // or else this
	held  int     // bytes of the portion that are not written yet
	start int     // where they begin in buf

	noSplice bool // the kernel can't splice these sockets
	err      error
	armed    [2]time.Time // the read and the write deadline, as last set
}

// wait calls step for a socket, as often as the socket becomes ready and until
// step is done, the deadline has come or the socket is closed.
func (m *mover) wait(c syscall.RawConn, writing bool, step func(fd uintptr) bool) error {
	for {
		if err := m.arm(writing); err != nil {
			return err
		}
		m.err = nil
		var err error
		if writing {
			err = c.Write(step)
		} else {
			err = c.Read(step)
		}
		switch {
		case err == nil:
			return m.err
		case m.watch.Deadline == nil || !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		if d := m.watch.Deadline(); !d.IsZero() && !d.After(time.Now()) {
			return err
		}
	}
}

// arm sets the deadline when there is none yet or it has passed, so once in an
// idle time and not once in a portion.
func (m *mover) arm(writing bool) error {
	if m.watch.Deadline == nil {
		return nil
	}
	side, set := 0, m.src.SetReadDeadline
	if writing {
		side, set = 1, m.dst.SetWriteDeadline
	}
	if a := m.armed[side]; !a.IsZero() && a.After(time.Now()) {
		return nil
	}
	d := m.watch.Deadline()
	if d.IsZero() && m.armed[side].IsZero() {
		return nil
	}
	m.armed[side] = d
	return set(d)
}

// read takes a portion. false: there is nothing yet, and nothing is held.
func (m *mover) read(fd uintptr) bool {
	m.acquire()
	for {
		var err error
		if m.pipe != nil {
			m.held, err = m.pipe.fill(int(fd))
		} else {
			m.held, err = unix.Read(int(fd), m.buf[:])
		}
		m.held, m.start = max(m.held, 0), 0
		switch {
		case err == nil:
			if m.held == 0 {
				m.release()
			}
			return true
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			m.release()
			return false
		case m.pipe != nil && cannotSplice(err):
			m.noSplice = true
			m.release()
			m.acquire()
		default:
			m.err = m.failure("read", m.src, err)
			return true
		}
	}
}

// write writes the portion. false: there is more, and no room for it yet.
func (m *mover) write(fd uintptr) bool {
	for m.held > 0 {
		var n int
		var err error
		if m.pipe != nil {
			n, err = m.pipe.drain(int(fd), m.held)
		} else {
			n, err = unix.Write(int(fd), m.buf[m.start:m.start+m.held])
		}
		switch {
		case err == nil && n > 0:
			m.held -= n
			m.start += n
			m.total += int64(n)
			if m.watch.Moved != nil {
				m.watch.Moved(n)
			}
		case err == nil:
			m.err = m.failure("write", m.dst, io.ErrShortWrite)
			return true
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return false
		default:
			m.err = m.failure("write", m.dst, err)
			return true
		}
	}
	return true
}

// failure is the error that c's own methods would return.
func (m *mover) failure(op string, c *net.TCPConn, err error) error {
	if e, ok := err.(syscall.Errno); ok {
		err = os.NewSyscallError(op, e)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}

// acquire makes sure that there is something to hold a portion.
func (m *mover) acquire() {
	if m.pipe != nil || m.buf != nil {
		return
	}
	if !m.noSplice {
		m.pipe = m.pool.borrow()
	}
	if m.pipe == nil {
		m.buf = m.pool.buffers.Get().(*buffer)
	}
}

// release gives back what holds the portion.
func (m *mover) release() {
	if m.pipe != nil {
		m.pool.giveBack(m.pipe, m.held == 0)
		m.pipe = nil
	}
	if m.buf != nil {
		m.pool.buffers.Put(m.buf)
		m.buf = nil
	}
}
