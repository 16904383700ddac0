package segment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// readAhead is how much is read of a record before its length is known.
const readAhead = 4 << 10

// Read returns the record at p, which Append or Scan has told. Its payload is in dst
// if that has room for it and 16 bytes more. ErrGone says that it is no more, *Damage
// that it can't be trusted.
func (t *table) Read(p Position, dst []byte) (Record, error) {
	s, err := t.piece(p.Segment, false)
	if err != nil {
		return Record{}, err
	}
	defer s.release()
	if p.Offset < headerSize || p.Offset >= s.end {
		return Record{}, ErrGone
	}
	return s.read(p.Offset, dst)
}

// read reads the record at an offset.
func (s *piece) read(offset int64, dst []byte) (Record, error) {
	b := dst[:cap(dst)]
	if len(b) < readAhead {
		b = make([]byte, readAhead)
	}
	n, err := s.ReadAt(b[:min(int64(len(b)), s.limit-offset)], offset)
	if err != nil && err != io.EOF {
		return Record{}, fmt.Errorf("read %s: %w", s.name, err)
	}
	damage := func(length int64, reason string) (Record, error) {
		return Record{}, &Damage{File: s.name, Offset: offset, Length: length, Reason: reason}
	}
	if n < frameSize {
		return damage(int64(n), "the file ends there")
	}
	f, ok := parseFrame(b, s.seed)
	if !ok || f.offset != offset || f.kind == kindOwn || offset+f.size() > s.limit {
		return damage(frameSize, "no record begins there")
	}
	if int64(n) < f.size() {
		if b, err = s.rest(b[:n], f, offset); err != nil {
			return Record{}, err
		}
	}
	stored := b[frameSize:f.size()]
	if !f.holds(stored) {
		return damage(f.size(), "the payload is not what its checksum says")
	}
	return Record{Kind: f.kind, Payload: stored}, nil
}

// rest reads what is missing of a frame at a place that begins with b.
func (s *piece) rest(b []byte, f frame, at int64) ([]byte, error) {
	n := len(b)
	if int64(cap(b)) < f.size() {
		b = append(make([]byte, 0, f.size()), b...)
	}
	b = b[:f.size()]
	if _, err := io.ReadFull(io.NewSectionReader(s, at+int64(n), f.size()-int64(n)), b[n:]); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.name, unexpected(err))
	}
	return b, nil
}

// Scan yields the records from a position on in their order, to the end that there is
// when it comes there. A payload is valid until the next step. With a *Damage it goes
// on behind the damage, of which At has the place; any other error is the last.
func (t *table) Scan(ctx context.Context, from Position) iter.Seq2[At, error] {
	return func(yield func(At, error) bool) {
		w := walk{ctx: ctx, at: from, yield: yield}
		for {
			p, err := t.piece(w.at.Segment, true)
			if p.number > w.at.Segment {
				w.at = Position{Segment: p.number}
			}
			var damage *Damage
			switch {
			case p.number == 0: // there are no more
				return
			case errors.Is(err, ErrGone): // removed since
			case errors.As(err, &damage):
				if !yield(At{Position: w.at, Next: Position{Segment: p.number + 1}}, damage) {
					return
				}
			case err != nil:
				yield(At{Position: w.at}, err)
				return
			default:
				if w.at.Offset < p.end {
					more := w.segment(p)
					p.release()
					if !more {
						return
					}
					continue // there may be more by now
				}
				p.release()
			}
			w.at = Position{Segment: p.number + 1}
		}
	}
}

// A walk is a Scan under way.
type walk struct {
	ctx   context.Context
	at    Position
	yield func(At, error) bool
	buf   []byte
}

// segment yields what a segment has from w.at on; more is false when that was all
// that is wanted.
func (w *walk) segment(p piece) (more bool) {
	s := newScanner(p.handle, max(w.at.Offset, headerSize), p.limit)
	s.buf = w.buf
	defer func() { w.buf = s.buf }()
	for {
		if err := context.Cause(w.ctx); err != nil {
			w.yield(At{Position: w.at}, err)
			return false
		}
		f, stored, _, err := s.next()
		var damage *Damage
		switch {
		case err == io.EOF:
			w.at.Offset = p.end
			return true
		case errors.As(err, &damage):
			at := At{Position: Position{p.number, damage.Offset}, Next: Position{p.number, damage.Offset + damage.Length}}
			w.at = at.Next
			if !w.yield(at, damage) {
				return false
			}
		case err != nil:
			w.yield(At{Position: w.at}, err)
			return false
		default:
			at := At{Position{p.number, f.offset}, Position{p.number, f.offset + f.size()}, Record{f.kind, stored}}
			w.at = at.Next
			if f.kind != kindOwn && !w.yield(at, nil) {
				return false
			}
		}
	}
}
