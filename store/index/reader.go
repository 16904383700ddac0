package index

import (
	"cmp"
	"context"
	"sync"
)

// A reader reads one block after the other.
type reader struct {
	room room
	keys keys
	asks *question // nil asks nothing
}

// read reads blocks, and then where the best are. The first block often has enough; the
// others are read by all readers.
func (p *pager) read() ([]Hit, error) {
	p.err = p.readOne(&p.readers[0])
	var all sync.WaitGroup
	if p.more() {
		for i := range p.readers {
			all.Go(func() { p.readAll(&p.readers[i]) })
		}
	}
	all.Wait()
	if p.err != nil {
		return nil, p.err
	}
	p.settle()
	return p.hits()
}

// more reports whether another block has to be read.
func (p *pager) more() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moreLocked()
}

func (p *pager) moreLocked() bool {
	if p.err != nil || len(p.left) == 0 {
		return false
	}
	p.settle()
	return !p.full || !p.outdone(p.left[0])
}

func (p *pager) readAll(r *reader) {
	for p.more() {
		if err := p.readOne(r); err != nil {
			p.mu.Lock()
			p.err = cmp.Or(p.err, err)
			p.mu.Unlock()
		}
	}
}

// readOne reads the next block, if one has to be.
func (p *pager) readOne(r *reader) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	p.mu.Lock()
	if !p.moreLocked() {
		p.mu.Unlock()
		return nil
	}
	b := p.left[0]
	p.left = p.left[1:]
	p.mu.Unlock()
	err := p.look(p.source(b, r), r)
	return p.x.unlessGone(b, err)
}

// source returns the rows of a block.
func (p *pager) source(b *block, r *reader) source {
	r.room.begin()
	r.room.paged = true
	return source{rows: stored{p.x.db, b, &r.room}, n: b.n, block: b}
}
