package store

import (
	"bytes"
	"cmp"

	"transom/flow"
	"transom/store/segment"
)

// A catalog says where in the log flows and bodies are. A flow takes 28 bytes, a body
// 16.
type catalog struct {
	flows  rows[flow.ID, flowAt]
	bodies rows[uint64, place]
}

// A place is a position, in half the room: a segment has less than 4 GiB.
type place struct{ segment, offset uint32 }

func placeOf(p segment.Position) place { return place{uint32(p.Segment), uint32(p.Offset)} }

func (p place) position() segment.Position {
	return segment.Position{Segment: uint64(p.segment), Offset: int64(p.offset)}
}

// A flowAt is where the last state of a flow is.
type flowAt struct {
	place
	state uint32 // its Rev, and a bit that it is open
}

func flowAtOf(p segment.Position, rev uint32, state flow.State) flowAt {
	at := flowAt{placeOf(p), rev << 1}
	if state == flow.Open {
		at.state |= 1
	}
	return at
}

func (a flowAt) rev() uint32 { return a.state >> 1 }
func (a flowAt) open() bool  { return a.state&1 != 0 }

func newCatalog() catalog {
	return catalog{
		flows:  rows[flow.ID, flowAt]{compare: compareIDs},
		bodies: rows[uint64, place]{compare: cmp.Compare[uint64]},
	}
}

func compareIDs(a, b flow.ID) int { return bytes.Compare(a[:], b[:]) }

// put says where a state of a flow is. One that is older than what is known is left out.
func (c *catalog) put(id flow.ID, at flowAt) {
	if old, ok := c.flows.get(id); !ok || old.rev() <= at.rev() {
		c.flows.set(id, at)
	}
}

// open returns the flows that have not ended.
func (c *catalog) open() (open []found) {
	c.flows.each(func(id flow.ID, at flowAt) {
		if at.open() {
			open = append(open, found{id: id, at: at.position()})
		}
	})
	return open
}

// remove forgets what is in a segment, and returns how many flows that were.
func (c *catalog) remove(number uint64) int {
	n := c.flows.len()
	c.flows.filter(func(at flowAt) bool { return at.segment != uint32(number) })
	c.bodies.filter(func(at place) bool { return at.segment != uint32(number) })
	return n - c.flows.len()
}

// A cache keeps a few values, and forgets all when they are too many.
type cache[K comparable, V any] struct {
	values map[K]V
	most   int
}

func newCache[K comparable, V any](most int) cache[K, V] {
	return cache[K, V]{values: make(map[K]V), most: most}
}

func (c *cache[K, V]) put(key K, v V) {
	if len(c.values) >= c.most {
		clear(c.values)
	}
	c.values[key] = v
}
