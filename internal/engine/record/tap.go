package record

import (
	"io"
	"sync"

	"transom/exchange"
	"transom/flow"
	"transom/store"
)

// A tap keeps what is read of one body, and tells its exchange how it ended.
type tap struct {
	x    *live
	size int64 // as announced, -1 if it was not

	mu     sync.Mutex
	w      store.BodyWriter // nil without a store, and once closed
	seen   int64
	closed bool

	// Guarded by x.mu.
	used    bool // there is a body
	ended   bool
	err     error // io.EOF if it was read to its end
	late    bool  // the response had been read to its end by then
	trailer flow.Header
}

// attach taps b unless it is empty.
func (t *tap) attach(x *live, b *exchange.Body) {
	t.x, t.size = x, b.Size()
	if t.size == 0 {
		return
	}
	t.used = true
	if s := x.c.r.Store; s != nil {
		t.w = s.NewBody()
	}
	b.Tee(t)
}

// Write implements io.Writer. What comes after the exchange has ended is
// ignored.
func (t *tap) Write(p []byte) (int, error) {
	t.keep(p)
	t.x.grew()
	return len(p), nil
}

func (t *tap) keep(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.seen += int64(len(p))
	if t.w != nil {
		_, _ = t.w.Write(p) // a BodyWriter does not fail
	}
}

// End implements exchange.Ender.
func (t *tap) End(err error, trailer flow.Header) {
	x := t.x
	x.mu.Lock()
	if t.ended {
		x.mu.Unlock()
		return
	}
	t.late = x.answeredLocked()
	t.ended, t.err, t.trailer = true, err, trailer
	if err == io.ErrClosedPipe && t.count() == t.size {
		t.err = io.EOF // all of it was read, only not past its end
	}
	finish := x.settledLocked()
	x.mu.Unlock()
	if finish {
		x.finish()
	}
}

func (t *tap) count() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seen
}

// ref names what was kept.
func (t *tap) ref() flow.BodyRef {
	if t == nil {
		return flow.BodyRef{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.w != nil {
		return t.w.Ref()
	}
	return flow.BodyRef{Size: t.seen, Truncated: t.seen > 0}
}

// close gives the writer back. The flow that refers to it has been put.
func (t *tap) close() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.w != nil {
		t.w.Close()
		t.w = nil
	}
}

// done reports whether nothing more is to come.
func (t *tap) done() bool { return t == nil || !t.used || t.ended }

// trouble returns how the body failed, or nil. A body that was given up has
// not.
func (t *tap) trouble() error {
	if t == nil || t.err == io.EOF || t.err == io.ErrClosedPipe {
		return nil
	}
	return t.err
}

// neglected reports whether the rest of the body went unread, or failed after
// the response was there whole: then nobody wanted it. A client that has its
// answer resets the stream, too, with any code (RFC 9113, section 8.1).
func (t *tap) neglected() bool {
	return t.givenUp() || t.late && t.trouble() != nil
}

// givenUp reports whether the body was not read to its end, though it could
// have been.
func (t *tap) givenUp() bool {
	return t != nil && t.used && (!t.ended || t.err == io.ErrClosedPipe)
}

var _ exchange.Ender = (*tap)(nil)
