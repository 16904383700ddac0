package index_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"transom/flow"
	"transom/store/index"
	"transom/store/segment"
)

// TestRotation: what goes with the oldest segments goes from the index, however long that
// goes on, and whatever else does.
func TestRotation(t *testing.T) {
	const kept, perSegment = 5, 60
	x, err := index.Open(filepath.Join(t.TempDir(), "index"), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	x.Shrink(50, 40)
	now := time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)
	with := func(body uint64, state flow.State) *flow.Flow {
		now = now.Add(time.Second)
		f := &flow.Flow{ID: flow.NewID(now), Start: now, State: state, Detail: &flow.HTTP{Request: &flow.RequestHead{Method: "GET"}, ResponseBody: flow.BodyRef{Segment: body, Size: 100, Kept: 100}}}
		if state != flow.Open {
			f.End = now
		}
		return f
	}
	long, body := with(1, flow.Open), uint64(1)
	var sizes [2]int64
	var runs [2]int
	for n := uint64(1); n <= 200; n++ {
		at := segment.Position{Segment: n}
		entries := []index.Entry{index.Put{Flow: long, Position: at}} // as what goes on is written again
		for range perSegment {
			at.Offset += 1000
			body++
			entries = append(
				entries, index.Body{Number: body, Size: 100, Extents: []index.Extent{{Position: at, Length: 100}}},
				index.Put{Flow: with(body, flow.Done), Position: at}, index.Text{Number: body, Text: fmt.Append(nil, "all ", body), Complete: true},
			)
			if body%10 == 0 { // one of which nothing came
				body++
				entries = append(entries, index.Body{Number: body})
			}
		}
		if n == 100 { // it ends, and another begins
			long.End = now
			ended := *long
			ended.State, ended.Rev = flow.Done, 1
			entries = append(entries, index.Put{Flow: &ended, Position: at})
			body++
			long = with(body, flow.Open)
		}
		if n > kept {
			entries = append(entries, index.Removed{To: n - kept})
		}
		if err := x.Apply(t.Context(), entries, segment.Position{Segment: n, Offset: at.Offset + 1000}); err != nil {
			t.Fatal(err)
		}
		if err := x.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		switch n {
		case 50, 200:
			s, err := x.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if want := int64(kept*perSegment + 1); s.Flows != want {
				t.Errorf("%d flows after segment %d, want %d", s.Flows, n, want)
			}
			sizes[n/200] = s.Size
			_, runs[n/200] = x.Blocks()
		}
	}
	if runs[1] > runs[0]+2 || runs[0] > 2*kept*perSegment/40 {
		t.Errorf("%d runs after 50 segments, %d after 200", runs[0], runs[1])
	}
	if sizes[1] > sizes[0]*5/4 {
		t.Errorf("%d bytes after 50 segments, %d after 200", sizes[0], sizes[1])
	}
	if pages, err := x.BodyPages(); err != nil || pages > 2*kept*perSegment/128+2 {
		t.Errorf("%d pages of bodies, %v", pages, err)
	}
}
