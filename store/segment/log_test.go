package segment

import (
	"bytes"
	"context"
	"fmt"
	"testing"
)

func open(t *testing.T, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// text is a record that says which it is.
func text(i int) Record {
	return Record{Kind: uint8(i%5 + 1), Payload: bytes.Repeat(fmt.Appendf(nil, "record %d.", i), i%100+1)}
}

func TestAppendReadScan(t *testing.T) {
	o := Options{Dir: t.TempDir() + "/store", SegmentSize: 20 << 10}
	l := open(t, o)
	var at []Position
	for i := 0; i < 1000; i += 4 {
		p, err := l.Append(text(i), text(i+1), text(i+2), text(i+3))
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, p...)
	}
	check := func(l *Log) {
		t.Helper()
		if n := len(l.Segments()); n < 10 {
			t.Errorf("%d segments", n)
		}
		for i, p := range at {
			r, err := l.Read(p, nil)
			if err != nil || r.Kind != text(i).Kind || !bytes.Equal(r.Payload, text(i).Payload) {
				t.Fatalf("record %d at %v: %q, %v", i, p, r.Payload, err)
			}
		}
		for _, first := range []int{0, 1, 500, 999} {
			i := first
			for r, err := range l.Scan(context.Background(), at[first]) {
				if err != nil || r.Position != at[i] || r.Kind != text(i).Kind || !bytes.Equal(r.Payload, text(i).Payload) {
					t.Fatalf("record %d: %v, %v", i, r, err)
				}
				i++
			}
			if i != 1000 {
				t.Errorf("a scan from %d on ends at %d", first, i)
			}
		}
	}
	check(l)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	check(l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, o)
	if r := l.Recovered(); len(r) != 0 {
		t.Error(r)
	}
	check(l)
	p, err := l.Append(text(7))
	if err != nil || !at[999].Before(p[0]) {
		t.Errorf("appended at %v, %v", p, err)
	}
}
