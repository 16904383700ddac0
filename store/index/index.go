package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"transom/flow"
	"transom/store/segment"
)

// An Index finds flows. Its methods may be called by many goroutines, but only one
// may call Apply, Flush and Close.
//
// What was applied stays in memory until there is enough for a block: it costs next to
// nothing then, and a crash only has the log read from a little before its end. Flows
// that have not ended stay longer, so that blocks hardly change.
type Index struct {
	db       *database
	readOnly bool

	mu       sync.Mutex // held for moments only, and never while the file is written or read
	at       segment.Position
	hot      *hot
	blocks   []*block // in the file, by number
	next     int64    // number of the next block; what is hot is written as this one
	bodies   map[uint64]*Body
	terms    terms
	runs     []*run
	changed  map[int64]bool // blocks of which rows were removed
	emptied  []int64        // blocks of which all were
	removed  []segments
	ids      map[int64][]flow.ID
	lastSeen []int64 // whose ids these are

	limits limits
}

// Limits say how much is kept in memory.
type limits struct {
	flows, bodies int // that have come since something was written
	open          int // flows that have not ended and are kept from blocks
	docs, pairs   int // of a run
	small         int // docs of a run that is taken up again at the next start
}

const manyIDs = 16 // blocks whose IDs are at hand

// Open opens the index at path, and makes it if there is none; "" is one in memory.
// It fails with ErrRebuild if Reset helps.
func Open(path string, o Options) (*Index, error) {
	db, err := openDatabase(path, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	x := &Index{
		db: db, readOnly: o.ReadOnly, hot: newHot(), bodies: map[uint64]*Body{}, changed: map[int64]bool{},
		ids: map[int64][]flow.ID{}, terms: terms{trigrams: o.Trigrams},
		limits: limits{flows: 4 << 10, bodies: 8 << 10, open: 8 << 10, docs: 4 << 10, pairs: 1 << 20, small: 1 << 10},
	}
	if err = db.prepare(); err == nil {
		err = x.load()
	}
	if err != nil {
		return nil, errors.Join(err, db.close())
	}
	return x, nil
}

func (x *Index) load() (err error) {
	if x.at, err = x.db.at(); err != nil {
		return err
	}
	if x.blocks, err = x.db.blocks(); err != nil {
		return err
	}
	if err := x.readRuns(); err != nil {
		return err
	}
	if len(x.blocks) == 0 {
		return nil
	}
	last := x.blocks[len(x.blocks)-1]
	if x.next = last.number + 1; !last.tail {
		return nil
	}
	x.blocks, x.next = x.blocks[:len(x.blocks)-1], last.number
	f, err := x.db.rows(last).all()
	if err != nil {
		return expected(err)
	}
	for i := range f.id {
		if !last.isDead(i) {
			x.hot.take(f, i)
		}
	}
	x.hot.dirty = 0
	return nil
}

// Apply takes what the log says up to a position. Entries come in the order of the
// log, and may come again. What it has taken may be lost in a crash: At is less then
// after Open. It fails, and takes nothing, if what was taken before can't be written.
func (x *Index) Apply(ctx context.Context, entries []Entry, to segment.Position) error {
	if x.full() {
		if err := x.Flush(ctx); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if err := x.apply(e); err != nil {
			return err
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.at = to
	return nil
}

// full reports whether it is time to write.
func (x *Index) full() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return !x.readOnly && (x.hot.dirty >= x.limits.flows || len(x.bodies) >= x.limits.bodies || x.fullTermsLocked() || len(x.removed) > 0)
}

func (x *Index) fullTermsLocked() bool {
	return len(x.terms.docs) >= x.limits.docs || len(x.terms.pairs) >= x.limits.pairs
}

func (x *Index) apply(e Entry) error {
	switch e := e.(type) {
	case Put:
		return x.put(e)
	case Deleted:
		return x.remove(e.ID)
	case Body:
		x.setBody(e.Number, &e)
	case Dropped:
		x.setBody(e.Number, nil)
	case Text:
		x.mu.Lock()
		defer x.mu.Unlock()
		x.terms.add(e)
	case Removed:
		return x.removeSegments(segments{e.From, e.To})
	default:
		return fmt.Errorf("apply to index: %T is no entry", e)
	}
	return nil
}

func (x *Index) setBody(number uint64, b *Body) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bodies[number] = b
}

func (x *Index) put(p Put) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if i, ok := x.hot.row[p.Flow.ID]; ok {
		if x.hot.values[columnRev][i] <= int64(p.Flow.Rev) {
			x.hot.put(p)
		}
		return nil
	}
	b, row, err := x.whereLocked(p.Flow.ID)
	if err != nil {
		return err
	}
	if b != nil {
		revs, err := x.db.rows(b).numbers(columnRev)
		if err != nil {
			return expected(err)
		}
		if revs[row] > int64(p.Flow.Rev) {
			return nil
		}
		x.killLocked(b, row)
	}
	x.hot.put(p)
	return nil
}

func (x *Index) remove(id flow.ID) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hot.remove(id) {
		return nil
	}
	b, row, err := x.whereLocked(id)
	if b != nil {
		x.killLocked(b, row)
	}
	return err
}

// whereLocked returns which block of the file has a flow, nil if none has.
func (x *Index) whereLocked(id flow.ID) (*block, int, error) {
	for i := len(x.blocks) - 1; i >= 0; i-- {
		b := x.blocks[i]
		if !b.mayHave(id) {
			continue
		}
		ids, err := x.idsLocked(b)
		if err != nil {
			return nil, 0, err
		}
		if row, ok := slices.BinarySearchFunc(ids, id, compareIDs); ok && !b.isDead(row) {
			return b, row, nil
		}
	}
	return nil, 0, nil
}

// idsLocked returns the IDs of a block; those that were asked for last are at hand.
func (x *Index) idsLocked(b *block) ([]flow.ID, error) {
	if ids, ok := x.ids[b.number]; ok {
		return ids, nil
	}
	ids, err := x.db.rows(b).ids()
	if err != nil {
		return nil, expected(err)
	}
	if len(x.lastSeen) == manyIDs {
		delete(x.ids, x.lastSeen[0])
		x.lastSeen = x.lastSeen[1:]
	}
	x.ids[b.number], x.lastSeen = ids, append(x.lastSeen, b.number)
	return ids, nil
}

// killLocked takes rows out of a block, and the block if those were the last.
func (x *Index) killLocked(b *block, rows ...int) {
	i := slices.Index(x.blocks, b)
	c := b.without(rows)
	x.blocks = slices.Clone(x.blocks) // somebody may be reading it
	if c.live > 0 {
		x.blocks[i] = c
		x.changed[b.number] = true
		return
	}
	x.blocks = slices.Delete(x.blocks, i, i+1)
	x.emptied = append(x.emptied, b.number)
	delete(x.changed, b.number)
}

// Segments are those from one to another, both among them.
type segments struct{ from, to uint64 }

func (s segments) has(number uint64) bool { return s.from <= number && number <= s.to }

// removeSegments takes out all flows and bodies that were in segments.
func (x *Index) removeSegments(s segments) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := 0; i < x.hot.len(); {
		if !s.has(uint64(x.hot.values[columnSegment][i])) {
			i++
			continue
		}
		x.hot.remove(x.hot.id[i])
	}
	for _, b := range slices.Clone(x.blocks) {
		if z := b.zones[zoneSegment]; uint64(z[1]) < s.from || s.to < uint64(z[0]) {
			continue
		}
		if err := x.removeFromLocked(b, s); err != nil {
			return err
		}
	}
	for k, b := range x.bodies {
		if b != nil && b.in(s) {
			x.bodies[k] = nil
		}
	}
	some, err := x.db.bodiesIn(s)
	if some {
		x.removed = append(x.removed, s)
	}
	return err
}

func (x *Index) removeFromLocked(b *block, s segments) error {
	numbers, err := x.db.rows(b).numbers(columnSegment)
	if err != nil {
		return expected(err)
	}
	var rows []int
	for row, n := range numbers {
		if s.has(uint64(n)) {
			rows = append(rows, row)
		}
	}
	if rows != nil {
		x.killLocked(b, rows...)
	}
	return nil
}

// Len returns how many flows are indexed.
func (x *Index) Len() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.hot.len()
	for _, b := range x.blocks {
		n += b.live
	}
	return n
}

// At returns the position up to which the log was applied. After Open it is where to
// go on.
func (x *Index) At() segment.Position {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.at
}

// Close writes down what was applied, and releases the index.
func (x *Index) Close() error {
	err := x.write(context.Background(), true)
	return errors.Join(err, x.db.close())
}
