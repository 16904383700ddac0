package store

import (
	"context"
	"io"
	"iter"
	"sync"

	"transom/flow"
)

// None is a Store that keeps nothing. Flows are seen by who watches; of bodies their
// sizes are known.
type None struct{}

// Put implements Store.
func (None) Put(context.Context, *flow.Flow) error { return nil }

// NewBody implements Store.
func (None) NewBody() BodyWriter { return new(counter) }

// OpenBody implements Store. It fails with ErrGone, but for an empty body.
func (None) OpenBody(_ context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	if ref.Size == 0 {
		return &reader{b: new(body)}, nil
	}
	return nil, errNothing{}
}

// errNothing is an ErrGone of what never was there.
type errNothing struct{}

func (errNothing) Error() string        { return "not kept: nothing is recorded" }
func (errNothing) Is(target error) bool { return target == ErrGone }

// Flows implements Store.
func (None) Flows(context.Context, Query) iter.Seq2[*flow.Flow, error] {
	return func(func(*flow.Flow, error) bool) {}
}

// Delete implements Store.
func (None) Delete(context.Context, ...flow.ID) error { return nil }

// Close implements Store.
func (None) Close() error { return nil }

// A counter is a body that is not kept.
type counter struct {
	mu   sync.Mutex
	size int64
}

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size += int64(len(p))
	return len(p), nil
}

// Ref implements BodyWriter.
func (c *counter) Ref() flow.BodyRef {
	c.mu.Lock()
	defer c.mu.Unlock()
	return flow.BodyRef{Size: c.size, Truncated: c.size > 0}
}

// Close implements io.Closer.
func (c *counter) Close() error { return nil }

var _ Store = None{}
