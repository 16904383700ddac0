package disk

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// What of the changes that were not synced is on the disk after a crash.
const (
	None = iota // nothing
	All         // all of it: the program was killed, and nothing else
	Some        // as chance has it, sector by sector
)

// Crash returns what is found when the power comes back. Of the changes to the
// directory some of the first may be there, and of those to a file any. The disk that
// crashed fails from now on.
func (d *Disk) Crash(what int, chance *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	names := d.kept
	switch {
	case what == All:
		names = d.names
	case what == Some && len(d.moves) > 0:
		if n := chance.IntN(len(d.moves) + 1); n > 0 {
			names = d.moves[n-1]
		}
	}
	after := New()
	for _, name := range slices.Sorted(maps.Keys(names)) {
		n := names[name]
		b := slices.Clone(n.kept)
		switch what {
		case All:
			b = slices.Clone(n.data)
		case Some:
			b = n.some(b, chance)
		}
		after.names[name] = &node{data: b, kept: slices.Clone(b)}
	}
	after.kept = maps.Clone(after.names)
	return after
}

// Kill returns what is found when only the program was killed: everything, of which
// nothing more is synced than was.
func (d *Disk) Kill() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	after := New()
	nodes := map[*node]*node{}
	again := func(names map[string]*node) map[string]*node {
		out := map[string]*node{}
		for name, n := range names {
			if nodes[n] == nil {
				nodes[n] = &node{data: slices.Clone(n.data), kept: slices.Clone(n.kept), pending: slices.Clone(n.pending)}
			}
			out[name] = nodes[n]
		}
		return out
	}
	after.names, after.kept = again(d.names), again(d.kept)
	for _, names := range d.moves {
		after.moves = append(after.moves, again(names))
	}
	return after
}

// some applies some of what was not synced.
func (n *node) some(b []byte, chance *rand.Rand) []byte {
	for _, e := range n.pending {
		if e.data == nil {
			if chance.IntN(2) == 0 {
				b = e.apply(b)
			}
			continue
		}
		for at := int64(0); at < int64(len(e.data)); {
			end := min(int64(len(e.data)), (e.off+at)/sector*sector+sector-e.off)
			if chance.IntN(3) > 0 {
				b = edit{e.off + at, e.data[at:end]}.apply(b)
			}
			at = end
		}
	}
	return b
}
