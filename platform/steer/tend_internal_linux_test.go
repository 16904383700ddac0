package steer

import (
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform"
)

func TestPace(t *testing.T) {
	var p pace
	now := time.Unix(1e9, 0)
	step := func(after time.Duration, wait time.Duration, slower bool) {
		t.Helper()
		now = now.Add(after)
		if w, s := p.step(now, []string{"a table"}); w != wait || s != slower {
			t.Errorf("waits %v, slower %v; want %v, %v", w, s, wait, slower)
		}
	}
	for range freeTimes {
		step(paceOf/10, 0, false)
	}
	step(paceOf/10, paceOf, true)
	for range 20 {
		step(paceOf, paceOf, false) // said once
	}
	step(3*paceOf, 0, false) // two more than one are given back
	step(paceOf/10, 0, false)
	step(paceOf/10, paceOf, false)
	for range 2 { // after a while it is as if nothing had been
		step(time.Hour, 0, false)
	}
	for range freeTimes - 1 {
		step(paceOf/10, 0, false)
	}
	step(paceOf/10, paceOf, true)
}

// TestPaceCountsThings: what was taken away in pieces was taken away once, and what is
// taken away as often as before is found to be among others.
func TestPaceCountsThings(t *testing.T) {
	var p pace
	now := time.Unix(1e9, 0)
	pieces := []string{"a table", "a route", "a rule", "another rule", "rules in the chains of others"}
	for range freeTimes {
		for _, what := range pieces {
			if w, _ := p.step(now, []string{what}); w != 0 {
				t.Fatalf("%s: waits %v", what, w)
			}
		}
	}
	if w, slower := p.step(now, pieces[1:3]); w != paceOf || !slower {
		t.Errorf("waits %v, slower %v", w, slower)
	}
	if w, slower := p.step(now, []string{"something new"}); w != 0 || slower {
		t.Errorf("something else: waits %v, slower %v", w, slower)
	}
	for range 3 * freeTimes {
		now = now.Add(paceOf / 2)
		p.step(now, pieces[:1])
	}
	p.step(now.Add(time.Hour), pieces[:1])
	if len(p.times) != 1 || p.slow {
		t.Errorf("after an hour: %v, slow %v", p.times, p.slow)
	}
}

// TestPaceTells what fails again and again as that, and as nobody's doing; and
// not for ever.
func TestPaceTells(t *testing.T) {
	for name, tt := range map[string]struct {
		found      mended
		says, last string
	}{
		"taken-away": {mended{lost: []string{"a table"}}, "it is back", "again and again"},
		"fails":      {mended{err: errors.New("no room")}, "can't be put back", "tried again from now on"},
	} {
		t.Run(name, func(t *testing.T) {
			var p pace
			var said testnet.Log
			log := slog.New(slog.NewTextHandler(&said, nil))
			now := time.Unix(1e9, 0)
			for range 3 * freeTimes {
				_, slower := p.step(now, tt.found.things())
				p.tell(log, tt.found, slower, "go direct")
			}
			lines := strings.Split(strings.TrimSpace(said.String()), "\n")
			if len(lines) != freeTimes+1 || !strings.Contains(lines[0], tt.says) || !strings.Contains(lines[freeTimes], tt.last) {
				t.Errorf("it says %q", lines)
			}
		})
	}
}

// TestTenderRests: who looks long looks as much less often, however much happens.
func TestTenderRests(t *testing.T) {
	for name, tt := range map[string]struct {
		took  time.Duration
		looks int // in ten seconds
	}{
		"short": {500 * time.Microsecond, 953},
		"long":  {50 * time.Millisecond, 10},
		"ever":  {time.Second, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newTender()
				var looks atomic.Int32
				n.start(func() time.Duration {
					looks.Add(1)
					time.Sleep(tt.took)
					return rest(tt.took)
				})
				for range 100_000 {
					select {
					case n.stir <- struct{}{}:
					default:
					}
					time.Sleep(100 * time.Microsecond)
				}
				if err := n.stop(); err != nil {
					t.Error(err)
				}
				if got := int(looks.Load()); got < tt.looks-1 || got > tt.looks+1 {
					t.Errorf("%d looks, want %d", got, tt.looks)
				}
			})
		})
	}
}

// TestKernelRests: the kernel's tender does so.
func TestKernelRests(t *testing.T) {
	n := labtest.Gateway(t)
	if err := n.Gateway.Do(func() error {
		k, err := Open(nil)
		if err != nil {
			return err
		}
		defer k.Close()
		s := platform.Steering{Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}}
		if err := k.Apply(t.Context(), s); err != nil {
			return err
		}
		if k.tend() == 0 {
			t.Error("it looks again at once")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// lifting is a lifter that notes when it is asked.
type lifting struct {
	*tender
	times  []time.Time
	enough chan struct{} // closed at the second time
}

func (l *lifting) bringAgainLocked() error {
	if l.times = append(l.times, time.Now()); len(l.times) == 2 {
		close(l.enough)
	}
	return nil
}

// TestCapturedAgain: after the last thing was taken away it is two waits until new
// connections are captured again, though nothing happens that could be heard.
func TestCapturedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newTender()
		l := &lifting{tender: n, enough: make(chan struct{})}
		g := &ground{now: platform.Steering{Port: 8080}}
		looks := 0
		n.start(func() time.Duration {
			var m mended
			if looks++; looks <= freeTimes+2 { // the last of them while it is waited
				m.lost = []string{"a table"}
			}
			if looks <= freeTimes {
				n.poke()
			}
			return g.afterLocked(l, slog.New(slog.DiscardHandler), m, time.Now())
		})
		<-l.enough
		if err := n.stop(); err != nil {
			t.Error(err)
		}
		if took := l.times[1].Sub(l.times[0]); took != 2*paceOf || g.lifted {
			t.Errorf("after %v, want %v", took, 2*paceOf)
		}
	})
}
