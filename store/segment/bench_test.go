package segment_test

import (
	"context"
	"fmt"
	"testing"

	"transom/store/segment"
)

// sizes are records of a flow and of a piece of a body, and how many come at once.
var sizes = []struct{ size, batch int }{{1 << 10, 500}, {100 << 10, 50}}

func benchmarkLog(b *testing.B, encrypted bool) *segment.Log {
	b.Helper()
	o := segment.Options{Dir: b.TempDir()}
	if encrypted {
		o.Secret = secret(b)
	}
	l, err := segment.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

// each runs a benchmark for each size, plain and encrypted.
func each(b *testing.B, bench func(b *testing.B, l *segment.Log, batch []segment.Record)) {
	for _, s := range sizes {
		for _, encrypted := range []bool{false, true} {
			b.Run(fmt.Sprintf("size=%d/encrypted=%v", s.size, encrypted), func(b *testing.B) {
				batch := make([]segment.Record, s.batch)
				for i := range batch {
					batch[i] = segment.Record{Kind: 1, Payload: make([]byte, s.size)}
				}
				b.SetBytes(int64(s.size))
				b.ReportAllocs()
				bench(b, benchmarkLog(b, encrypted), batch)
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
			})
		}
	}
}

// BenchmarkAppendSync counts records; each batch is synced.
func BenchmarkAppendSync(b *testing.B) {
	each(b, func(b *testing.B, l *segment.Log, batch []segment.Record) { appendAll(b, l, batch, true) })
}

// BenchmarkAppend counts records; they are synced at the end.
func BenchmarkAppend(b *testing.B) {
	each(b, func(b *testing.B, l *segment.Log, batch []segment.Record) { appendAll(b, l, batch, false) })
}

func appendAll(b *testing.B, l *segment.Log, batch []segment.Record, sync bool) {
	for n := b.N; n > 0; n -= len(batch) {
		if _, err := l.Append(batch[:min(n, len(batch))]...); err != nil {
			b.Fatal(err)
		}
		if sync {
			if err := l.Sync(); err != nil {
				b.Fatal(err)
			}
		}
		if infos := l.Segments(); len(infos) > 8 { // leave the disk some room
			if err := l.Remove(infos[0].Number); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := l.Sync(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRead reads records in no order.
func BenchmarkRead(b *testing.B) {
	each(b, func(b *testing.B, l *segment.Log, batch []segment.Record) {
		var at []segment.Position
		for range 10 {
			p, err := l.Append(batch...)
			if err != nil {
				b.Fatal(err)
			}
			at = append(at, p...)
		}
		dst := make([]byte, 128<<10)
		b.ResetTimer()
		for i := range b.N {
			if _, err := l.Read(at[i*7919%len(at)], dst); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkScan reads records in their order.
func BenchmarkScan(b *testing.B) {
	each(b, func(b *testing.B, l *segment.Log, batch []segment.Record) {
		for range 10 {
			if _, err := l.Append(batch...); err != nil {
				b.Fatal(err)
			}
		}
		b.ResetTimer()
		for n := 0; n < b.N; {
			for _, err := range l.Scan(context.Background(), segment.Position{}) {
				if err != nil {
					b.Fatal(err)
				}
				if n++; n == b.N {
					break
				}
			}
		}
	})
}

// TestAllocations holds what is done for each record to the buffers it has.
func TestAllocations(t *testing.T) {
	l, err := segment.Open(segment.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	batch := []segment.Record{{Kind: 1, Payload: make([]byte, 1000)}, {Kind: 2, Payload: make([]byte, 90000)}}
	at, err := l.Append(batch...)
	if err != nil {
		t.Fatal(err)
	}
	p := [2]segment.Position{at[0], at[1]}
	dst := make([]byte, 100<<10)
	for name, f := range map[string]func() error{
		"append": func() error { _, err := l.Append(batch...); return err },
		"read":   func() error { _, err := l.Read(p[0], dst); return err },
		"long":   func() error { _, err := l.Read(p[1], dst); return err },
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
