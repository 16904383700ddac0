package dns

import (
	"slices"

	"transom/flow"
)

// pendingMost is how many queries of one conversation may wait for answers. When
// one more is sent the oldest is given up.
const pendingMost = 256

// Pending are the queries of one conversation that were not answered yet, each with
// what its owner knows of it. The zero value is empty. It is not for concurrent use.
type Pending[T any] struct {
	queries []query[T] // in the order they were sent
}

type query[T any] struct {
	*flow.DNSMessage
	of T
}

// Len returns how many there are.
func (p *Pending[T]) Len() int { return len(p.queries) }

// Asked returns what is known of the query if it is one that waits already: with the
// same ID and questions, so it is sent again.
func (p *Pending[T]) Asked(m *flow.DNSMessage) (of T, again bool) {
	if i := p.find(m, true); i >= 0 {
		return p.queries[i].of, true
	}
	return of, false
}

// Add takes a query. If there were too many, it returns what is known of the oldest,
// which is forgotten.
func (p *Pending[T]) Add(m *flow.DNSMessage, of T) (oldest T, full bool) {
	if full = len(p.queries) == pendingMost; full {
		oldest = p.queries[0].of
		p.queries = slices.Delete(p.queries, 0, 1)
	}
	p.queries = append(p.queries, query[T]{m, of})
	return oldest, full
}

// Answered returns what is known of the query that m answers, and forgets it. An
// answer need not repeat the question.
func (p *Pending[T]) Answered(m *flow.DNSMessage) (of T, found bool) {
	i := p.find(m, len(m.Questions) > 0)
	if i < 0 {
		return of, false
	}
	of = p.queries[i].of
	p.queries = slices.Delete(p.queries, i, i+1)
	return of, true
}

func (p *Pending[T]) find(m *flow.DNSMessage, asked bool) int {
	for i, q := range p.queries {
		if q.ID == m.ID && (!asked || sameQuestions(q.Questions, m.Questions)) {
			return i
		}
	}
	return -1
}

// sameQuestions ignores case, which some resolvers play with and some servers lose.
func sameQuestions(a, b []flow.DNSQuestion) bool {
	return slices.EqualFunc(a, b, func(a, b flow.DNSQuestion) bool {
		return a.Type == b.Type && a.Class == b.Class && flow.EqualFold(a.Name, b.Name)
	})
}
