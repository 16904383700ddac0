package index

import (
	"encoding/binary"
	"errors"
	"slices"

	"transom/filter"
)

// Words, and trigrams, are known by hashes of 32 bits: what is found may be another
// word, so it has to be looked at; what is not found is not there. Some thousand bodies
// together are a run, which is written once and not changed: for each hash, the bodies
// that have it. A search looks into every run.

const (
	buckets  = 256 // a run is kept in as many parts, by the first byte of the hashes
	seedWord = 0x811c9dc5
	seedTri  = 0x9e3779b1
	prime    = 16777619
)

// A doc is a body whose words are known.
type doc struct {
	number   uint64
	complete bool // all that is searched of it is
}

// Terms are the words of bodies that are in no run yet.
type terms struct {
	docs     []doc
	pairs    []uint64 // hash, and which of docs
	spare    []uint64
	trigrams bool
	last     int64 // number of the run that these will be
	seen     seen
	changed  bool
}

// Tables returns how many bytes tables without pointers take.
func (x *Index) Tables() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return 8 * int64(cap(x.terms.pairs)+cap(x.terms.spare)+len(x.terms.seen.slots))
}

// clear begins the next run.
func (t *terms) clear() {
	t.docs, t.pairs, t.changed = t.docs[:0], t.pairs[:0], false
	t.last++
}

// add takes the words of a body.
func (t *terms) add(e Text) {
	text := e.Text[:min(len(e.Text), filter.MaxText)]
	i := uint64(len(t.docs))
	t.docs = append(t.docs, doc{e.Number, e.Complete && len(text) == len(e.Text)})
	t.seen.begin()
	t.changed = true
	for w := range filter.Words(text) {
		t.pair(hashOf(w), i)
	}
	if t.trigrams {
		for j := 0; j+3 <= len(text); j++ {
			t.pair(hashTrigram(text[j:j+3]), i)
		}
	}
}

func (t *terms) pair(hash uint32, doc uint64) {
	if t.seen.first(hash) {
		t.pairs = append(t.pairs, uint64(hash)<<32|doc)
	}
}

func hashOf[T string | []byte](word T) uint32 {
	h := uint32(seedWord)
	for i := range len(word) {
		h = (h ^ uint32(word[i])) * prime
	}
	return h ^ h>>15
}

func hashTrigram[T string | []byte](three T) uint32 {
	h := uint32(seedTri)
	for i := range 3 {
		c := three[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		h = (h ^ uint32(c)) * prime
	}
	return h ^ h>>15
}

// A seen is a set of hashes of one body.
type seen struct {
	slots []uint64 // which body it was for, and the hash
	now   uint32
}

const seenSlots = 1 << 17 // twice what 64 KiB can have of different trigrams

func (s *seen) begin() {
	if s.now++; s.slots == nil || s.now == 0 {
		s.slots, s.now = make([]uint64, seenSlots), 1
	}
}

// first reports whether hash is not in the set, and puts it there.
func (s *seen) first(hash uint32) bool {
	want := uint64(s.now)<<32 | uint64(hash)
	for i := hash * prime; ; i++ {
		switch at := &s.slots[i%seenSlots]; {
		case *at == want:
			return false
		case uint32(*at>>32) != s.now:
			*at = want
			return true
		}
	}
}

// A run is what is known of one without looking.
type run struct {
	number  int64
	docs    []byte // packed
	n       int
	bodies  span // their numbers are in
	trigram bool
}

// packDocs is the head of a run.
func packDocs(docs []doc, trigrams bool) []byte {
	flag := byte(0)
	if trigrams {
		flag = 1
	}
	dst := binary.AppendUvarint([]byte{flag}, uint64(len(docs)))
	before := uint64(0)
	for _, d := range docs {
		complete := byte(0)
		if d.complete {
			complete = 1
		}
		dst = binary.AppendVarint(append(dst, complete), int64(d.number-before))
		before = d.number
	}
	return dst
}

// eachDoc is the reverse: it calls do for each.
func eachDoc(b []byte, do func(i int, d doc)) (trigrams bool, err error) {
	if len(b) < 2 {
		return false, errPacked
	}
	trigrams = b[0] == 1
	n, used := binary.Uvarint(b[1:])
	if used <= 0 || n > uint64(len(b))/2 {
		return false, errPacked
	}
	b = b[1+used:]
	before := uint64(0)
	for i := range int(n) {
		if len(b) < 2 {
			return false, errPacked
		}
		d, used := binary.Varint(b[1:])
		if used <= 0 {
			return false, errPacked
		}
		before += uint64(d)
		do(i, doc{before, b[0] == 1})
		b = b[1+used:]
	}
	return trigrams, nil
}

// runOf returns a run of which this is the head.
func runOf(number int64, docs []byte) (*run, error) {
	r := &run{number: number, docs: docs}
	var err error
	r.trigram, err = eachDoc(docs, func(_ int, d doc) {
		r.n++
		r.bodies.add(d.number)
	})
	return r, err
}

// packBucket packs sorted pairs: each hash as the distance from the one before, how many
// bytes follow about it, and the docs as distances.
func packBucket(pairs []uint64) []byte {
	var dst, list []byte
	before := uint64(0)
	for len(pairs) > 0 {
		hash, doc := pairs[0]>>32, uint64(0)
		list = list[:0]
		for len(pairs) > 0 && pairs[0]>>32 == hash {
			d := pairs[0] & (1<<32 - 1)
			list = binary.AppendUvarint(list, d-doc)
			doc, pairs = d, pairs[1:]
		}
		dst = binary.AppendUvarint(dst, hash-before)
		dst = binary.AppendUvarint(dst, uint64(len(list)))
		dst = append(dst, list...)
		before = hash
	}
	if dst == nil {
		dst = []byte{}
	}
	return dst
}

// inBucket calls found for each doc of a hash, or of all if any is nil.
func inBucket(b []byte, want func(hash uint32) bool, found func(hash uint32, doc uint64)) error {
	before := uint64(0)
	for len(b) > 0 {
		d, used := binary.Uvarint(b)
		size, more := uint64(0), 0
		if used > 0 {
			size, more = binary.Uvarint(b[used:])
		}
		if used <= 0 || more <= 0 || size > uint64(len(b)-used-more) {
			return errPacked
		}
		before += d
		list := b[used+more:][:size]
		b = b[used+more+int(size):]
		if !want(uint32(before)) {
			continue
		}
		for doc := uint64(0); len(list) > 0; {
			d, used := binary.Uvarint(list)
			if used <= 0 {
				return errPacked
			}
			doc += d
			list = list[used:]
			found(uint32(before), doc)
		}
	}
	return nil
}

// writeTerms writes a run of what there is.
func (c *change) writeTerms(t *terms) (*run, error) {
	r, err := runOf(t.last, packDocs(t.docs, t.trigrams))
	if err != nil {
		return nil, err
	}
	rest := t.pairs
	return r, c.putRun(r.number, r.docs, func(bucket int) []byte {
		n, _ := slices.BinarySearch(rest, uint64(bucket+1)<<56)
		if bucket == buckets-1 {
			n = len(rest)
		}
		part := rest[:n]
		rest = rest[n:]
		return packBucket(part)
	})
}

// readRuns reads the heads of all runs. The last is taken up again if it is small, by who
// writes.
func (x *Index) readRuns() error {
	err := x.db.runs(func(number int64, data []byte) error {
		r, err := runOf(number, data)
		x.runs = append(x.runs, r)
		return err
	})
	if err != nil || len(x.runs) == 0 {
		return err
	}
	last := x.runs[len(x.runs)-1]
	x.terms.last = last.number + 1
	if x.readOnly || last.n >= x.limits.small || last.trigram != x.terms.trigrams {
		return nil
	}
	x.runs = x.runs[:len(x.runs)-1]
	return x.takeUp(last)
}

// takeUp makes a run what is still to be added to.
func (x *Index) takeUp(r *run) (err error) {
	x.terms.last = r.number
	if _, err = eachDoc(r.docs, func(_ int, d doc) { x.terms.docs = append(x.terms.docs, d) }); err != nil {
		return err
	}
	for i := range buckets {
		data, err := x.db.term(i, r.number)
		if err == nil {
			err = inBucket(data, func(uint32) bool { return true }, func(hash uint32, doc uint64) {
				x.terms.pairs = append(x.terms.pairs, uint64(hash)<<32|doc)
			})
		}
		if err != nil && !errors.Is(err, ErrUnknown) {
			return err
		}
	}
	return nil
}
