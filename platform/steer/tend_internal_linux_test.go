package steer

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	var p pace
	now := time.Unix(1e9, 0)
	step := func(after time.Duration, wait time.Duration, slower bool) {
		t.Helper()
		now = now.Add(after)
		if w, s := p.step(now); w != wait || s != slower {
			t.Errorf("waits %v, slower %v; want %v, %v", w, s, wait, slower)
		}
	}
	for range freeTimes {
		step(time.Second, 0, false)
	}
	step(time.Second, paceOf, true)
	for range 20 {
		step(paceOf, paceOf, false) // said once
	}
	step(3*paceOf, 0, false) // two more than one are given back
	step(time.Second, 0, false)
	step(time.Second, paceOf, false)
	for range 2 { // after a while it is as if nothing had been
		step(time.Hour, 0, false)
	}
	for range freeTimes - 1 {
		step(time.Second, 0, false)
	}
	step(time.Second, paceOf, true)
}
