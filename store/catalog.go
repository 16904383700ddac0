package store

import (
	"bytes"
	"cmp"
	"slices"

	"transom/flow"
	"transom/store/segment"
)

// A catalog says where in the log flows and bodies are.
type catalog struct {
	flows  rows[flow.ID, flowAt]
	bodies rows[uint64, segment.Position]
}

func compareIDs(a, b flow.ID) int { return bytes.Compare(a[:], b[:]) }

// A flowAt is where the last state of a flow is.
type flowAt struct {
	segment.Position
	rev  uint32
	open bool
}

func newCatalog() catalog {
	return catalog{
		flows:  rows[flow.ID, flowAt]{compare: compareIDs},
		bodies: rows[uint64, segment.Position]{compare: cmp.Compare[uint64]},
	}
}

// put says where a state of a flow is. What is newer is known already is left.
func (c *catalog) put(id flow.ID, at flowAt) {
	if old, ok := c.flows.get(id); !ok || old.rev <= at.rev {
		c.flows.set(id, at)
	}
}

// remove forgets what is in a segment, and returns how many flows that were.
func (c *catalog) remove(number uint64) int {
	n := c.flows.len()
	c.flows.filter(func(at flowAt) bool { return at.Segment != number })
	c.bodies.filter(func(at segment.Position) bool { return at.Segment != number })
	return n - c.flows.len()
}

// rows is a sorted table. Keys come nearly in order and go nearly in order.
type rows[K comparable, V any] struct {
	compare func(a, b K) int
	all     []row[K, V]
}

type row[K, V any] struct {
	key   K
	value V
}

func (r *rows[K, V]) len() int { return len(r.all) }

func (r *rows[K, V]) find(key K) (int, bool) {
	n := len(r.all)
	if n == 0 || r.compare(r.all[n-1].key, key) < 0 {
		return n, false
	}
	return slices.BinarySearchFunc(r.all, key, func(a row[K, V], key K) int { return r.compare(a.key, key) })
}

func (r *rows[K, V]) get(key K) (v V, ok bool) {
	i, ok := r.find(key)
	if !ok {
		return v, false
	}
	return r.all[i].value, true
}

func (r *rows[K, V]) set(key K, v V) {
	i, ok := r.find(key)
	if ok {
		r.all[i].value = v
		return
	}
	r.all = slices.Insert(r.all, i, row[K, V]{key, v})
}

func (r *rows[K, V]) remove(key K) {
	if i, ok := r.find(key); ok {
		r.all = slices.Delete(r.all, i, i+1)
	}
}

// filter leaves what keep says yes to.
func (r *rows[K, V]) filter(keep func(V) bool) {
	r.all = slices.DeleteFunc(r.all, func(a row[K, V]) bool { return !keep(a.value) })
	if cap(r.all) > 4*len(r.all)+1024 {
		r.all = slices.Clone(r.all)
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
