// Package store keeps flows and bodies.
package store

import (
	"context"
	"errors"
	"io"
	"iter"

	"transom/filter"
	"transom/flow"
)

// ErrGone says that what was asked for is no longer kept.
var ErrGone = errors.New("no longer kept: the store's limit was reached")

// ErrFull says that a flow was not kept because it is larger than the store.
var ErrFull = errors.New("flow does not fit into the store")

// A Store keeps flows and bodies within its bounds. Its methods may be called
// by many goroutines.
type Store interface {
	// Put keeps f, replacing an earlier Rev of the same ID. f is not copied and
	// must not change. An older Rev than the one kept is ignored.
	Put(ctx context.Context, f *flow.Flow) error
	// NewBody returns a writer for one body. It never blocks, unless the store was
	// told to lose nothing: past its budget it drops and marks the body truncated. A body lives as long as a flow
	// that was Put refers to it or its writer is open: Put first, then Close.
	NewBody() BodyWriter
	// OpenBody opens a stored body for reading, as far as it is kept. While it
	// is still written, io.EOF is where it has come to, and a later Read may
	// find more. It fails with ErrGone if retention has dropped it; so do reads
	// of a body that is dropped meanwhile.
	OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error)
	// Flows yields the flows that q selects, by ID unless it says otherwise. An After that is
	// not there is ErrGone.
	Flows(ctx context.Context, q Query) iter.Seq2[*flow.Flow, error]
	// Delete drops flows and the bodies only they refer to.
	Delete(ctx context.Context, ids ...flow.ID) error
	// Close releases what the store holds. No other method may be called after.
	Close() error
}

// A BodyWriter stores one body. Write never fails, and never blocks but for a store
// that was told to lose nothing: there it waits for room, and traffic with it. It
// belongs to one goroutine at a time; Ref may be called by any.
type BodyWriter interface {
	io.WriteCloser
	// Ref names the body. Segment and Offset are right from the start; Size,
	// Kept and Truncated tell how far it has come.
	Ref() flow.BodyRef
}

// A Query selects flows, and says in which order they come.
type Query struct {
	Match  func(*flow.Flow) bool // nil matches all
	Filter *filter.Filter        // nil matches all; what a store can look up it need not read
	// Doubt, if set, is told of flows that Filter could not judge, and why. They
	// count as matching.
	Doubt func(*flow.Flow, error)
	// Lacks, if set, is told of flows of which the connection can't be read, and why,
	// before they come, without it.
	Lacks func(*flow.Flow, error)

	By         Order
	Descending bool
	After      flow.ID // only flows that come after this one, which must still be kept, unless By is ByTime
	Limit      int     // 0 is no limit
}

// An Order is what flows are sorted by. Where that is the same they are sorted by ID.
type Order uint8

// Orders.
const (
	ByTime     Order = iota // by ID, that is by when they began
	BySize                  // by both sides of Flow.Traffic
	ByDuration              // by Flow.Duration
	ByHost                  // by Conn.Name
)
