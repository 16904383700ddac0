package index_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"transom/filter"
	"transom/flow"
	"transom/internal/testnet"
	"transom/store/index"
	"transom/store/segment"
)

// filled returns an index with n flows, and how to close it.
func filled(t *testing.T, path string, n int) *index.Index {
	t.Helper()
	x, err := index.Open(path, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x.Shrink(64, 64)
	m := newMix()
	for i := range n {
		f := m.flow()
		e := appendFlow(nil, f, i, uint64(i+1))
		e = append(e, index.Text{Number: uint64(i + 1), Text: m.text(nil, 200), Complete: true})
		apply(t, x, e, i)
	}
	return x
}

// count returns how many flows are found, and the error.
func count(ctx context.Context, x *index.Index, q index.Query) (n int, err error) {
	for _, err := range x.Query(ctx, q) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// TestFileIsPrivate: nobody else reads what is indexed.
func TestFileIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	x := filled(t, path, 200)
	defer x.Close()
	for _, end := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + end)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", end, info, err)
		}
	}
}

// TestForeignFile: what is no index of ours is not touched, and Reset helps.
func TestForeignFile(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"text": func(path string) error {
			return os.WriteFile(path, []byte(strings.Repeat("no database\n", 1000)), 0o600)
		},
		"another database": func(path string) error { return execute(path, "CREATE TABLE a (b)") },
		"another version": func(path string) error {
			return execute(path, "CREATE TABLE meta (name, value); PRAGMA application_id=0x54524e58; PRAGMA user_version=9999")
		},
		"other facts": func(path string) error { return edited(path, "UPDATE meta SET value = 'x' WHERE name = 'facts'") },
		"no table":    func(path string) error { return edited(path, "DROP TABLE block") },
		"no position": func(path string) error { return edited(path, "UPDATE meta SET value = 'x' WHERE name = 'at'") },
		"odd block":   func(path string) error { return edited(path, "UPDATE block SET head = 'x'") },
		"odd run":     func(path string) error { return edited(path, "UPDATE run SET data = 'x'") },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "index")
			if err := make(path); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(path)
			if x, err := index.Open(path, index.Options{}); !errors.Is(err, index.ErrRebuild) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v, %v", x, err)
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) && name == "text" {
				t.Error("it was changed")
			}
			if err := index.Reset(path); err != nil {
				t.Fatal(err)
			}
			x, err := index.Open(path, index.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if at := x.At(); at != (segment.Position{}) {
				t.Errorf("a new one is at %v", at)
			}
			_ = x.Close()
		})
	}
}

func execute(path, text string) error {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(text)
	return err
}

// edited makes an index, and changes something in it.
func edited(path, text string) error {
	x, err := index.Open(path, index.Options{})
	if err != nil {
		return err
	}
	x.Shrink(4, 4)
	for i := range 20 {
		f := &flow.Flow{ID: flow.NewID(newMix().began), Conn: &flow.Conn{}, Detail: &flow.Connection{}}
		e := []index.Entry{index.Put{Flow: f}, index.Text{Number: uint64(i), Text: []byte("a b c")}}
		if err := x.Apply(context.Background(), e, segment.Position{Segment: 1, Offset: int64(i)}); err != nil {
			return err
		}
	}
	if err := x.Close(); err != nil {
		return err
	}
	return execute(path, text)
}

// TestDamage: wherever a file is damaged, what reads it says so or is not touched by it,
// and does not panic.
func TestDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	if err := filled(t, path, 400).Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 4))
	said := 0
	for range 60 {
		bad := append([]byte(nil), good...)
		for at, n := r.IntN(len(bad)), 0; n < 200 && at+n < len(bad); n++ {
			bad[at+n] = byte(r.IntN(256))
		}
		if r.IntN(4) == 0 {
			bad = bad[:r.IntN(len(bad))]
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := use(t, path); err != nil {
			said++
			if !errors.Is(err, index.ErrRebuild) {
				t.Errorf("damage is not what was said: %v", err)
			}
		}
		if err := index.Reset(path); err != nil {
			t.Fatal(err)
		}
	}
	if said < 10 {
		t.Errorf("%d of 60 damages were said", said)
	}
}

// use does with an index what can be done.
func use(t *testing.T, path string) error {
	x, err := index.Open(path, index.Options{})
	if err != nil {
		return err
	}
	defer x.Abandon()
	for _, text := range []string{"~u nosuch", "~words nosuch & ~c 404", "~d h"} {
		f, err := filter.Parse(text, filter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for by := range index.Order(4) {
			if _, err := count(t.Context(), x, index.Query{Filter: f, By: by}); err != nil {
				return err
			}
		}
	}
	for n := range uint64(400) {
		if _, err := x.Body(t.Context(), n); err != nil && !errors.Is(err, index.ErrUnknown) {
			return err
		}
	}
	if _, err := x.Stats(t.Context()); err != nil {
		return err
	}
	if err := x.Apply(t.Context(), []index.Entry{index.Removed{From: 1, To: 1}}, segment.Position{Segment: 9}); err != nil {
		return err
	}
	return x.Flush(t.Context())
}

// TestFull: what can't be written stays in memory, within a bound, and is written when
// there is room again.
func TestFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	x := filled(t, path, 100)
	defer x.Close()
	if err := x.Bound(1); err != nil {
		t.Fatal(err)
	}
	m, n := newMix(), 0
	var err error
	for n = 100; n < 1000 && err == nil; n++ {
		err = x.Apply(t.Context(), appendFlow(nil, m.flow(), n, uint64(n+1)), segment.Position{Segment: 1, Offset: int64(n)})
	}
	if !errors.Is(err, index.ErrFull) || n == 1000 {
		t.Fatalf("after %d flows: %v", n, err)
	}
	kept, err := count(t.Context(), x, index.Query{})
	if err != nil || kept != n-1 {
		t.Errorf("%d flows, %v, want %d", kept, err, n-1)
	}
	if err := x.Bound(1 << 20); err != nil {
		t.Fatal(err)
	}
	if err := x.Flush(t.Context()); err != nil {
		t.Errorf("with room again: %v", err)
	}
	x.Abandon()
	y, err := index.Open(path, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	if again, err := count(t.Context(), y, index.Query{}); err != nil || again != kept {
		t.Errorf("%d flows after that, %v, want %d", again, err, kept)
	}
}

// TestLocked: another program's lock is an error that says so, and nothing is lost.
func TestLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	x := filled(t, path, 100)
	defer x.Close()
	if err := x.Bound(1 << 20); err != nil {
		t.Fatal(err)
	}
	other, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.SetMaxOpenConns(1)
	if _, err := other.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if err := x.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("locked: %v", err)
	}
	if _, err := other.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := x.Flush(t.Context()); err != nil {
		t.Errorf("no longer locked: %v", err)
	}
}

// TestJournal: without WAL all is the same.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	x, err := index.Open(path, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if mode, err := x.Journal(); err != nil || mode != "truncate" {
		t.Fatal(mode, err)
	}
	x.Shrink(32, 32)
	for i, m := 0, newMix(); i < 200; i++ {
		apply(t, x, appendFlow(nil, m.flow(), i, uint64(i+1)), i)
	}
	if n, err := count(t.Context(), x, index.Query{}); err != nil || n != 200 {
		t.Errorf("%d, %v", n, err)
	}
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

// TestReadOnly: who only reads an index leaves its directory as it is, knows more only
// for itself, and notices when somebody writes.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "index")
	x := filled(t, path, 300)
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	before := testnet.Listing(t, dir)
	y, err := index.Open(path, index.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer y.Close()
	m := newMix()
	for i := 300; i < 500; i++ {
		apply(t, y, appendFlow(nil, m.flow(), i, uint64(i+1)), i)
	}
	if n, err := count(t.Context(), y, index.Query{By: index.BySize}); err != nil || n != 500 || y.Len() != 500 {
		t.Errorf("%d flows of %d, %v", n, y.Len(), err)
	}
	if after := testnet.Listing(t, dir); !slices.Equal(after, before) {
		t.Errorf("%q was in the directory, %q is", before, after)
	}
	if x, err = index.Open(path, index.Options{}); err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	apply(t, x, appendFlow(nil, m.flow(), 500, 501), 500)
	if err := x.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := count(t.Context(), y, index.Query{By: index.BySize}); !errors.Is(err, index.ErrChanged) {
		t.Errorf("while somebody writes: %v", err)
	}
	if _, err := index.Open(filepath.Join(dir, "none"), index.Options{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v", err)
	}
}

// TestReadOnlyAfterCrash: what a crash has left beside an index is read with it.
func TestReadOnlyAfterCrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	x := filled(t, path, 300)
	if err := x.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	crashed := t.TempDir()
	for _, end := range []string{"", "-wal"} {
		if b, err := os.ReadFile(path + end); err != nil || len(b) == 0 || os.WriteFile(filepath.Join(crashed, "index"+end), b, 0o600) != nil {
			t.Fatal(end, len(b), err)
		}
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	before := testnet.Listing(t, crashed)
	t.Setenv("TMPDIR", t.TempDir())
	y, err := index.Open(filepath.Join(crashed, "index"), index.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if copies := testnet.Listing(t, os.Getenv("TMPDIR")); len(copies) > 0 { // and if it was killed now
		t.Errorf("there to be left behind: %q", copies)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // who gives up takes nothing from others
		if _, err := count(over, y, index.Query{}); err == nil {
			t.Error("it was over, and is not")
		}
		if n, err := count(t.Context(), y, index.Query{}); err != nil || n != 300 {
			t.Errorf("%d flows, %v", n, err)
		}
	}
	if err := y.Close(); err != nil {
		t.Error(err)
	}
	if after := testnet.Listing(t, crashed); !slices.Equal(after, before) {
		t.Errorf("%q was in the directory, %q is", before, after)
	}
	if err := os.Truncate(filepath.Join(crashed, "index-wal"), 1<<30); err != nil {
		t.Fatal(err)
	}
	if _, err := index.Open(filepath.Join(crashed, "index"), index.Options{ReadOnly: true}); err == nil || !strings.HasSuffix(err.Error(), "index-wal is too large") {
		t.Errorf("with more than can be copied: %v", err)
	}
	if copies := testnet.Listing(t, os.Getenv("TMPDIR")); len(copies) > 0 {
		t.Errorf("left behind: %q", copies)
	}
}

// TestReadersAndWriter: queries go on while flows come, change and go.
func TestReadersAndWriter(t *testing.T) {
	for _, path := range []string{"", filepath.Join(t.TempDir(), "index")} {
		x := filled(t, path, 300)
		f, err := filter.Parse("~d example | ~words nosuch", filter.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for by := range index.Order(4) {
			readers.Go(func() {
				for ctx.Err() == nil {
					if n, err := count(t.Context(), x, index.Query{Filter: f, By: by, Descending: true}); err != nil || n == 0 {
						t.Errorf("by %v: %d, %v", by, n, err)
						return
					}
				}
			})
		}
		m := newMix()
		var last flow.ID
		for i := range 600 {
			f := m.flow()
			e := appendFlow(nil, f, 50000+i*200, uint64(1000+i))
			e = append(e, index.Text{Number: uint64(1000 + i), Text: m.text(nil, 100)}, index.Deleted{ID: last})
			if i%100 == 99 {
				e = append(e, index.Removed{From: uint64(i / 250), To: uint64(i / 250)})
			}
			apply(t, x, e, 50000+i*200)
			if last = f.ID; i%3 == 0 {
				last = flow.ID{}
			}
		}
		stop()
		readers.Wait()
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStale: words of bodies that are gone go, too, so the file does not grow for ever.
func TestStale(t *testing.T) {
	path := filepath.Join(t.TempDir(), "index")
	x, err := index.Open(path, index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	x.Shrink(32, 32)
	m := newMix()
	var sizes []int64
	for i := range 4000 {
		n := uint64(i + 1)
		f := m.flow()
		if h, ok := f.Detail.(*flow.HTTP); ok {
			h.ResponseBody = flow.BodyRef{Segment: n, Size: 100, Kept: 100}
		}
		at := segment.Position{Segment: uint64(1 + i/100), Offset: int64(i)}
		e := []index.Entry{index.Put{Flow: f, Position: at}, index.Text{Number: n, Text: m.text(nil, 300)}, index.Body{Number: n, Size: 100, Extents: []index.Extent{{Position: at, Length: 100}}}}
		if i%100 == 0 && i >= 1000 {
			e = append(e, index.Removed{To: uint64(i/100 - 9)})
		}
		if err := x.Apply(t.Context(), e, at); err != nil {
			t.Fatal(err)
		}
		if i == 2000 || i == 3999 {
			s, err := x.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, s.Size)
		}
	}
	if _, runs := x.Blocks(); runs > 40 {
		t.Errorf("%d runs are left", runs)
	}
	if sizes[1] > sizes[0]*3/2 {
		t.Errorf("the file has grown from %d to %d bytes", sizes[0], sizes[1])
	}
}
