package store

import "transom/flow"

// A tally is how much of a body has come, and is kept. Who has it guards it.
type tally struct {
	size    int64
	kept    int64
	cut     bool // nothing more is kept
	counted bool // as truncated
}

// came counts p, and returns what of it may be kept.
func (t *tally) came(p []byte, limit int64) []byte {
	t.size += int64(len(p))
	if t.cut {
		return nil
	}
	return p[:min(int64(len(p)), limit-t.kept)]
}

// account cuts the body if not all was kept of what came, n bytes at last. It returns how many of these
// are lost, and whether they are the first.
func (t *tally) account(n int) (lost int64, first bool) {
	missing := t.size - t.kept
	first = missing > 0 && !t.counted
	t.cut = t.cut || missing > 0
	t.counted = t.counted || first
	return min(missing, int64(n)), first
}

// ref names the body.
func (t *tally) ref(number uint64) flow.BodyRef {
	return flow.BodyRef{Size: t.size, Kept: t.kept, Truncated: t.kept < t.size, Segment: number}
}
