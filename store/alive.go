package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"transom/flow"
	"transom/store/segment"
	"transom/store/wire"
)

// alive finds what is alive in some segments: last states of flows, the connections
// they name and the blobs of these, bodies and the chunks they name. References lead
// backwards, so one pass over the log sees what is referred to before what refers to
// it. What is dead once stays so, since the log only grows; what dies meanwhile
// goes with a later pass.
type alive struct {
	d     *Disk
	pace  *pace
	parts map[uint64]*part

	haunts map[uint64]bool // dead flows and bodies of which something stays
	vague  bool            // of more than it may remember: no tombstone goes
	conns  map[segment.Position][]uint64
	ahead  map[segment.Position]uint8 // records of bodies that one before refers to, and by how many steps
	all    bool                       // there are more than that
	twins  map[likeness]*twins
}

// A part is a segment that is looked at.
type part struct {
	number  uint64
	records []standing // by offset
	graves  []grave
	strays  []stray
	damaged bool

	anew  map[int64][]byte // what takes the place of records, by offset
	saved int64            // bytes of bodies of which these are
	left  []wire.Extent    // what these refer to elsewhere, until they are written anew
}

type standing struct {
	offset, length uint32
	alive          bool
}

// A grave is a tombstone that may go when nothing is left of what it is for.
type grave struct {
	record int
	keys   []uint64
}

// A stray is a chunk of a body that is gone. Another body may have it.
type stray struct {
	record int
	key    uint64
}

// maxHaunts bounds what is remembered for tombstones.
const maxHaunts = 1 << 17

func newAlive(d *Disk, some []chosen, p *pace) *alive {
	a := &alive{d: d, pace: p, parts: map[uint64]*part{}, haunts: map[uint64]bool{}, conns: map[segment.Position][]uint64{}, ahead: map[segment.Position]uint8{}, twins: map[likeness]*twins{}}
	for _, s := range some {
		a.parts[s.Number] = &part{number: s.Number}
	}
	return a
}

// look goes through the log.
func (a *alive) look(ctx context.Context) error {
	held := a.d.held() // before anything else: these chunks are in the chosen segments already
	for at, err := range a.d.log.Scan(ctx, segment.Position{}) {
		var damage *segment.Damage
		switch {
		case errors.As(err, &damage):
			a.vague = true // an outline may tell of what can't be read
			if p := a.parts[at.Segment]; p != nil {
				p.damaged = true
			}
			continue
		case err != nil:
			return err
		}
		if err := a.record(at); err != nil {
			return fmt.Errorf("segment %d, record at %d: %w", at.Segment, at.Offset, err)
		}
		if err := a.pace.spend(ctx, int64(len(at.Payload))); err != nil {
			return err
		}
	}
	for _, at := range held {
		a.mark(at)
	}
	return a.unite(ctx)
}

// held are the chunks of bodies that are being written.
func (d *Disk) held() (at []segment.Position) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.streams {
		s.mu.Lock()
		for i := range s.stored {
			at = append(at, s.stored[i].Position)
		}
		s.mu.Unlock()
	}
	return at
}

// record takes note of a record, and marks what it refers to if it is alive.
func (a *alive) record(at segment.At) error {
	p := a.parts[at.Segment]
	if p != nil {
		p.records = append(p.records, standing{offset: uint32(at.Offset), length: uint32(len(at.Payload))})
	}
	switch at.Kind {
	case wire.KindFlow:
		return a.flow(at)
	case wire.KindConn:
		return a.conn(at)
	case wire.KindBlob:
		return nil // it is alive if it is referred to
	case wire.KindChunk:
		c, err := wire.ReadChunk(at.Payload)
		if err == nil {
			a.body(at, p, c.Number, c.Whole)
		}
		return err
	case wire.KindBody:
		b, err := wire.ReadBody(at.Payload)
		if err == nil && a.body(at, p, b.Number, true) {
			a.refer(at.Position, p, &b)
		}
		return err
	case wire.KindDeleted:
		return a.deleted(at, p)
	}
	return fmt.Errorf("a record of kind %d, of which nobody knows what it refers to", at.Kind)
}

func (a *alive) flow(at segment.At) error {
	id, rev, _, err := wire.ReadState(at.Payload)
	if err != nil {
		return err
	}
	last, there := a.d.where(id)
	if (!there || rev > last.rev()) && a.parts[at.Segment] == nil {
		a.haunt(keyOf(id)) // it would be there again
	}
	if !there || last.place != placeOf(at.Position) {
		return nil
	}
	_, name, err := wire.ReadFlow(at.Payload)
	if err != nil {
		return err
	}
	a.mark(at.Position)
	if name != 0 {
		conn := positionOf(name)
		a.mark(conn)
		for _, blob := range a.conns[conn] {
			a.mark(positionOf(blob))
		}
	}
	return nil
}

// where returns where the last state of a flow is.
func (d *Disk) where(id flow.ID) (flowAt, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.known.flows.get(id)
}

// conn remembers what a connection refers to, if something of that may go.
func (a *alive) conn(at segment.At) error {
	var names []uint64
	_, err := wire.ReadConn(bytes.Clone(at.Payload), func(name uint64) ([]byte, error) {
		if a.parts[positionOf(name).Segment] != nil {
			names = append(names, name)
		}
		return nil, nil
	})
	if len(names) > 0 {
		a.conns[at.Position] = names
	}
	return err
}

// body marks a record of a body that is there, and reports whether it is. A chunk of one that
// has a record of its own is alive if that refers to it: it is not called for by number.
func (a *alive) body(at segment.At, p *part, number uint64, called bool) bool {
	a.d.mu.Lock()
	_, ok := a.d.known.bodies.get(number)
	called = ok && called || a.d.streams[number] != nil
	ok = ok || called
	a.d.mu.Unlock()
	_, referred := a.ahead[at.Position]
	referred = referred || a.all && at.Kind == wire.KindBody
	if called || referred {
		a.mark(at.Position)
	}
	switch {
	case ok:
	case p == nil:
		a.haunt(number)
	case len(p.strays) < maxHaunts:
		p.strays = append(p.strays, stray{len(p.records) - 1, number})
	default:
		a.vague = true
	}
	return ok || referred
}

func (a *alive) deleted(at segment.At, p *part) error {
	gone, err := wire.ReadDeleted(at.Payload)
	if err != nil || p == nil {
		return err
	}
	p.records[len(p.records)-1].alive = true // until it is known better
	if len(p.graves) < maxHaunts {
		p.graves = append(p.graves, grave{len(p.records) - 1, append(gone.Bodies, keyOf(gone.ID))})
	}
	return nil
}

// keyOf is what a flow is remembered by, among the numbers of bodies. That two are
// the same keeps a tombstone, and no more.
func keyOf(id flow.ID) uint64 {
	return binary.LittleEndian.Uint64(id[8:]) ^ binary.LittleEndian.Uint64(id[:8]) | 1<<63
}

func (a *alive) haunt(key uint64) {
	if len(a.haunts) >= maxHaunts {
		a.vague = true
		return
	}
	a.haunts[key] = true
}

// mark says that something refers to a record.
func (a *alive) mark(at segment.Position) {
	if p := a.parts[at.Segment]; p != nil {
		if i, ok := p.find(at.Offset); ok {
			p.records[i].alive = true
		}
	}
}

// exorcise gives up the tombstones of a segment that nothing is left for. All chosen
// before it were compacted: what was dead in them is gone.
func (a *alive) exorcise(p *part) {
	for _, q := range a.parts {
		for _, s := range q.strays {
			if q.records[s.record].alive || q.number > p.number {
				a.haunt(s.key)
			}
		}
	}
	if a.vague {
		return
	}
	for _, g := range p.graves {
		if !slices.ContainsFunc(g.keys, func(key uint64) bool { return a.haunts[key] }) {
			p.records[g.record].alive = false
		}
	}
}

func (p *part) find(offset int64) (int, bool) {
	return slices.BinarySearchFunc(p.records, offset, func(r standing, o int64) int { return int(int64(r.offset) - o) })
}

// keeps reports whether a record is to stay.
func (p *part) keeps(offset int64) bool {
	i, ok := p.find(offset)
	return !ok || p.records[i].alive
}

// dead returns how many bytes may go.
func (p *part) dead() (n int64) {
	for _, r := range p.records {
		if !r.alive {
			n += int64(r.length) + frameSize
		}
	}
	return n
}

// elsewhere returns how many bytes more may go from other segments then.
func (p *part) elsewhere() (n int64) {
	for _, e := range p.left {
		n += e.Length
	}
	return n
}

// empty reports whether all may go.
func (p *part) empty() bool {
	return !slices.ContainsFunc(p.records, func(r standing) bool { return r.alive })
}
