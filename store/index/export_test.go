package index

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
	pairs, _ = sortPairs(pairs, nil)
	return pairs
}
