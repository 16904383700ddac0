// Package index knows where in the log of package segment the flows are that
// somebody asks for. The log is the truth: an index is filled behind it, from its
// records, and whatever is wrong with it, it is thrown away and filled anew.
package index

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"transom/filter"
	"transom/flow"
	"transom/store/segment"
)

// ErrRebuild says that a file is no index of this version, or a damaged one. Reset
// removes it; the index is then filled again from the log.
var ErrRebuild = errors.New("the index has to be built again from the log")

// ErrUnknown says that the index knows nothing of what was asked for.
var ErrUnknown = errors.New("not in the index")

// Options say what an index keeps. The zero value is what is usual.
type Options struct {
	// Trigrams has substrings of bodies found by index, too. It costs more than
	// all the rest.
	Trigrams bool
}

// An Entry is something that a record of the log says: a Put, Deleted, Body, Dropped,
// Text or Removed. Applied again, it changes nothing.
type Entry interface{ entry() }

type (
	// Put is a flow's state, and where its record is. A Rev older than the one
	// known is ignored. Its bodies are known by BodyRef.Segment, the body's number.
	Put struct {
		Flow     *flow.Flow
		Position segment.Position
	}
	// Deleted is a flow that is no longer kept.
	Deleted struct{ ID flow.ID }
	// Body is where a body's bytes are, in order. It replaces what was known of
	// that body.
	Body struct {
		Number  uint64
		Size    int64 // bytes kept
		Extents []Extent
	}
	// Dropped is a body that is no longer kept.
	Dropped struct{ Number uint64 }
	// Text is what there is to search in a body: the beginning of it, without its
	// content coding, up to 64 KiB. Text is not kept.
	Text struct {
		Number   uint64
		Text     []byte
		Complete bool // it is all of the body
	}
	// Removed is a segment that is no more, with all flows and bodies that are
	// still said to be in it.
	Removed struct{ Segment uint64 }
)

// An Extent is bytes of a body: the record that holds them, and how many they are.
type Extent struct {
	Position segment.Position
	Length   int64
}

func (Put) entry()     {}
func (Deleted) entry() {}
func (Body) entry()    {}
func (Dropped) entry() {}
func (Text) entry()    {}
func (Removed) entry() {}

// An Order is what flows are sorted by. Where that is the same they are sorted by ID.
type Order uint8

// Orders.
const (
	ByTime     Order = iota // by ID, that is by when they began
	BySize                  // bytes of bodies, messages, or what was relayed
	ByDuration              // open flows are shortest
	ByHost                  // flow.Conn.Name
)

// A Query says which flows, and in which order.
type Query struct {
	Filter     *filter.Filter // nil is all
	By         Order
	Descending bool
	After      Cursor // of the Hit behind which to begin; zero is at the beginning
}

// A Cursor is a place in an order of flows. It stays valid when flows come and go.
// One with only an ID stands for that flow's place by time.
type Cursor struct {
	ID     flow.ID
	Number int64  // of the order: size or duration
	Text   string // or the host
}

// A Hit is a flow that was found.
type Hit struct {
	ID       flow.ID
	Rev      uint32
	Position segment.Position // of its last state
	Sure     bool             // it matches; else its record has to be read, and matched by Filter.Match
	Cursor   Cursor
}

// Stats tell what is indexed.
type Stats struct {
	Flows  int64
	Types  map[string]int64 // flows by Flow.Type
	Bytes  int64            // of bodies, messages and what was relayed: what Flows were on the wire
	Hosts  map[string]int64 // the names with most flows, a hundred of them
	Size   int64            // of the index itself, in bytes
	Oldest flow.ID          // zero if there is none
}

// An Index finds flows. Its methods may be called by many goroutines, but only one
// may call Apply and Flush.
type Index struct {
	mu     sync.Mutex
	at     segment.Position
	flows  map[flow.ID]Put
	bodies map[uint64]Body
}

// Open opens the index at path, and makes it if there is none; "" is one in memory.
// It fails with ErrRebuild if Reset helps.
func Open(path string, o Options) (*Index, error) {
	return &Index{flows: map[flow.ID]Put{}, bodies: map[uint64]Body{}}, nil
}

// Apply takes what the log says up to a position. Entries come in the order of the
// log, and may come again. What it has taken may be lost in a crash: then At is
// less again.
func (x *Index) Apply(ctx context.Context, entries []Entry, to segment.Position) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, e := range entries {
		x.apply(e)
	}
	x.at = to
	return nil
}

func (x *Index) apply(e Entry) {
	switch e := e.(type) {
	case Put:
		if old, ok := x.flows[e.Flow.ID]; !ok || old.Flow.Rev <= e.Flow.Rev {
			x.flows[e.Flow.ID] = e
		}
	case Deleted:
		delete(x.flows, e.ID)
	case Body:
		x.bodies[e.Number] = e
	case Dropped:
		delete(x.bodies, e.Number)
	case Removed:
		for id, p := range x.flows {
			if p.Position.Segment == e.Segment {
				delete(x.flows, id)
			}
		}
		for n, b := range x.bodies {
			if slices.ContainsFunc(b.Extents, func(x Extent) bool { return x.Position.Segment == e.Segment }) {
				delete(x.bodies, n)
			}
		}
	}
}

// Flush writes down what was applied.
func (x *Index) Flush(ctx context.Context) error { return nil }

// At returns the position up to which the log was applied. After Open it is where to
// go on.
func (x *Index) At() segment.Position {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.at
}

// Query yields flows. Those that are not Sure may match.
func (x *Index) Query(ctx context.Context, q Query) iter.Seq2[Hit, error] {
	return func(yield func(Hit, error) bool) {
		x.mu.Lock()
		var hits []Hit
		for id, p := range x.flows {
			hits = append(hits, Hit{ID: id, Rev: p.Flow.Rev, Position: p.Position, Sure: q.Filter == nil, Cursor: Cursor{ID: id}})
		}
		x.mu.Unlock()
		slices.SortFunc(hits, func(a, b Hit) int {
			c := bytes.Compare(a.ID[:], b.ID[:])
			if q.Descending {
				return -c
			}
			return c
		})
		for _, h := range hits {
			c := bytes.Compare(h.ID[:], q.After.ID[:])
			if !q.After.ID.IsZero() && (c == 0 || (c < 0) != q.Descending) {
				continue
			}
			if !yield(h, nil) {
				return
			}
		}
	}
}

// Lookup returns where a flow is, or ErrUnknown.
func (x *Index) Lookup(ctx context.Context, id flow.ID) (Hit, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	p, ok := x.flows[id]
	if !ok {
		return Hit{}, ErrUnknown
	}
	return Hit{ID: id, Rev: p.Flow.Rev, Position: p.Position, Sure: true, Cursor: Cursor{ID: id}}, nil
}

// Body returns where a body's bytes are, or ErrUnknown.
func (x *Index) Body(ctx context.Context, number uint64) (Body, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	b, ok := x.bodies[number]
	if !ok {
		return Body{}, ErrUnknown
	}
	return b, nil
}

// Stats counts what is indexed.
func (x *Index) Stats(ctx context.Context) (Stats, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := Stats{Flows: int64(len(x.flows)), Types: map[string]int64{}, Hosts: map[string]int64{}}
	for _, p := range x.flows {
		s.Types[p.Flow.Type()]++
		s.Hosts[p.Flow.Conn.Name()]++
	}
	return s, nil
}

// Close writes down what was applied, and releases the index.
func (x *Index) Close() error { return nil }

// Reset removes the index at path.
func Reset(path string) error { return nil }
