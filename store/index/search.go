package index

import "transom/filter"

// search implements rows.
func (f *frozen) search(t filter.Text, q *question, need []bool, into []filter.Answer) error {
	dict, codes := f.dict[t], f.values[columnTexts+int(t)]
	said, known := make([]filter.Answer, len(dict)), make([]bool, len(dict))
	for row, c := range codes {
		if need != nil && !need[row] {
			continue
		}
		if !known[c] {
			said[c], known[c] = q.Search(dict[c]), true
		}
		into[row] = max(into[row], said[c])
	}
	return nil
}

// few is which part of the rows is so small that it is worth while to see which texts they
// have before those are searched.
const few = 4

// search implements rows. Of texts that all do not match it is of no interest who has them.
func (s stored) search(t filter.Text, q *question, need []bool, into []filter.Answer) error {
	w, err := s.walk(t)
	if err != nil {
		return err
	}
	var wanted []bool
	if need != nil && few*count(need) < s.b.n {
		if wanted, err = s.have(t, &w, need); err != nil {
			return err
		}
	}
	said, found := cleared(s.said, w.n), false
	s.said = said
	q.finder.begin()
	for {
		ok, err := w.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if wanted != nil && !wanted[w.i] {
			q.finder.pass(&w)
			continue
		}
		said[w.i] = q.say(&w, w.n > s.b.n/2)
		found = found || said[w.i] != filter.No
	}
	if !found {
		return nil
	}
	codes, err := s.codes(t, w.n, w.rest)
	for row, c := range codes {
		into[row] = max(into[row], said[c])
	}
	return err
}

// have returns which texts some rows have.
func (s stored) have(t filter.Text, w *walk, need []bool) ([]bool, error) {
	rest, err := w.skip()
	if err != nil {
		return nil, err
	}
	codes, err := s.codes(t, w.n, rest)
	if err != nil {
		return nil, err
	}
	s.wanted = cleared(s.wanted, w.n)
	for row, c := range codes {
		if need[row] {
			s.wanted[c] = true
		}
	}
	return s.wanted, nil
}

func count(mask []bool) (n int) {
	for _, is := range mask {
		if is {
			n++
		}
	}
	return n
}

// say asks about one text, and remembers what was said. Of texts that come once, as URLs,
// there are too many for that.
func (q *question) say(w *walk, once bool) filter.Answer {
	if found, known := q.finder.find(w); found {
		return filter.Yes
	} else if known {
		return filter.No
	}
	list := w.list()
	if once {
		return q.Search(string(list))
	}
	if a, ok := q.memo[string(list)]; ok {
		return a
	}
	text := string(list)
	a := q.Search(text)
	if len(q.memo) < maxMemo {
		q.memo[text] = a
	}
	return a
}
