package store

import (
	"context"
	"errors"

	"transom/flow"
	"transom/store/wire"
)

// A flowQueue is flows that wait to be written, by ID. A later state takes the place of
// an earlier one; and what has not ended is only written each second, so that a flow that
// ends at once is written once.
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
	fresh := f.Conn != nil && !d.queued.conns[f.Conn]
	if fresh {
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
	late := d.referLocked(f)
	if e != nil {
		d.freeLocked(e.cost)
		e.flow, e.cost, e.late = f, cost, late
	} else {
		d.queued.insert(&entry{flow: f, cost: cost, late: late})
	}
	if fresh {
		if d.queued.conns == nil {
			d.queued.conns = map[*flow.Conn]bool{}
		}
		d.queued.conns[f.Conn] = true
	}
	if f.State != flow.Open || d.o.Lossless {
		wake(d.soon)
	}
	return nil
}

// take takes the flows out that have ended, with their bodies, or all.
func (q *flowQueue) take(all bool) flowQueue {
	taken := *q
	*q = flowQueue{}
	if all {
		return taken
	}
	n := 0
	for _, s := range taken.sorted {
		if s.e.flow.State == flow.Open || s.e.late != nil && !s.e.late.closed {
			q.sorted = append(q.sorted, s)
			continue
		}
		taken.sorted[n] = s
		n++
	}
	clear(taken.sorted[n:])
	taken.sorted = taken.sorted[:n]
	return taken
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

// referLocked says of the bodies that are being written that a flow has them, and returns
// the last that is not closed: mostly it is in a moment.
func (d *Disk) referLocked(f *flow.Flow) (late *stream) {
	for _, number := range bodiesOf(f) {
		if number == 0 {
			continue
		}
		if s := d.streams[number]; s != nil {
			s.referred = true
			s.whole = s.whole || f.State != flow.Open
			if !s.closed {
				late = s
			}
		}
	}
	return late
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
		bodies := d.standingOf(f)
		d.mu.Lock()
		d.deleteLocked(f, bodies)
		d.mu.Unlock()
	}
	wake(d.soon)
	return nil
}

// standingOf returns the bodies of a flow that are all in the log. What can't be read can't be
// counted; what another flow has, too, is found to be alive when it is looked at.
func (d *Disk) standingOf(f *flow.Flow) (bodies []*stream) {
	for _, number := range bodiesOf(f) {
		d.mu.Lock()
		at, ok := d.known.bodies.get(number)
		d.mu.Unlock()
		if !ok {
			continue
		}
		s, err := d.stream(number, at.position())
		for n := 0; err == nil && s.elsewhere() && n <= maxHops; n++ {
			s, err = d.stream(number, s.stored[0].Position)
		}
		if err == nil {
			bodies = append(bodies, s)
		}
	}
	return bodies
}

// elsewhere reports whether it is an equal body that has the bytes: no chunk is as long.
func (s *stream) elsewhere() bool { return len(s.stored) == 1 && s.stored[0].Length >= twinsFrom }

// deleteLocked forgets a flow, and its bodies, of which standing are in the log.
func (d *Disk) deleteLocked(f *flow.Flow, standing []*stream) {
	if e := d.queued.get(f.ID); e != nil {
		d.queued.remove(f.ID)
		d.freeLocked(e.cost)
	}
	if e := d.writing.get(f.ID); e != nil {
		d.writing.remove(f.ID)
		d.freeLocked(e.cost)
		d.undone[f.ID] = true
	}
	bodies := bodiesOf(f)
	grave := wire.Deleted{ID: f.ID, Bodies: bodies[:]}
	if at, ok := d.known.flows.get(f.ID); ok {
		grave.Dead = append(grave.Dead, wire.Dead{Segment: uint64(at.segment), Bytes: int64(len(wire.AppendFlow(nil, f, 0))) + frameSize})
		d.known.drop(f.ID)
	}
	for _, s := range standing {
		grave.Dead = s.bury(grave.Dead)
	}
	for _, number := range bodies {
		if s := d.streams[number]; s != nil {
			grave.Dead = s.bury(grave.Dead)
			s.forgetLocked()
			delete(d.streams, number)
		}
		d.known.bodies.remove(number)
	}
	for _, dead := range grave.Dead {
		d.known.dead[uint32(dead.Segment)] += dead.Bytes
	}
	d.dead = append(d.dead, grave)
}

// bury adds what is in the log of a body to what is dead with it.
func (s *stream) bury(dead []wire.Dead) []wire.Dead {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.stored {
		n := len(dead) - 1
		if n < 0 || dead[n].Segment != e.Segment {
			dead, n = append(dead, wire.Dead{Segment: e.Segment}), n+1
		}
		dead[n].Bytes += e.Length + frameSize
	}
	return dead
}
