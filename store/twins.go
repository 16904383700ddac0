package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"transom/store/segment"
	"transom/store/wire"
)

// Large bodies that are equal, by the hash that was made while they were written, are
// kept once: of two the older one's record is given the place of the newer one's, in the
// step that drops its bytes. So retention, which takes the oldest first, takes nothing
// that others need, and a place in the catalog or the index stays what it is.

const (
	// twinsFrom is from which size on a body is a large one.
	twinsFrom = onceUpTo + 1
	// maxTwins is of how many large bodies it is known where the last that was equal is.
	// It only says when to look.
	maxTwins = 1 << 15
	// maxHops is how many records may lead from a body to its bytes.
	maxHops = 16
)

// A likeness is what equal bodies have in common.
type likeness struct {
	sum  [sha256.Size]byte
	size int64
}

// likenessOf returns that of a body, if it is large and its hash is known.
func likenessOf(b *wire.Body) (like likeness, ok bool) {
	like = likeness{b.Sum, b.Size()}
	return like, like.size >= twinsFrom && like.sum != [sha256.Size]byte{}
}

// metLocked takes note of a large body. What an older equal one takes is of no use then.
func (d *Disk) metLocked(b *wire.Body, at segment.Position) {
	like, ok := likenessOf(b)
	if !ok {
		return
	}
	old, met := d.twins.values[like]
	if met && old == at {
		return
	}
	if met && at.Before(old) {
		old, at = at, old
	}
	d.twins.put(like, at)
	if met {
		d.known.dead[uint32(old.Segment)] += like.size
	}
}

// meet takes note of the large bodies that were there when the store was opened.
func (c *compactor) meet(ctx context.Context, p *pace) error {
	if c.met {
		return nil
	}
	for at, err := range c.d.log.Outline(ctx) {
		var damage *segment.Damage
		switch {
		case errors.As(err, &damage):
			continue
		case err != nil:
			return err
		}
		// Where there is no outline all of it is read.
		if err := p.spend(ctx, int64(at.Length)); err != nil {
			return err
		}
		if at.Kind != wire.KindBody || at.Length < sha256.Size {
			continue
		}
		b, err := c.d.bodyAt(at.Position)
		if errors.As(err, &damage) || errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return err
		}
		c.d.mu.Lock()
		if known, ok := c.d.known.bodies.get(b.Number); ok && known == placeOf(at.Position) {
			c.d.metLocked(&b, at.Position)
		}
		c.d.mu.Unlock()
	}
	c.met = true
	return nil
}

// bodyAt reads a body's record.
func (d *Disk) bodyAt(at segment.Position) (wire.Body, error) {
	b, err := d.record(at, wire.KindBody, nil)
	if err != nil {
		return wire.Body{}, err
	}
	return wire.ReadBody(b)
}

// twins are equal bodies of which some are in segments that are looked at.
type twins struct {
	some   []twin
	newest segment.Position // of all: its record
}

// A twin is one of them: own is what of its bytes stands beside its record.
type twin struct {
	part   *part
	at     segment.Position
	number uint64
	own    []segment.Position
	others []wire.Extent
	hops   uint8 // that lead to it
}

// refer marks what the record of a body refers to. Whether what stands beside it is alive
// is known when it is known whether an equal one follows.
func (a *alive) refer(at segment.Position, p *part, b *wire.Body) {
	hops := a.ahead[at]
	delete(a.ahead, at)
	like, large := likenessOf(b)
	t := twin{part: p, at: at, number: b.Number, hops: hops}
	g := a.twins[like]
	if g == nil && large && p != nil {
		g = &twins{}
		a.twins[like] = g
	}
	for _, e := range b.Extents {
		switch {
		case at.Before(e.Position):
			a.follow(e.Position, hops+1)
		case g != nil && p != nil && e.Segment == at.Segment:
			t.own = append(t.own, e.Position)
		default:
			t.others = append(t.others, e)
			a.mark(e.Position)
		}
	}
	if g != nil {
		if g.newest = at; p != nil {
			g.some = append(g.some, t)
		}
	}
}

// follow remembers that a body's record is referred to by one before.
func (a *alive) follow(at segment.Position, hops uint8) {
	if len(a.ahead) >= maxHaunts {
		a.all = true
		return
	}
	a.ahead[at] = max(a.ahead[at], hops)
}

// unite has older ones of equal bodies refer to the newest, whose bytes are read to be sure of
// them, and marks what the others have.
func (a *alive) unite(ctx context.Context) error {
	for like, g := range a.twins {
		sure := false
		for i := range g.some {
			t := &g.some[i]
			if t.at != g.newest && t.hops < maxHops && !a.all {
				var err error
				if sure = sure || a.sound(ctx, like, g.newest, &err); err != nil {
					return err
				}
			}
			if t.at != g.newest && t.hops < maxHops && sure {
				t.part.move(t, g.newest, like.size)
				continue
			}
			for _, at := range t.own {
				a.mark(at)
			}
		}
	}
	return nil
}

// sound reports whether a body is what its hash says. What can't be read is not.
func (a *alive) sound(ctx context.Context, like likeness, at segment.Position, stop *error) bool {
	b, err := a.d.bodyAt(at)
	if err != nil {
		return false
	}
	h := sha256.New()
	var buf []byte
	for _, e := range b.Extents {
		payload, err := a.d.record(e.Position, wire.KindChunk, buf)
		if err != nil {
			return false
		}
		c, err := wire.ReadChunk(payload)
		if err != nil {
			return false
		}
		h.Write(c.Data)
		buf = payload
		if *stop = a.pace.spend(ctx, e.Length); *stop != nil {
			return false
		}
	}
	return bytes.Equal(h.Sum(nil), like.sum[:])
}

// move has a body be where an equal one is.
func (p *part) move(t *twin, to segment.Position, size int64) {
	if p.anew == nil {
		p.anew = map[int64][]byte{}
	}
	p.anew[t.at.Offset] = wire.AppendBody(nil, &wire.Body{Number: t.number, Extents: []wire.Extent{{Position: to, Length: size}}})
	p.saved += size
	p.left = append(p.left, t.others...)
}

// errElsewhere says that a body has to be looked for again.
var errElsewhere = errors.New("the body is elsewhere")

// follow goes on from the record of a body that another one's names.
func (r *diskReader) follow(e stored, record []byte) error {
	b, err := wire.ReadBody(record)
	if err == nil && (b.Size() != e.Length || e.off != 0) {
		err = fmt.Errorf("segment %d, offset %d: a body of %d bytes, want %d", e.Segment, e.Offset, b.Size(), e.Length)
	}
	if err != nil {
		return err
	}
	if r.hops++; r.hops > maxHops+2 {
		return fmt.Errorf("segment %d, offset %d: too many records lead from one to the next", e.Segment, e.Offset)
	}
	if r.root == (segment.Position{}) {
		r.root = e.Position
	}
	r.s, r.chunk = r.d.standing(r.s.number, b.Extents), nil
	return errElsewhere
}

// again looks for a body from its record on, if its bytes were dropped in favour of an
// equal one's.
func (r *diskReader) again() error {
	root := r.root
	if root == (segment.Position{}) {
		r.d.mu.Lock()
		at, ok := r.d.known.bodies.get(r.s.number)
		r.d.mu.Unlock()
		if !ok {
			return ErrGone
		}
		root = at.position()
	}
	if r.fresh {
		return ErrGone
	}
	r.fresh = true
	r.d.log.Renew(root.Segment)
	s, err := r.d.stream(r.s.number, root)
	if err != nil {
		return err
	}
	r.s, r.chunk, r.hops, r.root = s, nil, 0, root
	return errElsewhere
}
