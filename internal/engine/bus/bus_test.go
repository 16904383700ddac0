package bus_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"transom/flow"
	"transom/internal/engine/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// end is the Rev of a snapshot that is a flow's last.
const end = 99

func snapshot(n byte, rev uint32) *flow.Flow {
	f := &flow.Flow{ID: flow.ID{n}, Rev: rev}
	if rev == end {
		f.State = flow.Done
	}
	return f
}

type news struct {
	id  byte
	rev uint32
}

func next(t *testing.T, s *bus.Subscription) (got []news, missed string) {
	t.Helper()
	n, err := s.Next(context.Background())
	if err != nil {
		t.Fatalf("Next: %v", err)
	}
	for _, f := range n.Flows {
		got = append(got, news{f.ID[0], f.Rev})
	}
	slices.SortFunc(n.Missed, func(a, b bus.Missed) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	for _, m := range n.Missed {
		missed += fmt.Sprint(m.ID[0])
		if m.Ended {
			missed += "!"
		}
		missed += " "
	}
	if n.Lost > 0 {
		missed += fmt.Sprint("and ", n.Lost)
	}
	return got, strings.TrimSpace(missed)
}

func TestNext(t *testing.T) {
	for _, tc := range []struct {
		name    string
		depth   int
		publish []news
		want    []news
		missed  string // flows, those that ended with "!", and how many besides
	}{
		{"in-order", 9, []news{{1, 0}, {2, 0}, {3, 0}}, []news{{1, 0}, {2, 0}, {3, 0}}, ""},
		{"replaced", 9, []news{{1, 0}, {2, 0}, {1, 1}}, []news{{2, 0}, {1, 1}}, ""},
		{"older-ignored", 9, []news{{1, 1}, {2, 0}, {1, 0}}, []news{{1, 1}, {2, 0}}, ""},
		{"full", 2, []news{{1, 0}, {2, 0}, {3, 0}, {4, end}}, []news{{1, 0}, {2, 0}}, "3 4!"},
		{"full-yet-replaced", 2, []news{{1, 0}, {2, 0}, {3, 0}, {1, 1}}, []news{{2, 0}, {1, 1}}, "3"},
		{"full-twice", 1, []news{{1, 0}, {2, 0}, {2, end}, {3, end}, {3, 0}}, []news{{1, 0}}, "2! 3!"},
		{"too-many", 1, []news{{1, 0}, {2, 0}, {3, 0}, {4, 0}, {5, 0}, {6, 0}, {7, 0}, {5, end}}, []news{{1, 0}}, "2 3 4 5! and 2"},
		{"replaced-often", 2, []news{{1, 0}, {2, 0}, {1, 1}, {2, 1}, {1, 2}, {2, 2}, {1, 3}, {1, 4}, {1, 5}}, []news{{2, 2}, {1, 5}}, ""},
		{"no-depth", 0, []news{{1, 0}, {2, 0}}, []news{{1, 0}}, "2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var b bus.Bus
			s := b.Subscribe("test", tc.depth)
			defer s.Close()
			for range 3 { // the second round uses what the first gave back
				for _, n := range tc.publish {
					b.Publish(snapshot(n.id, n.rev))
				}
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

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus.Bus
		s := b.Subscribe("test", 4)
		defer s.Close()
		time.AfterFunc(time.Hour, func() { b.Publish(snapshot(1, 0)) })
		began := time.Now()
		if got, _ := next(t, s); len(got) != 1 || time.Since(began) != time.Hour {
			t.Errorf("%v after %v", got, time.Since(began))
		}
	})
}

func TestNextEndsWithContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus.Bus
		s := b.Subscribe("test", 4)
		defer s.Close()
		why := errors.New("why")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		if _, err := s.Next(ctx); err != why {
			t.Errorf("%v", err)
		}
	})
}

func TestClose(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(*bus.Bus, *bus.Subscription)
	}{
		{"bus", func(b *bus.Bus, _ *bus.Subscription) { b.Close() }},
		{"subscription", func(_ *bus.Bus, s *bus.Subscription) { s.Close() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b bus.Bus
				s := b.Subscribe("test", 4)
				b.Publish(snapshot(1, 0))
				tc.end(&b, s)
				b.Publish(snapshot(2, 0))
				if got, _ := next(t, s); len(got) != 1 || got[0].id != 1 {
					t.Errorf("%v", got)
				}
				if _, err := s.Next(t.Context()); err != io.EOF {
					t.Errorf("%v", err)
				}
				s.Close()
			})
		})
	}
}

func TestCloseWakesNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bus.Bus
		s := b.Subscribe("test", 4)
		time.AfterFunc(time.Second, b.Close)
		if _, err := s.Next(t.Context()); err != io.EOF {
			t.Errorf("%v", err)
		}
		late := b.Subscribe("late", 4)
		defer late.Close()
		if _, err := late.Next(t.Context()); err != io.EOF {
			t.Errorf("after close: %v", err)
		}
	})
}

func TestNilBus(t *testing.T) {
	var b *bus.Bus
	b.Publish(snapshot(1, 0))
	b.Grew(flow.ID{1}, nil)
}

// Every snapshot is either seen, replaced by a later one, or counted.
func TestManyAtOnce(t *testing.T) {
	const publishers, each = 4, 2000
	var b bus.Bus
	s := b.Subscribe("test", 64)
	var wg, all sync.WaitGroup
	for range 3 { // others come and go meanwhile
		all.Go(func() {
			for range 200 {
				o := b.Subscribe("other", 1)
				o.Close()
			}
		})
	}
	for g := range publishers {
		wg.Go(func() {
			for i := range each {
				b.Publish(&flow.Flow{ID: flow.ID{byte(g), byte(i), byte(i >> 8)}})
			}
		})
	}
	seen, lost := 0, 0
	all.Go(func() {
		for {
			n, err := s.Next(context.Background())
			if err != nil {
				return
			}
			seen += len(n.Flows)
			lost += len(n.Missed) + n.Lost
		}
	})
	wg.Wait()
	b.Close()
	all.Wait()
	if seen+lost != publishers*each {
		t.Errorf("%d seen, %d missed, %d published", seen, lost, publishers*each)
	}
}

func TestPublishAllocatesNothing(t *testing.T) {
	var b bus.Bus
	f := snapshot(1, 0)
	if n := testing.AllocsPerRun(100, func() { b.Publish(f) }); n != 0 {
		t.Errorf("without subscribers: %v allocations", n)
	}
	g := &growing{id: 1}
	if n := testing.AllocsPerRun(100, func() { b.Grew(f.ID, g) }); n != 0 {
		t.Errorf("growth without followers: %v allocations", n)
	}
	s := b.Follow("test", 4)
	defer s.Close()
	if n := testing.AllocsPerRun(100, func() { b.Publish(f) }); n != 0 {
		t.Errorf("with a subscriber: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { b.Grew(f.ID, g) }); n != 0 {
		t.Errorf("growth with a follower: %v allocations", n)
	}
}

func BenchmarkPublish(b *testing.B) {
	f := snapshot(1, 0)
	for _, subs := range []int{0, 1} {
		b.Run([]string{"alone", "seen"}[subs], func(b *testing.B) {
			var bs bus.Bus
			var wg sync.WaitGroup
			for range subs {
				s := bs.Subscribe("bench", 1024)
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
				bs.Publish(f)
			}
			bs.Close()
			wg.Wait()
		})
	}
}
