package index

import "transom/filter"

// A question is a plan with what the index knows of it besides.
type question struct {
	*filter.Plan
	of    []*question
	memo  map[string]filter.Answer // what Search has said
	found foundSet                 // bodies, if the index has looked for their words
	sure  bool                     // a body that has been found to lack one is not looked into further
}

// maxMemo bounds what is remembered of texts that were searched.
const maxMemo = 4 << 10

// question makes one of a plan, and looks for the words in it.
func (x *Index) question(p *filter.Plan) (*question, error) {
	q := &question{Plan: p, memo: map[string]filter.Answer{}}
	for _, of := range p.Of {
		sub, err := x.question(of)
		if err != nil {
			return nil, err
		}
		q.of = append(q.of, sub)
	}
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

// answer answers for all rows.
func (q *question) answer(r rows, n int) (answers, error) {
	switch q.Join {
	case '!':
		a, err := q.of[0].answer(r, n)
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
		return q.joined(r, n)
	}
	a := answers{is: make([]filter.Answer, n), open: make([]bool, n)}
	if err := q.ask(r, a.is); err != nil {
		return a, err
	}
	for i, is := range a.is {
		a.open[i] = is == filter.Maybe
	}
	return a, nil
}

func (q *question) joined(r rows, n int) (answers, error) {
	all, err := q.of[0].answer(r, n)
	if err != nil {
		return all, err
	}
	for _, of := range q.of[1:] {
		if q.Join == '&' && none(all) {
			return all, nil
		}
		a, err := of.answer(r, n)
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

// none reports whether no row matches, and nothing is open about that.
func none(a answers) bool {
	for i, is := range a.is {
		if is != filter.No || a.open[i] {
			return false
		}
	}
	return true
}

// ask answers one question.
func (q *question) ask(r rows, into []filter.Answer) error {
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
		return q.search(r, into)
	case q.Bodies != nil:
		return q.bodies(r, into)
	}
	for i := range into {
		into[i] = q.Always
	}
	return nil
}

// search asks about each text once, however many flows have it.
func (q *question) search(r rows, into []filter.Answer) error {
	if q.sketched() {
		if s, err := r.sketch(); err != nil || !mayHave(s, q.Literals) {
			return err
		}
	}
	for _, t := range q.Texts {
		dict, codes, err := r.texts(t)
		if err != nil {
			return err
		}
		said, ask := make([]filter.Answer, len(dict)), q.remember
		if len(dict) > len(codes)/2 {
			ask = q.Search // as URLs, they come once
		}
		for i, text := range dict {
			said[i] = ask(text)
		}
		for i, c := range codes {
			into[i] = max(into[i], said[c])
		}
	}
	return nil
}

func (q *question) remember(text string) filter.Answer {
	if a, ok := q.memo[text]; ok {
		return a
	}
	a := q.Search(text)
	if len(q.memo) < maxMemo {
		q.memo[text] = a
	}
	return a
}

func (q *question) bodies(r rows, into []filter.Answer) error {
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
