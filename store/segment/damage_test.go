package segment

import (
	"context"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDamage damages a sealed segment in the middle of others.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, SegmentSize: 8 << 10})
	at := fill(t, l, 100)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	number := at[50].Segment
	var inside []int
	for i, p := range at {
		if p.Segment == number {
			inside = append(inside, i)
		}
	}
	name := filepath.Join(dir, fileName(number))
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	victim := inside[len(inside)/2]
	offset := at[victim].Offset
	for _, c := range []struct {
		name   string
		change func(b []byte) []byte
		lost   []int // records
		where  int64
		length int64
	}{
		{"payload", func(b []byte) []byte { b[offset+frameSize+1] ^= 1; return b }, []int{victim}, offset, at[victim+1].Offset - offset},
		{"length", func(b []byte) []byte { b[offset] ^= 1; return b }, []int{victim}, offset, at[victim+1].Offset - offset},
		{"kind", func(b []byte) []byte { b[offset+3] ^= 1; return b }, []int{victim}, offset, at[victim+1].Offset - offset},
		{"zeros", func(b []byte) []byte { clear(b[offset-5 : offset+50]); return b }, []int{victim - 1, victim}, at[victim-1].Offset, offset - at[victim-1].Offset},
		{"header", func(b []byte) []byte { b[20] ^= 1; return b }, inside, 0, int64(len(good))},
		{"cut", func(b []byte) []byte { return b[:offset+3] }, inside[len(inside)/2:], offset, 3},
		{"a record twice", func(b []byte) []byte { copy(b[offset:], b[at[victim-1].Offset:offset]); return b }, nil, offset, 0},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			if err := os.WriteFile(name, c.change(append([]byte(nil), good...)), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, from := range []string{"reader", "log"} {
				found, damage := survey(t, from, dir, at)
				lost := map[int]bool{}
				for _, i := range c.lost {
					lost[i] = true
				}
				if c.lost == nil {
					lost[victim] = true
				}
				for i := range at {
					if found[i] == lost[i] && (c.lost != nil || i <= victim) {
						t.Errorf("%s: record %d found: %v", from, i, found[i])
					}
				}
				if c.name == "cut" && from == "log" { // it was no longer sealed, and is cut when it is opened
					continue
				}
				if damage == nil || damage.File != fileName(number) || damage.Offset != c.where || c.length > 0 && damage.Length != c.length {
					t.Errorf("%s: %v", from, damage)
				}
			}
		})
	}
}

// survey scans a directory.
func survey(t *testing.T, how, dir string, at []Position) (found map[int]bool, first *Damage) {
	t.Helper()
	var source interface {
		Scan(ctx context.Context, from Position) iter.Seq2[At, error]
	}
	if how == "log" {
		source = open(t, Options{Dir: dir})
	} else {
		r, err := OpenReader(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		source = r
	}
	numbers := map[Position]int{}
	for i, p := range at {
		numbers[p] = i
	}
	found = map[int]bool{}
	for r, err := range source.Scan(context.Background(), Position{}) {
		var damage *Damage
		switch {
		case errors.As(err, &damage):
			if first == nil {
				first = damage
			}
			if !r.Position.Before(r.Next) {
				t.Fatalf("damage goes on from %v at %v", r.Position, r.Next)
			}
		case err != nil:
			t.Fatal(err)
		default:
			same(t, r.Record, numbers[r.Position])
			found[numbers[r.Position]] = true
		}
	}
	return found, first
}

func TestTornEndIsCut(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	at := fill(t, l, 10)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, fileName(1))
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for n := at[9].Offset; n <= int64(len(whole)); n++ {
		if err := os.WriteFile(name, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		l := open(t, Options{Dir: dir})
		torn := n > at[9].Offset && n < int64(len(whole))
		if r := l.Recovered(); len(r) > 1 || torn != (len(r) == 1) || torn && (r[0].Offset != at[9].Offset || r[0].Length != n-at[9].Offset) {
			t.Fatalf("with %d bytes: %v", n, r)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		l = open(t, Options{Dir: dir})
		if r := l.Recovered(); len(r) > 0 {
			t.Fatalf("with %d bytes: again %v", n, r)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRecordsInRecords appends what is in a segment's file, as a recorded download of it
// would, and damages that: nothing in it is taken for a record.
func TestRecordsInRecords(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir})
	fill(t, l, 20)
	b, err := os.ReadFile(filepath.Join(dir, fileName(1)))
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.Append(Record{Kind: 99, Payload: b}, text(20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.active.w.WriteAt([]byte{0xff}, p[0].Offset); err != nil {
		t.Fatal(err)
	}
	n := 0
	for r, err := range l.Scan(context.Background(), Position{}) {
		if err == nil {
			same(t, r.Record, n)
			n++
		}
	}
	if n != 21 {
		t.Errorf("%d records", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	open(t, Options{Dir: dir})
	if _, err := Open(Options{Dir: dir}); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a second writer: %v", err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o022 != 0 {
		t.Fatal(info, err)
	}
	shared := filepath.Join(t.TempDir(), "shared")
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, 0o770)); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: shared}); err == nil || !strings.Contains(err.Error(), "chmod go-w "+shared) {
		t.Errorf("a directory others may write to: %v", err)
	}
	fresh := filepath.Join(t.TempDir(), "a", "b")
	open(t, Options{Dir: fresh})
	if info, err := os.Stat(fresh); err != nil || info.Mode().Perm() != 0o700 {
		t.Error(info, err)
	}
	if _, err := OpenReader(Options{Dir: filepath.Join(fresh, "none")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a reader of nothing: %v", err)
	}
}

func TestAppendRefuses(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir()})
	if _, err := l.Append(Record{Kind: 0}); err == nil {
		t.Error("kind 0")
	}
	if _, err := l.Append(Record{Kind: 1, Payload: make([]byte, MaxPayload+1)}); err == nil {
		t.Error("a payload that is too long")
	}
	big := Record{Kind: 1, Payload: make([]byte, MaxPayload)}
	p, err := l.Append(big)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := l.Read(p[0], nil); err != nil || len(r.Payload) != MaxPayload {
		t.Error(len(r.Payload), err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(text(1)); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := l.Sync(); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}
