package index

import (
	"errors"
	"slices"
)

// What the words say of a body.
const (
	unknown = iota // they are not known
	absent         // one is missing
	partly         // one is missing where the index has looked, which is not everywhere
	present        // there seem to be all
)

// A foundSet says that of bodies by number, in pages.
type foundSet map[uint64]*[512]byte

func (f foundSet) set(number uint64, what byte) {
	page := f[number/512]
	if page == nil {
		page = new([512]byte)
		f[number/512] = page
	}
	page[number%512] = max(page[number%512], what)
}

func (f foundSet) get(number uint64) byte {
	if page := f[number/512]; page != nil {
		return page[number%512]
	}
	return unknown
}

// hasTrigrams reports whether those of any body are known.
func (x *Index) hasTrigrams() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.terms.trigrams || slices.ContainsFunc(x.runs, func(r *run) bool { return r.trigram })
}

// find looks for bodies that have all of some hashes.
func (x *Index) find(hashes []uint32, trigrams bool) (foundSet, error) {
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	f := foundSet{}
	x.mu.Lock()
	runs := slices.Clone(x.runs)
	x.terms.find(f, hashes, trigrams)
	x.mu.Unlock()
	counts := map[int64][]uint32{}
	for _, r := range runs {
		counts[r.number] = make([]uint32, r.n)
	}
	if err := x.count(hashes, counts); err != nil {
		return nil, err
	}
	for _, r := range runs {
		if trigrams && !r.trigram {
			continue
		}
		count := counts[r.number]
		if _, err := eachDoc(r.docs, func(i int, d doc) { f.judge(d, int(count[i]) == len(hashes)) }); err != nil {
			return nil, x.db.fail("read index", err)
		}
	}
	return f, nil
}

func (f foundSet) judge(d doc, all bool) {
	switch {
	case all:
		f.set(d.number, present)
	case d.complete:
		f.set(d.number, absent)
	default:
		f.set(d.number, partly)
	}
}

// count counts how many of the hashes each body of each run has.
func (x *Index) count(hashes []uint32, counts map[int64][]uint32) error {
	for len(hashes) > 0 {
		bucket, n := hashes[0]>>24, 1
		for n < len(hashes) && hashes[n]>>24 == bucket {
			n++
		}
		some := hashes[:n]
		hashes = hashes[n:]
		want := func(h uint32) bool { return slices.Contains(some, h) }
		err := x.db.bucket(int(bucket), func(run int64, data []byte) error {
			count := counts[run]
			return inBucket(data, want, func(_ uint32, doc uint64) {
				if doc < uint64(len(count)) {
					count[doc]++
				}
			})
		})
		if err != nil && !errors.Is(err, ErrUnknown) {
			return err
		}
	}
	return nil
}

// find looks at what is in no run yet.
func (t *terms) find(f foundSet, hashes []uint32, trigrams bool) {
	if trigrams && !t.trigrams {
		return
	}
	count := make([]uint32, len(t.docs))
	for _, p := range t.pairs {
		if h := uint32(p >> 32); slices.Contains(hashes, h) {
			count[uint32(p)]++
		}
	}
	for i, d := range t.docs {
		f.judge(d, int(count[i]) == len(hashes))
	}
}
