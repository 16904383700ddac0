package index

import (
	"context"
	"slices"

	"transom/filter"
	"transom/store/segment"
)

// A batch is what is written together.
type batch struct {
	at      segment.Position
	number  int64   // of the first block of these
	block   *frozen // flows that have ended, nil if there are too few for a block
	tail    *frozen // the others
	bodies  map[uint64]*Body
	terms   *terms // nil if there are too few for a run
	changed []*block
	emptied []int64
	removed []segments
	runs    []*run // that hold nothing of what is left
}

// Flush writes down what was applied. Apply does so whenever there is enough, and Close
// in the end: a Flush is for when nothing has come for a while. Where there is too
// little for a block the same is written again the next time.
func (x *Index) Flush(ctx context.Context) error { return x.write(ctx, false) }

// write writes all; last takes the words along that are too few for a run.
func (x *Index) write(ctx context.Context, last bool) error {
	if x.readOnly {
		return nil
	}
	b := x.batch(last)
	if b == nil {
		return nil
	}
	var wrote *block
	var words *run
	err := x.db.update(ctx, func(c *change) (err error) {
		wrote, words, err = b.write(c)
		return err
	})
	if err != nil {
		return err // all is still in memory
	}
	x.written(b, wrote, words)
	return nil
}

// batch returns what there is to write, nil if that is nothing.
func (x *Index) batch(last bool) *batch {
	x.mu.Lock()
	defer x.mu.Unlock()
	words := x.fullTermsLocked() || last && x.terms.changed
	if !x.hot.changed && len(x.bodies)+len(x.changed)+len(x.emptied)+len(x.removed) == 0 && !words {
		return nil
	}
	b := &batch{at: x.at, number: x.next, bodies: x.bodies, emptied: x.emptied, removed: x.removed}
	b.split(x.hot.freeze(), x.limits)
	for _, c := range x.blocks {
		if x.changed[c.number] {
			b.changed = append(b.changed, c)
		}
	}
	if words {
		x.terms.spare = sortPairs(x.terms.pairs, x.terms.spare)
		b.terms = &x.terms
	}
	b.runs = x.staleLocked()
	return b
}

// staleLocked returns runs of which no body belongs to a flow any more. A flow that has
// been going on for long keeps those of its own time, and none that came since.
func (x *Index) staleLocked() (stale []*run) {
	if len(x.runs) == 0 {
		return nil
	}
	open := slices.Sorted(x.hot.freeze().bodies)
	for _, r := range x.runs {
		i, _ := slices.BinarySearch(open, r.bodies.low)
		used := i < len(open) && open[i] <= r.bodies.up
		if !used && !slices.ContainsFunc(x.blocks, func(b *block) bool { return b.bodies.meets(r.bodies) }) {
			stale = append(stale, r)
		}
	}
	return stale
}

// split decides which flows become a block. Those that have not ended do not, unless
// they are many.
func (b *batch) split(all *frozen, l limits) {
	ended := func(row int) bool { return all.values[columnNumbers+int(filter.Duration)][row] != filter.None }
	open := 0
	for i := range all.id {
		if !ended(i) {
			open++
		}
	}
	switch {
	case len(all.id)-open < l.flows/4 && open <= l.open:
		b.tail = all
	case open > l.open:
		b.block, b.tail = all, all.some(func(int) bool { return false })
	default:
		b.block, b.tail = all.some(ended), all.some(func(row int) bool { return !ended(row) })
	}
}

func (b *batch) write(c *change) (wrote *block, words *run, err error) {
	number := b.number
	if b.block != nil {
		wrote = blockOf(number, b.block)
		if err := c.putBlock(wrote, b.block); err != nil {
			return nil, nil, err
		}
		number++
	}
	if len(b.tail.id) > 0 {
		tail := blockOf(number, b.tail)
		tail.tail = true
		err = c.putBlock(tail, b.tail)
	} else {
		err = c.dropBlock(number)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := b.writeRemovals(c); err != nil {
		return nil, nil, err
	}
	if b.terms != nil {
		if words, err = c.writeTerms(b.terms); err != nil {
			return nil, nil, err
		}
	}
	return wrote, words, c.at(b.at)
}

func (b *batch) writeRemovals(c *change) error {
	for _, x := range b.changed {
		if err := c.setDead(x); err != nil {
			return err
		}
	}
	for _, n := range b.emptied {
		if err := c.dropBlock(n); err != nil {
			return err
		}
	}
	for _, r := range b.runs {
		if err := c.dropRun(r.number); err != nil {
			return err
		}
	}
	if err := c.writeBodies(b.bodies); err != nil {
		return err
	}
	for _, s := range b.removed {
		if err := c.dropBodiesIn(s); err != nil {
			return err
		}
	}
	return nil
}

// written takes out of memory what is in the file.
func (x *Index) written(b *batch, wrote *block, words *run) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bodies, x.changed, x.emptied, x.removed = map[uint64]*Body{}, map[int64]bool{}, nil, nil
	if wrote != nil {
		x.blocks, x.next = append(slices.Clone(x.blocks), wrote), wrote.number+1
	}
	x.hot.clear() // of texts that no flow has any more, too
	for i := range b.tail.id {
		x.hot.take(b.tail, i)
	}
	x.hot.dirty, x.hot.changed = 0, false
	for _, r := range b.runs {
		x.runs = slices.DeleteFunc(slices.Clone(x.runs), func(o *run) bool { return o == r })
	}
	if words != nil {
		x.runs = append(slices.Clone(x.runs), words)
		x.terms.clear()
	}
}
