package index

import (
	"bytes"

	"transom/filter"
	"transom/flow"
)

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

// need returns which rows may be among the best, nil if all may.
func (p *pager) need(s source, k *keys, r *reader) []bool {
	dead := s.block != nil && s.block.dead != nil
	bound := p.bounds(s.block)
	if !dead && (p.By == ByTime || !bound.full && p.After == (Cursor{})) {
		return nil
	}
	need := r.room.mask(s.n)
	var texts []bool
	if k.texts != nil {
		texts = r.room.mask(len(k.texts))
		for i := range texts {
			texts[i] = bound.hold(Cursor{Text: k.texts[i]})
		}
	}
	for row := range need {
		switch {
		case dead && s.block.isDead(row):
		case texts != nil:
			need[row] = texts[k.codes[row]]
		case p.By == ByTime: // which suit is known when their IDs are
			need[row] = true
		default:
			need[row] = bound.hold(k.at(row))
		}
	}
	return need
}

// bounds are between what has been yielded and the worst of the best.
type bounds struct {
	p     *pager
	block *block // nil is what is hot
	full  bool
	worst Cursor
}

func (p *pager) bounds(of *block) bounds {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := bounds{p: p, block: of, full: p.full}
	if p.full {
		b.worst = p.best[p.size-1].Cursor
	}
	return b
}

// hold reports whether a row may be within, as far as that can be said without its ID: it
// is taken for the one that is in the block and suits best.
func (b *bounds) hold(c Cursor) bool {
	if b.full && b.p.compare(b.with(&c, b.p.Descending), &b.worst) > 0 {
		return false
	}
	return b.p.After == (Cursor{}) || b.p.compare(b.with(&c, !b.p.Descending), &b.p.After) > 0
}

// with gives c the least ID, or the greatest.
func (b *bounds) with(c *Cursor, greatest bool) *Cursor {
	switch {
	case b.block == nil && greatest:
		c.ID = flow.ID(bytes.Repeat([]byte{0xff}, len(c.ID)))
	case b.block == nil:
		c.ID = flow.ID{}
	case greatest:
		c.ID = b.block.up
	default:
		c.ID = b.block.low
	}
	return c
}
