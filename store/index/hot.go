package index

import (
	"slices"

	"transom/filter"
	"transom/flow"
)

// Columns of a block besides the texts, which follow in the order of filter.Text.
const (
	columnID = iota
	columnRev
	columnSegment
	columnOffset
	columnIs
	columnNumbers
	columnTexts = columnNumbers + int(filter.Numbers)
	columns     = columnTexts + int(filter.Texts)

	columnSketch = columns // of the URLs; it is made from them
)

// Rows are flows by columns: those in memory, or a block of the file. They don't change.
type rows interface {
	ids() ([]flow.ID, error)
	numbers(column int) ([]int64, error) // all but IDs and texts
	number(column, row int) (int64, error)
	texts(t filter.Text) (dict []string, codes []int64, err error)
	// firsts adds the first elements of texts to k.
	firsts(t filter.Text, k *keys) (codes []int64, err error)
	// search answers, with the better of what is there and what q says of a text, for
	// rows that need says, or for all if that is nil.
	search(t filter.Text, q *question, need []bool, into []filter.Answer) error
	sketch() ([]byte, error) // of the URLs, empty if there is none
}

// A hot holds flows that may still change, and that have not been put into a block.
type hot struct {
	row     map[flow.ID]int
	id      []flow.ID
	values  [columns][]int64 // of texts, which one it is
	dict    [filter.Texts][]string
	code    [filter.Texts]map[string]int64
	last    [filter.Texts]int64 // that was named: many flows have the same in a row
	facts   filter.Facts
	dirty   int // flows put since it was last written
	changed bool
	frozen  *frozen // what it is now, if somebody has asked
}

func newHot() *hot {
	h := &hot{row: map[flow.ID]int{}}
	h.forget()
	return h
}

// clear makes h as it was at first, but for the room it has.
func (h *hot) clear() {
	clear(h.row)
	h.id = h.id[:0]
	for c := range h.values {
		h.values[c] = h.values[c][:0]
	}
	h.forget()
	h.dirty, h.changed, h.frozen = 0, false, nil
}

// forget forgets texts: what is frozen has them, too.
func (h *hot) forget() {
	for t := range h.code {
		h.dict[t], h.code[t] = nil, map[string]int64{}
	}
}

func (h *hot) len() int { return len(h.id) }

// put adds a flow, or changes it.
func (h *hot) put(p Put) {
	h.facts.Gather(p.Flow)
	i := h.place(p.Flow.ID)
	h.values[columnRev][i] = int64(p.Flow.Rev)
	h.values[columnSegment][i] = int64(p.Position.Segment)
	h.values[columnOffset][i] = p.Position.Offset
	h.values[columnIs][i] = int64(h.facts.Is)
	for n, v := range h.facts.Numbers {
		h.values[columnNumbers+n][i] = v
	}
	for t := range filter.Texts {
		h.values[columnTexts+int(t)][i] = h.name(t, h.facts.Text(t))
	}
}

// place returns the row of a flow, and makes one.
func (h *hot) place(id flow.ID) int {
	h.dirty++
	h.changed, h.frozen = true, nil
	i, ok := h.row[id]
	if !ok {
		i = len(h.id)
		h.row[id] = i
		h.id = append(h.id, id)
		for c := columnRev; c < columns; c++ {
			h.values[c] = append(h.values[c], 0)
		}
	}
	return i
}

// name returns the number of a text.
func (h *hot) name(t filter.Text, list []byte) int64 {
	dict := h.dict[t]
	if c := h.last[t]; c < int64(len(dict)) && dict[c] == string(list) {
		return c
	}
	c, ok := h.code[t][string(list)]
	if !ok {
		text := string(list)
		c = int64(len(dict))
		h.dict[t] = append(dict, text)
		h.code[t][text] = c
	}
	h.last[t] = c
	return c
}

// remove takes a flow out; the last takes its row.
func (h *hot) remove(id flow.ID) bool {
	i, ok := h.row[id]
	if !ok {
		return false
	}
	last := len(h.id) - 1
	h.id[i] = h.id[last]
	h.row[h.id[i]] = i
	for c := columnRev; c < columns; c++ {
		h.values[c][i] = h.values[c][last]
		h.values[c] = h.values[c][:last]
	}
	h.id = h.id[:last]
	delete(h.row, id)
	h.changed, h.frozen = true, nil
	return true
}

// take puts a row of other rows in.
func (h *hot) take(from *frozen, i int) {
	at := h.place(from.id[i])
	for c := columnRev; c < columns; c++ {
		v := from.values[c][i]
		if t := c - columnTexts; t >= 0 {
			v = h.name(filter.Text(t), []byte(from.dict[t][v]))
		}
		h.values[c][at] = v
	}
}

// freeze returns what h is now, sorted by ID.
func (h *hot) freeze() *frozen {
	if h.frozen != nil {
		return h.frozen
	}
	order := make([]int, len(h.id))
	for i := range order {
		order[i] = i
	}
	if !slices.IsSortedFunc(h.id, compareIDs) { // most come in order
		slices.SortFunc(order, func(a, b int) int { return compareIDs(h.id[a], h.id[b]) })
	}
	h.frozen = h.pick(order)
	return h.frozen
}

// pick returns some of the rows.
func (h *hot) pick(order []int) *frozen {
	f := &frozen{id: make([]flow.ID, len(order))}
	for to, from := range order {
		f.id[to] = h.id[from]
	}
	for c := columnRev; c < columns; c++ {
		f.values[c] = make([]int64, len(order))
		for to, from := range order {
			f.values[c][to] = h.values[c][from]
		}
	}
	for t := range h.dict {
		f.dict[t] = h.dict[t][:len(h.dict[t]):len(h.dict[t])]
	}
	return f
}

// A frozen is rows in memory.
type frozen struct {
	id     []flow.ID
	values [columns][]int64
	dict   [filter.Texts][]string
}

func (f *frozen) ids() ([]flow.ID, error) { return f.id, nil }

func (f *frozen) numbers(column int) ([]int64, error) { return f.values[column], nil }

func (f *frozen) number(column, row int) (int64, error) { return f.values[column][row], nil }

func (f *frozen) texts(t filter.Text) ([]string, []int64, error) {
	return f.dict[t], f.values[columnTexts+int(t)], nil
}

func (f *frozen) sketch() ([]byte, error) { return nil, nil }

// pack returns a column as it is written.
func (f *frozen) pack(column int) []byte {
	switch {
	case column == columnID:
		return packIDs(nil, f.id)
	case column == columnSketch:
		return packSketch(f.dict[filter.URL], f.values[columnTexts+int(filter.URL)])
	case column >= columnTexts:
		return packTexts(nil, f.dict[column-columnTexts], f.values[column])
	}
	return packNumbers(nil, f.values[column])
}

// some returns the rows that keep says.
func (f *frozen) some(keep func(row int) bool) *frozen {
	var rows []int
	for i := range f.id {
		if keep(i) {
			rows = append(rows, i)
		}
	}
	if len(rows) == len(f.id) {
		return f // it doesn't change
	}
	g := &frozen{id: make([]flow.ID, len(rows)), dict: f.dict}
	for to, from := range rows {
		g.id[to] = f.id[from]
	}
	for c := columnRev; c < columns; c++ {
		g.values[c] = make([]int64, len(rows))
		for to, from := range rows {
			g.values[c][to] = f.values[c][from]
		}
	}
	return g
}
