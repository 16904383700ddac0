package exchange

import (
	"sync/atomic"
)

// A Budget bounds the memory that all bodies together may take in [Body.Bytes],
// and whatever else is gathered before it goes on.
// The zero Budget has no room; a nil *Budget has no bound.
type Budget struct {
	used atomic.Int64
	max  int64
}

// NewBudget returns a budget of max bytes.
func NewBudget(max int64) *Budget { return &Budget{max: max} }

// Used reports how many bytes are taken.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

// Take takes n bytes, if they are there. Whoever took them gives them back.
func (b *Budget) Take(n int64) bool {
	if b == nil {
		return true
	}
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

// Give gives n bytes back.
func (b *Budget) Give(n int64) {
	if b != nil {
		b.used.Add(-n)
	}
}
