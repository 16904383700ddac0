package hpack

import "strings"

// overhead is what an entry counts beside its name and value (section 4.1).
const overhead = 32

// An entry is a field of a table.
type entry struct{ name, value string }

func (e *entry) size() uint64 { return uint64(len(e.name)+len(e.value)) + overhead }

// A table is a dynamic table (section 2.3.2). Entries have numbers that count
// up from 1 and stay theirs; an index counts down from the newest.
type table struct {
	ring  []entry // by number; its length is a power of two
	last  uint64  // number of the newest entry, 0 before there was one
	n     uint64  // entries present
	size  uint64
	max   uint64
	texts text
}

// at returns the entry with a number. It must be present.
func (t *table) at(number uint64) *entry {
	return &t.ring[number&uint64(len(t.ring)-1)]
}

// has reports whether the entry with a number is present.
func (t *table) has(number uint64) bool { return number > t.last-t.n }

// resize sets the maximum size and evicts what is too much for it (section 4.3).
func (t *table) resize(size uint64) {
	t.max = size
	t.evict(size)
}

// room evicts until an entry of this size fits in. It reports false if none
// such ever will; then the table is empty (section 4.4).
func (t *table) room(size uint64) bool {
	if size > t.max {
		t.evict(0)
		return false
	}
	t.evict(t.max - size)
	return true
}

// evict drops the oldest entries until the table has at most this size.
func (t *table) evict(size uint64) {
	for t.size > size {
		e := t.at(t.last - t.n + 1)
		t.size -= e.size()
		*e = entry{}
		t.n--
	}
}

// push adds an entry that there is room for.
func (t *table) push(e entry) {
	if t.n == uint64(len(t.ring)) {
		t.grow()
	}
	t.last++
	t.n++
	t.size += e.size()
	*t.at(t.last) = e
}

func (t *table) grow() {
	old := *t
	t.ring = make([]entry, max(8, 2*len(t.ring)))
	for i := old.last - old.n + 1; i <= old.last; i++ {
		*t.at(i) = *old.at(i)
	}
}

// A text is where a table keeps its strings. Entries leave in the order in
// which they came, so what is held beyond them is less than two chunks. A
// string of its own for each entry would be an allocation each; parts of a
// block's would let a small entry hold a large block.
type text struct{ chunk strings.Builder }

const (
	firstChunk = 512
	largeChunk = 4096
)

// reserve has the next n bytes come from one chunk.
func (t *text) reserve(n int) {
	if t.chunk.Cap()-t.chunk.Len() >= n {
		return
	}
	size := max(n, firstChunk, min(2*t.chunk.Cap(), largeChunk))
	t.chunk = strings.Builder{}
	t.chunk.Grow(size)
}

// bytes keeps a copy of b, which must have been reserved for.
func (t *text) bytes(b []byte) string {
	at := t.chunk.Len()
	t.chunk.Write(b)
	return t.chunk.String()[at:]
}

// string keeps a copy of s, which must have been reserved for.
func (t *text) string(s string) string {
	at := t.chunk.Len()
	t.chunk.WriteString(s)
	return t.chunk.String()[at:]
}
