package index

import (
	"encoding/binary"
	"strings"
)

// A walk goes through packed texts, one after the other. Of each it knows how much it has
// in common with the one before, so that what is known of that need not be found again.
type walk struct {
	n, i int    // how many texts, and which this is
	rest []byte // what has not been read; behind the last the codes
	room *room  // has the buffers

	text   []byte // this one: a list, of one element only that; the room's
	same   int    // so much of it was in the last one
	single bool   // it is one element
}

// walkThrough begins a walk.
func walkThrough(b []byte, r *room) (walk, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)) {
		return walk{}, errPacked
	}
	return walk{n: int(n), i: -1, rest: b[used:], room: r, text: r.text[:0]}, nil
}

// next goes on to the next text, and reports whether there is one.
func (w *walk) next() (bool, error) {
	if w.i+1 >= w.n {
		w.room.text = w.text // which may have grown
		return false, nil
	}
	head, used := uvarint(w.rest)
	more, size := uint64(0), 0
	if used > 0 {
		more, size = uvarint(w.rest[used:])
	}
	if used <= 0 || size <= 0 || head>>1 > uint64(len(w.text)) || more > uint64(len(w.rest)-used-size) {
		return false, errPacked
	}
	b := w.rest[used+size:]
	w.i, w.same, w.single = w.i+1, int(head>>1), head&1 == 1
	w.text = append(w.text[:w.same], b[:more]...)
	w.rest = b[more:]
	return true, nil
}

// uvarint is binary.Uvarint, most of which are of one byte.
func uvarint(b []byte) (uint64, int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return binary.Uvarint(b)
}

// list returns this text as the list it is, valid until the next.
func (w *walk) list() []byte {
	if !w.single {
		return w.text
	}
	l := binary.AppendUvarint(w.room.list[:0], uint64(len(w.text)))
	w.room.list = append(l, w.text...)
	return w.room.list
}

// maxTexts bounds all different texts of a column together.
const maxTexts = 256 << 20

// all returns all texts, as lists.
func (w *walk) all() ([]string, error) {
	var all strings.Builder
	all.Grow(2 * len(w.rest)) // what texts have in common is there once
	ends := make([]int, 0, w.n)
	for {
		ok, err := w.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			return split(all.String(), ends), nil
		}
		if all.Write(w.list()); all.Len() > maxTexts {
			return nil, errPacked
		}
		ends = append(ends, all.Len())
	}
}

// skip goes to the end, and leaves w as it is.
func (w *walk) skip() (codes []byte, err error) {
	b := w.rest
	for i := w.i + 1; i < w.n; i++ {
		_, used := uvarint(b)
		more, size := uint64(0), 0
		if used > 0 {
			more, size = uvarint(b[used:])
		}
		if used <= 0 || size <= 0 || more > uint64(len(b)-used-size) {
			return nil, errPacked
		}
		b = b[used+size+int(more):]
	}
	return b, nil
}

func split(all string, ends []int) []string {
	dict, from := make([]string, len(ends)), 0
	for i, to := range ends {
		dict[i], from = all[from:to], to
	}
	return dict
}
