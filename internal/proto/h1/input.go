package h1

import (
	"io"
	"net"
	"sync"
	"time"
)

const (
	inputSize = 8 << 10  // what is read at once between bodies
	copySize  = 32 << 10 // what a body is moved by
)

// inputs and copies lend buffers; they are given back while nothing flows.
var (
	inputs = sync.Pool{New: func() any { return new([inputSize]byte) }}
	copies = sync.Pool{New: func() any { return new([copySize]byte) }}
)

// past is a deadline that has gone by: it ends a read under way.
var past = time.Unix(1, 0)

// An input reads a connection through a buffer that it holds only while there
// is something in it. It belongs to one goroutine at a time.
type input struct {
	conn   net.Conn
	lent   *[inputSize]byte // the pooled buffer that buf is, or nil
	buf    []byte
	r, w   int
	err    error         // how the stream ended; sticky
	idle   time.Duration // bounds each wait of a body or a response; 0 is none
	armed  time.Time     // when a deadline for that was last set
	slight [64]byte      // what is read into while quiet

	mu      sync.Mutex
	stopped bool // no read may wait any more
}

func newInput(c net.Conn, prefix []byte) *input {
	in := &input{conn: c}
	if len(prefix) > 0 {
		in.reserve(len(prefix))
		in.w = copy(in.buf, prefix)
	}
	return in
}

// bytes is what has been read and not used.
func (in *input) bytes() []byte { return in.buf[in.r:in.w] }

func (in *input) buffered() int { return in.w - in.r }

// use counts n buffered bytes as used.
func (in *input) use(n int) {
	in.r += n
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
}

// reserve makes room for n more bytes.
func (in *input) reserve(n int) {
	if in.buf == nil {
		in.lent = inputs.Get().(*[inputSize]byte)
		in.buf = in.lent[:]
	}
	if len(in.buf)-in.w >= n {
		return
	}
	if in.r > 0 {
		in.w = copy(in.buf, in.bytes())
		in.r = 0
	}
	if len(in.buf)-in.w >= n {
		return
	}
	bigger := make([]byte, max(2*len(in.buf), in.w+n))
	copy(bigger, in.buf[:in.w])
	in.giveBack()
	in.buf = bigger
}

// release gives the buffer back if nothing is in it.
func (in *input) release() {
	if in.buffered() == 0 && in.buf != nil {
		in.giveBack()
		in.buf, in.r, in.w = nil, 0, 0
	}
}

func (in *input) giveBack() {
	if in.lent != nil {
		inputs.Put(in.lent)
		in.lent = nil
	}
}

// fill reads once more. The error is that of a read that gave nothing; the
// stream's end is remembered, a deadline is not.
func (in *input) fill() error {
	if in.err != nil {
		return in.err
	}
	in.reserve(1)
	n, err := in.conn.Read(in.buf[in.w:])
	return in.took(n, err)
}

// fillQuietly is fill without holding a buffer while it waits.
func (in *input) fillQuietly() error {
	if in.err != nil {
		return in.err
	}
	in.release()
	n, err := in.conn.Read(in.slight[:])
	if n > 0 {
		in.reserve(n)
		copy(in.buf[in.w:], in.slight[:n])
	}
	return in.took(n, err)
}

func (in *input) took(n int, err error) error {
	in.w += n
	if err != nil && !isTimeout(err) {
		in.err = err
	}
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// arm bounds the next wait by the idle timeout. It spares most calls: a bound
// that was set a moment ago will do.
func (in *input) arm() {
	if in.idle <= 0 {
		return
	}
	if now := time.Now(); now.Sub(in.armed) > in.idle/16 {
		in.armed = now
		in.deadline(now.Add(in.idle))
	}
}

// disarm takes every deadline off.
func (in *input) disarm() {
	in.armed = time.Time{}
	in.deadline(time.Time{})
}

// deadline bounds reads, unless they have been stopped. A conn that is gone
// takes none, and fails the read.
func (in *input) deadline(t time.Time) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.stopped {
		_ = in.conn.SetReadDeadline(t)
	}
}

// interrupt ends a read under way. It may be called by any goroutine.
func (in *input) interrupt() { in.deadline(past) }

// stop ends the read under way and all that follow. It may be called by any
// goroutine.
func (in *input) stop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stopped = true
	_ = in.conn.SetDeadline(past)
}

func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return ok && t.Timeout()
}

// unexpected is an error for a stream that ended inside a message.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
