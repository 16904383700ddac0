package record

import (
	"sync/atomic"
	"time"

	"transom/flow"
	"transom/internal/engine/bus"
)

// Who follows is told of growth: that a response has begun, that bytes of a
// body or a message were kept. The snapshot is made when the follower gets to
// it, so what that costs, and how often, is the follower's affair. The store, which has the
// bytes, is put the beginning and the end; and what is under way for long, each time that it has
// lasted twice as long, so that what a crash leaves of it has a head, and so has what is listed meanwhile.
// Bytes bring that about, and where none come any more Tend does.

// slow is how long an exchange or a conversation is under way before the store is told more
// of it.
const slow = time.Second

// A growth is how long what grows had lasted when the store was told of it.
type growth struct {
	told atomic.Int64
	more atomic.Bool // there has been something since
}

// due reports whether the store is to be told of what has begun at start.
func (g *growth) due(start, now time.Time) bool {
	age, told := now.Sub(start), g.told.Load()
	if age < slow || age < 2*time.Duration(told) || !g.told.CompareAndSwap(told, int64(age)) {
		return false
	}
	g.more.Store(false)
	return true
}

// grows says that there is more.
func (g *growth) grows() {
	if !g.more.Load() {
		g.more.Store(true)
	}
}

// Tend puts into the store what has stopped growing before it was slow, or since the store was told, so
// that it does not know less as long as nothing comes. Who serves the connection calls it now and then.
func (c *Conn) Tend(now time.Time) {
	for _, e := range c.unfinished() {
		e.tend(now)
	}
}

// tend implements ender.
func (x *live) tend(now time.Time) {
	if x.more.Load() && x.growth.due(x.start.flow.Start, now) {
		x.c.r.keepGrowing(x)
	}
}

// tend implements ender.
func (m *Messages) tend(now time.Time) {
	if m.more.Load() && m.growth.due(m.start.Start, now) {
		m.c.r.keepGrowing(m)
	}
}

// grew tells that there is more of the exchange.
func (x *live) grew() {
	x.c.r.Bus.Grew(x.start.flow.ID, x)
	x.grows()
	if x.growth.due(x.start.flow.Start, time.Now()) {
		x.c.r.keepGrowing(x)
	}
}

// grew tells that there is more of the conversation.
func (m *Messages) grew(now time.Time) {
	m.c.r.Bus.Grew(m.start.ID, m)
	m.grows()
	if m.growth.due(m.start.Start, now) {
		m.c.r.keepGrowing(m)
	}
}

// keepGrowing puts what grows into the store, as it is now.
func (r *Recorder) keepGrowing(g bus.Growing) {
	if f := g.Snapshot(); f != nil {
		r.keep(f)
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
