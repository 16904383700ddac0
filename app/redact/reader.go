package redact

import (
	"bytes"
	"context"
	"io"
	"math"

	"transom/app/export"
	"transom/filter"
	"transom/flow"
	"transom/store"
)

// A Reader gives flows without their secrets. It has the bodies of the flow that it gave
// last, and of handshakes, which wait for their WebSocket in many formats, until the one
// behind that. It is used by one goroutine.
type Reader struct {
	*Rules
	from  filter.Bodies // nil: bodies are not looked through
	ctx   context.Context
	last  uint64                      // segment of the body that was made last
	made  map[uint64]made             // of the flow that was given last
	held  map[flow.ID]map[uint64]made // of handshakes, by what they began
	done  flow.ID                     // of held, which is not asked for any more
	notes []string

	fouled, clean *flow.Conn // the last that had something foreign, and without that
}

// A made body is what is left of one.
type made struct {
	data []byte // nil: it is made again
	of   flow.BodyRef
	head flow.Header
}

// maxHeld bounds how many handshakes are remembered, of those that had a body with
// secrets, which is rare.
const maxHeld = 4096

// NewReader returns a Reader of flows that have their bodies in from. If that is nil,
// they are left alone.
func NewReader(rules *Rules, from filter.Bodies) *Reader {
	return &Reader{Rules: rules, from: from, last: math.MaxUint64}
}

// OpenBody implements filter.Bodies.
func (c *Reader) OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	if m, ok := c.made[ref.Segment]; ok {
		return body{bytes.NewReader(m.data)}, nil
	}
	if c.from == nil {
		return nil, store.ErrGone
	}
	for _, of := range c.held {
		if m, ok := of[ref.Segment]; ok {
			data, _, err := c.look(ctx, c.from, m.of, m.head)
			return body{bytes.NewReader(data)}, err
		}
	}
	if ref.Segment >= c.last {
		return nil, store.ErrGone // it was made for a flow before
	}
	return c.from.OpenBody(ctx, ref)
}

type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

// Flow returns a copy without secrets. Of one that has not ended it has no bodies, since
// what they will have been is not known.
func (c *Reader) Flow(ctx context.Context, f *flow.Flow) *flow.Flow {
	c.ctx, c.notes, c.made = ctx, nil, map[uint64]made{}
	delete(c.held, c.done)
	c.done = f.ID
	g := *f
	g.Foreign, g.Conn = "", c.conn(f.Conn) // nobody knows what is in there
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		h := *d
		if f.State == flow.Open {
			c.bodiless(&h)
		}
		c.http(&h)
		c.hold(h.Began)
		h.Notes = append(h.Notes[:len(h.Notes):len(h.Notes)], c.notes...)
		g.Detail = &h
	case *flow.Messages:
		m := *d
		m.Request = c.request(m.Request)
		if f.State == flow.Open {
			c.without(&m.Log, "messages are")
		}
		c.log(&m)
		m.Notes = append(m.Notes[:len(m.Notes):len(m.Notes)], c.notes...)
		g.Detail = &m
	}
	return &g
}

// conn returns a connection without what is foreign; the same for flows that share it.
func (c *Reader) conn(of *flow.Conn) *flow.Conn {
	if of == nil || of.Foreign == "" {
		return of
	}
	if c.fouled != of {
		clean := *of
		clean.Foreign = ""
		c.fouled, c.clean = of, &clean
	}
	return c.clean
}

// hold remembers how bodies of a handshake were made.
func (c *Reader) hold(began flow.ID) {
	if began.IsZero() || len(c.made) == 0 {
		return
	}
	if c.held == nil || len(c.held) >= maxHeld {
		c.held = map[flow.ID]map[uint64]made{}
	}
	again := map[uint64]made{}
	for segment, m := range c.made {
		again[segment] = made{of: m.of, head: m.head}
	}
	c.held[began] = again
}

// bodiless leaves out all four bodies.
func (c *Reader) bodiless(h *flow.HTTP) {
	c.without(&h.RequestBody, "the request's body is")
	c.without(&h.ResponseBody, "the response's body is")
	h.OriginalRequestBody, h.OriginalResponseBody = nil, nil
}

func (c *Reader) without(ref *flow.BodyRef, what string) {
	if ref.Size > 0 {
		c.note("%s left out until the flow has ended", what)
	}
	*ref = flow.BodyRef{}
}

// A Writer writes flows without their secrets. It is an export.Writer, as what is below.
type Writer struct {
	reader *Reader
	to     export.Writer
}

// NewWriter returns a Writer that writes to another.
func NewWriter(rules *Rules, to export.Writer) *Writer {
	return &Writer{reader: NewReader(rules, nil), to: to}
}

// Write implements export.Writer.
func (w *Writer) Write(ctx context.Context, f *flow.Flow, bodies filter.Bodies) error {
	w.reader.from = bodies
	return w.to.Write(ctx, w.reader.Flow(ctx, f), w.reader)
}

// Finish implements export.Writer.
func (w *Writer) Finish(ctx context.Context, bodies filter.Bodies) error {
	w.reader.from = bodies
	return w.to.Finish(ctx, w.reader)
}

// Close implements export.Writer.
func (w *Writer) Close() error { return w.to.Close() }

var _ export.Writer = (*Writer)(nil)
