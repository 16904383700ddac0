package store

import (
	"context"
	"errors"

	"transom/flow"
)

// A flowQueue is flows that wait to be written, by ID. A later state takes the place of
// an earlier one: a flow that ends at once is written once.
type flowQueue struct {
	ids
	conns map[*flow.Conn]bool // that are counted
}

// errNoRoom says that a flow was not kept because writing has fallen behind.
var errNoRoom = errors.New("the queue of what is to be written to the store is full")

// Put implements Store. It fails if the queue is full; a Lossless store has it wait
// instead.
func (d *Disk) Put(_ context.Context, f *flow.Flow) error {
	cost := flowCost(f)
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.queued.conns[f.Conn] {
		cost += connCost(f.Conn)
	}
	if !d.reserveLocked(cost, d.o.Queue) {
		d.stats.Refused++
		if cost > d.o.Queue {
			return ErrFull
		}
		return errNoRoom
	}
	e := d.queued.get(f.ID)
	if d.supersededLocked(f, e) {
		d.freeLocked(cost)
		return nil
	}
	d.referLocked(f)
	if e != nil {
		d.freeLocked(e.cost)
		e.flow, e.cost = f, cost
	} else {
		d.queued.insert(&entry{flow: f, cost: cost})
	}
	if f.Conn != nil {
		if d.queued.conns == nil {
			d.queued.conns = map[*flow.Conn]bool{}
		}
		d.queued.conns[f.Conn] = true
	}
	wake(d.soon)
	return nil
}

// supersededLocked reports whether a later state than f is there. queued is what waits
// of it, nil if nothing does.
func (d *Disk) supersededLocked(f *flow.Flow, queued *entry) bool {
	if queued == nil {
		queued = d.writing.get(f.ID)
	}
	if queued != nil {
		return queued.flow.Rev > f.Rev
	}
	at, ok := d.known.flows.get(f.ID)
	return ok && at.rev() > f.Rev
}

// referLocked says of the bodies that are being written that a flow has them.
func (d *Disk) referLocked(f *flow.Flow) {
	for _, number := range bodiesOf(f) {
		if number == 0 {
			continue
		}
		if s := d.streams[number]; s != nil {
			s.referred = true
		}
	}
}

// keptOf returns how much is kept of the bodies of a flow.
func keptOf(f *flow.Flow) int64 {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		return d.RequestBody.Kept + d.ResponseBody.Kept
	case *flow.Messages:
		return d.Log.Kept
	}
	return 0
}

// A tombstone is a flow that was deleted, with its bodies.
type tombstone struct {
	id     flow.ID
	bodies [4]uint64
}

// Delete implements Store. IDs that are not kept are ignored.
func (d *Disk) Delete(ctx context.Context, deleted ...flow.ID) error {
	for _, id := range deleted {
		f, err := d.flow(ctx, id)
		if errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return err
		}
		d.mu.Lock()
		d.deleteLocked(f)
		d.mu.Unlock()
	}
	wake(d.soon)
	return nil
}

func (d *Disk) deleteLocked(f *flow.Flow) {
	if e := d.queued.get(f.ID); e != nil {
		d.queued.remove(f.ID)
		d.freeLocked(e.cost)
	}
	if e := d.writing.get(f.ID); e != nil {
		d.writing.remove(f.ID)
		d.freeLocked(e.cost)
		d.undone[f.ID] = true
	}
	d.known.drop(f.ID)
	d.known.freed += keptOf(f)
	grave := tombstone{f.ID, bodiesOf(f)}
	for _, number := range grave.bodies {
		if s := d.streams[number]; s != nil {
			s.forgetLocked()
			delete(d.streams, number)
		}
		d.known.bodies.remove(number)
	}
	d.dead = append(d.dead, grave)
}
