package index

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"transom/filter"
)

// A pager finds one page after the other: of all that comes after the last, the first
// ones. Blocks that can't have any of them are left out.
type pager struct {
	Query
	x       *Index
	ctx     context.Context
	readers [readers]reader
	size    int

	mu   sync.Mutex // held for moments while blocks are read
	best []found    // the first size of them are sorted, and the best, after settle
	full bool       // there are so many
	left []*block   // to be read, those first that may have what comes first
	err  error
}

// complete finds the place of a flow of which only the ID is given.
func (p *pager) complete() error {
	if p.By == ByTime || p.After.ID.IsZero() || p.After != (Cursor{ID: p.After.ID}) {
		return nil
	}
	p.x.mu.Lock()
	s, row, err := p.x.lookupLocked(p.After.ID)
	p.x.mu.Unlock()
	if err != nil {
		return fmt.Errorf("after flow %v: %w", p.After.ID, err)
	}
	var k keys
	if err := p.keys(s, &k); err != nil {
		return err
	}
	id := p.After.ID
	p.After = k.at(row)
	p.After.ID = id
	return nil
}

// A found is a row that may be among the best.
type found struct {
	Cursor
	block *block // nil if it is hot
	hot   rows
	row   int
	sure  bool
}

// A source is a block, or what is hot.
type source struct {
	rows
	n     int
	block *block // nil if it is hot
}

func (p *pager) page() ([]Hit, error) {
	p.best, p.full, p.err = p.best[:0], false, nil
	p.x.mu.Lock()
	blocks, hot := p.x.blocks, p.x.hot.freeze()
	p.x.mu.Unlock()
	r := &p.readers[0]
	r.room.begin()
	if err := p.look(source{rows: hot, n: len(hot.id)}, r); err != nil {
		return nil, err
	}
	p.left = p.promising(blocks)
	hits, err := p.read()
	if changed := p.x.db.settled.still(); changed != nil {
		return nil, changed
	}
	return hits, err
}

// promising returns blocks that have something behind the cursor, those first that may
// have what comes first.
func (p *pager) promising(blocks []*block) []*block {
	list := slices.Clone(blocks)
	if p.After != (Cursor{}) {
		list = slices.DeleteFunc(list, func(b *block) bool { return p.passed(b) })
	}
	slices.SortFunc(list, func(a, b *block) int {
		x, y := p.bestOf(a), p.bestOf(b)
		return p.compare(&x, &y)
	})
	return list
}

// bestOf returns what nothing in a block comes before.
func (p *pager) bestOf(b *block) Cursor { return p.end(b, p.Descending) }

// end returns a bound of a block, the upper or the lower one.
func (p *pager) end(b *block, upper bool) Cursor {
	c, i := Cursor{ID: b.low}, 0
	if upper {
		c.ID, i = b.up, 1
	}
	switch p.By {
	case BySize:
		c.Number = b.zones[zoneSize][i]
	case ByDuration:
		if c.Number = min(b.zones[zoneDuration][i], 0); upper {
			c.Number = max(b.zones[zoneDuration][i], 0) // where some are open, 0 is among them
		}
	}
	return c
}

// outdone reports whether nothing in a block is among the best. Of hosts that is not
// known.
func (p *pager) outdone(b *block) bool {
	c := p.bestOf(b)
	return p.By != ByHost && p.compare(&c, &p.best[p.size-1].Cursor) > 0
}

// passed reports whether all in a block comes before the cursor.
func (p *pager) passed(b *block) bool {
	c := p.end(b, !p.Descending)
	return p.By != ByHost && p.compare(&c, &p.After) < 0
}

// compare is the order of q.
func (p *pager) compare(a, b *Cursor) int {
	c := 0
	switch p.By {
	case BySize, ByDuration:
		c = cmp.Compare(a.Number, b.Number)
	case ByHost:
		c = strings.Compare(a.Text, b.Text)
	}
	if c == 0 {
		c = compareIDs(a.ID, b.ID)
	}
	if p.Descending {
		return -c
	}
	return c
}

// look puts rows among the best that are. What rows are sorted by is read first: where
// none can be among the best nothing else has to be, and else only those are asked about.
func (p *pager) look(s source, r *reader) error {
	if err := p.keys(s, &r.keys); err != nil {
		return err
	}
	need := p.need(s, r)
	if need != nil && count(need) == 0 {
		return nil
	}
	var is []filter.Answer
	if r.asks != nil {
		a, err := r.asks.answer(subject{s.rows, s.n, &r.room}, need, false)
		if err != nil {
			return err
		}
		if is = a.is; need == nil && none(a) {
			return nil
		}
	}
	rows := make([]int, 0, p.size)
	for row := range s.n {
		if (need == nil || need[row]) && (is == nil || is[row] != filter.No) {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return nil
	}
	ids, err := s.ids()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, row := range rows {
		f := found{Cursor: r.keys.at(row), block: s.block, row: row, sure: is == nil || is[row] == filter.Yes}
		if f.ID = ids[row]; s.block == nil {
			f.hot = s.rows
		}
		p.consider(&f)
	}
	return nil
}

// consider puts f among the best, if it is.
func (p *pager) consider(f *found) {
	if p.After != (Cursor{}) && p.compare(&f.Cursor, &p.After) <= 0 {
		return
	}
	if p.full && p.compare(&f.Cursor, &p.best[p.size-1].Cursor) >= 0 {
		return
	}
	if p.best = append(p.best, *f); len(p.best) >= 2*p.size {
		p.settle()
	}
}

// settle sorts what may be the best, and leaves only those that are.
func (p *pager) settle() {
	slices.SortFunc(p.best, func(a, b found) int { return p.compare(&a.Cursor, &b.Cursor) })
	if len(p.best) >= p.size {
		p.best, p.full = p.best[:p.size], true
	}
}

// hits reads where the records of the best are, block by block.
func (p *pager) hits() ([]Hit, error) {
	hits, there := make([]Hit, len(p.best)), make([]bool, len(p.best))
	order := make([]int, len(p.best))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(p.best[a].number(), p.best[b].number()) })
	var s source
	for at, i := range order {
		f := &p.best[i]
		switch {
		case f.block == nil:
			s = source{rows: f.hot}
		case at == 0 || p.best[order[at-1]].block != f.block:
			s = p.source(f.block, &p.readers[0])
		}
		var err error
		if hits[i], err = f.hit(s); err != nil {
			if err = p.x.unlessGone(f.block, err); err != nil {
				return nil, err
			}
			continue // it was removed meanwhile
		}
		there[i] = true
	}
	n := 0
	for i := range hits {
		if there[i] {
			hits[n] = hits[i]
			n++
		}
	}
	return hits[:n], nil
}

// number is that of its block.
func (f *found) number() int64 {
	if f.block == nil {
		return -1
	}
	return f.block.number
}

// hit reads where the record is.
func (f *found) hit(s source) (h Hit, err error) {
	var n [3]int64
	for i, column := range [...]int{columnRev, columnSegment, columnOffset} {
		if n[i], err = s.number(column, f.row); err != nil {
			return h, err
		}
	}
	h = Hit{ID: f.ID, Rev: uint32(n[0]), Sure: f.sure, Cursor: f.Cursor}
	h.Position.Segment, h.Position.Offset = uint64(n[1]), n[2]
	return h, nil
}
