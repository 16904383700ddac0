package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"transom/filter"
	"transom/store"
	"transom/store/index"
)

// TestIndexMissesSegments: what went with a segment goes from the index, also if the
// index was not there when it went.
func TestIndexMissesSegments(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir, SegmentSize: 64 << 10})
	for range 8 {
		record(t, d, 50, 2000)
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	all := len(ids(t, d, store.Query{By: store.BySize}))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"0000000001.seg", "0000000003.seg"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	d = newDisk(t, store.DiskOptions{Dir: dir})
	left := len(ids(t, d, store.Query{By: store.BySize}))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(filepath.Join(dir, "index.db"), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	n := 0
	for _, err := range x.Query(t.Context(), index.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != left || left >= all {
		t.Errorf("%d flows are indexed, %d of %d are there", n, left, all)
	}
}

// TestIndexForgets: what goes by retention goes from the index while it is filled.
func TestIndexForgets(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir, SegmentSize: 64 << 10, MaxBytes: 512 << 10, Words: true})
	for range 40 {
		record(t, d, 50, 2000)
		if err := d.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := len(ids(t, d, store.Query{By: store.BySize})), d.Stats().Flows; got != want {
			t.Fatalf("%d flows by size, %d are there", got, want)
		}
	}
	want := int64(d.Stats().Flows)
	if evicted := d.Stats().Evicted; evicted < want {
		t.Errorf("%d flows went, and %d are left", evicted, want)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(filepath.Join(dir, "index.db"), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	s, err := x.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Flows != want || s.Size > 2<<20 {
		t.Errorf("%d flows are indexed in %d bytes, %d are there", s.Flows, s.Size, want)
	}
}

// TestTrigrams: with them the index knows which bodies may have a text, and who opens it
// later, too.
func TestTrigrams(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir, Trigrams: true})
	record(t, d, 20, 100)
	f, err := filter.Parse("~b nosuchtext", filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(t, d, store.Query{Filter: f}); len(got) != 0 {
		t.Errorf("%d flows have it", len(got))
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	x, err := index.Open(filepath.Join(dir, "index.db"), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	for hit, err := range x.Query(t.Context(), index.Query{Filter: f}) {
		t.Errorf("%v has to be looked at: %v", hit.ID, err)
	}
}
