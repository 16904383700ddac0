package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"transom/flow"
	"transom/store/index"
	"transom/store/segment"
	"transom/store/wire"
)

// Flows implements Store. A flow that is Put while they are yielded is seen in its new
// state if its turn is still to come. A flow that can't be read is an error; the next
// ones follow.
//
// What the index can answer it is asked, which waits until all that was Put before is
// written. Where there is none all flows are read.
func (d *Disk) Flows(ctx context.Context, q Query) iter.Seq2[*flow.Flow, error] {
	return d.lacks(d.flows(ctx, q), q.Lacks)
}

func (d *Disk) flows(ctx context.Context, q Query) iter.Seq2[*flow.Flow, error] {
	if q.Filter == nil && q.By == ByTime {
		return selected(ctx, d, q) // the catalog knows that
	}
	return func(yield func(*flow.Flow, error) bool) {
		after, err := d.cursor(ctx, &q)
		if err != nil {
			yield(nil, err)
			return
		}
		if d.indexed(ctx) != nil && ctx.Err() == nil {
			selected(ctx, d, q)(yield)
			return
		}
		left := q.Limit
		for f, err := range d.look(ctx, &q, after, d) {
			if !yield(f, err) {
				return
			}
			if err != nil {
				continue // it takes nobody's place
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// cursor is the place behind which q begins.
func (d *Disk) cursor(ctx context.Context, q *Query) (c index.Cursor, err error) {
	c.ID = q.After
	if q.After.IsZero() || q.By == ByTime {
		return c, nil
	}
	f, err := d.flow(ctx, q.After)
	if err != nil {
		return c, err
	}
	r := rankOf(q.By, f)
	c.Number, c.Text = r.number, r.text
	return c, nil
}

// walk implements source.
func (d *Disk) walk(ctx context.Context, after flow.ID) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		var page [64]found
		for {
			n := d.page(after, page[:])
			if n == 0 {
				return
			}
			for _, hit := range page[:n] {
				if ctx.Err() != nil {
					yield(nil, context.Cause(ctx))
					return
				}
				f, err := d.read(hit)
				if errors.Is(err, ErrGone) {
					f, err = d.flow(ctx, hit.id) // it was written again meanwhile, or is gone
				}
				if errors.Is(err, ErrGone) {
					continue
				}
				if err != nil {
					err = fmt.Errorf("flow %s: %w", hit.id, err)
				}
				if !yield(f, err) {
					return
				}
			}
			after = page[n-1].id
		}
	}
}

// ids implements source.
func (d *Disk) ids() (list []flow.ID) {
	var page [256]found
	var after flow.ID
	for {
		n := d.page(after, page[:])
		if n == 0 {
			return list
		}
		for _, hit := range page[:n] {
			list = append(list, hit.id)
		}
		after = page[n-1].id
	}
}

// found is a flow, or where it is.
type found struct {
	id   flow.ID
	flow *flow.Flow
	at   segment.Position
}

// page fills out with what follows an ID, and returns how many that are.
func (d *Disk) page(after flow.ID, out []found) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := [3]func() (found, bool){d.queued.from(after), d.writing.from(after), d.known.from(after)}
	var heads [3]found
	var there [3]bool
	for i := range next {
		heads[i], there[i] = next[i]()
	}
	n := 0
	for n < len(out) {
		first := -1
		for i := range heads {
			if there[i] && (first < 0 || compareIDs(heads[i].id, heads[first].id) < 0) {
				first = i
			}
		}
		if first < 0 {
			break
		}
		out[n] = heads[first] // of equal ones the newest
		n++
		for i := range heads {
			for there[i] && heads[i].id == out[n-1].id {
				heads[i], there[i] = next[i]()
			}
		}
	}
	return n
}

// from yields what follows an ID.
func (q *flowQueue) from(after flow.ID) func() (found, bool) {
	i, ok := q.find(after)
	if !ok {
		i--
	}
	return func() (found, bool) {
		if i++; i >= len(q.sorted) {
			return found{}, false
		}
		return found{id: q.sorted[i].id, flow: q.sorted[i].e.flow}, true
	}
}

func (c *catalog) from(after flow.ID) func() (found, bool) {
	next := c.flows.after(after)
	return func() (found, bool) {
		r, ok := next()
		return found{id: r.key, at: r.value.position()}, ok
	}
}

// flow returns a flow, or ErrGone.
func (d *Disk) flow(_ context.Context, id flow.ID) (*flow.Flow, error) {
	d.mu.Lock()
	hit := found{id: id}
	at, ok := d.known.flows.get(id)
	hit.at = at.position()
	for _, q := range []*flowQueue{&d.writing, &d.queued} {
		if e := q.get(id); e != nil {
			hit.flow, ok = e.flow, true
		}
	}
	d.mu.Unlock()
	if !ok {
		return nil, ErrGone
	}
	return d.read(hit)
}

// read returns a flow that was found, with its bodies as they are by now.
func (d *Disk) read(hit found) (*flow.Flow, error) {
	if hit.flow != nil {
		return d.current(hit.flow), nil
	}
	b, err := d.record(hit.at, wire.KindFlow, nil)
	if err != nil {
		return nil, err
	}
	f, name, err := wire.ReadFlow(b)
	if err != nil {
		return nil, fmt.Errorf("segment %d, record at %d: %w", hit.at.Segment, hit.at.Offset, err)
	}
	if !hit.id.IsZero() && f.ID != hit.id {
		return nil, ErrGone // somebody has opened the directory since we read it, and has used a place again
	}
	if name != 0 {
		f.Conn = d.connOf(positionOf(name))
	}
	return d.current(f), nil
}

// record returns a record's payload, in dst if there is room.
func (d *Disk) record(at segment.Position, kind uint8, dst []byte) ([]byte, error) {
	r, err := d.log.Read(at, dst)
	switch {
	case errors.Is(err, segment.ErrGone):
		return nil, ErrGone
	case err != nil:
		return nil, err
	case r.Kind != kind:
		return nil, fmt.Errorf("segment %d, offset %d: a record of kind %d, want %d", at.Segment, at.Offset, r.Kind, kind)
	}
	return r.Payload, nil
}

// connOf returns the connection of a flow. If it can't be read the flow is of one that nothing is
// known of: better than no flow. Who yields it says so.
func (d *Disk) connOf(at segment.Position) *flow.Conn {
	c, err := d.conn(at)
	if err == nil {
		return c
	}
	c = new(flow.Conn)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.conns.put(at, c)
	d.lacking.put(c, &lack{err: err})
	return c
}

// A lack is why a connection can't be read.
type lack struct {
	err  error
	said bool
}

// lack tells of a flow of which the connection can't be read. Where nobody wants to know, that is
// logged, once for each.
func (d *Disk) lack(f *flow.Flow, tell func(*flow.Flow, error)) {
	d.mu.Lock()
	l := d.lacking.values[f.Conn]
	if l == nil || l.said && tell == nil {
		d.mu.Unlock()
		return
	}
	err := l.err
	l.said = true
	d.mu.Unlock()
	if tell != nil {
		tell(f, fmt.Errorf("flow %s is without its connection: %w", f.ID, err))
		return
	}
	d.o.Log.Error("a connection can't be read: its flows are shown without", "dir", d.o.Dir, "flow", f.ID.String(), "err", err)
}

// lacks tells of the flows that are yielded without their connection.
func (d *Disk) lacks(all iter.Seq2[*flow.Flow, error], tell func(*flow.Flow, error)) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		for f, err := range all {
			if err == nil {
				d.lack(f, tell)
			}
			if !yield(f, err) {
				return
			}
		}
	}
}

// conn returns a connection. Flows of one share it.
func (d *Disk) conn(at segment.Position) (*flow.Conn, error) {
	d.mu.Lock()
	c := d.conns.values[at]
	d.mu.Unlock()
	if c != nil {
		return c, nil
	}
	b, err := d.record(at, wire.KindConn, nil)
	if err != nil {
		return nil, err
	}
	if c, err = wire.ReadConn(b, d.blob); err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.conns.put(at, c)
	d.mu.Unlock()
	return c, nil
}

func (d *Disk) blob(name uint64) ([]byte, error) {
	at := positionOf(name)
	d.mu.Lock()
	b := d.blobs.values[at]
	d.mu.Unlock()
	if b != nil {
		return b, nil
	}
	b, err := d.record(at, wire.KindBlob, nil)
	if err != nil {
		return nil, err
	}
	b = slices.Clone(b)
	d.mu.Lock()
	d.blobs.put(at, b)
	d.mu.Unlock()
	return b, nil
}

// OpenBody implements Store. A ref that names no body is an empty one.
func (d *Disk) OpenBody(_ context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	if ref.Segment == 0 {
		return &diskReader{d: d, s: &stream{d: d}}, nil
	}
	d.mu.Lock()
	s := d.streams[ref.Segment]
	at, ok := d.known.bodies.get(ref.Segment)
	d.mu.Unlock()
	switch {
	case s != nil:
		return &diskReader{d: d, s: s}, nil
	case !ok && ref.Kept == 0: // nothing of it was written when its flow was
		return &diskReader{d: d, s: &stream{d: d}}, nil
	case !ok:
		return nil, ErrGone
	}
	s, err := d.stream(ref.Segment, at.position())
	if err != nil {
		return nil, err
	}
	return &diskReader{d: d, s: s, from: at, watch: true, root: at.position()}, nil
}

// stream returns a body of which the log says at at where it is.
func (d *Disk) stream(number uint64, at segment.Position) (*stream, error) {
	r, err := d.log.Read(at, nil)
	if errors.Is(err, segment.ErrGone) {
		return nil, ErrGone
	}
	if err != nil {
		return nil, err
	}
	s := &stream{d: d, number: number, closed: true}
	if r.Kind == wire.KindChunk {
		c, err := wire.ReadChunk(r.Payload)
		if err != nil {
			return nil, err
		}
		s.store(wire.Extent{Position: at, Length: int64(len(c.Data))})
		return s, nil
	}
	if r.Kind != wire.KindBody {
		return nil, fmt.Errorf("segment %d, offset %d: a record of kind %d in place of a body's", at.Segment, at.Offset, r.Kind)
	}
	b, err := wire.ReadBody(r.Payload)
	if err != nil {
		return nil, err
	}
	for _, e := range b.Extents {
		s.store(e)
	}
	return s, nil
}

// store adds what stands in the log.
func (s *stream) store(e wire.Extent) {
	if e.Length <= 0 {
		return
	}
	s.stored = append(s.stored, stored{s.kept, e})
	s.kept += e.Length
	s.size = s.kept
}

// A diskReader reads a body, also while it is written.
type diskReader struct {
	d     *Disk
	s     *stream
	off   int64
	from  place // where the catalog had the body
	watch bool  // whether it still has

	buf    []byte
	chunk  []byte // that was read last
	begins int64  // where it does

	root  segment.Position // its record, if that is known
	hops  int              // from there
	fresh bool             // it was looked for again since something was read
}

// Read implements io.Reader.
func (r *diskReader) Read(p []byte) (n int, err error) {
	if r.watch {
		r.d.mu.Lock()
		at, ok := r.d.known.bodies.get(r.s.number)
		r.d.mu.Unlock()
		if !ok {
			return 0, ErrGone
		}
		if at != r.from { // it was written again
			s, err := r.d.stream(r.s.number, at.position())
			if err != nil {
				return 0, err
			}
			r.s, r.chunk, r.hops, r.from, r.root = s, nil, 0, at, at.position()
		}
	}
	for n < len(p) {
		k, err := r.some(p[n:])
		if err != nil {
			if n > 0 && err == io.EOF {
				return n, nil
			}
			return n, err
		}
		n += k
		r.off += int64(k)
	}
	return n, nil
}

// some reads what stands together.
func (r *diskReader) some(p []byte) (int, error) {
	for {
		e, k, err := r.s.read(r.off, p)
		if err != nil || k > 0 {
			return k, err
		}
		if r.chunk == nil || r.begins != e.off {
			err = r.load(e)
		}
		if errors.Is(err, ErrGone) {
			err = r.again()
		}
		if err == errElsewhere {
			continue
		}
		if err != nil {
			return 0, err
		}
		r.fresh = false
		return copy(p, r.chunk[r.off-r.begins:]), nil
	}
}

// load reads a chunk.
func (r *diskReader) load(e stored) error {
	if r.buf == nil {
		r.buf = make([]byte, min(e.Length, maxPiece)+64)
	}
	if r.fresh {
		r.d.log.Renew(e.Segment)
	}
	rec, err := r.d.log.Read(e.Position, r.buf)
	switch {
	case errors.Is(err, segment.ErrGone):
		return ErrGone
	case err != nil:
		return err
	case rec.Kind == wire.KindBody:
		return r.follow(e, rec.Payload)
	case rec.Kind != wire.KindChunk:
		return fmt.Errorf("segment %d, offset %d: a record of kind %d in place of a chunk", e.Segment, e.Offset, rec.Kind)
	}
	b := rec.Payload
	c, err := wire.ReadChunk(b)
	if err == nil && int64(len(c.Data)) != e.Length {
		err = fmt.Errorf("segment %d, offset %d: a chunk of %d bytes, want %d", e.Segment, e.Offset, len(c.Data), e.Length)
	}
	if err != nil {
		return err
	}
	if cap(b) > cap(r.buf) {
		r.buf = b[:cap(b)]
	}
	r.chunk, r.begins = c.Data, e.off
	return nil
}

// read copies what is in memory from off on to p, or says where in the log it is.
func (s *stream) read(off int64, p []byte) (stored, int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.gone:
		return stored{}, 0, ErrGone
	case off >= s.kept:
		return stored{}, 0, io.EOF
	}
	if len(s.pieces) > 0 && off >= s.pieces[0].off {
		i, ok := slices.BinarySearchFunc(s.pieces, off, func(p piece, off int64) int { return int(p.off - off) })
		if !ok {
			i--
		}
		return stored{}, copy(p, s.pieces[i].data[off-s.pieces[i].off:]), nil
	}
	i, ok := slices.BinarySearchFunc(s.stored, off, func(e stored, off int64) int { return int(e.off - off) })
	if !ok {
		i--
	}
	return s.stored[i], 0, nil
}

// Seek implements io.Seeker.
func (r *diskReader) Seek(offset int64, whence int) (int64, error) {
	off, err := seek(offset, whence, r.off, r.s.end)
	if err == nil {
		r.off = off
	}
	return off, err
}

func (s *stream) end() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

// Close implements io.Closer.
func (r *diskReader) Close() error { return nil }
