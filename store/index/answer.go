package index

import (
	"slices"

	"transom/filter"
)

// A question is a plan with what the index knows of it besides.
type question struct {
	*filter.Plan
	of    []*question
	memo  map[string]filter.Answer // what Search has said
	found foundSet                 // bodies, if the index has looked for their words
	sure  bool                     // a body that has been found to lack one is not looked into further

	cheapest []*question // of, that first which takes least
	finder   *finder

	sketches, without int // that were looked at, and of these those that ruled a block out
}

// sort sorts what is joined by what it takes.
func (q *question) sort() {
	q.cheapest = slices.Clone(q.of)
	slices.SortStableFunc(q.cheapest, func(a, b *question) int { return a.cost() - b.cost() })
}

// cost is about how long a question takes: to search URLs is what takes longest.
func (q *question) cost() (n int) {
	for _, of := range q.of {
		n = max(n, of.cost())
	}
	switch {
	case slices.Contains(q.Texts, filter.URL):
		return 3
	case q.Search != nil:
		return 2
	case q.In != nil || q.Bodies != nil || q.Is != 0:
		return 1
	}
	return n
}

// another returns q for another goroutine: what it has found out meanwhile is its own.
func (q *question) another() *question {
	if q == nil {
		return nil
	}
	c := *q
	c.sketches, c.without = 0, 0
	c.memo, c.finder, c.of = map[string]filter.Answer{}, newFinder(q.Plan), nil
	for _, of := range q.of {
		c.of = append(c.of, of.another())
	}
	c.sort()
	return &c
}

// maxMemo bounds what is remembered of texts that were searched.
const maxMemo = 4 << 10

// question makes one of a plan, and looks for the words in it.
func (x *Index) question(p *filter.Plan) (*question, error) {
	q := &question{Plan: p, memo: map[string]filter.Answer{}, finder: newFinder(p)}
	for _, of := range p.Of {
		sub, err := x.question(of)
		if err != nil {
			return nil, err
		}
		q.of = append(q.of, sub)
	}
	q.sort()
	var err error
	switch {
	case p.Words != nil:
		var hashes []uint32
		for _, w := range p.Words {
			hashes = append(hashes, hashOf(w))
		}
		q.found, err = x.find(hashes, false)
		q.sure = true
	case p.Bodies != nil && x.hasTrigrams():
		var hashes []uint32
		for _, l := range p.Literals {
			for i := 0; i+3 <= len(l); i++ {
				hashes = append(hashes, hashTrigram(l[i:i+3]))
			}
		}
		if hashes != nil {
			q.found, err = x.find(hashes, true)
		}
	}
	return q, err
}

// An answers holds what is known of each row.
type answers struct {
	is   []filter.Answer
	open []bool // there was a Maybe within, if anybody asks; else nil
}

// A subject is rows that are asked about, and room for the answers.
type subject struct {
	rows
	n    int
	room *room
}

// answer answers for all rows that need says, or for all if that is nil; what it says of
// others means nothing. asked is whether somebody asks what was open.
func (q *question) answer(s subject, need []bool, asked bool) (answers, error) {
	switch q.Join {
	case '!':
		a, err := q.of[0].answer(s, need, true)
		if err != nil {
			return a, err
		}
		for i, is := range a.is {
			if a.is[i] = filter.Yes - is; a.open[i] {
				a.is[i] = filter.Maybe
			}
		}
		return a, nil
	case '&', '|':
		if asked {
			return q.joined(s, need)
		}
		return q.narrowed(s, need)
	}
	a := answers{is: s.room.answer(s.n)}
	if err := q.ask(s, need, a.is); err != nil || !asked {
		return a, err
	}
	a.open = make([]bool, s.n)
	for i, is := range a.is {
		a.open[i] = is == filter.Maybe
	}
	return a, nil
}

func (q *question) joined(s subject, need []bool) (answers, error) {
	all, err := q.of[0].answer(s, need, true)
	if err != nil {
		return all, err
	}
	for _, of := range q.of[1:] {
		if q.Join == '&' && none(all) {
			return all, nil
		}
		a, err := of.answer(s, need, true)
		if err != nil {
			return a, err
		}
		for i, is := range a.is {
			if q.Join == '&' {
				all.is[i] = min(all.is[i], is)
			} else {
				all.is[i] = max(all.is[i], is)
			}
			all.open[i] = all.open[i] || a.open[i]
		}
	}
	return all, nil
}

// narrowed is joined where nobody asks what was open: the cheapest is asked first, and the
// others only about what that leaves undecided.
func (q *question) narrowed(s subject, need []bool) (all answers, err error) {
	decided, better := filter.No, func(a, b filter.Answer) filter.Answer { return min(a, b) }
	if q.Join == '|' {
		decided, better = filter.Yes, func(a, b filter.Answer) filter.Answer { return max(a, b) }
	}
	for i, of := range q.cheapest {
		a, err := of.answer(s, need, false)
		if err != nil {
			return a, err
		}
		if i == 0 {
			all = a
		} else {
			for row, is := range a.is {
				if need[row] {
					all.is[row] = better(all.is[row], is)
				}
			}
		}
		if i == len(q.cheapest)-1 {
			break
		}
		left, n := s.room.mask(s.n), 0
		for row, is := range all.is {
			if left[row] = is != decided && (need == nil || need[row]); left[row] {
				n++
			}
		}
		if need = left; n == 0 {
			break
		}
	}
	return all, nil
}

// none reports whether no row matches, and nothing is open about that.
func none(a answers) bool {
	for i, is := range a.is {
		if is != filter.No || a.open != nil && a.open[i] {
			return false
		}
	}
	return true
}

// ask answers one question.
func (q *question) ask(r subject, need []bool, into []filter.Answer) error {
	switch {
	case q.Is != 0:
		values, err := r.numbers(columnIs)
		for i, v := range values {
			if uint32(v)&q.Is != 0 {
				into[i] = filter.Yes
			}
		}
		return err
	case q.In != nil:
		for _, n := range q.Numbers {
			values, err := r.numbers(columnNumbers + int(n))
			if err != nil {
				return err
			}
			for i, v := range values {
				into[i] = max(into[i], q.Number(v))
			}
		}
		return nil
	case q.Search != nil:
		return q.search(r, need, into)
	case q.Bodies != nil:
		return q.bodies(r, into)
	}
	for i := range into {
		into[i] = q.Always
	}
	return nil
}

// search asks about each text once, however many flows have it.
func (q *question) search(r rows, need []bool, into []filter.Answer) error {
	if q.sketched() {
		s, err := r.sketch()
		if err != nil || !q.mayBeIn(s) {
			return err
		}
	}
	for _, t := range q.Texts {
		if err := r.search(t, q, need, into); err != nil {
			return err
		}
	}
	return nil
}

func (q *question) bodies(r subject, into []filter.Answer) error {
	for _, n := range q.Plan.Bodies {
		numbers, err := r.numbers(columnNumbers + int(n))
		if err != nil {
			return err
		}
		for i, number := range numbers {
			if number != filter.None && q.mayHave(number) {
				into[i] = filter.Maybe
			}
		}
	}
	return nil
}

// mayHave reports whether a body may have what is asked for.
func (q *question) mayHave(number int64) bool {
	if q.found == nil || number == filter.Unknown {
		return true
	}
	switch q.found.get(uint64(number)) {
	case absent:
		return false
	case partly:
		return !q.sure
	}
	return true
}
