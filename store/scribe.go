package store

import (
	"crypto/sha256"
	"maps"
	"slices"
	"weak"

	"transom/flow"
	"transom/store/segment"
	"transom/store/wire"
)

// A scribe is the one that writes to the log. What it writes belongs together in a
// segment: a flow's connection, and the blobs of that, are written again in each one
// that refers to them. So a segment can go without a look at the others. Bodies may
// go from one into the next.
type scribe struct {
	d *Disk

	segment uint64 // the last that was written to
	began   uint64 // the one that conns and once are of
	conns   map[weak.Pointer[flow.Conn]]segment.Position
	once    map[[sha256.Size]byte]segment.Position // blobs and small bodies in segment, by what they are

	batch map[[sha256.Size]byte]int       // small bodies that are written at once
	named map[*flow.Conn]segment.Position // connections of flows that are written at once
	order []*flow.Conn                    // of these

	joined  []byte // of a small body
	buf     []byte
	records []segment.Record
	bounds  []int
	blobs   [][]byte
	names   []uint64
	starts  []int
}

const (
	maxConns = 4096
	maxOnce  = 32768

	// onceUpTo is how long a body may be that is looked for before it is written.
	onceUpTo = 64 << 10
)

func newScribe(d *Disk) *scribe {
	s := &scribe{d: d, batch: map[[sha256.Size]byte]int{}, named: map[*flow.Conn]segment.Position{}}
	s.forget()
	return s
}

// forget forgets what is of no use in this segment, or too much. It is not called
// while something is written that refers to it.
func (s *scribe) forget() {
	if s.conns == nil || len(s.conns) >= maxConns || len(s.once) >= maxOnce {
		s.conns = map[weak.Pointer[flow.Conn]]segment.Position{}
		s.once = map[[sha256.Size]byte]segment.Position{}
	}
	if s.segment != s.began {
		s.began = s.segment
		maps.DeleteFunc(s.conns, func(_ weak.Pointer[flow.Conn], at segment.Position) bool { return at.Segment != s.segment })
		maps.DeleteFunc(s.once, func(_ [sha256.Size]byte, at segment.Position) bool { return at.Segment != s.segment })
	}
}

// leave has nothing more refer to what was written up to now.
func (s *scribe) leave() {
	s.segment, s.conns = 0, nil
	s.forget()
}

// record appends a record to those that append writes. It is built by write, behind
// what is in its argument.
func (s *scribe) record(kind uint8, write func(dst []byte) []byte) {
	begun := len(s.buf)
	s.buf = write(s.buf)
	s.bounds = append(s.bounds, begun, len(s.buf))
	s.records = append(s.records, segment.Record{Kind: kind})
}

// append writes the records. What it returns is valid until the next call.
func (s *scribe) append() ([]segment.Position, error) {
	for i := range s.records { // the buffer stays where it is from here on
		s.records[i].Payload = s.buf[s.bounds[2*i]:s.bounds[2*i+1]]
	}
	n := len(s.records)
	at, err := s.d.log.Append(s.records...)
	s.discard()
	if err != nil || n == 0 {
		return nil, err
	}
	s.segment = at[0].Segment
	return at, nil
}

// discard forgets records that append has not written.
func (s *scribe) discard() {
	if cap(s.buf) > 4<<20 {
		s.buf = nil
	}
	s.buf, s.records, s.bounds = s.buf[:0], s.records[:0], s.bounds[:0]
}

// room is whether another n bytes make the batch too large for one write.
func (s *scribe) room(n int) bool { return len(s.buf) == 0 || len(s.buf)+n <= 1<<20 }

// streams writes what is taken of bodies. Those that are all written are in the log
// then, and in the catalog.
func (s *scribe) streams(all []taken) error {
	for len(all) > 0 {
		n := 0
		clear(s.batch)
		for n < len(all) && s.room(all[n].size()) {
			s.chunks(all, n)
			n++
		}
		if err := s.bodies(all[:n]); err != nil {
			giveBack(all)
			return err
		}
		all = all[n:]
	}
	return nil
}

// taken is what is to be written of a body.
type taken struct {
	*stream
	chunks []piece
	last   bool // it is closed, and this is the last of it
	whole  bool // this is all of it
	sum    [sha256.Size]byte
	found  segment.Position // it is there already
	like   int              // it is that of the batch; -1 is none
}

func (t *taken) size() (n int) {
	for i := range t.chunks {
		n += len(t.chunks[i].data) + 64
	}
	return n
}

// giveBack has what was not written taken again.
func giveBack(all []taken) {
	for i := range all {
		all[i].giveBack()
	}
}

func (t *taken) giveBack() {
	t.d.mu.Lock()
	defer t.d.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = 0
	if !t.listed {
		t.listed = true
		t.d.dirty = append(t.d.dirty, t.stream)
	}
}

// chunks makes records of what was taken of a body, unless it is there already.
func (s *scribe) chunks(all []taken, n int) {
	t := &all[n]
	data, whole := s.small(t)
	t.whole, t.found, t.like = whole, segment.Position{}, -1
	if whole {
		t.sum = sha256.Sum256(data)
		if at, ok := s.once[t.sum]; ok && at.Segment == s.segment {
			t.found = at
			return
		}
		if i, ok := s.batch[t.sum]; ok {
			t.like = i
			return
		}
		s.batch[t.sum] = n
		s.record(wire.KindChunk, func(dst []byte) []byte {
			return wire.AppendChunk(dst, &wire.Chunk{Number: t.number, Whole: true, Data: data})
		})
		return
	}
	for i := range t.chunks {
		p := &t.chunks[i]
		s.record(wire.KindChunk, func(dst []byte) []byte {
			return wire.AppendChunk(dst, &wire.Chunk{Number: t.number, Offset: p.off, Data: p.data})
		})
	}
}

// small returns the bytes of a body, if these are all and so few that it is looked for, and
// written as one chunk. They are valid until the next call.
func (s *scribe) small(t *taken) (data []byte, ok bool) {
	if !t.last || len(t.chunks) == 0 || t.chunks[0].off != 0 {
		return nil, false
	}
	if len(t.chunks) == 1 {
		return t.chunks[0].data, len(t.chunks[0].data) <= onceUpTo
	}
	s.joined = s.joined[:0]
	for i := range t.chunks {
		if len(s.joined)+len(t.chunks[i].data) > onceUpTo {
			return nil, false
		}
		s.joined = append(s.joined, t.chunks[i].data...)
	}
	return s.joined, true
}

// bodies writes the chunks, and then where bodies are that are more than one chunk of
// their own.
func (s *scribe) bodies(all []taken) error {
	at, err := s.append()
	if err != nil {
		return err
	}
	freed := int64(0)
	places := make([]segment.Position, len(all)) // of what says where the body is
	for i := range all {
		t := &all[i]
		if t.like >= 0 {
			t.found = places[t.like]
			if t.found == (segment.Position{}) {
				t.found = all[t.like].found
			}
		}
		if t.found != (segment.Position{}) {
			freed += t.wroteAt([]segment.Position{t.found})
			continue
		}
		if t.whole {
			places[i] = at[0]
		}
		n := len(t.chunks)
		if t.whole {
			s.once[t.sum] = at[0]
			n = 1
		}
		freed += t.wroteAt(at[:n])
		at = at[n:]
	}
	s.d.free(freed)
	var ended []int
	for i := range all {
		if all[i].last && places[i] == (segment.Position{}) {
			ended = append(ended, i)
			s.record(wire.KindBody, func(dst []byte) []byte { return wire.AppendBody(dst, all[i].where()) })
		}
	}
	if at, err = s.append(); err != nil {
		return err // the chunks are written, and the end is taken again
	}
	for i, which := range ended {
		places[which] = at[i]
	}
	s.d.ended(all, places)
	return nil
}

// wroteAt says where the chunks are, and returns what room that gives back.
func (t *taken) wroteAt(at []segment.Position) (freed int64) {
	if !t.whole && len(t.chunks) > 0 {
		t.hash()
	}
	freed = t.wrote(at)
	t.chunks, t.whole = nil, false
	return freed
}

// hash hashes the chunks of a body that is more than one: by that it is known among others.
func (t *taken) hash() {
	if t.digest == nil {
		t.digest = sha256.New()
	}
	for i := range t.chunks {
		t.digest.Write(t.chunks[i].data)
	}
}

// where says where all chunks of the body are.
func (s *stream) where() *wire.Body {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := &wire.Body{Number: s.number, Extents: make([]wire.Extent, len(s.stored))}
	if s.digest != nil {
		s.digest.Sum(b.Sum[:0])
	}
	for i := range s.stored {
		b.Extents[i] = s.stored[i].Extent
	}
	return b
}

// ended puts bodies that are written to their end into the catalog.
func (d *Disk) ended(all []taken, places []segment.Position) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range all {
		number := all[i].number
		if all[i].last && !all[i].dropped() {
			d.known.bodies.set(number, placeOf(places[i]))
			delete(d.streams, number)
			if all[i].digest != nil { // else it is no large one
				d.metLocked(all[i].where(), places[i])
			}
		}
	}
}

func (s *stream) dropped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.gone
}

// stood is where a record stands, and what it takes.
type stood struct {
	segment.Position
	size int64
}

// flows writes flows and their connections. at gets where they are.
func (s *scribe) flows(all []*flow.Flow, costs []int64, at []stood) error {
	defer s.unname()
	for len(all) > 0 {
		n := some(costs)
		for range tries {
			if err := s.connections(all[:n]); err != nil {
				return err
			}
			for _, f := range all[:n] {
				s.record(wire.KindFlow, func(dst []byte) []byte { return wire.AppendFlow(dst, f, s.connName(f.Conn)) })
			}
			for i := range n {
				at[i].size = int64(s.bounds[2*i+1]-s.bounds[2*i]) + frameSize
			}
			places, err := s.append()
			if err != nil {
				return err
			}
			for i := range places {
				at[i].Position = places[i]
			}
			if s.together() {
				break
			}
		}
		all, costs, at = all[n:], costs[n:], at[n:]
	}
	return nil
}

// tries is how often something is written that belongs to what is in the segment, when
// a new one is begun just then. With segments that hold almost nothing it stays apart.
const tries = 2

// some is how many flows to write at once.
func some(costs []int64) int {
	size := int64(0)
	for i, cost := range costs {
		if size += cost; i > 0 && (size > 1<<20 || i == 1024) {
			return i
		}
	}
	return len(costs)
}

func (s *scribe) connName(c *flow.Conn) uint64 {
	if c == nil {
		return 0
	}
	return nameOf(s.named[c])
}

// together reports whether what was written last is in one segment with the connections
// that it names.
func (s *scribe) together() bool {
	for _, at := range s.named {
		if at.Segment != s.segment {
			return false
		}
	}
	return true
}

// nameOf is how records call another one: a segment is less than 4 GiB.
func nameOf(p segment.Position) uint64 { return p.Segment<<32 | uint64(p.Offset) }

func positionOf(name uint64) segment.Position {
	return segment.Position{Segment: name >> 32, Offset: int64(name & (1<<32 - 1))}
}

// connections writes the connections of flows that are not in this segment yet, and
// names them all.
func (s *scribe) connections(flows []*flow.Flow) error {
	s.name(flows)
	for try := range tries {
		missing := s.missing()
		if len(missing) == 0 {
			return nil
		}
		if err := s.blobsOf(missing); err != nil {
			return err
		}
		for i, c := range missing {
			names := s.names[s.starts[i]:s.starts[i+1]]
			s.record(wire.KindConn, func(dst []byte) []byte { return wire.AppendConn(dst, c, names) })
		}
		at, err := s.append()
		if err != nil {
			return err
		}
		for i, c := range missing {
			switch {
			case beside(at[i], s.names[s.starts[i]:s.starts[i+1]]):
				s.named[c], s.conns[weak.Make(c)] = at[i], at[i]
			case try == tries-1: // for these flows, and no later ones: what it refers to may go before them
				s.named[c] = at[i]
			}
		}
	}
	return nil
}

// beside reports whether all that a record names is in its segment.
func beside(at segment.Position, names []uint64) bool {
	return !slices.ContainsFunc(names, func(name uint64) bool { return positionOf(name).Segment != at.Segment })
}

// name looks up where the connections of flows are, so far.
func (s *scribe) name(flows []*flow.Flow) {
	s.unname()
	for _, f := range flows {
		if _, ok := s.named[f.Conn]; !ok && f.Conn != nil {
			s.named[f.Conn] = s.conns[weak.Make(f.Conn)]
			s.order = append(s.order, f.Conn)
		}
	}
}

// unname lets go of the connections.
func (s *scribe) unname() {
	clear(s.named)
	clear(s.order)
	s.order = s.order[:0]
}

// missing returns the connections that are not in this segment.
func (s *scribe) missing() (missing []*flow.Conn) {
	for _, c := range s.order {
		if at := s.named[c]; at == (segment.Position{}) || at.Segment != s.segment {
			missing = append(missing, c)
		}
	}
	return missing
}

// blobsOf writes the blobs of connections that are not in this segment yet. names get
// what they are called: those of connection i from starts[i] on.
func (s *scribe) blobsOf(conns []*flow.Conn) error {
	s.blobs, s.starts, s.names = s.blobs[:0], s.starts[:0], s.names[:0]
	for _, c := range conns {
		s.starts = append(s.starts, len(s.blobs))
		s.blobs = wire.Blobs(s.blobs, c)
	}
	s.starts = append(s.starts, len(s.blobs))
	sums := make([][sha256.Size]byte, len(s.blobs))
	for i, b := range s.blobs {
		sums[i] = sha256.Sum256(b)
	}
	for range tries {
		var fresh [][sha256.Size]byte
		for i, b := range s.blobs {
			if at, ok := s.once[sums[i]]; ok && at.Segment == s.segment || slices.Contains(fresh, sums[i]) {
				continue
			}
			fresh = append(fresh, sums[i])
			s.record(wire.KindBlob, func(dst []byte) []byte { return append(dst, b...) })
		}
		if len(fresh) == 0 {
			break
		}
		at, err := s.append()
		if err != nil {
			return err
		}
		for i, sum := range fresh {
			s.once[sum] = at[i]
		}
	}
	for i := range s.blobs {
		s.names = append(s.names, nameOf(s.once[sums[i]]))
	}
	clear(s.blobs)
	return nil
}

// deleted writes that flows were deleted. Records that say so are of no use once nothing is left
// of those.
func (s *scribe) deleted(dead []wire.Deleted) error {
	for i := range dead {
		s.record(wire.KindDeleted, func(dst []byte) []byte { return wire.AppendDeleted(dst, &dead[i]) })
	}
	size := int64(len(s.buf)/max(len(dead), 1)) + frameSize
	at, err := s.append()
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	for _, p := range at {
		s.d.known.dead[uint32(p.Segment)] += size
	}
	return err
}
