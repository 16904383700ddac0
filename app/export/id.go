package export

import (
	"bytes"
	"hash/fnv"
	"time"

	"transom/flow"
)

// TimedID makes the ID of something that began at a time and has a name in a file, always
// the same, for those whose files have no IDs as ours, or none: who reads a file again
// finds the flow that a line of the first time named.
func TimedID(name string, at time.Time) flow.ID {
	if at.IsZero() || at.Unix() < 0 {
		at = time.Unix(0, 0)
	}
	id := flow.NewID(at)
	h := fnv.New64a()
	h.Write([]byte(name))
	copy(id[8:], h.Sum(nil))
	id[8] = id[8]&0x3f | 0x80
	return id
}

// Behind returns id if it sorts behind before, and else the next one behind that.
func Behind(id, before flow.ID) flow.ID {
	if bytes.Compare(id[:], before[:]) > 0 {
		return id
	}
	for i := len(before) - 1; i >= 0; i-- {
		if before[i]++; before[i] != 0 {
			break
		}
	}
	return before
}
