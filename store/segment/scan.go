package segment

import (
	"context"
	"errors"
	"io"
	"iter"
)

// Scan yields the records from a position on in their order, to the end that there is
// when it comes there. A payload is valid until the next step. With a *Damage it goes
// on behind the damage, of which At has the place; any other error is the last.
func (t *table) Scan(ctx context.Context, from Position) iter.Seq2[At, error] {
	return scan(ctx, t, from)
}

func scan(ctx context.Context, src source, from Position) iter.Seq2[At, error] {
	return func(yield func(At, error) bool) {
		w := walk{ctx: ctx, at: from, yield: yield}
		for w.step(src) {
		}
	}
}

// A walk is a Scan under way.
type walk struct {
	ctx   context.Context
	at    Position
	yield func(At, error) bool
	buf   []byte
	place place
}

// step yields what there is of a segment from w.at on; more is false when that was all
// that there is or that is wanted.
func (w *walk) step(src source) (more bool) {
	p, err := src.piece(w.at.Segment, true)
	if p.number == 0 {
		return false
	}
	if p.number > w.at.Segment {
		w.at = Position{Segment: p.number}
	}
	next := Position{Segment: p.number + 1}
	var damage *Damage
	switch {
	case errors.Is(err, ErrGone): // removed since
	case errors.As(err, &damage):
		at := At{Position: w.at, Next: next}
		w.at = next
		return w.yield(at, damage)
	case err != nil:
		w.yield(At{Position: w.at, Next: w.at}, err)
		return false
	default:
		defer p.release()
		if w.at.Offset < p.end {
			return w.segment(p)
		}
		if p.grows {
			return false
		}
	}
	w.at = next
	return true
}

// segment yields what a segment has from w.at on.
func (w *walk) segment(p piece) (more bool) {
	from := max(w.at.Offset, headerSize)
	s := newScanner(p.handle, p.place(from), p.limit)
	s.buf = w.buf
	defer func() { w.buf = s.buf }()
	behind := false // the records
	for {
		if err := context.Cause(w.ctx); err != nil {
			w.yield(At{Position: w.at, Next: w.at}, err)
			return false
		}
		f, stored, at, err := s.next()
		torn := p.partial && isTorn(p, s, err, behind)
		behind = err == nil && f.kind == kindOwn
		if err == nil && p.box != nil && f.offset >= from && f.kind != kindOwn {
			var ok bool
			if stored, ok = p.box.open(&w.place, f, stored); !ok {
				err = forged(p.name, at, f)
			}
		}
		var damage *Damage
		switch {
		case err == io.EOF:
			w.at.Offset = p.end
			return true
		case errors.As(err, &damage):
			if torn {
				w.at.Offset = p.end
				return !p.grows
			}
			if !w.damaged(p, damage, s.then) {
				return false
			}
		case err != nil:
			w.yield(At{Position: w.at, Next: w.at}, err)
			return false
		case f.offset < from || f.kind == kindOwn:
		default:
			w.at = Position{p.number, f.offset + f.size()}
			if !w.yield(At{Position{p.number, f.offset}, w.at, Record{f.kind &^ kindAnew, stored}}, nil) {
				return false
			}
		}
	}
}

// isTorn reports whether err is damage that may be a record on its way, or what stands
// behind the records where none is to come; behind is that it stands there.
func isTorn(p piece, s *scanner, err error, behind bool) bool {
	var damage *Damage
	if !errors.As(err, &damage) || s.at < s.limit {
		return false
	}
	if p.grows || behind {
		return true
	}
	own, err := p.ownAt(damage.Offset, s.limit)
	return err == nil && own
}

// damaged yields what had to be stepped over; then is the offset to go on from.
func (w *walk) damaged(p piece, d *Damage, then int64) bool {
	at := Position{p.number, max(w.at.Offset, headerSize)}
	if then == 0 {
		then = p.end
	}
	w.at.Offset = then
	return w.yield(At{Position: at, Next: w.at}, d)
}
