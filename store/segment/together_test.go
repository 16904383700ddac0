package segment_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"

	"transom/store/segment"
)

// TestTogether has everything done at once.
func TestTogether(t *testing.T) {
	dir := t.TempDir()
	l, err := segment.Open(segment.Options{Dir: dir, SegmentSize: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu    sync.Mutex
		where = map[segment.Position]uint64{}
		done  = make(chan struct{})
		work  sync.WaitGroup
		rest  sync.WaitGroup
	)
	for w := range uint64(3) {
		work.Go(func() {
			for i := range uint64(150) {
				n := w<<32 | i
				batch := []segment.Record{numbered(n), numbered(n + 1<<20)}
				// What it returns is valid until the next call, which another may make.
				if _, err := l.Append(batch...); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					if err := l.Sync(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	until := func(f func() error) {
		rest.Go(func() {
			for {
				if err := f(); err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	until(func() error {
		for at, err := range l.Scan(context.Background(), segment.Position{}) {
			if err != nil {
				return err
			}
			mu.Lock()
			where[at.Position]++
			mu.Unlock()
		}
		return nil
	})
	until(func() error {
		mu.Lock()
		positions := maps.Clone(where)
		mu.Unlock()
		for p := range positions {
			if _, err := l.Read(p, nil); err != nil && !errors.Is(err, segment.ErrGone) {
				return err
			}
		}
		return nil
	})
	until(func() error {
		r, err := segment.OpenReader(segment.Options{Dir: dir})
		if err != nil {
			return err
		}
		defer r.Close()
		for at, err := range r.Scan(context.Background(), segment.Position{}) {
			if err != nil {
				return fmt.Errorf("reader at %v: %w", at.Position, err)
			}
		}
		return nil
	})
	until(func() error {
		for i, info := range l.Segments() {
			var err error
			switch {
			case !info.Sealed:
				continue
			case i == 0:
				err = l.Remove(info.Number)
			default:
				_, err = l.Compact(context.Background(), info.Number, func(p segment.Position, _ uint8, n int) bool { return n%3 > 0 }, nil)
			}
			if err != nil && !errors.Is(err, segment.ErrGone) {
				return err
			}
		}
		return nil
	})
	work.Wait()
	close(done)
	rest.Wait()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestAbandonedScan ends scans early, and closes what they had open.
func TestAbandonedScan(t *testing.T) {
	dir, at := record(t, nil)
	l, err := segment.Open(segment.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	because := errors.New("enough")
	n := 0
	for r, err := range l.Scan(ctx, segment.Position{}) {
		if n++; n == 3 {
			cancel(because)
		}
		if n == 4 {
			if !errors.Is(err, because) || r.Next != at[3] {
				t.Errorf("after it was cancelled: %v, %v", r, err)
			}
			break
		}
		if err != nil || !bytes.HasPrefix(r.Payload, []byte(plainText)) {
			t.Error(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	for _, err := range l.Scan(context.Background(), segment.Position{}) {
		if err == nil {
			t.Error("a scan of a closed log")
		}
	}
}
