package bus_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transom/flow"
	"transom/internal/engine/bus"
)

// A growing flow has one Rev more each time it is asked, and none at its end.
type growing struct {
	id    byte
	mu    sync.Mutex
	rev   uint32
	ended bool
}

func (g *growing) Snapshot() *flow.Flow {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ended {
		return nil
	}
	g.rev++
	return snapshot(g.id, g.rev)
}

func TestGrowth(t *testing.T) {
	for _, tc := range []struct {
		name   string
		do     func(b *bus.Bus, g *growing)
		want   []news
		missed string
	}{
		{"once-however-often", func(b *bus.Bus, g *growing) {
			for range 100 {
				b.Grew(flow.ID{1}, g)
			}
		}, []news{{1, 1}}, ""},
		{"takes-no-room", func(b *bus.Bus, g *growing) {
			b.Publish(snapshot(7, 0))
			b.Publish(snapshot(8, 0))
			b.Grew(flow.ID{1}, g)
			b.Grew(flow.ID{2}, &growing{id: 2})
		}, []news{{7, 0}, {8, 0}, {1, 1}, {2, 1}}, ""},
		{"replaces-the-beginning", func(b *bus.Bus, g *growing) {
			b.Publish(snapshot(1, 0))
			b.Grew(flow.ID{1}, g)
			b.Publish(snapshot(7, 0))
			b.Publish(snapshot(8, 0))
		}, []news{{1, 1}, {7, 0}, {8, 0}}, ""},
		{"makes-up-for-the-beginning", func(b *bus.Bus, g *growing) {
			b.Publish(snapshot(7, 0))
			b.Publish(snapshot(8, 0))
			b.Publish(snapshot(1, 0))
			b.Grew(flow.ID{1}, g)
		}, []news{{7, 0}, {8, 0}, {1, 1}}, ""},
		{"not-past-the-end", func(b *bus.Bus, g *growing) {
			b.Publish(snapshot(1, end))
			b.Grew(flow.ID{1}, g)
		}, []news{{1, end}}, ""},
		{"end-replaces", func(b *bus.Bus, g *growing) {
			b.Grew(flow.ID{1}, g)
			b.Publish(snapshot(7, 0))
			b.Publish(snapshot(1, end))
		}, []news{{7, 0}, {1, end}}, ""},
		{"end-missed", func(b *bus.Bus, g *growing) {
			b.Grew(flow.ID{1}, g)
			b.Publish(snapshot(7, 0))
			b.Publish(snapshot(8, 0))
			b.Publish(snapshot(1, end))
		}, []news{{7, 0}, {8, 0}}, "1!"},
		{"ended-meanwhile", func(b *bus.Bus, g *growing) {
			b.Grew(flow.ID{1}, g)
			g.ended = true // and its end is not published yet
			b.Publish(snapshot(7, 0))
		}, []news{{7, 0}}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b bus.Bus
			s := b.Follow("test", 2)
			defer s.Close()
			for range 3 {
				tc.do(&b, &growing{id: 1})
				got, missed := next(t, s)
				if len(got) != len(tc.want) || missed != tc.missed {
					t.Fatalf("got %v and missed %q, want %v and %q", got, missed, tc.want, tc.missed)
				}
				for i := range got {
					if got[i] != tc.want[i] {
						t.Fatalf("got %v, want %v", got, tc.want)
					}
				}
			}
		})
	}
}

func TestGrowthIsForFollowers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus.Bus
		s, f := b.Subscribe("test", 4), b.Follow("follower", 4)
		defer s.Close()
		b.Grew(flow.ID{1}, &growing{id: 1})
		if got, _ := next(t, f); len(got) != 1 {
			t.Errorf("the follower got %v", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if n, err := s.Next(ctx); err == nil {
			t.Errorf("the subscriber got %v", n)
		}
		f.Close()
		b.Grew(flow.ID{1}, &growing{id: 1})
		if n, err := f.Next(t.Context()); err == nil {
			t.Errorf("after Close the follower got %v", n)
		}
	})
}

func BenchmarkGrew(b *testing.B) {
	g := &growing{id: 1}
	for _, subs := range []int{0, 1} {
		b.Run([]string{"alone", "followed"}[subs], func(b *testing.B) {
			var bs bus.Bus
			var wg sync.WaitGroup
			for range subs {
				s := bs.Follow("bench", 1024)
				wg.Go(func() {
					for {
						if _, err := s.Next(context.Background()); err != nil {
							return
						}
					}
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				bs.Grew(flow.ID{1}, g)
			}
			bs.Close()
			wg.Wait()
		})
	}
}
