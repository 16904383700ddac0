package h1

import (
	"errors"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"transom/exchange"
	"transom/flow"
)

// A plan is how a message is sent: its head, and how its body's end is told.
type plan struct {
	head   []byte
	mode   mode
	framed bool          // send the framing that the body came in
	length int64         // for modeLength
	moved  *atomic.Int64 // counts what was written; nil for nobody
}

// frameBody decides how a body is told apart from what follows, and returns the
// header that says so. Without need it changes nothing: the header is then the
// one it was given.
//
// keep says that the head came from the peer and a body without any framing
// field ends with the connection; v10 that the recipient knows no chunks.
func frameBody(h flow.Header, body *exchange.Body, keep, v10 bool) (flow.Header, plan) {
	f := framing{length: -1}
	for i := range h {
		if err := f.note(&h[i]); err != nil {
			f = framing{length: -2} // what middleware wrote makes no sense: say it anew
			break
		}
	}
	if !body.Changed() && f.length > -2 {
		switch {
		case f.chunked:
			return h, plan{mode: modeChunked, framed: body.Framed()}
		case f.length >= 0:
			return h, plan{mode: modeLength, length: f.length}
		case keep:
			return h, plan{mode: modeClose}
		}
	}
	size := body.Size()
	_, trailer := h.Lookup("Trailer") // only chunks have a trailer section behind them
	switch {
	case size >= 0 && (v10 || body.Changed() || !trailer):
		h.Del("Transfer-Encoding")
		h.Set("Content-Length", strconv.FormatInt(size, 10))
		return h, plan{mode: modeLength, length: size}
	case v10:
		h.Del("Transfer-Encoding")
		h.Del("Content-Length")
		return h, plan{mode: modeClose}
	}
	h.Del("Content-Length")
	if !f.chunked {
		h.Set("Transfer-Encoding", "chunked")
	}
	return h, plan{mode: modeChunked}
}

// appendFields writes field lines and the empty line behind them.
func appendFields(b []byte, h flow.Header) []byte {
	for i := range h {
		b = append(b, h[i].Name...)
		b = append(b, ": "...)
		b = append(b, h[i].Value...)
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...)
}

func appendRequest(b []byte, h *flow.RequestHead) []byte {
	b = append(b, h.Method...)
	b = append(b, ' ')
	b = append(b, h.Target...)
	if h.Proto == flow.HTTP10 {
		b = append(b, " HTTP/1.0\r\n"...)
	} else {
		b = append(b, " HTTP/1.1\r\n"...)
	}
	return appendFields(b, h.Header)
}

func appendResponse(b []byte, h *flow.ResponseHead) []byte {
	if h.Proto == flow.HTTP10 {
		b = append(b, "HTTP/1.0 "...)
	} else {
		b = append(b, "HTTP/1.1 "...)
	}
	b = strconv.AppendInt(b, int64(h.Status), 10)
	b = append(b, ' ')
	b = append(b, h.Reason...)
	b = append(b, "\r\n"...)
	return appendFields(b, h.Header)
}

// errLength ends a message whose body is not as long as its head says.
var errLength = errors.New("body is longer than its Content-Length")

// A writeError says that the peer could not be written to.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

func isWriteError(err error) bool {
	var w *writeError
	return errors.As(err, &w)
}

// frameRoom is kept free before payload for the framing of one chunk; framing
// that is longer goes by itself.
const frameRoom = 64

// send writes the plan's head and the body behind it. What is there goes out at
// once; what can be had without waiting goes out together. An error of writing
// is a *writeError, any other is the body's.
func send(c *output, p plan, body *exchange.Body) error {
	if p.mode == modeNone || p.mode == modeLength && p.length == 0 && body.Size() == 0 {
		return write(c, p.head)
	}
	lent := copies.Get().(*[copySize]byte)
	defer copies.Put(lent)
	s := sender{c: c, plan: p, body: body, buf: lent[:], left: p.length}
	if len(p.head) > len(lent)/2 || body.Buffered() == 0 {
		if err := write(c, p.head); err != nil {
			return err
		}
	} else {
		s.n = copy(s.buf, p.head)
	}
	return s.run()
}

// An output writes to a connection, and waits no longer than idle for the peer
// to take something.
type output struct {
	conn  net.Conn
	idle  time.Duration // 0 is for ever
	armed time.Time     // when a deadline was last set
}

func (o *output) Write(b []byte) (int, error) {
	if o.idle > 0 {
		if now := time.Now(); now.Sub(o.armed) > o.idle/16 {
			o.armed = now
			_ = o.conn.SetWriteDeadline(now.Add(o.idle)) // the write fails if the conn is gone
		}
	}
	return o.conn.Write(b)
}

// disarm takes the deadline off.
func (o *output) disarm() {
	if !o.armed.IsZero() {
		o.armed = time.Time{}
		_ = o.conn.SetWriteDeadline(time.Time{}) // likewise
	}
}

func write(c *output, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := c.Write(b); err != nil {
		return &writeError{err}
	}
	return nil
}

// A sender moves one body through one buffer.
type sender struct {
	c    *output
	plan plan
	body *exchange.Body
	buf  []byte
	n    int   // bytes waiting in buf
	left int64 // for modeLength
}

func (s *sender) run() error {
	for {
		room := s.buf[s.n:]
		if s.plan.mode == modeChunked {
			room = room[frameRoom : len(room)-len(crlfBytes)]
		}
		n, err := s.body.Read(room)
		if n > 0 || err == io.EOF { // framing that is malformed goes nowhere
			if e := s.frame(room[:n], err); e != nil {
				return e
			}
		}
		if err == io.EOF {
			if s.plan.mode == modeLength && s.left > 0 {
				err = io.ErrUnexpectedEOF
			} else {
				return s.flush()
			}
		}
		if err != nil {
			if e := s.flush(); e != nil {
				return e
			}
			return err
		}
		if s.body.Buffered() > 0 && len(s.buf)-s.n > copySize/4 {
			continue
		}
		if err := s.flush(); err != nil {
			return err
		}
	}
}

// frame puts what a Read gave behind what waits in buf, framed as planned.
func (s *sender) frame(payload []byte, err error) error {
	switch s.plan.mode {
	case modeLength:
		if s.left -= int64(len(payload)); s.left < 0 {
			return errLength
		}
	case modeChunked:
		if !s.plan.framed {
			return s.chunk(payload, err == io.EOF)
		}
		fr, after := s.body.Framing()
		if len(fr) > frameRoom {
			if err := s.frameAlone(fr, payload); err != nil {
				return err
			}
		} else {
			s.n += copy(s.buf[s.n:], fr)
			s.n += copy(s.buf[s.n:], payload)
		}
		s.n += copy(s.buf[s.n:], after) // room was left for it
		return nil
	}
	s.n += copy(s.buf[s.n:], payload) // nothing moves if it is there already
	return nil
}

// frameAlone writes framing that does not fit before the payload it belongs to.
func (s *sender) frameAlone(fr, payload []byte) error {
	if err := s.flush(); err != nil {
		return err
	}
	if err := write(s.c, fr); err != nil {
		return err
	}
	s.n = copy(s.buf, payload)
	return nil
}

// chunk puts payload behind what waits in buf as a chunk of our own, whole, so
// that who reads it has not to wait for the next; and what ends the body, if it
// is the last.
func (s *sender) chunk(payload []byte, last bool) error {
	if len(payload) > 0 { // the size fits into the room that was left for it
		s.n += len(strconv.AppendInt(s.buf[s.n:s.n:s.n+frameRoom], int64(len(payload)), 16))
		s.n += copy(s.buf[s.n:], crlfBytes)
		s.n += copy(s.buf[s.n:], payload)
		s.n += copy(s.buf[s.n:], crlfBytes)
	}
	if !last {
		return nil
	}
	if err := sayable(s.body.Trailer()); err != nil {
		return err
	}
	end := appendFields(append(s.buf[s.n:s.n], "0\r\n"...), s.body.Trailer())
	if len(end) <= len(s.buf)-s.n { // then it stands there already
		s.n += len(end)
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	return write(s.c, end)
}

func (s *sender) flush() error {
	err := write(s.c, s.buf[:s.n])
	if s.plan.moved != nil {
		s.plan.moved.Add(int64(s.n))
	}
	s.n = 0
	return err
}
