// Package segment keeps records in files that only grow: a log that can be read
// while it is written, and that a crash at any byte leaves readable up to what was
// synced. What the records mean is its caller's.
package segment

// A Position is where a record begins. Positions of one log only grow.
type Position struct {
	Segment uint64 // the file, numbered from 1 in the order they were begun
	Offset  int64  // in it, in bytes
}

// Before reports whether p comes before q.
func (p Position) Before(q Position) bool {
	return p.Segment < q.Segment || p.Segment == q.Segment && p.Offset < q.Offset
}
