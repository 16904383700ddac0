package h2

// maxStreamWindow is the most that a stream may have been allowed to send and
// nobody has read.
const maxStreamWindow = maxBuffered

// pair has r and the client's stream that it goes on from know each other, so
// that what one side lets the other send, the other lets its own peer send.
func (c *Client) pair(r *reply) {
	h := r.req.H2
	c.mu.Lock()
	down := c.down
	c.mu.Unlock()
	if h == nil || down == nil {
		return
	}
	down.mu.Lock()
	near := down.streams[h.Stream]
	var room int64
	if near != nil {
		near.far, room = &r.stream, near.send
		near.cond.Broadcast()
	}
	down.mu.Unlock()
	if near == nil {
		return
	}
	r.widen(room)
	c.mu.Lock()
	r.far, room = near, r.stream.send
	c.mu.Unlock()
	near.widen(room)
}

// farReset returns how the peer has reset what the stream goes on as.
func (s *stream) farReset() (code Code, ok bool) {
	s.c.mu.Lock()
	far := s.far
	s.c.mu.Unlock()
	if far == nil {
		return 0, false
	}
	far.c.mu.Lock()
	defer far.c.mu.Unlock()
	reset, ok := far.err.(*StreamError)
	if !ok || !reset.Remote {
		return 0, false
	}
	return reset.Code, true
}

// widen lets the peer send as much as the other side takes, room, less what
// waits to go there. Windows that SETTINGS opened alike need nothing.
func (s *stream) widen(room int64) {
	c := s.c
	c.mu.Lock()
	n := min(room, maxStreamWindow) - s.recv - s.owed - int64(s.buf.n)
	give := s.in == nil && !s.abandoned && n > 0 && (n >= c.recvInit/4 || s.recv < minWindow)
	if give {
		n = max(n, minWindow-s.recv)
		s.giveLocked(n)
	}
	c.mu.Unlock()
	if give {
		c.kick()
	}
}
