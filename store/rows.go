package store

import "slices"

// rows is a sorted table, in blocks so that it grows without being copied. Keys come
// nearly in order and go nearly in order.
type rows[K comparable, V any] struct {
	compare func(a, b K) int
	blocks  [][]row[K, V] // none is empty
	n       int
}

type row[K, V any] struct {
	key   K
	value V
}

const blockRows = 512

func (r *rows[K, V]) len() int { return r.n }

// find returns where a key is, or belongs: in which block, and where in that.
func (r *rows[K, V]) find(key K) (block, i int, ok bool) {
	last := len(r.blocks) - 1
	if last < 0 {
		return 0, 0, false
	}
	block = last
	if r.compare(r.blocks[last][0].key, key) > 0 {
		block, ok = slices.BinarySearchFunc(r.blocks, key, func(b []row[K, V], key K) int { return r.compare(b[0].key, key) })
		if !ok {
			block = max(block-1, 0)
		}
	}
	b := r.blocks[block]
	if r.compare(b[len(b)-1].key, key) < 0 {
		return block, len(b), false
	}
	i, ok = slices.BinarySearchFunc(b, key, func(a row[K, V], key K) int { return r.compare(a.key, key) })
	return block, i, ok
}

func (r *rows[K, V]) get(key K) (v V, ok bool) {
	block, i, ok := r.find(key)
	if !ok {
		return v, false
	}
	return r.blocks[block][i].value, true
}

func (r *rows[K, V]) set(key K, v V) {
	block, i, ok := r.find(key)
	switch {
	case ok:
		r.blocks[block][i].value = v
		return
	case len(r.blocks) == 0 || block == len(r.blocks)-1 && i >= blockRows && i == len(r.blocks[block]):
		r.blocks = append(r.blocks, append(make([]row[K, V], 0, blockRows), row[K, V]{key, v}))
	default:
		b := slices.Insert(r.blocks[block], i, row[K, V]{key, v})
		r.blocks[block] = b
		if len(b) > 2*blockRows {
			r.blocks[block] = slices.Clone(b[:blockRows])
			r.blocks = slices.Insert(r.blocks, block+1, slices.Clone(b[blockRows:]))
		}
	}
	r.n++
}

func (r *rows[K, V]) remove(key K) {
	block, i, ok := r.find(key)
	if !ok {
		return
	}
	r.n--
	if r.blocks[block] = slices.Delete(r.blocks[block], i, i+1); len(r.blocks[block]) == 0 {
		r.blocks = slices.Delete(r.blocks, block, block+1)
	}
}

// sweepBlocks is how many blocks are looked at before others have their turn: some
// hundred microseconds at most.
const sweepBlocks = 16

// sweep leaves out what keep says no to, of some blocks from a key on, and returns from
// where to go on. Between calls the table may change.
func (r *rows[K, V]) sweep(from K, keep func(K, V) bool) (next K, more bool) {
	begin, _, _ := r.find(from)
	end := min(begin+sweepBlocks, len(r.blocks))
	left := begin
	for _, b := range r.blocks[begin:end] {
		n := len(b)
		b = slices.DeleteFunc(b, func(a row[K, V]) bool { return !keep(a.key, a.value) })
		r.n -= n - len(b)
		if len(b) < cap(b)/4 {
			b = slices.Clone(b)
		}
		if len(b) > 0 {
			r.blocks[left] = b
			left++
		}
	}
	if end < len(r.blocks) {
		next, more = r.blocks[end][0].key, true
	}
	r.blocks = slices.Delete(r.blocks, left, end)
	return next, more
}

// after returns what yields the rows behind a key, one with each call. The table must
// not change meanwhile.
func (r *rows[K, V]) after(key K) func() (row[K, V], bool) {
	block, i, ok := r.find(key)
	if ok {
		i++
	}
	return func() (next row[K, V], ok bool) {
		if block < len(r.blocks) && i >= len(r.blocks[block]) {
			block, i = block+1, 0
		}
		if block >= len(r.blocks) {
			return next, false
		}
		i++
		return r.blocks[block][i-1], true
	}
}

// each calls f with each row. f must not change the table.
func (r *rows[K, V]) each(f func(K, V)) {
	for _, b := range r.blocks {
		for i := range b {
			f(b[i].key, b[i].value)
		}
	}
}
