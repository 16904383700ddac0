package index

import (
	"transom/filter"
	"transom/flow"
)

// A room is what one block after the other is unpacked into: a page may read hundreds, and
// the collector would run all the time if each took memory of its own. It is for one
// goroutine; what it has given is valid until the next block.
type room struct {
	packed  [columns + 1][]byte
	values  [columns][]int64
	read    uint64 // a bit for each column that is in packed
	known   uint64 // and in values
	id      []flow.ID
	text    []byte // the walk's
	list    []byte
	said    []filter.Answer
	wanted  []bool
	answers [][]filter.Answer
	taken   int // of answers
	masks   [][]bool
	masked  int  // of masks
	paged   bool // the page looks whether the file has changed
}

// begin makes r one for the next block.
func (r *room) begin() { r.read, r.known, r.taken, r.masked = 0, 0, 0, 0 }

// answer returns an answer for each row, all of them No.
func (r *room) answer(n int) []filter.Answer {
	if r.taken == len(r.answers) {
		r.answers = append(r.answers, nil)
	}
	a := cleared(r.answers[r.taken], n)
	r.answers[r.taken] = a
	r.taken++
	return a
}

// mask returns a mask of rows, with none in it.
func (r *room) mask(n int) []bool {
	if r.masked == len(r.masks) {
		r.masks = append(r.masks, nil)
	}
	m := cleared(r.masks[r.masked], n)
	r.masks[r.masked] = m
	r.masked++
	return m
}

// cleared returns n zeros, where s is if there is room.
func cleared[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// stored is the rows of a block in the file.
type stored struct {
	db *database
	b  *block
	*room
}

// rows returns those of a block, in memory of their own.
func (d *database) rows(b *block) stored { return stored{d, b, new(room)} }

// column returns a column as it was written.
func (s stored) column(column int) ([]byte, error) {
	if s.read&(1<<column) == 0 {
		data, err := s.db.column(s.room.packed[column][:0], s.b.number, column)
		if !s.paged {
			if changed := s.db.settled.still(); changed != nil {
				err = changed
			}
		}
		if err != nil {
			return nil, err
		}
		s.room.packed[column] = data
		s.read |= 1 << column
	}
	return s.room.packed[column], nil
}

func (s stored) ids() ([]flow.ID, error) {
	if s.known&(1<<columnID) != 0 {
		return s.id, nil
	}
	data, err := s.column(columnID)
	if err != nil {
		return nil, err
	}
	if s.id, err = unpackIDs(s.id[:0], data); err == nil && len(s.id) != s.b.n {
		err = errPacked
	}
	if err != nil {
		return nil, err
	}
	s.known |= 1 << columnID
	return s.id, nil
}

func (s stored) numbers(column int) ([]int64, error) {
	data, err := s.column(column)
	if err != nil {
		return nil, err
	}
	return s.unpack(column, data)
}

// unpack unpacks numbers, if that has not been done.
func (s stored) unpack(column int, data []byte) (values []int64, err error) {
	if s.known&(1<<column) != 0 {
		return s.values[column], nil
	}
	if values, _, err = unpackNumbers(s.values[column][:0], data); err == nil && len(values) != s.b.n {
		err = errPacked
	}
	if err != nil {
		return nil, err
	}
	s.values[column] = values
	s.known |= 1 << column
	return values, nil
}

// number returns one of numbers.
func (s stored) number(column, row int) (int64, error) {
	data, err := s.column(column)
	if err != nil {
		return 0, err
	}
	return numberAt(data, row)
}

func (s stored) sketch() ([]byte, error) { return s.column(columnSketch) }

// walk begins a walk through the texts of a column.
func (s stored) walk(t filter.Text) (walk, error) {
	data, err := s.column(columnTexts + int(t))
	if err != nil {
		return walk{}, err
	}
	return walkThrough(data, s.room)
}

// codes returns which of n texts each row has, from what follows them.
func (s stored) codes(t filter.Text, n int, rest []byte) ([]int64, error) {
	codes, err := s.unpack(columnTexts+int(t), rest)
	if err != nil {
		return nil, err
	}
	for _, c := range codes {
		if c < 0 || c >= int64(n) {
			return nil, errPacked
		}
	}
	return codes, nil
}

func (s stored) texts(t filter.Text) ([]string, []int64, error) {
	w, err := s.walk(t)
	if err != nil {
		return nil, nil, err
	}
	dict, err := w.all()
	if err != nil {
		return nil, nil, err
	}
	codes, err := s.codes(t, w.n, w.rest)
	return dict, codes, err
}

// all reads the whole block, which has to have memory of its own.
func (s stored) all() (*frozen, error) {
	f := &frozen{}
	var err error
	if f.id, err = s.ids(); err != nil {
		return nil, err
	}
	for c := columnRev; c < columnTexts; c++ {
		if f.values[c], err = s.numbers(c); err != nil {
			return nil, err
		}
	}
	for t := range filter.Texts {
		if f.dict[t], f.values[columnTexts+int(t)], err = s.texts(t); err != nil {
			return nil, err
		}
	}
	return f, nil
}
