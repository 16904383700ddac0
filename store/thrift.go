package store

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"unsafe"

	"transom/flow"
)

// The collector lets a process have twice what is of use, so that what is not need not be
// looked for all the time. Most of what a store with millions of flows has in memory are
// tables without pointers, of which nothing is of no use, and that it doesn't look
// through: for those as much again is too much.

// A thrift has the collector leave that out.
type thrift struct {
	percent int // that it was told
	found   []metrics.Sample
}

// newThrift returns nil where somebody has said how the collector is to be.
func newThrift(wanted bool) *thrift {
	if !wanted || os.Getenv("GOGC") != "" {
		return nil
	}
	return &thrift{percent: 100, found: []metrics.Sample{{Name: "/gc/heap/live:bytes"}}}
}

const (
	leastPercent = 30 // or it would never come to rest
	change       = 5  // percent that make a difference
)

// look tells the collector if tables have grown.
func (t *thrift) look(tables int64) {
	if t == nil {
		return
	}
	metrics.Read(t.found)
	percent := thrifty(int64(t.found[0].Value.Uint64()), tables)
	if percent > t.percent-change && percent < t.percent+change {
		return
	}
	t.percent = percent
	debug.SetGCPercent(percent)
}

// thrifty is what percentage of all that is of use that is which isn't in tables.
func thrifty(live, tables int64) int {
	if live <= 0 {
		return 100
	}
	return int(max(100*(live-tables)/live, leastPercent))
}

// tables returns about how many bytes they take.
func (c *catalog) tables() int64 {
	return int64(c.flows.len())*int64(unsafe.Sizeof(row[flow.ID, flowAt]{})) + int64(c.bodies.len())*int64(unsafe.Sizeof(row[uint64, place]{}))
}
