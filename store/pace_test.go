package store

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// A pace keeps to its rate, waits while the queue is over a quarter full, and ends with
// its context.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &Disk{o: DiskOptions{Queue: 1 << 20}}
		p := &pace{d: d, rate: 1 << 20}
		begun := time.Now()
		for range 40 {
			if err := p.spend(t.Context(), 256<<10); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begun); took != 10*time.Second {
			t.Errorf("10 MiB took %v", took)
		}
		d.used = 1<<18 + 1
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.spend(ctx, 1<<20) }()
		time.Sleep(time.Hour)
		select {
		case err := <-done:
			t.Fatalf("it went on: %v", err)
		default:
		}
		stop()
		if err := <-done; err == nil {
			t.Error("it did not end")
		}
		go func() { done <- p.spend(t.Context(), 1<<20) }()
		time.Sleep(time.Hour)
		d.mu.Lock()
		d.used = 0
		d.mu.Unlock()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
