package store

import (
	"context"
	"io"
	"sync"
	"sync/atomic"

	"transom/flow"
)

// MemoryOptions bound a store in memory. Zero fields take the defaults.
type MemoryOptions struct {
	// MaxBytes bounds all that is kept: heads, bodies and bookkeeping. The
	// default is 32 MiB.
	MaxBytes int64
	// BodyLimit bounds what is kept of one body. The default is 1 MiB; negative
	// keeps nothing of any.
	BodyLimit int64
}

const (
	defaultMaxBytes  = 32 << 20
	defaultBodyLimit = 1 << 20
)

// Memory is a Store in memory, with a hard bound.
//
// When room is needed the flow that has been done for longest goes first. Only
// if none is left an open flow has to, for the sake of a newer flow, never for a
// body: a body that finds no room is cut instead. An eighth of the store is for
// flows alone, so that bodies can't fill it. Stats counts all that was lost.
//
// Each body is a segment of its own, numbered from 1.
type Memory struct {
	max, maxBody int64

	truncated, droppedBytes atomic.Int64 // of Stats; streams count without the lock

	mu     sync.Mutex
	used   int64
	flows  ids
	done   list // flows that have ended, the longest ago first
	open   list // flows that have not, the oldest first
	conns  map[*flow.Conn]shared
	bodies map[uint64]*body
	last   uint64 // number of the last body
	stats  Stats
}

// Stats tells what a Memory holds and what it has lost.
type Stats struct {
	Flows, Bodies int   // kept now
	Bytes, Max    int64 // taken now, and the bound

	Evicted       int64 // flows that had ended and were dropped for room
	EvictedOpen   int64 // flows that were dropped before they ended
	Refused       int64 // flows that Put refused
	TruncatedBody int64 // bodies that were cut
	DroppedBytes  int64 // payload bytes that were seen and not kept
}

// An entry is one kept flow.
type entry struct {
	flow       *flow.Flow
	cost       int64 // of the flow alone, without what it shares
	list       *list
	prev, next *entry
	late       *stream // of a Disk: a body of it that was not closed
}

// NewMemory returns an empty store.
func NewMemory(o MemoryOptions) *Memory {
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.BodyLimit == 0 {
		o.BodyLimit = defaultBodyLimit
	}
	return &Memory{
		max:     o.MaxBytes,
		maxBody: max(o.BodyLimit, 0),
		conns:   map[*flow.Conn]shared{},
		bodies:  map[uint64]*body{},
	}
}

// Stats returns the state of the store.
func (m *Memory) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Flows, s.Bodies, s.Bytes, s.Max = m.flows.len(), len(m.bodies), m.used, m.max
	s.TruncatedBody, s.DroppedBytes = m.truncated.Load(), m.droppedBytes.Load()
	return s
}

// Put implements Store. It fails only with ErrFull.
func (m *Memory) Put(_ context.Context, f *flow.Flow) error {
	cost := flowCost(f)
	connCost := connCost(f.Conn)
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.flows.get(f.ID)
	if e != nil && e.flow.Rev > f.Rev {
		return nil
	}
	if cost+connCost > m.max {
		m.stats.Refused++
		return ErrFull
	}
	if e == nil {
		e = &entry{}
	} else {
		e.list.remove(e)
	}
	old := *e
	e.flow, e.cost = f, cost
	m.used += cost - old.cost
	m.refer(f, connCost)
	if old.flow == nil {
		m.flows.insert(e)
	} else {
		m.release(old.flow)
	}
	// The new state is not on a list yet, so it can't be what makes room.
	if !m.makeRoom(m.max, true) {
		m.flows.remove(f.ID)
		m.used -= e.cost
		m.release(f)
		m.stats.Refused++
		return ErrFull
	}
	if f.State == flow.Open {
		m.open.push(e)
	} else {
		m.done.push(e)
	}
	return nil
}

// Delete implements Store. IDs that are not kept are ignored.
func (m *Memory) Delete(_ context.Context, ids ...flow.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if e := m.flows.get(id); e != nil {
			m.evict(e)
		}
	}
	return nil
}

// Close implements Store.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.bodies {
		m.drop(b)
	}
	m.flows, m.done, m.open, m.used = ids{}, list{}, list{}, 0
	clear(m.conns)
	return nil
}

// NewBody implements Store.
func (m *Memory) NewBody() BodyWriter {
	b := &body{m: m}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last++
	b.number = m.last
	if m.used+bodyCost > m.roomForBodies() && !m.makeRoom(m.roomForBodies()-bodyCost, false) {
		b.forget()
		return b
	}
	b.cost = bodyCost
	m.used += bodyCost
	m.bodies[b.number] = b
	return b
}

// OpenBody implements Store. A ref that names no body is an empty one.
func (m *Memory) OpenBody(_ context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	if ref.Segment == 0 {
		return &reader{b: new(body)}, nil
	}
	m.mu.Lock()
	b := m.bodies[ref.Segment]
	m.mu.Unlock()
	if b == nil {
		return nil, ErrGone
	}
	return &reader{b: b}, nil
}

var _ Store = (*Memory)(nil)
