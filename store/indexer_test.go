package store_test

import (
	"os"
	"path/filepath"
	"testing"

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
