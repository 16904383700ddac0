package h1

import (
	"io"
	"sync/atomic"
	"time"

	"transom/exchange"
	"transom/flow"
)

// A mode is how the end of a body is told (RFC 9112, section 6.3).
type mode uint8

const (
	modeNone    mode = iota // there is no body
	modeLength              // after so many bytes
	modeChunked             // after the last chunk and the trailer section
	modeClose               // when the connection ends
)

// A payload is the body of one message as it is read from its connection. It
// implements exchange.Framed. One goroutine reads; any may close.
type payload struct {
	in      *input
	mode    mode
	left    int64 // of the body, or of the chunk
	chunk   chunkState
	frame   []byte // source framing before what the last Read returned; reused
	after   []byte // and behind it
	lines   int    // of the trailer section
	limits  Limits
	trailer flow.Header
	err     error // what Read goes on returning

	// expect, if set, asks the peer for the body before the first wait.
	expect func() error
	// ended, if set, is called when the end was read. It is set for requests,
	// whose errors are the client's.
	ended  func()
	got    bool // something of it was read
	closed atomic.Bool
}

var _ exchange.Framed = (*payload)(nil)

// reset makes p the body that f announces on in.
func (p *payload) reset(in *input, m mode, length int64, l Limits) {
	p.in, p.mode, p.left, p.limits = in, m, length, l
	p.chunk = chunkStart
	if m == modeNone || m == modeLength && length == 0 {
		p.err = io.EOF
	}
}

// done reports whether the body was read to its end.
func (p *payload) done() bool { return p.err == io.EOF }

// Read implements io.Reader. It never waits for more than one byte.
func (p *payload) Read(b []byte) (int, error) {
	p.frame, p.after = p.frame[:0], p.after[:0]
	if p.err != nil {
		return 0, p.err
	}
	if len(b) == 0 {
		return 0, nil
	}
	var n int
	var err error
	switch p.mode {
	case modeLength:
		if n, err = p.take(b, p.left); err == nil {
			if p.left -= int64(n); p.left == 0 {
				p.err = io.EOF
			}
		}
		err = unexpected(err)
	case modeChunked:
		n, err = p.readChunked(b)
	case modeClose:
		n, err = p.take(b, int64(len(b)))
	}
	if err != nil {
		p.err = p.blame(err)
	}
	if p.err == io.EOF && p.ended != nil {
		p.ended()
	}
	if n > 0 {
		return n, nil
	}
	return 0, p.err
}

// blame says whose an error is.
func (p *payload) blame(err error) error {
	if p.ended == nil || err == io.EOF || err == io.ErrClosedPipe {
		return err
	}
	if bad, ok := err.(*MalformedError); ok {
		return &RequestBodyError{bad}
	}
	return &ClientError{err}
}

// take reads up to limit bytes, from the buffer if there are any, else straight
// into b if that is worth it.
func (p *payload) take(b []byte, limit int64) (int, error) {
	if int64(len(b)) > limit {
		b = b[:limit]
	}
	in := p.in
	if in.buffered() == 0 {
		if err := p.await(); err != nil {
			return 0, err
		}
		if len(b) >= inputSize && in.err == nil {
			in.release()
			n, err := in.conn.Read(b)
			if err != nil && !isTimeout(err) {
				in.err = err
			}
			if n > 0 {
				return n, nil
			}
			return 0, p.readError(err)
		}
		if err := in.fill(); err != nil {
			return 0, p.readError(err)
		}
	}
	n := copy(b, in.bytes())
	in.use(n)
	return n, nil
}

// await prepares to wait for the peer.
func (p *payload) await() error {
	if p.expect != nil && !p.got {
		ask := p.expect
		p.expect = nil
		if err := ask(); err != nil {
			return err
		}
	}
	p.got = true
	p.in.arm()
	if p.closed.Load() {
		return io.ErrClosedPipe
	}
	return nil
}

func (p *payload) readError(err error) error {
	if p.closed.Load() {
		return io.ErrClosedPipe
	}
	return err
}

// Close implements io.Closer: a read under way ends.
func (p *payload) Close() error {
	if !p.closed.Swap(true) && p.in != nil {
		p.in.interrupt()
	}
	return nil
}

// drainMax is how much of a body that nobody wants is read so that the
// connection can go on.
const drainMax = 256 << 10

// drainTime bounds that reading.
const drainTime = 5 * time.Second

// drain reads to the end of the body, if that is not far. The caller has set a
// deadline.
func (p *payload) drain() bool {
	p.in.armed = time.Now().Add(drainTime) // keeps that deadline
	lent := copies.Get().(*[copySize]byte)
	defer copies.Put(lent)
	for left := drainMax; left > 0; {
		n, err := p.Read(lent[:])
		if err != nil {
			return err == io.EOF
		}
		left -= n
	}
	return false
}

// Trailer implements exchange.Source.
func (p *payload) Trailer() flow.Header { return p.trailer }

// Framing implements exchange.Framed.
func (p *payload) Framing() (before, after []byte) { return p.frame, p.after }

// Buffered tells a Body what it can read without waiting.
func (p *payload) Buffered() int {
	switch {
	case p.err != nil || p.in == nil:
		return 0
	case p.mode == modeChunked:
		return p.bufferedChunk()
	}
	return p.in.buffered()
}

// NoContinue tells that the server's own 100 will be passed on.
func (p *payload) NoContinue() { p.expect = nil }
