package segment

import (
	"fmt"
	"io"
)

// A scanner goes through the frames of one file.
type scanner struct {
	h     *handle
	at    int64 // in the file, of the next frame
	limit int64 // in the file
	last  int64 // frames have greater offsets
	then  int64 // the offset to go on from; 0 is the end

	buf  []byte // what was read: the bytes from pos on
	pos  int64
	have int
}

const (
	scanBuffer = 256 << 10
	seekBuffer = 64 << 10
)

// newScanner returns a scanner for the bytes from at up to limit.
func newScanner(h *handle, at, limit int64) *scanner {
	return &scanner{h: h, at: at, limit: limit, last: headerSize - 1}
}

// next returns the next whole frame with its payload as stored, which is valid until
// the next call, and where it is in the file. A *Damage says what had to be stepped
// over; the call after it goes on behind. io.EOF is the limit.
func (s *scanner) next() (f frame, stored []byte, at int64, err error) {
	if s.at >= s.limit {
		return frame{}, nil, s.at, io.EOF
	}
	f, ok, err := s.frame(s.at)
	if err != nil {
		return frame{}, nil, s.at, err
	}
	if !ok {
		return frame{}, nil, s.at, s.seek()
	}
	at = s.at
	b, err := s.fetch(at, f.size())
	if err != nil {
		return frame{}, nil, at, err
	}
	s.at, s.last, s.then = at+f.size(), f.offset, f.offset+f.size()
	if stored = b[frameSize:]; !f.holds(stored) {
		return frame{}, nil, at, s.damage(at, f.size(), "the payload is not what its checksum says")
	}
	return f, stored, at, nil
}

// frame reads the frame at a place; ok is false if there is none, or not all of it.
func (s *scanner) frame(at int64) (f frame, ok bool, err error) {
	if s.limit-at < frameSize {
		return frame{}, false, nil
	}
	b, err := s.fetch(at, frameSize)
	if err != nil {
		return frame{}, false, err
	}
	f, ok = s.parse(b, at)
	return f, ok, nil
}

// parse reads a frame from b, which is what stands at a place.
func (s *scanner) parse(b []byte, at int64) (frame, bool) {
	f, ok := parseFrame(b, s.h.seed)
	switch {
	case !ok, at+f.size() > s.limit, f.offset <= s.last:
		return f, false
	case !s.h.compacted():
		return f, f.offset == at
	}
	return f, true
}

// seek goes to the next frame, or the limit, and returns the Damage on the way.
func (s *scanner) seek() error {
	from := s.at
	for at := from + 1; at < s.limit; {
		b, err := s.fetch(at, min(seekBuffer, s.limit-at))
		if err != nil {
			return err
		}
		if len(b) < frameSize {
			break
		}
		for i := range len(b) - frameSize + 1 {
			if f, ok := s.parse(b[i:], at+int64(i)); ok {
				s.at, s.then = at+int64(i), f.offset
				return s.damage(from, s.at-from, "no record begins there")
			}
		}
		at += int64(len(b) - frameSize + 1)
	}
	s.at, s.then = s.limit, 0
	return s.damage(from, s.limit-from, "no record begins there")
}

func (s *scanner) damage(at, length int64, reason string) *Damage {
	return &Damage{File: s.h.name, Offset: at, Length: length, Reason: reason}
}

// fetch returns n bytes from at on, all of them before the limit.
func (s *scanner) fetch(at, n int64) ([]byte, error) {
	if at >= s.pos && at+n <= s.pos+int64(s.have) {
		return s.buf[at-s.pos:][:n], nil
	}
	want := min(max(n, scanBuffer), s.limit-at)
	if int64(cap(s.buf)) < want {
		s.buf = make([]byte, want)
	}
	got, err := s.h.ReadAt(s.buf[:want], at)
	s.pos, s.have = at, got
	if int64(got) < n {
		s.have = 0
		return nil, fmt.Errorf("read %s at offset %d: %w", s.h.name, at, unexpected(err))
	}
	return s.buf[:n], nil
}

// unexpected is an end of file where there should be more: somebody has cut the file.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
