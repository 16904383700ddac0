package store

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"strings"

	"transom/filter"
	"transom/flow"
)

// Selects reports whether f is asked for. bodies is where its bodies are.
func (q *Query) Selects(ctx context.Context, f *flow.Flow, bodies filter.Bodies) bool {
	if q.Match != nil && !q.Match(f) {
		return false
	}
	if q.Filter == nil {
		return true
	}
	ok, err := q.Filter.Match(ctx, f, bodies)
	if err != nil && q.Doubt != nil {
		q.Doubt(f, err)
	}
	return ok
}

// A rank is a flow's place in an order, without the flow.
type rank struct {
	id     flow.ID
	number int64
	text   string
}

func rankOf(by Order, f *flow.Flow) rank {
	r := rank{id: f.ID}
	switch by {
	case ByTime:
	case BySize:
		n := f.Traffic()
		r.number = n[0] + n[1]
	case ByDuration:
		r.number = int64(f.Duration())
	case ByHost:
		if f.Conn != nil {
			r.text = f.Conn.Name()
		}
	}
	return r
}

func (r rank) compare(s rank) int {
	return cmp.Or(cmp.Compare(r.number, s.number), strings.Compare(r.text, s.text), bytes.Compare(r.id[:], s.id[:]))
}

// A source is a store as queries see it.
type source interface {
	filter.Bodies
	// walk yields flows by ID, behind after. What can't be read is an error, and more
	// may follow.
	walk(ctx context.Context, after flow.ID) iter.Seq2[*flow.Flow, error]
	// ids are those of all flows, in order.
	ids() []flow.ID
	// flow returns a flow, or ErrGone.
	flow(ctx context.Context, id flow.ID) (*flow.Flow, error)
}

// selected yields what q selects.
func selected(ctx context.Context, s source, q Query) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		left := q.Limit
		for f, err := range ordered(ctx, s, &q) {
			switch {
			case err != nil:
				if !yield(nil, err) {
					return
				}
				continue
			case !q.Selects(ctx, f, s):
				continue
			case !yield(f, nil):
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// ordered yields all that comes behind q.After.
func ordered(ctx context.Context, s source, q *Query) iter.Seq2[*flow.Flow, error] {
	if q.By == ByTime && !q.Descending {
		return s.walk(ctx, q.After)
	}
	return func(yield func(*flow.Flow, error) bool) {
		ranks, err := ranked(ctx, s, q, yield)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, r := range ranks {
			if ctx.Err() != nil {
				yield(nil, context.Cause(ctx))
				return
			}
			f, err := s.flow(ctx, r.id)
			if !errors.Is(err, ErrGone) && !yield(f, err) {
				return
			}
		}
	}
}

// ranked sorts what there is now, and returns what comes behind q.After. What can't be
// read is yielded.
func ranked(ctx context.Context, s source, q *Query, yield func(*flow.Flow, error) bool) (ranks []rank, err error) {
	if q.By == ByTime { // what a flow says makes no difference
		for _, id := range s.ids() {
			ranks = append(ranks, rank{id: id})
		}
	} else {
		for f, err := range s.walk(ctx, flow.ID{}) {
			if err == nil {
				ranks = append(ranks, rankOf(q.By, f))
			} else if ctx.Err() != nil || !yield(nil, err) {
				return nil, context.Cause(ctx)
			}
		}
	}
	order := rank.compare
	if q.Descending {
		order = func(r, s rank) int { return s.compare(r) }
	}
	slices.SortFunc(ranks, order)
	from, err := start(ranks, q, order)
	return ranks[from:], err
}

// start is where what comes behind q.After begins.
func start(ranks []rank, q *Query, order func(r, s rank) int) (int, error) {
	if q.After.IsZero() {
		return 0, nil
	}
	i := slices.IndexFunc(ranks, func(r rank) bool { return r.id == q.After })
	if i >= 0 {
		return i + 1, nil
	}
	if q.By != ByTime {
		return 0, ErrGone
	}
	i, _ = slices.BinarySearchFunc(ranks, rank{id: q.After}, order)
	return i, nil
}

// Flows implements Store. A flow that is Put while they are yielded is seen in
// its new state if its turn is still to come. Nothing is locked while a flow is
// yielded, so the loop may use the store.
func (m *Memory) Flows(ctx context.Context, q Query) iter.Seq2[*flow.Flow, error] {
	return selected(ctx, m, q)
}

// walk implements source.
func (m *Memory) walk(ctx context.Context, after flow.ID) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		var batch [64]*flow.Flow
		for {
			if ctx.Err() != nil {
				yield(nil, context.Cause(ctx))
				return
			}
			m.mu.Lock()
			n := m.flows.after(after, batch[:])
			m.mu.Unlock()
			if n == 0 {
				return
			}
			for _, f := range batch[:n] {
				if !yield(m.current(f), nil) {
					return
				}
			}
			after = batch[n-1].ID
		}
	}
}

// ids implements source.
func (m *Memory) ids() []flow.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]flow.ID, len(m.flows.sorted))
	for i := range m.flows.sorted {
		list[i] = m.flows.sorted[i].id
	}
	return list
}

// flow implements source.
func (m *Memory) flow(_ context.Context, id flow.ID) (*flow.Flow, error) {
	m.mu.Lock()
	var f *flow.Flow
	if e := m.flows.get(id); e != nil {
		f = e.flow
	}
	m.mu.Unlock()
	if f == nil {
		return nil, ErrGone
	}
	return m.current(f), nil
}
