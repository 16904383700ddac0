package index

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"transom/flow"
)

func compareIDs(a, b flow.ID) int { return bytes.Compare(a[:], b[:]) }

// Pages grow while somebody reads on.
const (
	firstPage = 128
	lastPage  = 4 << 10
)

// Query yields flows in the order of q; what comes while they are yielded is seen if
// its turn is still to come. Those that are not Sure have to be matched. It reads page
// by page and holds nothing while a flow is yielded, so the loop may use the index, and
// a writer need not wait for it. Its error may be ErrRebuild.
func (x *Index) Query(ctx context.Context, q Query) iter.Seq2[Hit, error] {
	return func(yield func(Hit, error) bool) {
		p := &pager{x: x, ctx: ctx, Query: q, size: firstPage}
		if q.Filter != nil {
			asks, err := x.question(q.Filter.Plan())
			if err != nil {
				yield(Hit{}, err)
				return
			}
			for i := range p.readers {
				p.readers[i].asks = asks
				asks = asks.another()
			}
		}
		if err := p.complete(); err != nil {
			yield(Hit{}, err)
			return
		}
		for {
			hits, err := p.page()
			if err != nil {
				yield(Hit{}, err)
				return
			}
			for _, h := range hits {
				if !yield(h, nil) {
					return
				}
			}
			if len(p.best) < p.size {
				return
			}
			p.After = p.best[p.size-1].Cursor
			p.size = min(p.size*4, lastPage)
		}
	}
}

// Lookup returns where a flow is, or ErrUnknown.
func (x *Index) Lookup(_ context.Context, id flow.ID) (Hit, error) {
	x.mu.Lock()
	s, row, err := x.lookupLocked(id)
	x.mu.Unlock()
	if err != nil {
		return Hit{}, err
	}
	f := found{Cursor: Cursor{ID: id}, row: row, sure: true}
	h, err := f.hit(s)
	if errors.Is(err, ErrUnknown) { // it was removed meanwhile, or never should have been
		return Hit{}, cmp.Or(x.unlessGone(s.block, err), ErrUnknown)
	}
	return h, err
}

func (x *Index) lookupLocked(id flow.ID) (source, int, error) {
	if _, ok := x.hot.row[id]; ok {
		f := x.hot.freeze()
		row, _ := slices.BinarySearchFunc(f.id, id, compareIDs)
		return source{rows: f, n: len(f.id)}, row, nil
	}
	b, row, err := x.whereLocked(id)
	if err != nil {
		return source{}, 0, err
	}
	if b == nil {
		return source{}, 0, ErrUnknown
	}
	return source{rows: x.db.rows(b), n: b.n, block: b}, row, nil
}
