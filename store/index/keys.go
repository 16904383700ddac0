package index

import (
	"bytes"
	"cmp"

	"transom/filter"
	"transom/flow"
)

// keys are what rows are sorted by: a number, a text, or nothing but their IDs.
type keys struct {
	numbers []int64

	codes []int64 // of texts
	all   []byte  // the texts, one behind the other
	ends  []int
	made  []string // of texts, where somebody has asked
}

// keys makes k the keys of rows.
func (p *pager) keys(s source, k *keys) (err error) {
	k.numbers, k.codes, k.all, k.ends = nil, nil, k.all[:0], k.ends[:0]
	switch p.By {
	case BySize:
		k.numbers, err = s.numbers(columnNumbers + int(filter.Size))
	case ByDuration:
		k.numbers, err = s.numbers(columnNumbers + int(filter.Duration))
	case ByHost:
		k.codes, err = s.firsts(filter.Name, k)
		k.made = cleared(k.made, len(k.ends))
	}
	return err
}

// add adds a text.
func (k *keys) add(text string) {
	k.all = append(k.all, text...)
	k.ends = append(k.ends, len(k.all))
}

// text returns one of the texts.
func (k *keys) text(code int) []byte {
	from := 0
	if code > 0 {
		from = k.ends[code-1]
	}
	return k.all[from:k.ends[code]]
}

// at returns the place of a row, but for its ID.
func (k *keys) at(row int) (c Cursor) {
	if k.numbers != nil {
		c.Number = number(k.numbers[row])
	}
	if k.codes != nil {
		code := k.codes[row]
		if k.made[code] == "" {
			k.made[code] = string(k.text(int(code)))
		}
		c.Text = k.made[code]
	}
	return c
}

// number is what a row is sorted by that has this number, or none.
func number(n int64) int64 {
	if n == filter.None {
		return 0
	}
	return n
}

// firsts implements rows.
func (f *frozen) firsts(t filter.Text, k *keys) (codes []int64, err error) {
	for _, list := range f.dict[t] {
		k.add(filter.First(list))
	}
	return f.values[columnTexts+int(t)], nil
}

// firsts implements rows.
func (s stored) firsts(t filter.Text, k *keys) (codes []int64, err error) {
	w, err := s.walk(t)
	if err != nil {
		return nil, err
	}
	for {
		ok, err := w.next()
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return s.codes(t, w.n, w.rest)
		case w.single:
			k.all = append(k.all, w.text...)
			k.ends = append(k.ends, len(k.all))
		default:
			k.add(filter.First(string(w.text)))
		}
	}
}

// need returns which rows may be among the best, nil if all may.
func (p *pager) need(s source, r *reader) []bool {
	b := p.bounds(s.block)
	dead := s.block != nil && s.block.dead != nil
	if !dead && !b.full && !b.behind {
		return nil
	}
	need, k := r.room.mask(s.n), &r.keys
	switch {
	case k.numbers != nil:
		for row, n := range k.numbers {
			n = number(n)
			need[row] = b.hold(cmp.Compare(n, b.worst.Number), cmp.Compare(n, b.after.Number))
		}
	case k.codes != nil:
		texts := r.room.mask(len(k.ends))
		for i := range texts {
			text := k.text(i)
			texts[i] = b.hold(compareText(text, b.worst.Text), compareText(text, b.after.Text))
		}
		for row, code := range k.codes {
			need[row] = texts[code]
		}
	case !dead:
		return nil // which suit is known when their IDs are
	default:
		for row := range need {
			need[row] = true
		}
	}
	if dead {
		for row := range need {
			need[row] = need[row] && !s.block.isDead(row)
		}
	}
	return need
}

func compareText(a []byte, b string) int {
	switch {
	case string(a) < b:
		return -1
	case string(a) == b:
		return 0
	}
	return 1
}

// bounds are what rows of a block are between that are looked for.
type bounds struct {
	descending   bool
	full, behind bool   // there is a worst, and an after
	worst, after Cursor // of the best there are, and what was yielded before
	ties, tails  bool   // what is like worst may come before it, and like after behind
}

func (p *pager) bounds(of *block) (b bounds) {
	p.mu.Lock()
	b.descending, b.full, b.behind, b.after = p.Descending, p.full, p.After != (Cursor{}), p.After
	if p.full {
		b.worst = p.best[p.size-1].Cursor
	}
	p.mu.Unlock()
	if b.ties, b.tails = true, true; of != nil {
		b.ties = b.before(of, &b.worst.ID)
		b.tails = b.beyond(of, &b.after.ID)
	}
	return b
}

// before reports whether the ID of anything in a block may come before another.
func (b *bounds) before(of *block, id *flow.ID) bool {
	if b.descending {
		return bytes.Compare(of.up[:], id[:]) > 0
	}
	return bytes.Compare(of.low[:], id[:]) < 0
}

// beyond reports whether it may come behind.
func (b *bounds) beyond(of *block, id *flow.ID) bool {
	if b.descending {
		return bytes.Compare(of.low[:], id[:]) < 0
	}
	return bytes.Compare(of.up[:], id[:]) > 0
}

// hold reports whether a row may be within, of which is known how its key compares.
func (b *bounds) hold(toWorst, toAfter int) bool {
	if b.descending {
		toWorst, toAfter = -toWorst, -toAfter
	}
	switch {
	case b.full && (toWorst > 0 || toWorst == 0 && !b.ties):
		return false
	case b.behind && (toAfter < 0 || toAfter == 0 && !b.tails):
		return false
	}
	return true
}
