package record

import (
	"time"

	"transom/flow"
	"transom/internal/engine/bus"
)

// Who follows is told of growth: that a response has begun, that bytes of a
// body or a message were kept. The snapshot is made when the follower gets to
// it, so what that costs, and how often, is the follower's affair. The store, which has the
// bytes, is put the beginning and the end; and what is under way for long, each time that it has
// lasted twice as long, so that what a crash leaves of it has a head.

// slow is how long an exchange is under way before the store is told more of it.
const slow = time.Second

// grew tells that there is more of the exchange.
func (x *live) grew() {
	x.c.r.Bus.Grew(x.start.flow.ID, x)
	age := time.Since(x.start.flow.Start)
	told := x.told.Load()
	if age < slow || age < 2*time.Duration(told) || !x.told.CompareAndSwap(told, int64(age)) {
		return
	}
	if f := x.Snapshot(); f != nil {
		x.c.r.keep(f)
	}
}

// Snapshot implements bus.Growing.
func (x *live) Snapshot() *flow.Flow {
	s := new(startSnapshot)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.finished {
		return nil
	}
	x.rev++
	s.flow = x.start.flow
	s.flow.Rev, s.flow.Conn, s.flow.Detail = x.rev, x.c.with(x.conn), &s.http
	s.http.Response = x.kept.http.Response
	x.describeLocked(&s.http)
	x.withholdLocked(&s.http)
	return &s.flow
}

// withholdLocked leaves out what middleware can still make another thing of.
func (x *live) withholdLocked(h *flow.HTTP) {
	if !x.responded {
		h.Response, h.OriginalResponse = nil, nil
		h.ResponseBody, h.OriginalResponseBody, h.ResponseTrailer = flow.BodyRef{}, nil, nil
	}
	if !x.responded && !x.forwarded {
		h.RequestBody, h.OriginalRequestBody = flow.BodyRef{}, nil
	}
}

// Snapshot implements bus.Growing.
func (m *Messages) Snapshot() *flow.Flow {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return nil
	}
	m.rev++
	f, d := m.start, m.snapshotLocked()
	f.Rev, f.Conn, f.Detail = m.rev, m.c.with(f.Conn), &d
	return &f
}

var (
	_ bus.Growing = (*live)(nil)
	_ bus.Growing = (*Messages)(nil)
)
