package segment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestReaderBesideWriter(t *testing.T) {
	o := Options{Dir: t.TempDir(), SegmentSize: 10 << 10}
	l := open(t, o)
	r, err := OpenReader(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	var next Position
	seen := 0
	follow := func() {
		t.Helper()
		for at, err := range r.Scan(context.Background(), next) {
			if err != nil {
				t.Fatal(err)
			}
			same(t, at.Record, seen)
			seen, next = seen+1, at.Next
		}
	}
	follow()
	for i := range 300 {
		p, err := l.Append(text(i))
		if err != nil {
			t.Fatal(err)
		}
		rec, err := r.Read(p[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		same(t, rec, i)
		if i%3 == 0 {
			follow()
		}
		if i%50 == 0 {
			if err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	follow()
	if seen != 300 {
		t.Fatalf("%d records", seen)
	}
	first := l.Segments()[0].Number
	if err := l.Remove(first); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Segments(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(Position{first, headerSize}, nil); !errors.Is(err, ErrGone) {
		t.Errorf("read of what was removed: %v", err)
	}
}

// TestReaderSeesTheRestLater gives a reader a record byte for byte.
func TestReaderSeesTheRestLater(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	l := open(t, o)
	at := fill(t, l, 2)
	whole := l.active.limit
	r, err := OpenReader(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	b := make([]byte, whole-at[1].Offset)
	if _, err := l.active.w.ReadAt(b, at[1].Offset); err != nil {
		t.Fatal(err)
	}
	for n := range int64(len(b)) {
		if err := l.active.w.Truncate(at[1].Offset + n); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(at[1], nil); !errors.Is(err, ErrGone) {
			t.Fatalf("with %d bytes: %v", n, err)
		}
		count := 0
		for _, err := range r.Scan(context.Background(), Position{}) {
			if count++; err != nil {
				t.Fatalf("with %d bytes: %v", n, err)
			}
		}
		if count != 1 {
			t.Fatalf("with %d bytes: %d records", n, count)
		}
		if _, err := l.active.w.WriteAt(b, at[1].Offset); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Read(at[1], nil); err != nil {
		t.Error(err)
	}
}

// TestReaderSeesTheFooterLater gives a reader the outline and the footer of a segment byte for byte,
// when there is a later segment already.
func TestReaderSeesTheFooterLater(t *testing.T) {
	o := Options{Dir: t.TempDir(), SegmentSize: 1 << 10, Gist: begin}
	l := open(t, o)
	n := 0
	for ; len(l.Segments()) < 2; n++ {
		if _, err := l.Append(text(n)); err != nil {
			t.Fatal(err)
		}
	}
	e := l.entries[0]
	foot := e.outline.frames(e.w, e.limit, e.end)
	foot = append(foot, footer{records: e.Records, last: e.Last, end: e.end, at: e.limit, outline: e.limit}.bytes(e.w)...)
	for i := range len(foot) + 1 {
		if _, err := e.w.WriteAt(foot[:i], e.limit); err != nil {
			t.Fatal(err)
		}
		r, err := OpenReader(o)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for at, err := range r.Scan(context.Background(), Position{}) {
			if err != nil {
				t.Fatalf("with %d bytes: %v", i, err)
			}
			same(t, at.Record, found)
			found++
		}
		if found != n {
			t.Fatalf("with %d bytes: %d records of %d", i, found, n)
		}
		r.Close()
	}
}

// A segment that was being begun when a crash came has nothing, and nothing of it is damaged.
func TestReaderOfSegmentNotBegun(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	l := open(t, o)
	fill(t, l, 2)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, 10, headerSize} {
		if err := os.WriteFile(filepath.Join(o.Dir, fileName(2)), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, o)
		if _, err := l.Append(text(2)); err != nil { // in the next one
			t.Fatal(err)
		}
		r, err := OpenReader(o)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for at, err := range r.Scan(context.Background(), Position{}) {
			if err != nil {
				t.Fatal(err)
			}
			if same(t, at.Record, n); at.Segment == 2 {
				t.Errorf("%v", at.Position)
			}
			n++
		}
		if all, err := r.Segments(); n != 3 || len(all) != 2 || err != nil {
			t.Errorf("%d bytes: %d records, %v, %v", size, n, all, err)
		}
		if err := errors.Join(r.Close(), l.Close(), os.Remove(filepath.Join(o.Dir, fileName(3)))); err != nil {
			t.Fatal(err)
		}
	}
}
