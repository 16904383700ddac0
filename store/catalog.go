package store

import (
	"bytes"
	"cmp"

	"transom/flow"
	"transom/store/segment"
)

// A catalog says where in the log flows and bodies are. A flow takes 28 bytes, a body
// 16. It counts what of a segment is of use.
type catalog struct {
	flows  rows[flow.ID, flowAt]
	bodies rows[uint64, place]

	live map[uint32]int   // last states of flows, by segment
	dead map[uint32]int64 // about how many bytes are of no use any more, by segment
}

// frameSize is what a record takes besides its payload.
const frameSize = 16

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
		live:   map[uint32]int{}, dead: map[uint32]int64{},
	}
}

func compareIDs(a, b flow.ID) int { return bytes.Compare(a[:], b[:]) }

// put says where a state of a flow is, and how large; the one that it supersedes will have been
// about as large. One that is older than what is known is left out.
func (c *catalog) put(id flow.ID, at flowAt, size int64) {
	old, ok := c.flows.get(id)
	if ok && old.rev() > at.rev() {
		c.dead[at.segment] += size
		return
	}
	if ok {
		c.live[old.segment]--
		c.dead[old.segment] += size
	}
	c.live[at.segment]++
	c.flows.set(id, at)
}

// drop forgets a flow.
func (c *catalog) drop(id flow.ID) {
	if at, ok := c.flows.get(id); ok {
		c.live[at.segment]--
		c.flows.remove(id)
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

// remove forgets what is in a segment, and returns how many flows that were. It looks at
// all that there is, and lets others have their turn meanwhile.
func (d *Disk) remove(number uint64) (flows int) {
	of := func(p place) bool { return p.segment == uint32(number) }
	sweep(d, &d.known.flows, func(_ flow.ID, at flowAt) bool {
		if of(at.place) {
			flows++
		}
		return !of(at.place)
	})
	sweep(d, &d.known.bodies, func(_ uint64, at place) bool { return !of(at) })
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known.uncount(number)
	return flows
}

// uncount forgets the counts of a segment that has nothing any more.
func (c *catalog) uncount(number uint64) {
	delete(c.live, uint32(number))
	delete(c.dead, uint32(number))
}

// openIn returns the flows of a segment that have not ended.
func (d *Disk) openIn(number uint64) (open []found) {
	sweep(d, &d.known.flows, func(id flow.ID, at flowAt) bool {
		if at.open() && at.segment == uint32(number) {
			open = append(open, found{id: id, at: at.position()})
		}
		return true
	})
	return open
}

// sweep is that of rows, for all of them. d is locked for a part at a time.
func sweep[K comparable, V any](d *Disk, r *rows[K, V], keep func(K, V) bool) {
	var from K
	for more := true; more; {
		d.mu.Lock()
		from, more = r.sweep(from, keep)
		d.mu.Unlock()
	}
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
