// Package index knows where in the log of package segment the flows are that
// somebody asks for. The log is the truth: an index is filled behind it, from its
// records, and whatever is wrong with it, it is thrown away and filled anew.
//
// Of the system it wants files beside its own, with -wal, -shm and -journal behind the
// name: to make, write, cut, lock with fcntl and remove them, to sync them and their
// directory, and to map -shm, shared, where it may be; package sandbox tests that.
package index

import (
	"errors"

	"transom/filter"
	"transom/flow"
	"transom/store/segment"
)

// ErrRebuild says that a file is no index of this version, or a damaged one. Reset
// removes it; the index is then filled again from the log.
var ErrRebuild = errors.New("the index has to be built again from the log")

// ErrFull says that there was no room to write. What was applied is kept in memory, up
// to a bound, and written when there is.
var ErrFull = errors.New("no room left on the device")

// ErrChanged says that an index that is only read was written meanwhile.
var ErrChanged = errors.New("somebody has begun to write it")

// ErrUnknown says that the index knows nothing of what was asked for.
var ErrUnknown = errors.New("not in the index")

// Options say what an index keeps. The zero value is what is usual.
type Options struct {
	// Trigrams has substrings of bodies found by index, too. It costs more than
	// all the rest.
	Trigrams bool
	// ReadOnly leaves the file as it is, and makes none beside it: what is applied is
	// only known here. It is for an index that nobody writes. If somebody begins to,
	// everything that reads it fails with ErrChanged. One that a crash has left is copied
	// to a directory for temporary files.
	ReadOnly bool
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
	// content coding, up to filter.MaxText (see
	// filter.BodyTexts). Text is not kept.
	Text struct {
		Number   uint64
		Text     []byte
		Complete bool // it is all of the body
	}
	// Removed are the segments from one to another that are no more, with all flows
	// and bodies that are still said to be in them. A log does not say what it no
	// longer has: whoever fills an index looks for what is missing.
	Removed struct{ From, To uint64 }
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
	ByDuration              // 0 of open flows
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
// One with only an ID is where that flow is, which has to be there unless the order is
// ByTime.
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
