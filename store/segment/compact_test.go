package segment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fill appends n records and returns where they are.
func fill(t testing.TB, l *Log, n int) (at []Position) {
	t.Helper()
	for i := range n {
		p, err := l.Append(text(i))
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, p[0])
	}
	return at
}

func same(t testing.TB, r Record, i int) {
	t.Helper()
	if want := text(i); r.Kind != want.Kind || !bytes.Equal(r.Payload, want.Payload) {
		t.Fatalf("record %d: kind %d, %q", i, r.Kind, r.Payload)
	}
}

func TestCompactKeepsPositions(t *testing.T) {
	o := Options{Dir: t.TempDir(), SegmentSize: 100 << 10}
	l := open(t, o)
	at := fill(t, l, 1000)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	wanted := map[Position]int{}
	for i, p := range at {
		if p.Segment > 2 || i%7 == 0 {
			wanted[p] = i
		}
	}
	check := func(l *Log) {
		t.Helper()
		for i, p := range at {
			r, err := l.Read(p, nil)
			if _, ok := wanted[p]; ok {
				if err != nil {
					t.Fatalf("record %d at %v: %v", i, p, err)
				}
				same(t, r, i)
			} else if !errors.Is(err, ErrGone) {
				t.Fatalf("record %d, which was dropped: %v", i, err)
			}
		}
		left := slices.SortedFunc(maps.Keys(wanted), func(a, b Position) int {
			if a.Before(b) {
				return -1
			}
			return 1
		})
		for _, first := range []int{0, 1, 17, len(left) - 1} {
			i := first
			for r, err := range l.Scan(context.Background(), left[first]) {
				if err != nil || r.Position != left[i] {
					t.Fatalf("scan from %v: %v instead of %v, %v", left[first], r.Position, left[i], err)
				}
				same(t, r.Record, wanted[left[i]])
				i++
			}
			if i != len(left) {
				t.Errorf("scan from %d on ends at %d", first, i)
			}
		}
	}
	keep := func(p Position, _ uint8, _ int) bool { _, ok := wanted[p]; return ok }
	var size int64
	for range 2 { // the second time of what is compacted
		for n := range uint64(2) {
			c, err := l.Compact(context.Background(), n+1, keep, nil)
			if err != nil || c.After > c.Before || len(c.Damage) > 0 {
				t.Fatalf("%+v, %v", c, err)
			}
		}
		check(l)
		if size != 0 && l.Size() != size {
			t.Errorf("size was %d, is %d", size, l.Size())
		}
		size = l.Size()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, o)
	if r := l.Recovered(); len(r) > 0 {
		t.Error(r)
	}
	if l.Size() < size {
		t.Errorf("size was %d, is %d", size, l.Size())
	}
	check(l)
	if _, err := l.Compact(context.Background(), 99, keep, nil); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
}

func TestCompactWhileRead(t *testing.T) {
	l := open(t, Options{Dir: t.TempDir(), SegmentSize: 50 << 10})
	at := fill(t, l, 400)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	i := 0
	for r, err := range l.Scan(context.Background(), Position{}) {
		if err != nil {
			t.Fatal(err)
		}
		same(t, r.Record, i)
		if i == 10 {
			for _, info := range l.Segments() {
				if info.Sealed {
					if _, err := l.Compact(context.Background(), info.Number, func(p Position, _ uint8, _ int) bool { return p.Segment > at[0].Segment }, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		i++
	}
	if i != len(at) {
		t.Errorf("%d records of %d", i, len(at))
	}
}

func TestRemove(t *testing.T) {
	o := Options{Dir: t.TempDir(), SegmentSize: 50 << 10}
	l := open(t, o)
	at := fill(t, l, 400)
	for _, info := range l.Segments() {
		if err := l.Remove(info.Number); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Read(at[0], nil); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	if err := l.Remove(1); !errors.Is(err, ErrGone) {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, o)
	if p := fill(t, l, 1); !at[len(at)-1].Before(p[0]) {
		t.Errorf("a position is given again: %v", p)
	}
}

// TestCompactWaitsForNobody removes a segment, appends, and closes the log while segments
// are being compacted.
func TestCompactWaitsForNobody(t *testing.T) {
	dir := t.TempDir()
	l := open(t, Options{Dir: dir, SegmentSize: 10 << 10})
	fill(t, l, 100)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	began, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	keep := func(Position, uint8, int) bool {
		once.Do(func() { close(began); <-goOn })
		return true
	}
	ended := make(chan error, 1)
	compact := func(n uint64) {
		go func() { _, err := l.Compact(context.Background(), n, keep, nil); ended <- err }()
		<-began
	}
	compact(2)
	if _, err := l.Compact(context.Background(), 2, keep, nil); err == nil || errors.Is(err, ErrGone) {
		t.Errorf("twice at once: %v", err)
	}
	if err := errors.Join(l.Remove(1), l.Remove(2)); err != nil {
		t.Fatal(err)
	}
	fill(t, l, 10)
	close(goOn)
	if err := <-ended; !errors.Is(err, ErrGone) {
		t.Errorf("of what was removed meanwhile: %v", err)
	}
	began, goOn, once = make(chan struct{}), make(chan struct{}), sync.Once{}
	compact(3)
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	<-l.closing
	close(goOn)
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("of a log that is closed: %v", err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	names, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range names {
		if strings.HasSuffix(e.Name(), newSuffix) || e.Name() == fileName(2) {
			t.Errorf("there is %s", e.Name())
		}
	}
}

// What takes the place of a payload is read there from then on, also when the log is encrypted: then it
// is sealed under a nonce of its own. What would be longer does not.
func TestCompactAnew(t *testing.T) {
	for _, secret := range []string{"", "AGE-SECRET-KEY-1X9KP3TVDL9ZKR7XCCUURF5JZPXDQW7TKGP055R3DML3YFSU03J4SHX5X52"} {
		o := Options{Dir: t.TempDir(), SegmentSize: 20 << 10, Secret: []byte(secret), Gist: func(_ uint8, b []byte) int { return min(len(b), 4) }}
		l := open(t, o)
		at := fill(t, l, 100)
		if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		for round := range 3 { // again, of what was replaced, too
			_, err := l.Compact(context.Background(), 1, func(Position, uint8, int) bool { return true }, func(p Position) []byte {
				switch i := slices.Index(at, p); {
				case i == 30:
					return make([]byte, 10_000)
				case i%2 == 1 && i > 20:
					return fmt.Appendf(nil, "anew %d, %d", i, round)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				for i, p := range at[:50] {
					r, err := l.Read(p, nil)
					if err != nil {
						t.Fatalf("record %d: %v", i, err)
					}
					if i%2 == 0 || i <= 20 {
						same(t, r, i)
					} else if want := fmt.Sprintf("anew %d, %d", i, round); r.Kind != text(i).Kind || string(r.Payload) != want {
						t.Fatalf("record %d: kind %d, %q", i, r.Kind, r.Payload)
					}
				}
				n := 0
				for r, err := range l.Scan(context.Background(), Position{}) {
					if err != nil || r.Position != at[n] {
						t.Fatalf("record %d is at %v: %v", n, r.Position, err)
					}
					n++
				}
				for line, err := range l.Outline(context.Background()) {
					if err != nil || line.Kind > 5 {
						t.Fatalf("%+v, %v", line, err)
					}
					n--
				}
				if n != 0 {
					t.Fatalf("%d records more than lines", n)
				}
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				l = open(t, o)
			}
		}
	}
}

// An opening is an FS that calls back when a file was opened.
type opening struct {
	FS
	opened func(name string)
}

func (o *opening) Open(name string) (File, error) {
	f, err := o.FS.Open(name)
	if o.opened != nil {
		o.opened(name)
	}
	return f, err
}

// Who opens a file just before it is replaced reads that, and not for ever.
func TestCompactWhileOpened(t *testing.T) {
	files, err := Dir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := &opening{FS: files}
	l := open(t, Options{FS: o, SegmentSize: 10 << 10})
	at := fill(t, l, 100)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	l.Renew(1)
	o.opened = func(string) {
		o.opened = nil
		if _, err := l.Compact(context.Background(), 1, func(p Position, _ uint8, _ int) bool { return p != at[3] }, nil); err != nil {
			t.Error(err)
		}
	}
	r, err := l.Read(at[3], nil)
	if err != nil {
		t.Fatal(err)
	}
	same(t, r, 3)
	if _, err := l.Read(at[3], nil); !errors.Is(err, ErrGone) {
		t.Errorf("of what is in no file any more: %v", err)
	}
}
