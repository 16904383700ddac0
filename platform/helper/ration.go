package helper

import "time"

// A ration lets so many things pass in a while, and counts the others: a hostile
// proxy decides how often there is something to say or to do.
type ration struct {
	most  int
	while time.Duration

	began   time.Time
	used    int
	dropped int
}

// take reports whether one may pass, and how many have not since the last one.
func (r *ration) take(now time.Time) (ok bool, dropped int) {
	if now.Sub(r.began) >= r.while {
		r.began, r.used = now, 0
	}
	if r.used == r.most {
		r.dropped++
		return false, 0
	}
	r.used++
	dropped, r.dropped = r.dropped, 0
	return true, dropped
}
