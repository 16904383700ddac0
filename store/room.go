package store

import "transom/flow"

// A shared value is kept once for all flows that refer to it.
type shared struct {
	refs int
	cost int64
}

// refer counts what f shares with other flows.
func (m *Memory) refer(f *flow.Flow, connCost int64) {
	if f.Conn != nil {
		s := m.conns[f.Conn]
		if s.refs == 0 {
			s.cost = connCost
			m.used += connCost
		}
		s.refs++
		m.conns[f.Conn] = s
	}
	for _, ref := range bodiesOf(f) {
		if b := m.bodies[ref]; b != nil {
			b.refs++
		}
	}
}

// release gives up what f shares with other flows.
func (m *Memory) release(f *flow.Flow) {
	if f.Conn != nil {
		s := m.conns[f.Conn]
		if s.refs--; s.refs == 0 {
			m.used -= s.cost
			delete(m.conns, f.Conn)
		} else {
			m.conns[f.Conn] = s
		}
	}
	for _, ref := range bodiesOf(f) {
		b := m.bodies[ref]
		if b == nil {
			continue
		}
		if b.refs--; b.refs == 0 && b.closed {
			m.drop(b)
		}
	}
}

// makeRoom drops flows until at most limit is used, open ones only if all, and
// reports whether it could.
func (m *Memory) makeRoom(limit int64, all bool) bool {
	for m.used > limit {
		switch {
		case m.done.first != nil:
			m.stats.Evicted++
			m.evict(m.done.first)
		case all && m.open.first != nil:
			m.stats.EvictedOpen++
			m.evict(m.open.first)
		default:
			return false
		}
	}
	return true
}

// evict drops a flow and, so that room is made, the bodies only it refers to,
// though they may still be written.
func (m *Memory) evict(e *entry) {
	e.list.remove(e)
	m.flows.remove(e.flow.ID)
	m.used -= e.cost
	for _, ref := range bodiesOf(e.flow) {
		if b := m.bodies[ref]; b != nil && b.refs == 1 {
			m.drop(b)
		}
	}
	m.release(e.flow)
}

// drop forgets a body.
func (m *Memory) drop(b *body) {
	delete(m.bodies, b.number)
	m.used -= b.cost
	b.forget()
}

// roomForBodies is how full the store may get for the sake of a body.
func (m *Memory) roomForBodies() int64 { return m.max - m.max/8 }

// reserve takes n bytes for a body, and reports whether it may.
func (m *Memory) reserve(b *body, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.bodies[b.number] != b || !m.makeRoom(m.roomForBodies()-n, false) {
		return false
	}
	if m.bodies[b.number] != b { // it was what made room
		return false
	}
	m.used += n
	b.cost += n
	return true
}
