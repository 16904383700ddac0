package store_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transom/filter"
	"transom/flow"
	"transom/store"
)

// hosted is a flow of n's own size, duration and host.
func hosted(n byte, size int64, lasted time.Duration, host string) *flow.Flow {
	at := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	return &flow.Flow{
		ID: flow.ID{15: n}, Start: at, End: at.Add(lasted), State: flow.Done,
		Conn: &flow.Conn{ID: flow.ID{0: n}, Host: host, Dst: netip.MustParseAddrPort("10.9.0.2:443")},
		Detail: &flow.HTTP{
			Request:     &flow.RequestHead{Method: "GET", Target: "/", Authority: host},
			RequestBody: flow.BodyRef{Size: 1}, ResponseBody: flow.BodyRef{Size: size - 1},
		},
	}
}

func TestOrder(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	t.Run("memory", func(t *testing.T) { testOrder(t, m) })
	dir := t.TempDir()
	t.Run("disk", func(t *testing.T) { testOrder(t, newDisk(t, store.DiskOptions{Dir: dir})) })
	// Where the index can't be opened all is read instead.
	dir = t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "index.db"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Run("unindexed", func(t *testing.T) { testOrder(t, newDisk(t, store.DiskOptions{Dir: dir})) })
}

func testOrder(t *testing.T, m store.Store) {
	for _, f := range []*flow.Flow{
		hosted('a', 30, 2*time.Second, "c.example"),
		hosted('b', 10, 3*time.Second, "a.example"),
		hosted('c', 20, 1*time.Second, "b.example"),
		hosted('d', 20, 1*time.Second, "b.example"),
	} {
		if err := m.Put(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	b, err := filter.Parse(`~d ^b\.example`, filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		store.Query
		want string
	}{
		"time":              {store.Query{}, "abcd"},
		"newest":            {store.Query{Descending: true}, "dcba"},
		"after":             {store.Query{After: flow.ID{15: 'b'}}, "cd"},
		"newest-after":      {store.Query{Descending: true, After: flow.ID{15: 'c'}}, "ba"},
		"newest-after-gone": {store.Query{Descending: true, After: flow.ID{14: 1}}, "dcba"}, // that is behind all of them
		"size":              {store.Query{By: store.BySize}, "bcda"},
		"largest":           {store.Query{By: store.BySize, Descending: true}, "adcb"},
		"largest-after":     {store.Query{By: store.BySize, Descending: true, After: flow.ID{15: 'd'}}, "cb"},
		"duration":          {store.Query{By: store.ByDuration}, "cdab"},
		"host":              {store.Query{By: store.ByHost}, "bcda"},
		"limit":             {store.Query{By: store.ByHost, Limit: 2}, "bc"},
		"filter":            {store.Query{Filter: b, Descending: true}, "dc"},
		"filter-limit":      {store.Query{Filter: b, Limit: 1}, "c"},
	} {
		var got strings.Builder
		for f, err := range m.Flows(t.Context(), tc.Query) {
			if err != nil {
				t.Fatal(err)
			}
			got.WriteByte(f.ID[15])
		}
		if got.String() != tc.want {
			t.Errorf("%s: got %s, want %s", name, &got, tc.want)
		}
	}
}

// TestAfterGone asks for what comes after a flow whose place is not known any more.
func TestAfterGone(t *testing.T) {
	m := store.NewMemory(store.MemoryOptions{})
	defer m.Close()
	for _, err := range m.Flows(context.Background(), store.Query{By: store.BySize, After: flow.ID{1}}) {
		if !errors.Is(err, store.ErrGone) {
			t.Fatalf("got %v, want %v", err, store.ErrGone)
		}
		return
	}
	t.Fatal("no error")
}
