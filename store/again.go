package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"transom/flow"
	"transom/store/segment"
	"transom/store/wire"
)

// An again is what the system could not put on disk, while it is written again. The
// system has dropped it, or has not: where it can still be read it is copied from the
// file. The segment that it is in is never trusted again.
type again struct {
	*work
	from, to segment.Position
	moved    map[segment.Position]segment.Position // chunks
	torn     map[segment.Position]bool             // connections of which a hello or a certificate may be lost
	flows    []found
	lost     int // records that can't be read
}

// againAtOnce is how many flows are read and written together.
const againAtOnce = 256

// again writes again what may be lost, and makes that lasting.
func (w *work) again(lost *segment.SyncError) error {
	w.scribe.leave()
	a := &again{work: w, from: lost.From, to: lost.To, moved: map[segment.Position]segment.Position{}, torn: map[segment.Position]bool{}}
	end := w.d.log.End()
	for at, err := range w.d.log.Scan(context.Background(), a.from) {
		if !at.Position.Before(end) {
			break // that is what was written again
		}
		var damage *segment.Damage
		if errors.As(err, &damage) {
			a.miss(err)
			continue
		}
		if err == nil {
			err = a.record(at)
		}
		var wrong *wire.Error
		switch {
		case errors.As(err, &wrong):
			a.lost++
		case err != nil:
			return err
		}
	}
	a.streams()
	if err := a.again(); err != nil {
		return err
	}
	if a.lost > 0 {
		return fmt.Errorf("%d records could not be read any more", a.lost)
	}
	return w.d.log.Sync()
}

// clear takes what was written again out of the files that the system could not put on disk: nobody is to
// find there what may be gone with the next crash. What fails costs no more than the room.
func (w *work) clear(lost *segment.SyncError) {
	d := w.d
	for n := lost.From.Segment; n <= lost.To.Segment; n++ {
		done, err := d.log.Compact(context.Background(), n, func(at segment.Position, _ uint8, _ int) bool { return at.Before(lost.From) }, nil)
		if err != nil {
			if !errors.Is(err, segment.ErrGone) {
				d.o.Log.Warn("what was written again stays where it was, too", "dir", d.o.Dir, "err", err)
			}
			continue
		}
		d.mu.Lock()
		d.known.dead[uint32(n)] = max(d.known.dead[uint32(n)]-(done.Before-done.After), 0)
		d.mu.Unlock()
	}
}

// has reports whether a position is one of what may be lost.
func (a *again) has(p segment.Position) bool { return !p.Before(a.from) && p.Before(a.to) }

// miss counts what can't be read any more, and reports whether it could before: what is damaged
// elsewhere, or was when the store was opened, is not lost by this.
func (a *again) miss(err error) bool {
	var damage *segment.Damage
	switch {
	case errors.Is(err, ErrGone):
		return false
	case !errors.As(err, &damage):
	case damage.Segment() < a.from.Segment || damage.Segment() > a.to.Segment:
		return false
	case slices.ContainsFunc(a.d.holes, func(h *segment.Damage) bool { return touch(h, damage) }):
		return false
	}
	a.lost++
	return true
}

func touch(a, b *segment.Damage) bool {
	return a.File == b.File && a.Offset < b.Offset+b.Length && b.Offset < a.Offset+a.Length
}

// record writes a record again, if it is of use and may be lost, or what it refers to.
func (a *again) record(at segment.At) error {
	switch at.Kind {
	case wire.KindFlow:
		f, name, err := wire.ReadFlow(at.Payload)
		if err == nil && (a.has(at.Position) || name != 0 && (a.has(positionOf(name)) || a.torn[positionOf(name)])) {
			a.flow(f.ID, at.Position)
		}
		return err
	case wire.KindConn:
		_, err := wire.ReadConn(bytes.Clone(at.Payload), func(name uint64) ([]byte, error) {
			if a.has(positionOf(name)) {
				a.torn[at.Position] = true
			}
			return nil, nil
		})
		return err
	case wire.KindChunk:
		c, err := wire.ReadChunk(at.Payload)
		if err != nil || !a.has(at.Position) {
			return err
		}
		return a.chunk(at, &c)
	case wire.KindBody:
		b, err := wire.ReadBody(at.Payload)
		if err != nil {
			return err
		}
		return a.body(at.Position, &b)
	case wire.KindDeleted:
		gone, err := wire.ReadDeleted(at.Payload)
		if _, there := a.d.where(gone.ID); err != nil || there || !a.has(at.Position) {
			return err
		}
		_, err = a.append(at.Kind, at.Payload)
		return err
	}
	return nil // connections and blobs are written with flows
}

// append writes one record.
func (a *again) append(kind uint8, payload []byte) (segment.Position, error) {
	at, err := a.d.log.Append(segment.Record{Kind: kind, Payload: payload})
	if err != nil {
		return segment.Position{}, err
	}
	return at[0], nil
}

// flow takes note of a flow, if this is its last state.
func (a *again) flow(id flow.ID, at segment.Position) {
	if last, ok := a.d.where(id); ok && last.place == placeOf(at) {
		a.flows = append(a.flows, found{id: id, at: at})
	}
}

// chunk copies a chunk of a body that there is.
func (a *again) chunk(at segment.At, c *wire.Chunk) error {
	d := a.d
	d.mu.Lock()
	place, ok := d.known.bodies.get(c.Number)
	ok = ok || d.streams[c.Number] != nil
	d.mu.Unlock()
	if !ok {
		return nil
	}
	to, err := a.append(at.Kind, at.Payload)
	if err != nil {
		return err
	}
	a.moved[at.Position] = to
	if c.Whole && place == placeOf(at.Position) {
		a.found(c.Number, place, to)
	}
	return nil
}

// found says where a body is now, if nobody was faster.
func (a *again) found(number uint64, was place, to segment.Position) {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	if is, ok := a.d.known.bodies.get(number); ok && is == was {
		a.d.known.bodies.set(number, placeOf(to))
	}
}

// body writes where the chunks of a body are, with those that may be lost copied. They
// may have been another's, which is gone.
func (a *again) body(at segment.Position, b *wire.Body) error {
	a.d.mu.Lock()
	place, ok := a.d.known.bodies.get(b.Number)
	a.d.mu.Unlock()
	if !ok || place != placeOf(at) {
		return nil
	}
	touched, off := a.has(at), int64(0)
	for i := range b.Extents {
		e := &b.Extents[i]
		if a.has(e.Position) {
			if err := a.extent(b.Number, off, e); err != nil {
				return err
			}
			touched = true
		}
		off += e.Length
	}
	if !touched {
		return nil
	}
	to, err := a.append(wire.KindBody, wire.AppendBody(nil, b))
	if err == nil {
		a.found(b.Number, place, to)
	}
	return err
}

// extent has an extent be that of the copy.
func (a *again) extent(number uint64, off int64, e *wire.Extent) error {
	to, ok := a.moved[e.Position]
	if !ok {
		p, err := a.d.record(e.Position, wire.KindChunk, nil)
		if err != nil {
			a.miss(err)
			return nil // the rest of the body is better than none of it
		}
		c, err := wire.ReadChunk(p)
		if err != nil {
			return err
		}
		c.Number, c.Offset, c.Whole = number, off, false
		if to, err = a.append(wire.KindChunk, wire.AppendChunk(nil, &c)); err != nil {
			return err
		}
	}
	e.Position = to
	return nil
}

// streams has bodies that are still written know of the copies.
func (a *again) streams() {
	a.d.mu.Lock()
	defer a.d.mu.Unlock()
	for _, s := range a.d.streams {
		s.mu.Lock()
		for i := range s.stored {
			if to, ok := a.moved[s.stored[i].Position]; ok {
				s.stored[i].Position = to
			}
		}
		s.mu.Unlock()
	}
}

// again writes flows, with their connections.
func (a *again) again() error {
	for len(a.flows) > 0 {
		n := min(len(a.flows), againAtOnce)
		for _, hit := range a.flows[:n] {
			f, err := a.d.read(hit)
			switch {
			case errors.Is(err, ErrGone):
			case err != nil && !a.miss(err):
			case err != nil:
				a.d.o.Log.Error("a flow that the system could not put on disk can't be read any more", "dir", a.d.o.Dir, "flow", hit.id.String(), "err", err)
			default:
				a.d.lack(f, nil)
				a.d.putAgain(f)
			}
		}
		a.flows = a.flows[n:]
		if err := a.batch(true, false); err != nil {
			return err
		}
	}
	return nil
}
