package helper

import "time"

// pingEvery is how often the proxy is asked whether it is there.
const pingEvery = time.Second

// A pulse finds out whether the proxy still answers. It knows no clock.
type pulse struct {
	every    time.Duration // between pings
	patience time.Duration // without an answer

	id      uint64 // of the last ping
	waiting bool   // for its answer
	at      time.Time
	hung    bool
}

// tick is called now and then. It says whether to send a ping, with p.id, and
// whether the proxy has just been found hung.
func (p *pulse) tick(now time.Time) (ping, hung bool) {
	since := now.Sub(p.at)
	switch {
	case !p.waiting && since >= p.every:
		p.id++
		p.waiting, p.at = true, now
		return true, false
	case p.waiting && !p.hung && since >= p.patience:
		p.hung, p.at = true, now
		return false, true
	case p.hung && since >= p.every: // the ping may have found no room
		p.at = now
		return true, false
	}
	return false, false
}

// pong takes an answer. It reports whether the proxy was hung and is back.
func (p *pulse) pong(id uint64) (back bool) {
	if !p.waiting || id != p.id {
		return false
	}
	back = p.hung
	p.waiting, p.hung = false, false
	return back
}
