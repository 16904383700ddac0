package helper

import (
	"testing"
	"time"
)

func TestPulse(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	p := pulse{every: time.Second, patience: 5 * time.Second}
	at := func(s float64) time.Time { return begin.Add(time.Duration(s * float64(time.Second))) }
	tick := func(s float64, ping, hung bool) {
		t.Helper()
		if gotPing, gotHung := p.tick(at(s)); gotPing != ping || gotHung != hung {
			t.Errorf("at %v s: ping %v, hung %v", s, gotPing, gotHung)
		}
	}
	tick(0, true, false)
	tick(0.5, false, false)
	if p.pong(p.id + 1) {
		t.Error("back by another's pong")
	}
	if p.pong(p.id) {
		t.Error("back, but was not away")
	}
	tick(0.9, false, false)
	tick(1, true, false)
	tick(5.9, false, false)
	tick(6, false, true)
	tick(6.5, false, false)
	tick(7, true, false) // again: the first one may not have gone out
	tick(7.5, false, false)
	if !p.pong(p.id) {
		t.Error("not back")
	}
	if p.pong(p.id) {
		t.Error("back twice")
	}
	tick(8, true, false)
}

func TestRation(t *testing.T) {
	begin := time.Unix(1_700_000_000, 0)
	r := ration{most: 2, while: time.Minute}
	for i, want := range []struct {
		at      time.Duration
		ok      bool
		dropped int
	}{
		{0, true, 0},
		{time.Second, true, 0},
		{2 * time.Second, false, 0},
		{59 * time.Second, false, 0},
		{time.Minute, true, 2},
		{time.Minute, true, 0},
		{time.Minute, false, 0},
	} {
		if ok, dropped := r.take(begin.Add(want.at)); ok != want.ok || dropped != want.dropped {
			t.Errorf("%d: %v, %d", i, ok, dropped)
		}
	}
}
