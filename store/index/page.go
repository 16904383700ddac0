package index

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"transom/filter"
)

// A pager finds one page after the other: of all that comes after the last, the first
// ones. Blocks that can't have any of them are left out.
type pager struct {
	Query
	x    *Index
	ctx  context.Context
	asks *question // nil asks nothing
	size int
	best []found // the first size of them are sorted, and the best, after settle
	full bool    // there are so many
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
	k, err := p.keys(s)
	if err == nil {
		id := p.After.ID
		p.After = k.at(row)
		p.After.ID = id
	}
	return err
}

// A found is a row that may be among the best.
type found struct {
	Cursor
	from source
	row  int
	sure bool
}

// A source is a block, or what is hot.
type source struct {
	rows
	n     int
	block *block // nil if it is hot
}

func (p *pager) page() ([]Hit, error) {
	p.best, p.full = p.best[:0], false
	p.x.mu.Lock()
	blocks, hot := p.x.blocks, p.x.hot.freeze()
	p.x.mu.Unlock()
	if err := p.look(source{rows: hot, n: len(hot.id)}); err != nil {
		return nil, err
	}
	for _, b := range p.promising(blocks) {
		if p.ctx.Err() != nil {
			return nil, context.Cause(p.ctx)
		}
		if p.settle(); p.full && p.outdone(b) {
			break
		}
		err := p.look(source{rows: stored{p.x.db, b}, n: b.n, block: b})
		if err = p.x.unlessGone(b, err); err != nil {
			return nil, err
		}
	}
	p.settle()
	return p.hits()
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
// none can be among the best nothing else has to be.
func (p *pager) look(s source) error {
	keys, err := p.keys(s)
	if err != nil || p.full && !p.any(&keys) {
		return err
	}
	var is []filter.Answer
	if p.asks != nil {
		a, err := p.asks.answer(s.rows, s.n)
		if err != nil || none(a) {
			return err
		}
		if is = a.is; p.full && !p.anyOf(&keys, is) {
			return nil
		}
	}
	ids, err := s.ids()
	if err != nil {
		return err
	}
	for row := range ids {
		if is != nil && is[row] == filter.No || s.block != nil && s.block.isDead(row) {
			continue
		}
		f := found{Cursor: keys.at(row), from: s, row: row, sure: is == nil || is[row] == filter.Yes}
		f.ID = ids[row]
		p.consider(&f)
	}
	return nil
}

// any reports whether any row may be among the best, of which there are enough.
func (p *pager) any(k *keys) bool {
	worst := &p.best[p.size-1].Cursor
	for _, n := range k.numbers {
		if n == filter.None {
			n = 0
		}
		if n == worst.Number || n > worst.Number == p.Descending {
			return true
		}
	}
	for _, t := range k.texts {
		if t == worst.Text || t > worst.Text == p.Descending {
			return true
		}
	}
	return k.numbers == nil && k.texts == nil
}

// anyOf is any for rows that are not No.
func (p *pager) anyOf(k *keys, is []filter.Answer) bool {
	worst := &p.best[p.size-1].Cursor
	for row, a := range is {
		if a == filter.No {
			continue
		}
		c := k.at(row)
		if c.Number == worst.Number && c.Text == worst.Text { // the IDs decide
			return true
		}
		if p.compare(&c, worst) < 0 {
			return true
		}
	}
	return false
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

// keys are what rows are sorted by.
type keys struct {
	numbers []int64
	texts   []string // of codes
	codes   []int64
}

func (p *pager) keys(s source) (k keys, err error) {
	switch p.By {
	case BySize:
		k.numbers, err = s.numbers(columnNumbers + int(filter.Size))
	case ByDuration:
		k.numbers, err = s.numbers(columnNumbers + int(filter.Duration))
	case ByHost:
		var dict []string
		if dict, k.codes, err = s.rows.texts(filter.Name); err != nil {
			return k, err
		}
		for _, list := range dict {
			k.texts = append(k.texts, filter.First(list))
		}
	}
	return k, err
}

func (k *keys) at(row int) (c Cursor) {
	if k.numbers != nil && k.numbers[row] != filter.None {
		c.Number = k.numbers[row]
	}
	if k.texts != nil {
		c.Text = k.texts[k.codes[row]]
	}
	return c
}

// hits reads where the records of the best are.
func (p *pager) hits() ([]Hit, error) {
	type where struct{ revs, segments, offsets []int64 }
	known := map[*block]where{}
	hits := make([]Hit, 0, len(p.best))
	for _, f := range p.best {
		w, ok := known[f.from.block]
		if !ok {
			var err error
			if w.revs, err = f.from.numbers(columnRev); err == nil {
				if w.segments, err = f.from.numbers(columnSegment); err == nil {
					w.offsets, err = f.from.numbers(columnOffset)
				}
			}
			if err = p.x.unlessGone(f.from.block, err); err != nil {
				return nil, err
			}
			known[f.from.block] = w
		}
		if w.offsets == nil {
			continue // it was removed meanwhile
		}
		h := Hit{ID: f.ID, Rev: uint32(w.revs[f.row]), Sure: f.sure, Cursor: f.Cursor}
		h.Position.Segment, h.Position.Offset = uint64(w.segments[f.row]), w.offsets[f.row]
		hits = append(hits, h)
	}
	return hits, nil
}
