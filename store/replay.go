package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"transom/flow"
	"transom/store/segment"
	"transom/store/wire"
)

// replay reads the log that there is into the catalog. What a process that ended
// suddenly had under way ends here.
func (d *Disk) replay(log *segment.Log) error {
	r := d.newReplay()
	d.holes = log.Recovered()
	for _, damage := range d.holes {
		d.stats.Damaged++
		r.torn[damage.Segment()] = true
		d.o.Log.Warn("the end of a file was cut short by a crash: what was not yet on disk is lost", "dir", d.o.Dir, "err", damage)
	}
	if err := r.scan(log.Outline(context.Background())); err != nil {
		return err
	}
	return r.end()
}

type replay struct {
	*Disk
	parts map[uint64][]stored // of bodies whose end has not come, by offset
	torn  map[uint64]bool     // segments that a crash has left with holes
	left  map[flow.ID]uint32  // the last Rev of a state that is left out, see orphan
}

func (d *Disk) newReplay() *replay {
	return &replay{Disk: d, parts: map[uint64][]stored{}, torn: map[uint64]bool{}, left: map[flow.ID]uint32{}}
}

// scan takes in the outline of a log. What is damaged is said, and left out; where the
// log has an outline, damage is found when what it concerns is read.
func (r *replay) scan(records iter.Seq2[segment.Line, error]) error {
	for at, err := range records {
		var damage *segment.Damage
		if err == nil {
			err = r.line(at)
		} else if errors.As(err, &damage) {
			r.torn[damage.Segment()] = true
			if slices.ContainsFunc(r.holes, func(h *segment.Damage) bool { return touch(h, damage) }) {
				continue // it was said
			}
		} else {
			return err
		}
		if err != nil {
			r.stats.Damaged++
			r.o.Log.Error("a part of what is recorded can't be read, and is left out", "dir", r.o.Dir, "err", err)
		}
	}
	return nil
}

func (r *replay) line(at segment.Line) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("segment %d, record at %d: %w", at.Segment, at.Offset, err)
		}
	}()
	switch at.Kind {
	case wire.KindFlow:
		id, rev, state, err := wire.ReadState(at.Gist)
		if err != nil {
			return err
		}
		if r.torn[at.Segment] && r.orphan(id, at.Position) {
			r.left[id] = max(r.left[id], rev)
			r.known.dead[uint32(at.Segment)] += int64(at.Length) + frameSize
			return nil
		}
		r.known.put(id, flowAtOf(at.Position, rev, state), int64(at.Length)+frameSize)
	case wire.KindChunk:
		c, err := wire.ReadChunk(at.Gist) // all but the data
		if err != nil {
			return err
		}
		r.last = max(r.last, c.Number)
		if c.Whole {
			r.known.bodies.set(c.Number, placeOf(at.Position))
			return nil
		}
		r.part(c.Number, stored{c.Offset, wire.Extent{Position: at.Position, Length: int64(at.Length - len(at.Gist))}})
	case wire.KindBody:
		number, err := wire.ReadNumber(at.Gist)
		if err != nil {
			return err
		}
		r.last = max(r.last, number)
		r.known.bodies.set(number, placeOf(at.Position))
		delete(r.parts, number)
	case wire.KindDeleted:
		gone, err := wire.ReadDeleted(at.Gist)
		if err != nil {
			return err
		}
		r.known.dead[uint32(at.Segment)] += int64(at.Length) + frameSize
		r.deleted(&gone)
	}
	return nil
}

// deleted forgets a flow. What is dead of it was counted when it was deleted; where neither it nor
// a body is left that has gone since.
func (r *replay) deleted(gone *wire.Deleted) {
	_, left := r.known.flows.get(gone.ID)
	r.known.drop(gone.ID)
	for _, number := range gone.Bodies {
		_, there := r.known.bodies.get(number)
		left = left || there || r.parts[number] != nil
		r.known.bodies.remove(number)
		delete(r.parts, number)
	}
	for _, dead := range gone.Dead {
		if left {
			r.known.dead[uint32(dead.Segment)] += dead.Bytes
		}
	}
}

// orphan reports whether a state of a flow is of no use, since the connection that it
// refers to is in a hole, and there is an earlier one that has its own: that was on disk before.
func (r *replay) orphan(id flow.ID, at segment.Position) bool {
	before, ok := r.known.flows.get(id)
	return ok && !r.whole(at) && r.whole(before.position())
}

// whole reports whether a state of a flow can be read, with its connection.
func (r *replay) whole(at segment.Position) bool {
	b, err := r.record(at, wire.KindFlow, nil)
	if err != nil {
		return false
	}
	_, name, err := wire.ReadFlow(b)
	if err == nil && name != 0 {
		_, err = r.conn(positionOf(name))
	}
	return err == nil
}

// part takes note of a chunk of a body whose end has not come. What was written again, since the
// system could not put it on disk, may stand behind what follows it, and takes the place of the first.
func (r *replay) part(number uint64, e stored) {
	if _, ended := r.known.bodies.get(number); ended {
		return // its record says where it is
	}
	parts := r.parts[number]
	i, again := slices.BinarySearchFunc(parts, e.off, func(p stored, off int64) int { return cmp.Compare(p.off, off) })
	if again {
		parts[i] = e
		return
	}
	r.parts[number] = slices.Insert(parts, i, e)
}

// joined returns the parts of a body up to the first that is missing.
func joined(parts []stored) (all []wire.Extent) {
	size := int64(0)
	for _, p := range parts {
		if p.off != size {
			break // what stands behind it is of no use
		}
		all = append(all, p.Extent)
		size += p.Length
	}
	return all
}

// grown has what is said of f's bodies be what the log has of them: they went on growing
// after f was put.
func (r *replay) grown(f *flow.Flow) {
	for _, ref := range refsOf(f) {
		if ref == nil || ref.Segment == 0 {
			continue
		}
		s := r.streams[ref.Segment] // if its end could not be written
		if at, ok := r.known.bodies.get(ref.Segment); ok {
			s, _ = r.stream(ref.Segment, at.position()) // who reads what can't be read is told
		}
		if s != nil && s.kept > ref.Kept {
			ref.Kept, ref.Size = s.kept, max(ref.Size, s.kept)
		}
	}
}

// end writes where bodies are that were not written to their end, and that flows that
// were open are not. If there is no room for that it is done when there is some.
func (r *replay) end() error {
	s := newScribe(r.Disk)
	numbers := make([]uint64, 0, len(r.parts))
	ends := make([][]wire.Extent, 0, len(r.parts))
	for number, parts := range r.parts {
		parts := joined(parts)
		if len(parts) == 0 {
			continue
		}
		numbers, ends = append(numbers, number), append(ends, parts)
		s.record(wire.KindBody, func(dst []byte) []byte { return wire.AppendBody(dst, &wire.Body{Number: number, Extents: parts}) })
	}
	at, err := s.append()
	full := errors.Is(err, segment.ErrFull)
	if err != nil && !full {
		return err
	}
	for i, number := range numbers {
		if full {
			r.endLater(number, ends[i])
		} else {
			r.known.bodies.set(number, placeOf(at[i]))
		}
	}
	var again []*flow.Flow
	var costs []int64
	for _, hit := range append(r.known.open(), r.outdone()...) {
		f, err := r.read(hit)
		if err != nil {
			r.stats.Damaged++
			r.o.Log.Error("a flow that was under way can't be read, and is left out", "dir", r.o.Dir, "flow", hit.id.String(), "err", err)
			r.known.drop(hit.id)
			continue
		}
		r.lack(f, nil)
		f = r.final(f)
		again, costs = append(again, f), append(costs, flowCost(f))
	}
	places := make([]stood, len(again))
	if !full { // else they would stand before their bodies
		err = s.flows(again, costs, places)
		full = errors.Is(err, segment.ErrFull)
	}
	switch {
	case full:
		r.putLater(again, costs)
		return nil
	case err != nil:
		return err
	}
	for i, f := range again {
		r.known.put(f.ID, flowAtOf(places[i].Position, f.Rev, f.State), places[i].size)
	}
	return nil
}

// endLater has the end of a body written as that of one that was closed just now.
func (r *replay) endLater(number uint64, parts []wire.Extent) {
	s := &stream{d: r.Disk, number: number, referred: true, whole: true, closed: true, listed: true}
	for _, e := range parts {
		s.stored = append(s.stored, stored{s.kept, e})
		s.kept += e.Length
	}
	s.size = s.kept
	r.streams[number] = s
	r.dirty = append(r.dirty, s)
	wake(r.soon)
}

// putLater has flows written as if they were Put now, but they wait for no room in the queue.
func (r *replay) putLater(flows []*flow.Flow, costs []int64) {
	for i, f := range flows {
		r.used += costs[i]
		r.queued.insert(&entry{flow: f, cost: costs[i]})
	}
	wake(r.soon)
}

// outdone returns the flows that have ended of which a later state is left out: that is there
// at the next opening, too, which may not know of the hole.
func (r *replay) outdone() (out []found) {
	for id, rev := range r.left {
		if at, ok := r.known.flows.get(id); ok && !at.open() && at.rev() <= rev {
			out = append(out, found{id: id, at: at.position()})
		}
	}
	return out
}

// final returns the state that a flow has from now on.
func (r *replay) final(f *flow.Flow) *flow.Flow {
	last := *f
	last.Rev = max(f.Rev, r.left[f.ID])
	if f.State == flow.Open {
		last.Rev++
		last.State, last.Err, last.End = flow.Failed, "transom ended before this did", f.Start
		r.grown(&last)
	}
	return &last
}
