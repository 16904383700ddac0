package store

import (
	"bytes"
	"cmp"
	"context"
	"iter"
	"slices"
	"strings"

	"transom/filter"
	"transom/flow"
)

// selects reports whether f is asked for. bodies is where its bodies are.
func (q *Query) selects(ctx context.Context, f *flow.Flow, bodies filter.Bodies) bool {
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

// Traffic is how many bytes f carried: of bodies, of messages, or what was relayed.
func Traffic(f *flow.Flow) int64 {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		return d.RequestBody.Size + d.ResponseBody.Size
	case *flow.DNS:
		var n int
		for _, m := range []*flow.DNSMessage{d.Query, d.Answer} {
			if m != nil {
				n += len(m.Raw)
			}
		}
		return int64(n)
	case *flow.Messages:
		return d.Bytes[0] + d.Bytes[1]
	case *flow.Connection:
		return d.Bytes[0] + d.Bytes[1]
	}
	return 0
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
		r.number = Traffic(f)
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

// Flows implements Store. A flow that is Put while they are yielded is seen in
// its new state if its turn is still to come. Nothing is locked while a flow is
// yielded, so the loop may use the store.
func (m *Memory) Flows(ctx context.Context, q Query) iter.Seq2[*flow.Flow, error] {
	walk := m.byTime
	if q.By != ByTime || q.Descending {
		walk = m.sorted
	}
	return func(yield func(*flow.Flow, error) bool) {
		left := q.Limit
		for f, err := range walk(ctx, &q) {
			switch {
			case err != nil:
				yield(nil, err)
				return
			case !q.selects(ctx, f, m):
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

// byTime yields what comes after q.After by ID.
func (m *Memory) byTime(ctx context.Context, q *Query) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		var batch [64]*flow.Flow
		for after := q.After; ; {
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
				if !yield(f, nil) {
					return
				}
			}
			after = batch[n-1].ID
		}
	}
}

// sorted yields what comes after q.After in another order, of what there is now.
func (m *Memory) sorted(ctx context.Context, q *Query) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		var ranks []rank
		for f, err := range m.byTime(ctx, &Query{}) {
			if err != nil {
				yield(nil, err)
				return
			}
			ranks = append(ranks, rankOf(q.By, f))
		}
		order := rank.compare
		if q.Descending {
			order = func(r, s rank) int { return s.compare(r) }
		}
		slices.SortFunc(ranks, order)
		from, err := start(ranks, q, order)
		if err != nil {
			yield(nil, err)
			return
		}
		for _, r := range ranks[from:] {
			if f := m.get(r.id); f != nil && !yield(f, nil) {
				return
			}
		}
	}
}

// start is where what comes after q.After begins.
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

// get returns a flow's state, nil if it is not kept.
func (m *Memory) get(id flow.ID) *flow.Flow {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e := m.flows.get(id); e != nil {
		return e.flow
	}
	return nil
}
