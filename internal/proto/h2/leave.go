package h2

import (
	"errors"
	"io"
	"sync/atomic"
	"time"
)

// leftInOrder reports whether err is the client's end between two frames. By
// TLS it may be cut short: many clients end that way.
func (s *Server) leftInOrder(err error) bool {
	return !s.inBlock && (err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) && err != io.ErrUnexpectedEOF)
}

// End returns, after Serve and Linger, how the client has ended its side, nil if
// it has not.
func (s *Server) End() error { return s.in.err }

// letGo waits a moment for requests that had come whole when the client left
// without waiting for an answer: they are the server's to see.
func (s *Server) letGo() {
	var over atomic.Bool
	up := s.o.Upstream
	if up == nil {
		return
	}
	timer := time.AfterFunc(finishTime, func() {
		over.Store(true)
		s.wake()
		up.wake()
	})
	defer timer.Stop()
	for _, st := range s.whole() {
		s.mu.Lock()
		for st.far == nil && st.err == nil && !over.Load() {
			st.cond.Wait()
		}
		far := st.far
		s.mu.Unlock()
		if far == nil {
			continue
		}
		up.mu.Lock()
		for !far.sent && far.err == nil && !over.Load() {
			far.cond.Wait()
		}
		up.mu.Unlock()
	}
}

// whole returns the streams whose requests have come to their end.
func (s *Server) whole() (list []*stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range s.streams {
		if st.in == io.EOF {
			list = append(list, st)
		}
	}
	return list
}

// wake has everybody who waits for a stream look again.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.streams {
		s.cond.Broadcast()
	}
}

// A leave is a GOAWAY of the server's that waits for responses which had come
// whole before it: the client is to see them first.
type leave struct {
	frame []byte
	waits map[*stream]struct{}
}

// serverLeaves takes a GOAWAY; last is the highest of our streams that the
// server has seen.
func (s *Server) serverLeaves(last uint32, code Code, debug []byte) {
	s.mu.Lock()
	s.away, s.awayLast = true, last
	l := &leave{frame: appendGoAway(nil, last, code, string(debug)), waits: map[*stream]struct{}{}}
	for _, st := range s.streams {
		if far := st.far; far != nil && far.answered() {
			l.waits[st] = struct{}{}
		}
	}
	s.leaves = append(s.leaves, l)
	s.leaveLocked()
	s.mu.Unlock()
	s.kick()
}

// answered reports whether the peer has ended its side.
func (s *stream) answered() bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.in == io.EOF
}

// leaveLocked says what GOAWAY has nothing to wait for any more.
func (s *Server) leaveLocked() {
	for len(s.leaves) > 0 && len(s.leaves[0].waits) == 0 {
		l := s.leaves[0]
		s.leaves = s.leaves[1:]
		s.appendLocked(func(b []byte) []byte { return append(b, l.frame...) })
	}
}

// closedLocked implements side.
func (s *Server) closedLocked(st *stream) {
	for _, l := range s.leaves {
		delete(l.waits, st)
	}
	s.leaveLocked()
}
