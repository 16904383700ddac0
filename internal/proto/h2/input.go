package h2

import (
	"net"
	"os"
	"sync"
	"time"
)

// inputSize is what is read of a connection at once.
const inputSize = 16 << 10

// inputs holds the buffers of inputs that have something in them, or expect to.
var inputs = sync.Pool{New: func() any { return new([inputSize]byte) }}

// An input is the reading side of a connection. While it is quiet — no stream
// is open — it waits without a buffer. One goroutine uses it.
type input struct {
	conn   net.Conn
	idle   time.Duration // with nothing moving either way; 0 is for ever
	moved  func() time.Time
	quiet  func() bool
	before func() // is called before anything is waited for
	still  bool   // while it is quiet, it may be so for ever

	data  []byte           // what is buffered: of buf, or what was read before
	buf   *[inputSize]byte // nil while nothing is buffered
	armed time.Time        // when the deadline was last set
	err   error            // what reading from conn ended with

	mu      sync.Mutex
	stopped bool // no deadline is set any more: the one that is has gone by
}

// Read implements io.Reader for the Framer.
func (in *input) Read(p []byte) (int, error) {
	if len(in.data) == 0 {
		if len(p) >= inputSize || in.quiet() {
			in.release()
			return in.wait(p)
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.data)
	in.use(n)
	return n, nil
}

// fill reads once into the empty buffer.
func (in *input) fill() error {
	if in.buf == nil {
		in.buf = inputs.Get().(*[inputSize]byte)
	}
	n, err := in.wait(in.buf[:])
	in.data = in.buf[:n]
	if n > 0 {
		return nil
	}
	in.release()
	return err
}

// bytes returns what is buffered, after waiting for some if there is none. They
// are valid until use.
func (in *input) bytes() ([]byte, error) {
	if len(in.data) == 0 {
		if err := in.fill(); err != nil {
			return nil, err
		}
	}
	return in.data, nil
}

// use takes n of the buffered bytes.
func (in *input) use(n int) { in.data = in.data[n:] }

func (in *input) release() {
	if in.buf != nil && len(in.data) == 0 {
		inputs.Put(in.buf)
		in.buf, in.data = nil, nil
	}
}

// wait reads from the connection. It times out only if nothing has moved the
// other way either.
func (in *input) wait(p []byte) (int, error) {
	in.before()
	for {
		in.arm()
		n, err := in.conn.Read(p)
		if n > 0 {
			return n, nil
		}
		if !isTimeout(err) || in.idle <= 0 || in.isStopped() ||
			time.Since(in.moved()) >= in.idle && !(in.still && in.quiet()) {
			in.err = err
			return 0, err
		}
		in.armed = time.Time{} // sets a new deadline
	}
}

// arm sets the deadline, if it has come nearer by enough to matter.
func (in *input) arm() {
	if in.idle <= 0 {
		return
	}
	now := time.Now()
	if now.Sub(in.armed) <= in.idle/16 {
		return
	}
	in.armed = now
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.stopped {
		_ = in.conn.SetReadDeadline(now.Add(in.idle)) // the read fails if the conn is gone
	}
}

// stop ends a read under way and those to come with a timeout. It may be called
// by any goroutine.
func (in *input) stop() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.stopped = true
	_ = in.conn.SetReadDeadline(past) // likewise
}

func (in *input) isStopped() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.stopped
}

// past is a deadline that has gone by.
var past = time.Unix(1, 0)

func isTimeout(err error) bool {
	t, ok := err.(interface{ Timeout() bool })
	return err == os.ErrDeadlineExceeded || ok && t.Timeout()
}
