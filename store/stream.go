package store

import (
	"hash"
	"slices"
	"sync"

	"transom/flow"
	"transom/store/segment"
	"transom/store/wire"
)

// A stream is a body of a Disk: its beginning is in the log, its end still in memory.
// Readers go from one to the other.
type stream struct {
	d      *Disk
	number uint64

	referred bool // by a flow; guarded by d.mu, as is
	whole    bool // that this flow has ended

	mu sync.Mutex
	tally
	gone   bool // the store has dropped it
	closed bool // by who writes it; changed with d.mu locked, too
	listed bool // in d.dirty
	stored []stored
	pieces []piece // what is in memory; as in a Memory
	taken  int     // pieces that are being written

	digest hash.Hash // of what is stored; of the one who writes, nil if it is one chunk or none
}

// stored is bytes of a body in the log.
type stored struct {
	off int64
	wire.Extent
}

// NewBody implements Store. With a store that is Lossless Write waits for room in the
// queue.
func (d *Disk) NewBody() BodyWriter {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last++
	s := &stream{d: d, number: d.last}
	d.streams[s.number] = s
	return s
}

// roomForBodies is how full the queue may get for the sake of a body.
func (d *Disk) roomForBodies() int64 { return d.o.Queue - d.o.Queue/4 }

// Write implements io.Writer. It always takes all of p.
func (s *stream) Write(p []byte) (int, error) {
	rest, kept := s.begin(p)
	starved := false
	for len(rest) > 0 {
		data := slices.Grow([]byte(nil), pieceSize(kept, s.d.o.BodyLimit, len(rest)))
		if !s.d.reserve(int64(cap(data))+pieceCost, s.d.roomForBodies()) {
			starved = true
			break
		}
		var news bool
		if rest, kept, news = s.grow(data, rest); news {
			s.d.list(s) // before it may have to wait for that to be written
		}
	}
	if s.accountFor(len(p), starved) {
		s.d.list(s)
	}
	return len(p), nil
}

// list says that there is something to write.
func (d *Disk) list(s *stream) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dirty = append(d.dirty, s)
	wake(d.soon)
}

// begin counts p, and keeps what fits without more memory. rest is what else may be
// kept.
func (s *stream) begin(p []byte) (rest []byte, kept int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest = s.fillLocked(s.came(p, s.d.o.BodyLimit))
	return rest, s.kept
}

// grow adds an empty piece and puts p there. news is that it has to be listed.
func (s *stream) grow(data, p []byte) (rest []byte, kept int64, news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		defer s.d.free(int64(cap(data)) + pieceCost)
		return nil, 0, false
	}
	s.pieces = append(s.pieces, piece{off: s.kept, data: data})
	rest = s.fillLocked(p)
	news = !s.listed
	s.listed = true
	return rest, s.kept, news
}

// fillLocked puts of p what fits into the last piece, unless that is being written,
// and returns the rest.
func (s *stream) fillLocked(p []byte) []byte {
	if len(s.pieces) == s.taken || s.cut {
		return p
	}
	last := &s.pieces[len(s.pieces)-1]
	n := min(len(p), cap(last.data)-len(last.data))
	last.data = append(last.data, p[:n]...)
	s.kept += int64(n)
	return p[n:]
}

// accountFor cuts the body if not all was kept of what came, n bytes at last. starved is
// that there was no room for it. It returns whether there is something to write of
// which nobody knows.
func (s *stream) accountFor(n int, starved bool) (news bool) {
	s.mu.Lock()
	news = !s.listed && len(s.pieces) > s.taken
	s.listed = s.listed || news
	lost, first := s.account(n)
	s.mu.Unlock()
	if lost <= 0 {
		return news
	}
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.d.stats.DroppedBytes += lost
	if first {
		s.d.stats.TruncatedBody++
	}
	if first && starved {
		s.d.stats.Starved++
	}
	return news
}

func (d *Disk) free(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.freeLocked(n)
}

// Ref implements BodyWriter.
func (s *stream) Ref() flow.BodyRef {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ref(s.number)
}

// Close implements io.Closer. A body that no flow refers to is dropped.
func (s *stream) Close() error {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	s.mu.Lock()
	s.closed = true
	first := !s.listed && !s.gone && s.referred
	s.listed = s.listed || first
	s.mu.Unlock()
	switch {
	case !s.referred:
		delete(d.streams, s.number)
		s.forgetLocked()
	case first:
		d.dirty = append(d.dirty, s)
		wake(d.soon)
	case s.whole:
		wake(d.soon) // its flow waits for that
	}
	return nil
}

// forgetLocked drops what is kept; what is written from now on is only counted. d.mu
// is locked.
func (s *stream) forgetLocked() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := s.taken; i < len(s.pieces); i++ { // others are still being written
		s.d.freeLocked(s.pieces[i].cost())
	}
	s.pieces = s.pieces[:s.taken]
	s.stored, s.kept, s.gone, s.cut = nil, 0, true, true
}

func (p *piece) cost() int64 { return int64(cap(p.data)) + pieceCost }

// take returns what is to be written of the body now, and whether that is the last of
// it. all is that it must not wait for more; due is that it has waited, which is enough
// unless it would make one more of many small chunks. d.mu is locked.
func (s *stream) take(all, due bool) (chunks []piece, last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		for i := range s.pieces { // left by a write that failed
			s.d.freeLocked(s.pieces[i].cost())
		}
		s.pieces, s.listed = nil, false
		return nil, false
	}
	n := len(s.pieces)
	if !all && !due && !s.closed && s.kept <= onceUpTo {
		n = 0 // it may be one that is there already
	}
	if n > 0 && !all && !s.closed {
		p := s.pieces[n-1].data
		if len(p) < cap(p) && !(due && len(p) >= len(s.stored)) {
			n-- // there is room in it
		}
	}
	s.taken = n
	s.listed = n < len(s.pieces)
	return s.pieces[:n:n], s.closed
}

// wrote says where the chunks that were taken are.
func (s *stream) wrote(at []segment.Position) (freed int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.taken {
		p := &s.pieces[i]
		freed += p.cost()
		switch n := len(s.stored) - 1; {
		case s.gone:
		case i < len(at):
			s.stored = append(s.stored, stored{p.off, wire.Extent{Position: at[i], Length: int64(len(p.data))}})
		default: // they are one chunk
			s.stored[n].Length += int64(len(p.data))
		}
	}
	s.pieces, s.taken = slices.Clone(s.pieces[s.taken:]), 0
	return freed
}

// waits reports whether something is left to be written.
func (s *stream) waits() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listed
}
