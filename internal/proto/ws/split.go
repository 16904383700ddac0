package ws

// A splitter takes a stream apart, wherever it is cut. It copies nothing but
// headers that are cut.
type splitter struct {
	head   [maxHeader]byte
	n      int    // octets of head that have come
	h      header // of the frame under way, or the last one
	left   int64  // of its payload
	inside bool   // its payload is under way
}

// A piece is a whole header, or some payload of one frame.
type piece struct {
	bytes  []byte // as they came; nil if there was only a part of a header
	at     int64  // of payload: where in the frame's payload it begins
	header bool
	last   bool // the frame ends with it
}

// next returns the first piece of p, and how many octets of p belong to it. Its
// error is that the rest can't be taken apart; nothing is consumed then.
func (s *splitter) next(p []byte) (pc piece, n int, err error) {
	if !s.inside {
		return s.header(p)
	}
	n = int(min(s.left, int64(len(p))))
	pc = piece{bytes: p[:n], at: s.h.length - s.left}
	s.left -= int64(n)
	s.inside = s.left > 0
	pc.last = !s.inside
	return pc, n, nil
}

func (s *splitter) header(p []byte) (pc piece, n int, err error) {
	from, had := p, s.n
	if had > 0 {
		from = s.head[:had+copy(s.head[had:], p)]
	}
	h, size, err := parseHeader(from)
	switch {
	case err != nil:
		return pc, 0, err
	case size == 0:
		s.n = copy(s.head[:], from)
		return pc, s.n - had, nil
	}
	s.n, s.h, s.left, s.inside = 0, h, h.length, h.length > 0
	return piece{bytes: from[:size], header: true, last: h.length == 0}, size - had, nil
}

// partial is what has come of a header.
func (s *splitter) partial() []byte { return s.head[:s.n] }

// between reports whether no frame is under way.
func (s *splitter) between() bool { return s.n == 0 && !s.inside }
