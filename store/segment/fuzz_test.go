package segment

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// FuzzOpen opens, reads, compacts and opens again a directory with a hostile segment.
// If mend is set its checksums are made right, as somebody would who means harm.
func FuzzOpen(f *testing.F) {
	for _, file := range corpus(f) {
		f.Add(file, false)
		f.Add(file, true)
		f.Add(file[:len(file)-7], false)
	}
	f.Add([]byte{}, false)
	f.Add(make([]byte, headerSize+100), true)
	f.Fuzz(func(t *testing.T, b []byte, mend bool) {
		if mend {
			b = mended(b)
		}
		o := Options{Dir: t.TempDir(), Gist: begin}
		if err := os.WriteFile(filepath.Join(o.Dir, fileName(1)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		before := allocated()
		r, err := OpenReader(o)
		if err != nil {
			t.Fatal(err)
		}
		n := walkAll(t, r.Scan(context.Background(), Position{}), r.Read, len(b), mend)
		listed, _ := lines(t, r.Outline(context.Background()))
		if _, err := r.Segments(); err != nil {
			t.Fatal(err)
		}
		r.Close()
		l, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if m := walkAll(t, l.Scan(context.Background(), Position{}), l.Read, len(b), mend); m != n {
			t.Errorf("a reader finds %d records, the log %d", n, m)
		}
		if again, _ := lines(t, l.Outline(context.Background())); len(again) != len(listed) {
			t.Errorf("a reader finds %d records, the log %d, in the outline", len(listed), len(again))
		}
		var gone *Damage
		if _, err := l.Compact(context.Background(), 1, func(p Position, _ uint8, _ int) bool { return p.Offset%3 > 0 }, nil); err != nil && !errors.Is(err, ErrGone) && !errors.As(err, &gone) {
			t.Fatal(err)
		}
		walkAll(t, l.Scan(context.Background(), Position{}), l.Read, len(b), mend)
		// Buffers to scan with, and per record one to read it to.
		if used := allocated() - before; used > uint64(2<<20+(n+1)*(64<<10)+64*len(b)) {
			t.Errorf("%d bytes of memory for a file of %d", used, len(b))
		}
	})
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// walkAll reads what a scan finds, and returns how many records there are. Somebody
// may have marked them wrong.
func walkAll(t *testing.T, scan func(func(At, error) bool), read func(Position, []byte) (Record, error), size int, marked bool) (n int) {
	t.Helper()
	steps := 0
	for at, err := range scan {
		if steps++; steps > size+2 {
			t.Fatal("the scan does not end")
		}
		var damage *Damage
		switch {
		case errors.As(err, &damage):
			continue
		case err != nil:
			t.Fatal(err)
		}
		n++
		r, err := read(at.Position, nil)
		if marked && errors.Is(err, ErrGone) { // marks that mean harm point elsewhere
			continue
		}
		if err != nil || r.Kind != at.Kind || string(r.Payload) != string(at.Payload) {
			t.Fatalf("%v: scanned %q, read %q, %v", at.Position, at.Payload, r.Payload, err)
		}
	}
	return n
}

// corpus returns files of segments: sealed, not sealed, and compacted.
func corpus(f *testing.F) (out [][]byte) {
	f.Helper()
	dir := f.TempDir()
	l, err := Open(Options{Dir: dir, Gist: begin})
	if err != nil {
		f.Fatal(err)
	}
	defer l.Close()
	take := func() {
		b, err := os.ReadFile(filepath.Join(dir, fileName(1)))
		if err != nil {
			f.Fatal(err)
		}
		out = append(out, b)
	}
	for i := range 8 {
		if _, err := l.Append(Record{Kind: 1, Payload: []byte("payload")[:i%7]}); err != nil {
			f.Fatal(err)
		}
	}
	take()
	l.append.Lock()
	l.retireLocked()
	l.append.Unlock()
	if err := l.Sync(); err != nil {
		f.Fatal(err)
	}
	take()
	if _, err := l.Compact(context.Background(), 1, func(p Position, _ uint8, _ int) bool { return p.Offset%2 == 0 }, nil); err != nil {
		f.Fatal(err)
	}
	take()
	return out
}

// mended returns b with the checksums that it would have to have: those of the header,
// of what stands where frames would, and of their payloads.
func mended(b []byte) []byte {
	if len(b) < headerSize {
		return b
	}
	b = append([]byte(nil), b...)
	h, err := parseHeader(b)
	if err != nil {
		h = header{number: 1, flags: uint16(b[10]) & flagCompacted}
		copy(b, h.bytes())
	}
	for at := int64(headerSize); at+frameSize <= int64(len(b)); {
		f := frame{length: int(b[at]) | int(b[at+1])<<8, kind: b[at+3], offset: at}
		if h.flags&flagCompacted != 0 {
			f.offset = int64(b[at+4]) | int64(b[at+5])<<8
		}
		if end := at + f.size(); end <= int64(len(b)) {
			f.sum = checksum(b[at+frameSize : end])
		}
		f.put(b[at:], h.seed())
		at += f.size()
	}
	return b
}
