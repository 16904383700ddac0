package store_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"transom/filter"
	"transom/flow"
	"transom/internal/testnet"
	"transom/store"
)

// reader opens a directory to read it, and returns what was said meanwhile.
func reader(t *testing.T, dir string) (*store.DiskReader, *bytes.Buffer) {
	t.Helper()
	said := &bytes.Buffer{}
	r, err := store.OpenDiskReader(store.DiskOptions{Dir: dir, Log: logged(said)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, said
}

// indexed fails unless a reader has an index, or has said once that it has none.
func indexed(t *testing.T, r *store.DiskReader, said *bytes.Buffer, want bool) {
	t.Helper()
	s, err := r.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(said.String(), "for want of an index"); s.Unindexed == want || n != map[bool]int{false: 1}[want] {
		t.Errorf("without an index: %v, said %d times: %s", s.Unindexed, n, said)
	}
}

// copied copies what is in a directory.
func copied(t *testing.T, from string, without ...string) (to string) {
	t.Helper()
	to = t.TempDir()
	all, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if slices.Contains(without, e.Name()) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, e.Name()), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// queries are some of each kind.
func queries(t *testing.T, after flow.ID) (list []store.Query) {
	t.Helper()
	for _, text := range []string{"", `~u item/1\d\d$`, "~q", "~bs aaa | ~dst 203.0.113.3"} {
		var x *filter.Filter
		if text != "" {
			var err error
			if x, err = filter.Parse(text, filter.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		for by := store.ByTime; by <= store.ByHost; by++ {
			for _, down := range []bool{false, true} {
				list = append(list, store.Query{Filter: x, By: by, Descending: down},
					store.Query{Filter: x, By: by, Descending: down, After: after, Limit: 17})
			}
		}
	}
	return list
}

// TestReader: a reader answers by the index that there is as it does without one, and
// leaves the directory as it is.
func TestReader(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir, SegmentSize: 256 << 10})
	flows, bodies := record(t, d, 500, 1000)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	before := testnet.Listing(t, dir)
	fast, said := reader(t, dir)
	slow, said2 := reader(t, copied(t, dir, "index.db"))
	for _, q := range queries(t, flows[250].ID) {
		a, b := ids(t, fast, q), ids(t, slow, q)
		if !slices.Equal(a, b) {
			t.Errorf("%+v: %d by the index, %d without", q, len(a), len(b))
		}
	}
	same(t, fast, flows, bodies)
	same(t, slow, flows, bodies)
	indexed(t, fast, said, true)
	indexed(t, slow, said2, false)
	if s, err := fast.Stats(); err != nil || s.Flows != 500 {
		t.Errorf("%d flows, %v", s.Flows, err)
	}
	if after := testnet.Listing(t, dir); !slices.Equal(after, before) {
		t.Errorf("%q was there, %q is", before, after)
	}
	if got := ids(t, fast, store.Query{After: flows[0].ID, Limit: 2}); !slices.Equal(got, []flow.ID{flows[1].ID, flows[2].ID}) {
		t.Errorf("%v", got)
	}
}

// TestReaderAfterCrash: what the index does not have yet is read from the log, and of a
// body what there is of it.
func TestReaderAfterCrash(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir, SegmentSize: 256 << 10})
	w := d.NewBody()
	write(t, w, bytes.Repeat([]byte("begun"), 20_000))
	sync := func() {
		if err := d.Sync(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	sync()
	flows, bodies := record(t, d, 200, 1000)
	if n := len(ids(t, d, store.Query{By: store.BySize})); n != 200 { // they are in the index
		t.Fatal(n)
	}
	begun := httpFlow(id(1), 1, flow.Open, w.Ref())
	put(t, d, begun)
	dead := flows[7].ID
	if err := d.Delete(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	sync()
	r, said := reader(t, copied(t, dir))
	got := ids(t, r, store.Query{})
	if len(got) != 200 || !slices.Contains(got, begun.ID) || slices.Contains(got, dead) {
		t.Errorf("%d flows", len(got))
	}
	h := flows[30].Detail.(*flow.HTTP)
	for ref, want := range map[flow.BodyRef]int{w.Ref(): 100_000, h.RequestBody: len(bodies[h.RequestBody.Segment])} {
		if b, err := open(r, ref); err != nil || len(b) != want {
			t.Errorf("body %d: %d bytes, %v, want %d", ref.Segment, len(b), err, want)
		}
	}
	indexed(t, r, said, true)
}

// TestReaderBesideWriter: an index that somebody writes is theirs.
func TestReaderBesideWriter(t *testing.T) {
	dir := t.TempDir()
	d := newDisk(t, store.DiskOptions{Dir: dir})
	flows, bodies := record(t, d, 6000, 4) // some are in a block
	if err := d.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, said := reader(t, dir)
	same(t, r, flows, bodies)
	indexed(t, r, said, false)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	r, said = reader(t, dir)
	indexed(t, r, said, true)
	d = newDisk(t, store.DiskOptions{Dir: dir})
	n := 0
	for f, err := range r.Flows(t.Context(), store.Query{By: store.BySize, Descending: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 5 { // somebody begins to record
			put(t, d, httpFlow(id(1), 1, flow.Done, flow.BodyRef{}))
			if m := len(ids(t, d, store.Query{By: store.BySize})); m != 6001 {
				t.Fatal(m)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if f == nil {
			t.Fatal("no flow")
		}
	}
	if n < 6000 {
		t.Errorf("%d flows", n)
	}
	if n := len(ids(t, r, store.Query{})); n != 6001 {
		t.Errorf("%d flows", n)
	}
	indexed(t, r, said, false)
}
