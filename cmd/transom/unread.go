package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"transom/filter"
	"transom/flow"
	"transom/store"
)

// failures are what could not be read.
type failures struct {
	first []error
	n     int
}

// maxFailures bounds how many are said one by one.
const maxFailures = 10

func (f *failures) add(err error) {
	if f.n++; len(f.first) < maxFailures {
		f.first = append(f.first, err)
	}
}

// lacks adds what a flow is written without.
func (f *failures) lacks(_ *flow.Flow, err error) { f.add(err) }

// err says them, a line each. It is nil if there are none.
func (f *failures) err() error {
	said := f.first[:len(f.first):len(f.first)]
	if more := f.n - len(said); more > 0 {
		said = append(said, fmt.Errorf("and %d more could not be read", more))
	}
	return errors.Join(said...)
}

// bodiesRead are the bodies of a recording for who writes its flows, as far as they can be
// read, and goes on. What can't be is noted here, once for each flow. They are used by
// one goroutine.
type bodiesRead struct {
	from   filter.Bodies
	unread *failures
	of     *flow.Flow // which is being written; nil: any
	noted  map[uint64]bool
	held   map[uint64]*flow.Flow // exchanges that wait for their WebSocket, by their bodies
}

// maxHeld bounds how many bodies are remembered of those.
const maxHeld = 4096

// forFlow says which flow is written from now on, nil for what has waited for others.
func (b *bodiesRead) forFlow(f *flow.Flow) {
	b.of = f
	clear(b.noted)
	if f == nil {
		return
	}
	h, ok := f.Detail.(*flow.HTTP)
	if !ok || h.Began.IsZero() {
		return
	}
	if b.held == nil || len(b.held) >= maxHeld {
		b.held = map[uint64]*flow.Flow{}
	}
	for _, ref := range []*flow.BodyRef{&h.RequestBody, &h.ResponseBody, h.OriginalRequestBody, h.OriginalResponseBody} {
		if ref != nil && ref.Kept > 0 {
			b.held[ref.Segment] = f
		}
	}
}

// OpenBody implements filter.Bodies.
func (b *bodiesRead) OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	r, err := b.from.OpenBody(ctx, ref)
	if err != nil {
		return nil, b.note(ctx, &ref, err)
	}
	return &bodyRead{ReadSeekCloser: r, ctx: ctx, of: b, ref: ref}, nil
}

// note returns err, as an unreadError if it says that the body is damaged: one that was
// dropped is nobody's fault, and who is told to stop knows why nothing comes.
func (b *bodiesRead) note(ctx context.Context, ref *flow.BodyRef, err error) error {
	if err == nil || err == io.EOF || errors.Is(err, store.ErrGone) || ctx.Err() != nil {
		return err
	}
	if !b.noted[ref.Segment] {
		if b.noted == nil {
			b.noted = map[uint64]bool{}
		}
		b.noted[ref.Segment] = true
		b.unread.add(fmt.Errorf("%s can't be read: %w", b.name(ref.Segment), err))
	}
	return &unreadError{err}
}

// name says which body it is.
func (b *bodiesRead) name(segment uint64) string {
	of := b.of
	if held := b.held[segment]; held != nil && (of == nil || nameIn(of, segment) == belongs) {
		of = held
	}
	if of == nil {
		return "the body of a flow"
	}
	return "flow " + of.ID.String() + ": " + nameIn(of, segment)
}

const belongs = "a body that belongs to it"

// nameIn says which of f's bodies it is.
func nameIn(f *flow.Flow, segment uint64) string {
	is := func(ref *flow.BodyRef) bool { return ref != nil && ref.Segment == segment }
	switch d := f.Detail.(type) {
	case *flow.Messages:
		if is(&d.Log) {
			return "its messages"
		}
	case *flow.HTTP:
		switch {
		case is(&d.RequestBody):
			return "the request's body"
		case is(&d.ResponseBody):
			return "the response's body"
		case is(d.OriginalRequestBody):
			return "the body of the request as it came"
		case is(d.OriginalResponseBody):
			return "the body of the response as it came"
		}
	}
	return belongs
}

// A bodyRead is a body of which what can't be read is noted.
type bodyRead struct {
	io.ReadSeekCloser
	ctx context.Context
	of  *bodiesRead
	ref flow.BodyRef
}

// Read implements io.Reader.
func (r *bodyRead) Read(p []byte) (int, error) {
	n, err := r.ReadSeekCloser.Read(p)
	return n, r.of.note(r.ctx, &r.ref, err)
}

// An unreadError is one that was noted.
type unreadError struct{ err error }

func (e *unreadError) Error() string { return e.err.Error() }
func (e *unreadError) Unwrap() error { return e.err }
