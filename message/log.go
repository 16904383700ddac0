package message

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"time"
)

// An Entry is one message in a log: how flow.Messages keeps what passed.
//
// A log is a sequence of entries, in the order they passed, without anything
// between them:
//
//	flags    1 byte   bit 0: Dir; bit 1: Changed; bit 2: Dropped; bit 3: Injected;
//	                  bit 4: Encoded; bit 5: kept follows; bit 7: op follows
//	op       1 byte   only if bit 7 of flags is set
//	elapsed  uvarint  nanoseconds since the entry before, or since the flow began
//	size     uvarint  bytes of payload
//	kept     uvarint  how many of them are here; only if bit 5 of flags is set, else all
//	payload  as many bytes
//
// The other bits are zero. A log that reached its limit ends in the middle of
// an entry.
type Entry struct {
	Dir      Direction
	Op       uint8         // WebSocket opcode; 0 elsewhere
	Changed  bool          // middleware made it, or made it different
	Dropped  bool          // it came in and was not passed on
	Injected bool          // somebody outside put it in
	Encoded  bool          // the payload is as an extension made it: compressed, say
	At       time.Duration // since the flow began
	Size     int64         // of the payload as it passed
	Cut      int64         // how much of it was left out, at its end
	Payload  []byte        // as far as it was kept
}

const (
	logDir     = 1 << 0
	logChanged = 1 << 1
	logDropped = 1 << 2
	logInject  = 1 << 3
	logEncoded = 1 << 4
	logKept    = 1 << 5
	logOp      = 1 << 7
	logAll     = logDir | logChanged | logDropped | logInject | logEncoded | logKept | logOp
)

// MaxLogHead is the most that AppendHead appends.
const MaxLogHead = 2 + 3*binary.MaxVarintLen64

// AppendHead appends all of e but its payload. before is At of the entry
// before, 0 for the first; time does not run backwards in a log.
func AppendHead(dst []byte, e *Entry, before time.Duration) []byte {
	flags := byte(e.Dir & 1)
	if e.Changed {
		flags |= logChanged
	}
	if e.Dropped {
		flags |= logDropped
	}
	if e.Injected {
		flags |= logInject
	}
	if e.Encoded {
		flags |= logEncoded
	}
	if e.Cut != 0 {
		flags |= logKept
	}
	if e.Op != 0 {
		dst = append(dst, flags|logOp, e.Op)
	} else {
		dst = append(dst, flags)
	}
	dst = binary.AppendUvarint(dst, uint64(max(e.At-before, 0)))
	dst = binary.AppendUvarint(dst, uint64(e.Size))
	if flags&logKept != 0 {
		dst = binary.AppendUvarint(dst, uint64(e.Size-e.Cut))
	}
	return dst
}

// errLog is wrapped by all errors of a log that is not one.
var errLog = errors.New("not a message log")

// ReadLog yields the entries of the log in r. Payload is valid until the next
// one. A log that ends in the middle of an entry yields what there is of it.
func ReadLog(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		l := logReader{r: bufio.NewReader(r)}
		for {
			e, err := l.next()
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

type logReader struct {
	r   *bufio.Reader
	at  time.Duration
	buf []byte
}

func (l *logReader) next() (e Entry, err error) {
	flags, err := l.r.ReadByte()
	if err != nil {
		return e, err
	}
	if flags&^logAll != 0 {
		return e, fmt.Errorf("%w: flags %#x", errLog, flags)
	}
	e.Dir = Direction(flags & logDir)
	e.Changed, e.Dropped = flags&logChanged != 0, flags&logDropped != 0
	e.Injected, e.Encoded = flags&logInject != 0, flags&logEncoded != 0
	if flags&logOp != 0 {
		if e.Op, err = l.r.ReadByte(); err != nil {
			return e, err
		}
	}
	elapsed, err := l.number(uint64(math.MaxInt64 - l.at))
	if err != nil {
		return e, err
	}
	size, err := l.number(math.MaxInt64)
	if err != nil {
		return e, err
	}
	kept := size
	if flags&logKept != 0 {
		if kept, err = l.number(uint64(size)); err != nil {
			return e, err
		}
	}
	l.at += time.Duration(elapsed)
	e.At, e.Size, e.Cut = l.at, size, size-kept
	e.Payload, err = l.payload(kept)
	return e, err
}

func (l *logReader) number(limit uint64) (int64, error) {
	n, err := binary.ReadUvarint(l.r)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		return 0, io.EOF
	case err == nil && n <= limit:
		return int64(n), nil
	}
	return 0, fmt.Errorf("%w: number out of range", errLog)
}

// payload reads up to size bytes, and takes memory only for what comes.
func (l *logReader) payload(size int64) ([]byte, error) {
	l.buf = l.buf[:0]
	for left := size; left > 0; {
		if len(l.buf) == cap(l.buf) {
			l.buf = append(l.buf, 0)[:len(l.buf)]
		}
		room := l.buf[len(l.buf):cap(l.buf)]
		n, err := l.r.Read(room[:min(int64(len(room)), left)])
		l.buf = l.buf[:len(l.buf)+n]
		left -= int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return l.buf, nil
}
