package export

import (
	"context"

	"transom/filter"
	"transom/flow"
	"transom/store"
)

// A Sink takes flows that are read from a file. A store.Store is one. Bodies and
// flows are put as store.Store has it: the flow that refers to a body first, then
// the body's writer is closed.
type Sink interface {
	Put(ctx context.Context, f *flow.Flow) error
	NewBody() store.BodyWriter
}

// A Writer puts flows into a file of some format. It is used by one goroutine at a
// time.
type Writer interface {
	// Write adds a flow that has ended. bodies is where its bodies are read. When it
	// returns the flow has been handed on, whole or not at all.
	Write(ctx context.Context, f *flow.Flow, bodies filter.Bodies) error
	// Finish writes flows that have waited for another, as an exchange does for the
	// WebSocket that it began. bodies is as for Write.
	Finish(ctx context.Context, bodies filter.Bodies) error
	// Close writes what the format has behind the last flow. It does not close what
	// is below.
	Close() error
}

var _ Sink = store.Store(nil)
