package segment

import (
	"fmt"
	"io"
)

// readAhead is how much is read of a record before its length is known: enough to see
// all frames up to the next mark.
const readAhead = markEvery + frameSize

// A source has segments to read.
type source interface {
	// piece returns segment number, or the first behind it if later is set.
	piece(number uint64, later bool) (piece, error)
}

// Read returns the record at p, which Append or Scan has told. Its payload is in dst
// if that has room for it and 32 bytes more. ErrGone says that it is no more, *Damage
// that it can't be trusted.
func (t *table) Read(p Position, dst []byte) (Record, error) { return read(t, p, dst) }

func read(from source, p Position, dst []byte) (Record, error) {
	s, err := from.piece(p.Segment, false)
	if err != nil {
		return Record{}, err
	}
	defer s.release()
	if p.Offset < headerSize || p.Offset >= s.end {
		return Record{}, ErrGone
	}
	return s.read(p.Offset, dst)
}

// read reads the record at an offset.
func (s *piece) read(offset int64, dst []byte) (Record, error) {
	b := dst[:cap(dst)]
	if len(b) < readAhead {
		b = make([]byte, readAhead)
	}
	at := s.place(offset)
	n, err := s.ReadAt(b[:max(0, min(readAhead, s.limit-at))], at)
	if err != nil && err != io.EOF {
		return Record{}, fmt.Errorf("read %s: %w", s.name, err)
	}
	b, at, f, err := s.follow(b[:n], at, offset)
	if _, damaged := err.(*Damage); damaged && s.compacted() {
		b, at, f, err = s.search(at, offset, err)
	}
	if err != nil {
		return Record{}, err
	}
	if int64(len(b)) < f.size() {
		if b, err = s.rest(b, f, at); err != nil {
			return Record{}, err
		}
	}
	stored := b[frameSize:f.size()]
	if !f.holds(stored) {
		return Record{}, &Damage{File: s.name, Offset: at, Length: f.size(), Reason: "the payload is not what its checksum says"}
	}
	if s.box != nil {
		var ok bool
		if stored, ok = s.box.open(new(place), f, stored); !ok {
			return Record{}, forged(s.name, at, f)
		}
	}
	return Record{Kind: f.kind &^ kindAnew, Payload: stored}, nil
}

// forged is a frame that was changed by who could not seal its payload.
func forged(name string, at int64, f frame) *Damage {
	return &Damage{File: name, Offset: at, Length: f.size(), Reason: "it was not written with this key"}
}

// follow goes from frame to frame in b, which is what stands at a place, to the one
// with an offset. In a segment that was not compacted it is the first.
func (s *piece) follow(b []byte, at, offset int64) ([]byte, int64, frame, error) {
	for {
		if int64(len(b)) < frameSize {
			if s.compacted() {
				return nil, at, frame{}, ErrGone
			}
			return nil, at, frame{}, &Damage{File: s.name, Offset: at, Length: int64(len(b)), Reason: "the file ends there"}
		}
		f, ok := parseFrame(b, s.seed)
		switch {
		case !ok || f.kind == kindOwn:
		case at+f.size() > s.limit:
			return nil, at, frame{}, &Damage{File: s.name, Offset: at, Length: f.size(), Reason: "the file ends in it"}
		case f.offset == offset:
			return b, at, f, nil
		case !s.compacted():
		case f.offset > offset:
			return nil, at, frame{}, ErrGone
		case f.size() < int64(len(b)):
			b, at = b[f.size():], at+f.size()
			continue
		default: // it would be among these, or have a mark
			return nil, at, frame{}, ErrGone
		}
		return nil, at, frame{}, &Damage{File: s.name, Offset: at, Length: frameSize, Reason: "no record begins there"}
	}
}

// search looks for the frame with an offset behind damage in a compacted segment. Where
// there is none, it may be what was damaged.
func (s *piece) search(at, offset int64, damage error) ([]byte, int64, frame, error) {
	scan := newScanner(s.handle, at, s.limit)
	for {
		f, stored, at, err := scan.next()
		switch _, more := err.(*Damage); {
		case more:
		case err == io.EOF || err == nil && f.offset > offset:
			return nil, at, frame{}, damage
		case err != nil:
			return nil, at, frame{}, err
		case f.offset == offset && f.kind != kindOwn:
			return scan.buf[at-scan.pos:][:frameSize+len(stored)], at, f, nil
		}
	}
}

// rest reads what is missing of a frame at a place that begins with b.
func (s *piece) rest(b []byte, f frame, at int64) ([]byte, error) {
	n := len(b)
	if int64(cap(b)) < f.size() {
		b = append(make([]byte, 0, f.size()), b...)
	}
	b = b[:f.size()]
	if got, err := s.ReadAt(b[n:], at+int64(n)); got < len(b)-n {
		return nil, fmt.Errorf("read %s: %w", s.name, unexpected(err))
	}
	return b, nil
}
