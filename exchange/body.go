package exchange

import (
	"context"
	"errors"
	"io"

	"transom/flow"
)

// ErrTooLarge is returned by [Body.Bytes] when the body is longer than the
// limit, or the process-wide [Budget] is spent. The body is left intact and can
// still be streamed.
var ErrTooLarge = errors.New("body exceeds the buffer limit")

// A Source is what a codec gives a Body to read from.
type Source interface {
	// Read reads payload, without transfer framing.
	io.Reader
	// Close gives up what has not been read. It may be called at any time, by
	// any goroutine, more than once; a Read under way then fails.
	io.Closer
	// Trailer returns the trailer fields once Read has returned io.EOF.
	Trailer() flow.Header
}

// A Framed source keeps the framing its payload came in, so that a message
// nobody changed can leave byte for byte. One Read never crosses a piece of
// framing.
type Framed interface {
	Source
	// Framing returns the framing bytes that stood on the wire before the
	// payload that the last Read returned, and those behind it as far as they
	// have come. When that Read returned io.EOF, before are those that ended
	// the body, trailer section included. The slices are valid until the next
	// Read. HTTP/1 chunked bodies are framed (RFC 9112, section 7.1).
	Framing() (before, after []byte)
}

// A Body is a message body that is pulled: nothing is read from the peer until
// somebody reads the Body, so whether a message is streamed or buffered is
// decided by what is done with it, not by a mode.
//
// A Body belongs to one goroutine at a time, but for Close.
type Body struct {
	src     Source
	framed  Framed // src, while nobody changed the body
	size    int64  // -1 if unknown
	tees    []io.Writer
	budget  *Budget
	changed bool
}

// NewBody returns a body that reads from src. size is its length, or -1 if
// that is not known. budget bounds Bytes; nil is no bound.
func NewBody(src Source, size int64, budget *Budget) *Body {
	b := new(Body)
	b.Reset(src, size, budget)
	return b
}

// NoBody returns an empty body.
func NoBody() *Body { return &Body{src: empty{}} }

// Reset makes b a new body, as NewBody does; it is for codecs that keep the
// Body inside a larger value. A nil src is an empty body.
func (b *Body) Reset(src Source, size int64, budget *Budget) {
	if src == nil {
		src, size = empty{}, 0
	}
	f, _ := src.(Framed)
	*b = Body{src: src, framed: f, size: size, budget: budget, tees: b.tees[:0]}
}

// Read reads payload.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	if n > 0 {
		for _, w := range b.tees {
			_, _ = w.Write(p[:n]) // a tee keeps its own account of what it dropped
		}
	}
	if err != nil {
		ended(b.tees, b.src, err)
	}
	return n, err
}

// Close gives up what has not been read. It may be called more than once, and
// by another goroutine than the reader's.
func (b *Body) Close() error {
	ended(b.tees, b.src, io.ErrClosedPipe)
	return b.src.Close()
}

// Size reports the length of the body, or -1 if it is not known.
func (b *Body) Size() int64 { return b.size }

// Changed reports whether Set or Wrap was used.
func (b *Body) Changed() bool { return b.changed }

// Framed reports whether Framing will tell how the body was framed: it was, and
// nobody changed it.
func (b *Body) Framed() bool { return b.framed != nil }

// Framing returns the source framing around the payload of the last Read; see
// [Framed]. There is none once the body has been changed.
func (b *Body) Framing() (before, after []byte) {
	if b.framed == nil {
		return nil, nil
	}
	return b.framed.Framing()
}

// Buffered reports how many bytes of payload can be read without waiting for
// the peer, as far as that is known. A body that is at its end in memory says
// at least 0 and Size.
func (b *Body) Buffered() int {
	if s, ok := b.src.(interface{ Buffered() int }); ok {
		return s.Buffered()
	}
	return 0
}

// NoContinue tells the source that whoever reads the body passes on the
// server's 100 Continue, so that it does not send one itself when it is first
// read (RFC 9110, section 10.1.1).
func (b *Body) NoContinue() {
	if s, ok := b.src.(interface{ NoContinue() }); ok {
		s.NoContinue()
	}
}

// Trailer returns the trailer fields. It is valid once Read has returned
// io.EOF. Set drops them, Wrap keeps them.
func (b *Body) Trailer() flow.Header { return b.src.Trailer() }

// Tee copies what is read from now on to w, which must not block and whose
// errors are its own affair. Later changes to the body are not seen by w. An
// [Ender] is also told how the body ended.
func (b *Body) Tee(w io.Writer) { b.tees = append(b.tees, w) }

// An Ender is a tee that wants to know when the body has ended.
type Ender interface {
	io.Writer
	// End is told io.EOF and the trailer fields when the body was read to its
	// end, what Read returned when it failed, and io.ErrClosedPipe when it was
	// given up by Close or Set. The first call counts: others may follow, and
	// a call for Close may come from another goroutine than Write's.
	End(err error, trailer flow.Header)
}

// ended tells the tees of src, as far as they want to know.
func ended(tees []io.Writer, src Source, err error) {
	for _, w := range tees {
		e, ok := w.(Ender)
		if !ok {
			continue
		}
		var trailer flow.Header
		if err == io.EOF {
			trailer = src.Trailer()
		}
		e.End(err, trailer)
	}
}

// Set replaces the body; p is not copied. The old one is closed.
func (b *Body) Set(p []byte) {
	b.discard()
	*b = Body{src: &held{p: p}, size: int64(len(p)), budget: b.budget, changed: true}
}

// discard is Close by who reads: a source may read a little on, so that its
// connection can be used again.
func (b *Body) discard() {
	if d, ok := b.src.(interface{ Discard() }); ok {
		ended(b.tees, b.src, io.ErrClosedPipe)
		d.Discard()
		return
	}
	b.Close()
}

// Release gives back the memory that Bytes took, for a codec that is done with
// a body and goes on with its connection. The body must not be read after.
func (b *Body) Release() {
	switch s := b.src.(type) {
	case *held:
		s.release()
	case *wrapped:
		s.inner.Release()
	}
}

// Wrap passes the body through f as it streams. Its size is no longer known.
func (b *Body) Wrap(f func(io.Reader) io.Reader) {
	inner := *b
	*b = Body{src: &wrapped{r: f(&inner), inner: &inner}, size: -1, budget: b.budget, changed: true}
}

// Bytes reads the whole body and puts it back, framing included. If it is
// longer than limit, or the budget is spent, it reports ErrTooLarge, having put
// back what it took; the body can still be streamed. When ctx ends, the body is
// closed and the error is context.Cause(ctx). The bytes must not be modified.
func (b *Body) Bytes(ctx context.Context, limit int64) ([]byte, error) {
	if h, ok := b.src.(*held); ok && h.off == 0 && h.rest == nil {
		if h.err != nil && h.err != io.EOF {
			return nil, h.err
		}
		if int64(len(h.p)) > limit {
			return nil, ErrTooLarge
		}
		return h.p, nil
	}
	if b.size > limit {
		return nil, ErrTooLarge
	}
	src, closed := b.src, make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		src.Close()
	})
	h, err := b.hold(limit)
	if !stop() {
		<-closed
		h.release()
		return nil, context.Cause(ctx)
	}
	if h.err == nil {
		h.rest = src // too large: what was taken first, then the rest
	}
	f := b.framed
	*b = Body{src: h, size: b.size, budget: b.budget, changed: b.changed}
	if f != nil {
		b.framed = h
	}
	if err != nil {
		return nil, err
	}
	if h.err == io.EOF {
		b.size = int64(len(h.p))
		return h.p, nil
	}
	return nil, h.err
}

// hold reads up to limit bytes of b into memory.
func (b *Body) hold(limit int64) (*held, error) {
	const step = 16 << 10
	h := &held{budget: b.budget, tees: b.tees}
	for h.err == nil {
		if h.framing > limit {
			return h, ErrTooLarge
		}
		if len(h.p) == cap(h.p) {
			grow := int64(max(cap(h.p), step))
			if b.size >= 0 && h.p == nil {
				grow = b.size + 1
			}
			if !b.budget.Take(grow) {
				return h, ErrTooLarge
			}
			h.taken += grow
			h.p = append(make([]byte, 0, int64(cap(h.p))+grow), h.p...)
		}
		n, err := b.Read(h.p[len(h.p):cap(h.p)])
		if b.framed != nil {
			before, after := b.framed.Framing()
			h.mark(len(h.p), before)
			h.mark(len(h.p)+n, after)
		}
		h.p = h.p[:len(h.p)+n]
		h.err = err
		if h.err == io.EOF {
			h.trailer = b.src.Trailer()
		}
		if int64(len(h.p)) > limit {
			return h, ErrTooLarge
		}
	}
	return h, nil
}
