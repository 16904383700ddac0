package store

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"transom/flow"
)

// Whatever is done, the table is what a map is, in order.
func TestRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rows[int, int]{compare: cmp.Compare[int]}
		want := map[int]int{}
		next := 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1: // many, nearly in order
				for range rapid.IntRange(1, 700).Draw(t, "n") {
					next += 3
					k := next - rapid.IntRange(0, 300).Draw(t, "late")
					r.set(k, next)
					want[k] = next
				}
			case 2:
				k := rapid.IntRange(-1, next+1).Draw(t, "key")
				r.set(k, k)
				want[k] = k
			case 3:
				for range rapid.IntRange(1, 300).Draw(t, "n") {
					k := rapid.IntRange(0, next+1).Draw(t, "key")
					r.remove(k)
					delete(want, k)
				}
			case 4:
				m := rapid.IntRange(2, 5).Draw(t, "every")
				parts := 0
				for from, more := -1000, true; more; parts++ {
					from, more = r.sweep(from, func(k, v int) bool {
						if v != want[k] {
							t.Fatalf("%d is %d, want %d", k, v, want[k])
						}
						return v%m != 0
					})
				}
				if most := 1 + len(want)/(sweepBlocks*blockRows/8); parts > most {
					t.Fatalf("%d parts for %d rows", parts, len(want))
				}
				maps.DeleteFunc(want, func(_, v int) bool { return v%m == 0 })
			}
		}
		keys := slices.Sorted(maps.Keys(want))
		var got []int
		r.each(func(k, v int) {
			got = append(got, k)
			if v != want[k] {
				t.Fatalf("%d is %d, want %d", k, v, want[k])
			}
		})
		if !slices.Equal(got, keys) || r.len() != len(keys) {
			t.Fatalf("%d rows, want %d", r.len(), len(keys))
		}
		from := rapid.IntRange(-2, next+2).Draw(t, "from")
		i, found := slices.BinarySearch(keys, from)
		if found {
			i++
		}
		for n := r.after(from); ; i++ {
			row, ok := n()
			if ok != (i < len(keys)) || ok && row.key != keys[i] {
				t.Fatalf("after %d: %v, %v", from, row, ok)
			}
			if !ok {
				break
			}
		}
		for _, k := range keys[:min(len(keys), 50)] {
			if v, ok := r.get(k); !ok || v != want[k] {
				t.Fatalf("%d: %d, %v", k, v, ok)
			}
		}
	})
}

// BenchmarkSweep looks at five million rows, as the removal of a segment does; the longest
// part is what others wait.
func BenchmarkSweep(b *testing.B) {
	r := rows[flow.ID, flowAt]{compare: compareIDs}
	for i := range 5_000_000 {
		var id flow.ID
		binary.BigEndian.PutUint64(id[:], uint64(i))
		r.set(id, flowAt{place: place{segment: uint32(i / 20_000)}})
	}
	b.ReportAllocs()
	longest := time.Duration(0)
	n := uint32(0)
	for b.Loop() {
		n++
		var from flow.ID
		for more := true; more; {
			begun := time.Now()
			from, more = r.sweep(from, func(_ flow.ID, at flowAt) bool { return at.segment != n })
			longest = max(longest, time.Since(begun))
		}
	}
	b.ReportMetric(float64(longest), "longest-ns")
}
