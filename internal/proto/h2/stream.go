package h2

import (
	"errors"
	"io"
	"os"
	"slices"
	"sync"

	"transom/flow"
)

// A stream is one stream of a connection, whose lock guards it.
//
//	in    nil while the peer may send, io.EOF after END_STREAM, else why not
//	sent  we have sent END_STREAM
//	err   why it is over, if not by both: a reset either way, the connection's end
type stream struct {
	c    *conn
	id   uint32
	cond sync.Cond // any of what is below has changed

	buf       buffer
	in        error
	trailer   flow.Header
	recv      int64 // what the peer may send now
	owed      int64 // what was read and not given back
	declared  int64 // what content-length leaves to come, -1 if it is not said
	abandoned bool  // nobody reads it any more

	send     int64 // what we may send now
	starving bool  // it is in conn.starved
	sent     bool
	err      error

	far *stream // it goes on as, on the other connection; nil if that is not known

	exch   *exch   // that it belongs to, on a Server
	reply  *reply  // that it belongs to, on a Client
	tunnel *tunnel // that it has become; nil otherwise
}

// openLocked puts a new stream into the table.
func (s *stream) openLocked(c *conn, id uint32) {
	s.c, s.id, s.cond.L = c, id, &c.mu
	s.recv, s.send, s.declared = c.recvInit, c.window, -1
	c.streams[id] = s
	c.out.streams.Store(int32(len(c.streams)))
}

// endLocked ends the stream without telling the peer: it has told us, or there
// is no peer any more. What it had sent can still be read.
func (s *stream) endLocked(err error) {
	if s.err != nil {
		return
	}
	s.err = err
	if s.in == nil {
		s.in = err
	}
	if s.exch != nil {
		s.exch.cancelLocked(err)
	}
	s.cond.Broadcast()
	s.sateLocked()
	s.leaveLocked()
}

// sateLocked takes the stream out of those that wait for the connection's
// window: a peer that never opens it could fill memory with them.
func (s *stream) sateLocked() {
	if !s.starving {
		return
	}
	s.starving = false
	if i := slices.Index(s.c.starved, s); i >= 0 {
		s.c.starved = slices.Delete(s.c.starved, i, i+1)
	}
}

// resetLocked ends the stream and tells the peer.
func (s *stream) resetLocked(code Code, err error) {
	if s.err != nil || s.doneLocked() {
		return
	}
	s.c.noteResetLocked(s.id)
	s.c.appendLocked(func(b []byte) []byte { return appendReset(b, s.id, code) })
	s.endLocked(err)
}

// reset is resetLocked for who does not hold the lock.
func (s *stream) reset(code Code, err error) {
	s.c.mu.Lock()
	s.resetLocked(code, err)
	s.c.mu.Unlock()
	s.c.kick()
}

func (s *stream) doneLocked() bool { return s.sent && s.in == io.EOF }

// settleLocked takes the stream out of the table if both sides have ended it.
func (s *stream) settleLocked() {
	if s.doneLocked() && s.err == nil {
		s.leaveLocked()
	}
}

func (s *stream) leaveLocked() {
	if s.c.streams[s.id] == s {
		delete(s.c.streams, s.id)
		s.c.out.streams.Store(int32(len(s.c.streams)))
		s.c.side.closedLocked(s)
	}
}

// read reads payload. The end comes with the last bytes if it is known by then.
func (s *stream) read(p []byte) (int, error) {
	c := s.c
	c.mu.Lock()
	for s.buf.n == 0 && s.in == nil && !s.abandoned {
		if s.tunnel.readLateLocked() {
			c.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		}
		if s.thirstyLocked() {
			c.kick()
		}
		s.cond.Wait()
	}
	if s.abandoned {
		c.mu.Unlock()
		return 0, errStreamDone
	}
	n := s.buf.read(p)
	told := s.consumedLocked(n)
	var err error
	if s.buf.n == 0 && s.in != nil && (n == 0 || s.in == io.EOF && len(s.trailer) == 0) {
		err = s.in
	}
	c.mu.Unlock()
	if told {
		c.kick()
	}
	return n, err
}

// minWindow is what a reader that waits lets the peer send, however small the
// windows are that were announced.
const minWindow = 16 << 10

// thirstyLocked opens the window for a reader that waits, if it is closed.
func (s *stream) thirstyLocked() bool {
	if s.recv > 0 || s.err != nil {
		return false
	}
	n := max(s.owed, minWindow)
	s.owed = 0
	s.giveLocked(n)
	return true
}

// consumedLocked notes that n bytes were read, and reports whether there is
// something to be written for it.
func (s *stream) consumedLocked(n int) bool {
	c := s.c
	if n == 0 {
		return false
	}
	c.holdLocked(-int64(n))
	if s.in != nil {
		return false // it needs no window any more
	}
	s.owed += int64(n)
	return s.repayLocked()
}

// repayLocked gives back what is owed if it is worth a frame, and reports
// whether it was.
func (s *stream) repayLocked() bool {
	if s.owed < s.c.recvInit/4 || s.owed < 1024 && s.recv > 0 {
		return false
	}
	back := s.owed
	s.owed = 0
	s.giveLocked(back)
	return true
}

func (s *stream) giveLocked(n int64) {
	s.recv += n
	s.c.appendLocked(func(b []byte) []byte { return appendWindowUpdate(b, s.id, uint32(n)) })
}

// buffered reports how much can be read without waiting.
func (s *stream) bufferedNow() int {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.buf.n
}

// abandon drops what was received and what is still to come.
func (s *stream) abandon() {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.abandoned {
		return
	}
	s.abandoned = true
	c.holdLocked(-int64(s.buf.clear()))
	s.cond.Broadcast()
}

// trailers returns the trailer section, once the end has been read.
func (s *stream) trailers() flow.Header {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return s.trailer
}

// readyLocked waits until fields can be sent.
func (s *stream) readyLocked() error {
	if err := s.c.roomLocked(); err != nil {
		return err
	}
	return s.err
}

// write sends payload as the windows allow, and the end of our side behind it.
func (s *stream) write(p []byte, end bool) error {
	c := s.c
	for {
		n, err := s.awaitWindow(len(p))
		if err != nil {
			return err
		}
		last := end && n == len(p)
		c.appendDataLocked(s, p[:n], last)
		c.mu.Unlock()
		p = p[n:]
		if err := c.out.flush(); err != nil {
			return err
		}
		if len(p) == 0 {
			return c.out.waitRoom()
		}
	}
}

// awaitWindow waits until something of n bytes can be sent, and tells how much.
// Without an error it returns with the lock held.
func (s *stream) awaitWindow(n int) (int, error) {
	c := s.c
	c.mu.Lock()
	for {
		switch {
		case s.err != nil:
			err := s.err
			c.mu.Unlock()
			return 0, err
		case s.sent:
			c.mu.Unlock()
			return 0, errStreamDone
		case s.tunnel.writeLateLocked():
			c.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case n == 0:
			return 0, nil
		case s.send > 0 && c.send > 0 && c.out.full():
			if err := c.roomLocked(); err != nil {
				c.mu.Unlock()
				return 0, err
			}
			continue
		case s.send > 0 && c.send > 0:
			return int(min(int64(n), s.send, c.send, int64(c.maxFrame))), nil
		}
		if s.send > 0 && !s.starving {
			s.starving = true
			c.starved = append(c.starved, s)
		}
		c.kick() // the head may be waiting for what does not come
		s.cond.Wait()
	}
}

func (c *conn) appendDataLocked(s *stream, p []byte, end bool) {
	s.send -= int64(len(p))
	c.send -= int64(len(p))
	c.fed = true
	c.calm.pay(payData + len(p)/payBytes)
	c.out.end(appendDataFrame(c.out.begin(len(p)), s.id, p, end))
	if end {
		s.sentLocked()
	}
}

// sentLocked notes that END_STREAM is on its way.
func (s *stream) sentLocked() {
	s.sent = true
	s.cond.Broadcast()
	s.settleLocked()
}

// codeOf returns the code that a stream is reset with for err; ok is false if
// its connection ends and nothing needs to be said.
func codeOf(err error) (code Code, ok bool) {
	var (
		stream *StreamError
		gone   *GoneError
		away   *GoAwayError
		client *ClientError
	)
	switch {
	case errors.As(err, &stream):
		return stream.Code, true
	case errors.As(err, &gone), errors.As(err, &client):
		return 0, false
	case errors.As(err, &away):
		return RefusedStream, true
	}
	return InternalError, true
}
