package store

import (
	"bytes"
	"slices"

	"transom/flow"
)

// ids holds entries by ID. IDs come nearly in order and go nearly in
// order, so it is a sorted slice that grows at its end and is freed from its
// front. IDs stand in the slice itself: a search would else touch two cold
// objects a step.
type ids struct{ sorted []slot }

type slot struct {
	id flow.ID
	e  *entry
}

func (x *ids) len() int { return len(x.sorted) }

// find returns where id is, or where it belongs.
func (x *ids) find(id flow.ID) (int, bool) {
	n := len(x.sorted)
	if n == 0 {
		return 0, false
	}
	if d := bytes.Compare(x.sorted[n-1].id[:], id[:]); d < 0 {
		return n, false
	} else if d == 0 {
		return n - 1, true
	}
	if x.sorted[0].id == id {
		return 0, true
	}
	return slices.BinarySearchFunc(x.sorted, id, func(s slot, id flow.ID) int { return bytes.Compare(s.id[:], id[:]) })
}

// get returns the entry of id, or nil.
func (x *ids) get(id flow.ID) *entry {
	if i, ok := x.find(id); ok {
		return x.sorted[i].e
	}
	return nil
}

func (x *ids) insert(e *entry) {
	i, _ := x.find(e.flow.ID)
	x.sorted = slices.Insert(x.sorted, i, slot{e.flow.ID, e})
}

// remove takes the entry of id out, moving the shorter side.
func (x *ids) remove(id flow.ID) {
	i, ok := x.find(id)
	if !ok {
		return
	}
	if i < len(x.sorted)/2 {
		copy(x.sorted[1:i+1], x.sorted[:i])
		x.sorted[0] = slot{}
		x.sorted = x.sorted[1:]
		return
	}
	x.sorted = slices.Delete(x.sorted, i, i+1)
}

// after fills out with the flows that follow id, and returns how many.
func (x *ids) after(id flow.ID, out []*flow.Flow) int {
	i, ok := x.find(id)
	if ok {
		i++
	}
	n := 0
	for ; n < len(out) && i+n < len(x.sorted); n++ {
		out[n] = x.sorted[i+n].e.flow
	}
	return n
}

// A list is a queue of entries that can leave from anywhere.
type list struct{ first, last *entry }

func (l *list) push(e *entry) {
	e.list, e.prev, e.next = l, l.last, nil
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
}

func (l *list) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	e.list, e.prev, e.next = nil, nil, nil
}
