package index

import (
	"fmt"

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
	_, _ = unpackIDs(data)
	_, _ = unpackBodies(1, data)
	_, _, _ = unpackDocs(data)
	_ = inBucket(data, func(uint32) bool { return true }, func(uint32, uint64) {})
	_, _ = readBlock(1, data, nil)
	_, _ = readBlock(1, data[:len(data)/2], data[len(data)/2:])
}

// Repack packs numbers and texts, and unpacks them.
func Repack(numbers []int64, dict []string, codes []int64) (n []int64, texts []string, err error) {
	if n, _, err = unpackNumbers(nil, packNumbers(nil, numbers)); err != nil {
		return nil, nil, err
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
