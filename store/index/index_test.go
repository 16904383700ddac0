package index_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"transom/flow"
	"transom/store/index"
	"transom/store/segment"
)

// TestSeam: what is applied is found.
func TestSeam(t *testing.T) {
	x, err := index.Open("", index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	began := time.Date(2026, 1, 31, 15, 4, 5, 0, time.UTC)
	f := &flow.Flow{ID: flow.NewID(began), Start: began, Conn: &flow.Conn{}, Detail: &flow.Connection{}}
	at := segment.Position{Segment: 1, Offset: 32}
	b := index.Body{Number: 7, Size: 3, Extents: []index.Extent{{Position: segment.Position{Segment: 1, Offset: 16}, Length: 3}}}
	if err := x.Apply(t.Context(), []index.Entry{b, index.Put{Flow: f, Position: at}}, segment.Position{Segment: 1, Offset: 64}); err != nil {
		t.Fatal(err)
	}
	for h, err := range x.Query(t.Context(), index.Query{}) {
		if err != nil || h.ID != f.ID || h.Position != at || !h.Sure {
			t.Errorf("%+v, %v", h, err)
		}
	}
	if got, err := x.Body(t.Context(), 7); err != nil || got.Extents[0] != b.Extents[0] {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestSortPairs: by hash, and otherwise in order.
func TestSortPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pairs := rapid.SliceOf(rapid.Uint64()).Draw(t, "pairs")
		for i := range pairs {
			pairs[i] = pairs[i]&^(1<<32-1)&0xff0000ff00000000 | uint64(i)
		}
		want := slices.Sorted(slices.Values(pairs))
		if got := index.SortPairs(pairs); !slices.Equal(got, want) {
			t.Fatalf("%x, want %x", got, want)
		}
	})
}
