package h2

import (
	"io"

	"golang.org/x/net/http2"
)

// data takes a DATA frame, piece by piece as it comes. What it costs the
// windows is its whole length (RFC 9113, section 6.1).
func (c *conn) data(fh http2.FrameHeader) error {
	rest, pad := int(fh.Length), 0
	if fh.StreamID == 0 {
		return violation(ProtocolError, "DATA frame for the connection")
	}
	if fh.Flags.Has(http2.FlagDataPadded) {
		if rest == 0 {
			return violation(FrameSizeError, "padded DATA frame without a pad length")
		}
		p, err := c.in.bytes()
		if err != nil {
			return unexpected(err)
		}
		pad = int(p[0])
		c.in.use(1)
		if rest--; pad > rest {
			return violation(ProtocolError, "DATA frame has more padding than payload")
		}
		rest -= pad
	}
	s, refused := c.admit(fh, rest)
	var bad *badStream
	if b, ok := refused.(*badStream); ok {
		bad, s = b, nil
	} else if refused != nil {
		return refused
	}
	end := fh.Flags.Has(http2.FlagDataEndStream)
	if err := c.payload(s, rest, pad, end); err != nil {
		return err
	}
	if bad != nil {
		return bad
	}
	if s != nil && end {
		return c.ended(s)
	}
	return nil
}

// admit takes the frame off the windows. A nil stream without an error is one
// whose frames nobody wants any more.
func (c *conn) admit(fh http2.FrameHeader, payload int) (*stream, error) {
	n := int64(fh.Length)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recv -= n; c.recv < 0 {
		return nil, violation(FlowControlError, "DATA frame of %d bytes is larger than the connection's window", n)
	}
	s := c.streams[fh.StreamID]
	if s == nil || s.in != nil {
		c.refundLocked(n)
		switch {
		case s == nil && c.side.idleLocked(fh.StreamID):
			return nil, violation(ProtocolError, "DATA frame for stream %d, which is idle", fh.StreamID)
		case s == nil && c.resetLatelyLocked(fh.StreamID):
			return nil, c.calm.cost(costFrame, "DATA for a stream that was reset")
		}
		return nil, &badStream{fh.StreamID, &StreamError{Code: StreamClosed, What: "DATA frame after the stream's end"}}
	}
	if s.reply != nil {
		s.reply.cl.heardLocked()
	}
	if s.reply != nil && !s.reply.headed {
		c.refundLocked(n)
		s.resetLocked(ProtocolError, &MalformedError{"response", "begins with DATA"})
		return nil, nil
	}
	if payload == 0 && !fh.Flags.Has(http2.FlagDataEndStream) {
		if err := c.calm.cost(costFrame, "DATA without payload"); err != nil {
			return nil, err
		}
	} else if payload > 0 {
		c.calm.pay(payData + payload/payBytes)
	}
	if s.recv -= n; s.recv < 0 {
		c.refundLocked(n)
		return nil, &badStream{s.id, &StreamError{Code: FlowControlError, What: "DATA frame is larger than the stream's window"}}
	}
	if s.declared >= 0 {
		if s.declared -= int64(payload); s.declared < 0 {
			c.refundLocked(n)
			return nil, s.malformedLocked("body", "is longer than there may be")
		}
	}
	if extra := n - int64(payload); extra > 0 { // padding is nobody's to read
		c.refundLocked(extra)
		s.owed += extra
		if !s.abandoned && !fh.Flags.Has(http2.FlagDataEndStream) {
			s.repayLocked() // a reader who waits is not woken for it
		}
	}
	return s, nil
}

// payload reads what a frame carries and gives it to s, if there is one. Nobody
// is woken for what the end follows at once.
func (c *conn) payload(s *stream, n, pad int, end bool) error {
	for n > 0 {
		p, err := c.in.bytes()
		if err != nil {
			return unexpected(err)
		}
		p = p[:min(len(p), n)]
		if s != nil {
			s.deliver(p)
		}
		c.in.use(len(p))
		n -= len(p)
		if s != nil && !(end && n+pad == 0) {
			c.wakeLate(s)
		}
	}
	for pad > 0 {
		p, err := c.in.bytes()
		if err != nil {
			return unexpected(err)
		}
		m := min(len(p), pad)
		c.in.use(m)
		pad -= m
	}
	return nil
}

// deliver gives received payload to whoever reads the stream, and is to be woken.
func (s *stream) deliver(p []byte) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.abandoned || s.in != nil { // reset or given up meanwhile
		c.refundLocked(int64(len(p)))
		return
	}
	s.buf.add(p)
	c.holdLocked(int64(len(p)))
	c.refundLocked(int64(len(p)))
}

// ended takes END_STREAM on a DATA frame.
func (c *conn) ended(s *stream) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.in != nil {
		return nil
	}
	return s.receivedAllLocked()
}

// receivedAllLocked notes that the peer has ended its side of the stream.
func (s *stream) receivedAllLocked() error {
	if s.declared > 0 {
		return s.malformedLocked("body", "is shorter than its content-length")
	}
	s.in = io.EOF
	s.cond.Broadcast()
	s.settleLocked()
	return nil
}

// malformedLocked resets the stream for what its message is.
func (s *stream) malformedLocked(where, what string) error {
	s.resetLocked(ProtocolError, &MalformedError{where, what})
	return s.c.calm.cost(costReset, "one that cost a stream: "+what)
}

// refundLocked owes n bytes of the connection's window to the peer, and gives
// them back when they have become many. The window is given back as payload
// comes, not as it is read, so that a stream that nobody reads takes nothing
// from the others; maxBuffered bounds what that can cost.
func (c *conn) refundLocked(n int64) {
	c.owed += n
	if c.owed < c.recvMax/4 || c.err != nil {
		return
	}
	back := uint32(c.owed)
	c.recv, c.owed = c.recv+c.owed, 0
	c.appendLocked(func(b []byte) []byte { return appendWindowUpdate(b, 0, back) })
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
