package h2

import "sync/atomic"

// A Memory is what all connections that share it may have received together and
// not passed on. Past it nothing is read from those that hold more than their
// share, which each may have in any case. A nil Memory has no bound.
type Memory struct {
	max  int64
	used atomic.Int64
}

// share is what a connection may hold when memory is short.
const share = 256 << 10

// NewMemory returns a Memory of max bytes.
func NewMemory(max int64) *Memory { return &Memory{max: max} }

// Used reports how many bytes are held.
func (m *Memory) Used() int64 {
	if m == nil {
		return 0
	}
	return m.used.Load()
}

func (m *Memory) short() bool { return m != nil && m.used.Load() > m.max }

// holdLocked counts n bytes more, or less, that were received and not read.
func (c *conn) holdLocked(n int64) {
	c.buffered += n
	if c.memory != nil {
		c.memory.used.Add(n)
	}
	if n < 0 {
		c.eased.Signal()
	}
}

// crowdedLocked reports whether more is held than there is room for.
func (c *conn) crowdedLocked() bool {
	return c.buffered > maxBuffered || c.buffered > share && c.memory.short()
}
