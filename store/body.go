package store

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"unsafe"

	"transom/flow"
)

// A body is kept in pieces. The first is as large as the first Write, so small
// bodies cost what they are; later ones grow with the body, up to maxPiece.
// Bytes once written never change, so readers copy them without a lock.
type body struct {
	m      *Memory
	number uint64

	// Guarded by m.mu.
	refs   int
	cost   int64
	closed bool

	mu sync.Mutex
	tally
	gone   bool // the store has dropped it
	pieces []piece
}

// A piece holds a body's bytes from off on.
type piece struct {
	off  int64
	data []byte
}

const (
	minPiece = 512
	maxPiece = 64 << 10

	pieceCost = int64(unsafe.Sizeof(piece{}))
	bodyCost  = int64(unsafe.Sizeof(body{})) + mapSlot
)

// Write implements io.Writer. It always takes all of p.
func (b *body) Write(p []byte) (int, error) {
	rest, kept := b.begin(p)
	for len(rest) > 0 {
		data := slices.Grow([]byte(nil), pieceSize(kept, b.m.maxBody, len(rest)))
		if !b.m.reserve(b, int64(cap(data))+pieceCost) {
			break
		}
		rest, kept = b.grow(data, rest)
	}
	b.accountFor(len(p))
	return len(p), nil
}

// begin counts p, and keeps what fits without more memory. rest is what else
// may be kept.
func (b *body) begin(p []byte) (rest []byte, kept int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest = b.fillLocked(b.came(p, b.m.maxBody))
	return rest, b.kept
}

// grow adds an empty piece and puts p there.
func (b *body) grow(data, p []byte) (rest []byte, kept int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return nil, 0
	}
	b.pieces = append(b.pieces, piece{off: b.kept, data: data})
	rest = b.fillLocked(p)
	return rest, b.kept
}

// accountFor cuts the body if not all was kept of what came, n bytes at last.
func (b *body) accountFor(n int) {
	b.mu.Lock()
	lost, first := b.account(n)
	b.mu.Unlock()
	if lost > 0 {
		b.m.dropped(lost, first)
	}
}

// pieceSize is how much to take for the next piece of a body of which kept
// bytes are kept.
func pieceSize(kept, limit int64, need int) int {
	n := need
	if kept > 0 {
		n = max(n, minPiece, int(min(kept, maxPiece)))
	}
	return int(min(int64(n), maxPiece, limit-kept))
}

// fillLocked puts of p what fits into the last piece, and returns the rest.
func (b *body) fillLocked(p []byte) []byte {
	if len(b.pieces) == 0 || b.cut {
		return p
	}
	last := &b.pieces[len(b.pieces)-1]
	n := min(len(p), cap(last.data)-len(last.data))
	last.data = append(last.data, p[:n]...)
	b.kept += int64(n)
	return p[n:]
}

// dropped counts payload that was not kept; first is the first time for a body.
func (m *Memory) dropped(n int64, first bool) {
	m.droppedBytes.Add(n)
	if first {
		m.truncated.Add(1)
	}
}

// Ref implements BodyWriter.
func (b *body) Ref() flow.BodyRef {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ref(b.number)
}

// Close implements io.Closer. A body that no flow refers to is dropped.
func (b *body) Close() error {
	m := b.m
	m.mu.Lock()
	defer m.mu.Unlock()
	b.closed = true
	if b.refs == 0 && m.bodies[b.number] == b {
		m.drop(b)
	}
	return nil
}

// forget frees what is kept; what is written from now on is only counted.
func (b *body) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pieces, b.kept, b.gone, b.cut = nil, 0, true, true
}

// at returns bytes from off on, and nothing at the end.
func (b *body) at(off int64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return nil, ErrGone
	}
	if off >= b.kept {
		return nil, io.EOF
	}
	i, ok := slices.BinarySearchFunc(b.pieces, off, func(p piece, off int64) int { return int(p.off - off) })
	if !ok {
		i--
	}
	return b.pieces[i].data[off-b.pieces[i].off:], nil
}

// end returns how much is kept.
func (b *body) end() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept
}

// A reader reads a body, also while it is written.
type reader struct {
	b   *body
	off int64
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		data, err := r.b.at(r.off)
		if err != nil {
			if n > 0 && err == io.EOF {
				return n, nil
			}
			return n, err
		}
		k := copy(p[n:], data)
		n += k
		r.off += int64(k)
	}
	return n, nil
}

// Seek implements io.Seeker.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	off, err := seek(offset, whence, r.off, r.b.end)
	if err == nil {
		r.off = off
	}
	return off, err
}

// seek returns where a reader that is at at goes.
func seek(offset int64, whence int, at int64, end func() int64) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += at
	case io.SeekEnd:
		offset += end()
	default:
		return 0, fmt.Errorf("seek in stored body: whence %d is unknown", whence)
	}
	if offset < 0 {
		return 0, errNegative
	}
	return offset, nil
}

// Close implements io.Closer.
func (r *reader) Close() error { return nil }

var errNegative = errors.New("seek in stored body: before its start")
