package index

import (
	"bytes"
	"errors"
	"fmt"

	"transom/filter"
	"transom/flow"
)

// Shrink has blocks and runs of a few flows.
func (x *Index) Shrink(flows, docs int) {
	x.limits = limits{flows: flows, bodies: 2 * flows, open: 3 * flows, docs: docs, pairs: 1 << 20, small: docs / 2}
}

// Blocks returns how many there are.
func (x *Index) Blocks() (blocks, runs int) { return len(x.blocks), len(x.runs) }

// Abandon leaves an index as a crash does.
func (x *Index) Abandon() { _ = x.db.close() }

// SortPairs sorts pairs.
func SortPairs(pairs []uint64) []uint64 {
	sortPairs(pairs, nil)
	return pairs
}

// Bound has the file full at so many pages, and nobody wait for its lock.
func (x *Index) Bound(pages int) error {
	_, err := x.db.write.Exec(fmt.Sprintf("PRAGMA max_page_count=%d; PRAGMA busy_timeout=0", pages))
	return err
}

// Journal has the index written as where there is no shared memory.
func (x *Index) Journal() (mode string, err error) {
	x.db.read.SetMaxIdleConns(0) // WAL can't be left while anybody else is connected
	err = x.db.write.QueryRow("PRAGMA journal_mode=TRUNCATE").Scan(&mode)
	return mode, err
}

// Unpack reads data as everything that is packed.
func Unpack(data []byte) {
	_, _, _ = unpackNumbers(nil, data)
	_, _, _ = unpackTexts(data)
	_, _ = unpackIDs(nil, data)
	_, _ = numberAt(data, 1)
	_, _ = unpackBodies(1, data)
	_, _ = eachDoc(data, func(int, doc) {})
	_ = inBucket(data, func(uint32) bool { return true }, func(uint32, uint64) {})
	_, _ = readBlock(1, data, nil)
	_, _ = readBlock(1, data[:len(data)/2], data[len(data)/2:])
}

func unpackTexts(data []byte) ([]string, []int64, error) {
	w, err := walkThrough(data, new(room))
	if err != nil {
		return nil, nil, err
	}
	before, err := w.skip()
	if err != nil {
		return nil, nil, err
	}
	dict, err := w.all()
	if err != nil {
		return nil, nil, err
	}
	codes, _, err := unpackNumbers(nil, w.rest)
	if err == nil && !bytes.Equal(before, w.rest) {
		err = errors.New("what is skipped is not what is read")
	}
	return dict, codes, err
}

// Repack packs numbers and texts, and unpacks them.
func Repack(numbers []int64, dict []string, codes []int64) (n []int64, texts []string, err error) {
	packed := packNumbers(nil, numbers)
	if n, _, err = unpackNumbers(nil, packed); err != nil {
		return nil, nil, err
	}
	for row, want := range n {
		if got, err := numberAt(packed, row); got != want || err != nil {
			return nil, nil, fmt.Errorf("number %d is %d, %w; want %d", row, got, err, want)
		}
	}
	found, at, err := unpackTexts(packTexts(nil, dict, codes))
	for _, c := range at {
		texts = append(texts, found[c])
	}
	return n, texts, err
}

// Packed returns examples of what is packed.
func Packed() [][]byte {
	h := newHot()
	for i := range 5 {
		h.put(Put{Flow: &flow.Flow{ID: flow.ID{byte(i)}, Conn: &flow.Conn{Host: "a.example"}, Detail: &flow.Connection{}}})
	}
	var list [][]byte
	for c := range columnSketch + 1 {
		list = append(list, h.freeze().pack(c))
	}
	bodies, _, _ := packBodies([]Body{{Number: 1, Size: 3, Extents: []Extent{{Length: 3}}}})
	return append(list, bodies, packDocs([]doc{{7, true}, {9, false}}, true), packBucket([]uint64{1 << 32, 1<<32 + 1, 5 << 32}), blockOf(1, h.freeze()).head())
}

// BodyPages returns how many there are.
func (x *Index) BodyPages() (n int, err error) {
	err = x.db.read.QueryRow("SELECT count(*) FROM bodies").Scan(&n)
	return n, err
}

// Lacking says of texts, sorted as they are packed, which a finder leaves out in a walk that
// passes those that are not wanted.
func Lacking(lists []string, literals []string, wanted func(list string) bool) (sorted []string, lacks []bool, err error) {
	codes := make([]int64, len(lists))
	for i := range codes {
		codes[i] = int64(i)
	}
	data := packTexts(nil, lists, codes)
	f := newFinder(&filter.Plan{Literals: literals})
	for range len(literals) + 1 { // each once, and then the one that most lack
		sorted, lacks = sorted[:0], lacks[:0]
		w, err := walkThrough(data, new(room))
		if err != nil {
			return nil, nil, err
		}
		f.begin()
		for {
			ok, err := w.next()
			if err != nil {
				return nil, nil, err
			}
			if !ok {
				break
			}
			sorted = append(sorted, string(w.list()))
			if !wanted(sorted[len(sorted)-1]) {
				f.pass(&w)
				lacks = append(lacks, false)
				continue
			}
			_, known := f.find(&w)
			lacks = append(lacks, known)
		}
	}
	return sorted, lacks, nil
}

// Searcher returns what has a finder look through packed texts, of a size.
func Searcher(lists []string, literal string) (search func(), size int64) {
	codes := make([]int64, len(lists))
	for i := range codes {
		codes[i] = int64(i)
	}
	data, f, r := packTexts(nil, lists, codes), newFinder(&filter.Plan{Literals: []string{literal}}), new(room)
	for _, l := range lists {
		size += int64(len(l))
	}
	return func() {
		w, _ := walkThrough(data, r)
		f.begin()
		for ok := true; ok; ok, _ = w.next() {
			f.find(&w)
		}
	}, size
}
