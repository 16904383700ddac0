package exchange

import (
	"io"
	"sync/atomic"

	"transom/flow"
)

type empty struct{}

func (empty) Read([]byte) (int, error) { return 0, io.EOF }
func (empty) Close() error             { return nil }
func (empty) Trailer() flow.Header     { return nil }

// A held source is a body in memory, with what could not be held behind it.
type held struct {
	p       []byte
	off     int
	marks   []mark // framing, by the payload offset it stood before
	framing int64  // bytes of it
	fr      []byte // framing of the last Read
	err     error  // what followed p, if rest is nil; io.EOF if also nil
	rest    Source
	resting bool
	tees    []io.Writer // see what is read from rest
	trailer flow.Header
	budget  *Budget
	taken   int64
	closed  atomic.Bool
}

// mark notes framing that stood before the payload at off.
func (h *held) mark(off int, raw []byte) {
	h.framing += int64(len(raw))
	switch n := len(h.marks); {
	case len(raw) == 0:
	case n > 0 && h.marks[n-1].off == off:
		h.marks[n-1].raw = append(h.marks[n-1].raw, raw...)
	default:
		h.marks = append(h.marks, mark{off: off, raw: append([]byte(nil), raw...)})
	}
}

type mark struct {
	off int
	raw []byte
}

func (h *held) Read(p []byte) (int, error) {
	h.fr = nil
	if h.closed.Load() {
		return 0, io.ErrClosedPipe
	}
	if len(h.marks) > 0 && h.marks[0].off == h.off {
		h.fr = h.marks[0].raw
		h.marks = h.marks[1:]
	}
	if h.off < len(h.p) {
		end := len(h.p)
		if len(h.marks) > 0 {
			end = h.marks[0].off
		}
		n := copy(p, h.p[h.off:end])
		h.off += n
		return n, nil
	}
	if h.rest != nil {
		h.resting = true
		n, err := h.rest.Read(p)
		for _, w := range h.tees {
			_, _ = w.Write(p[:n])
		}
		if err != nil {
			ended(h.tees, h.rest, err)
		}
		return n, err
	}
	if h.err != nil {
		return 0, h.err
	}
	return 0, io.EOF
}

func (h *held) Framing() (before, after []byte) {
	if !h.resting {
		return h.fr, nil
	}
	if f, ok := h.rest.(Framed); ok {
		before, after = f.Framing()
	}
	if len(h.fr) > 0 { // the last of what was held stands before the first of the rest
		before = append(h.fr[:len(h.fr):len(h.fr)], before...)
	}
	return before, after
}

func (h *held) Trailer() flow.Header {
	if h.rest != nil {
		return h.rest.Trailer()
	}
	return h.trailer
}

// Buffered counts what is in memory, not what rest may have.
func (h *held) Buffered() int { return len(h.p) - h.off }

func (h *held) NoContinue() {
	if s, ok := h.rest.(interface{ NoContinue() }); ok {
		s.NoContinue()
	}
}

func (h *held) release() {
	if !h.closed.Swap(true) {
		h.budget.Give(h.taken)
	}
}

func (h *held) Close() error {
	h.release()
	if h.rest != nil {
		ended(h.tees, h.rest, io.ErrClosedPipe)
		return h.rest.Close()
	}
	return nil
}

// A wrapped source is a body that something changes as it streams.
type wrapped struct {
	r     io.Reader
	inner *Body
}

func (w *wrapped) Read(p []byte) (int, error) { return w.r.Read(p) }
func (w *wrapped) Close() error               { return w.inner.Close() }
func (w *wrapped) Trailer() flow.Header       { return w.inner.Trailer() }
func (w *wrapped) NoContinue()                { w.inner.NoContinue() }
