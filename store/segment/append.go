package segment

import (
	"errors"
	"fmt"
	"slices"
)

// writeBuffer is how much is written at once.
const writeBuffer = 1 << 20

// maxBatch is how much one Append may take.
const maxBatch = 1 << 30

// Append writes records behind all others and returns where they are; what it returns
// is valid until the next call, whoever makes it. All are appended or none. They can be read at once,
// and are on disk after the next Sync. An error that is ErrFull goes away with its
// reason: the log is as it was before, and a later Append is as good as any.
func (l *Log) Append(recs ...Record) ([]Position, error) {
	total, err := l.measure(recs)
	if err != nil || len(recs) == 0 {
		return nil, err // no segment is begun for nothing
	}
	at, failed, err := l.appendTo(recs, total)
	if failed != nil {
		l.abandon(failed)
	}
	return at, err
}

// appendTo appends records, or returns a segment that it could not write them to.
func (l *Log) appendTo(recs []Record, total int64) ([]Position, *entry, error) {
	l.append.Lock()
	defer l.append.Unlock()
	if l.closed {
		return nil, nil, ErrClosed
	}
	e, err := l.activeLocked()
	if err != nil {
		return nil, nil, fmt.Errorf("begin a segment: %w", explain(err))
	}
	if err := l.writeLocked(e, recs, total); err != nil {
		l.undoLocked(e)
		return nil, e, fmt.Errorf("write to %s: %w", e.name, explain(err))
	}
	for i := range recs {
		e.outline.add(l.positions[i].Offset, recs[i].Kind, recs[i].Payload)
	}
	l.publish(e, total, len(recs))
	return l.positions, nil, nil
}

// measure returns how much the file grows by.
func (l *Log) measure(recs []Record) (total int64, err error) {
	for i := range recs {
		n := len(recs[i].Payload)
		if recs[i].Kind == kindOwn {
			return 0, errors.New("records of kind 0 are the log's own")
		}
		if recs[i].Kind >= kindAnew {
			return 0, fmt.Errorf("a record of kind %d: kinds are less than %d", recs[i].Kind, kindAnew)
		}
		if n > MaxPayload {
			return 0, fmt.Errorf("a record of %d bytes is too large: at most %d", n, MaxPayload)
		}
		total += frameSize + int64(n)
		if l.key != nil {
			total += sealSize
		}
	}
	if total > maxBatch {
		return 0, fmt.Errorf("%d bytes at once are too many: at most %d", total, maxBatch)
	}
	return total, nil
}

// writeLocked writes records at the end of a segment.
func (l *Log) writeLocked(e *entry, recs []Record, total int64) error {
	l.positions = l.positions[:0]
	l.buf = l.buf[:0]
	at := e.end
	for i := range recs {
		offset := at + int64(len(l.buf))
		l.positions = append(l.positions, Position{e.Number, offset})
		l.buf = e.w.appendFrame(l.buf, offset, recs[i], &l.place)
		if len(l.buf) < writeBuffer && i < len(recs)-1 {
			continue
		}
		if _, err := e.w.WriteAt(l.buf, at); err != nil {
			return err
		}
		at += int64(len(l.buf))
		l.buf = l.buf[:0]
	}
	return nil
}

// appendFrame appends a record as it stands in the file.
func (h *handle) appendFrame(b []byte, offset int64, r Record, p *place) []byte {
	at := len(b)
	f := frame{length: len(r.Payload), kind: r.Kind, offset: offset}
	if h.box != nil {
		f.length += sealSize
	}
	b = slices.Grow(b, int(f.size()))[:at+frameSize+len(r.Payload)]
	stored := b[at+frameSize:]
	copy(stored, r.Payload)
	if h.box != nil {
		stored = h.box.seal(p, f, stored)
	}
	f.sum = checksum(stored)
	f.put(b[at:], h.seed)
	return b[:at+int(f.size())]
}

// publish lets records be read.
func (l *Log) publish(e *entry, total int64, records int) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e.end += total
	e.limit += total
	e.Size += total
	e.Records += uint64(records)
	e.Last = now
}

// Turn ends the segment that is appended to: the next Append begins another, so that what
// is older can go by itself.
func (l *Log) Turn() {
	l.append.Lock()
	defer l.append.Unlock()
	l.retireLocked()
}

// activeLocked returns the segment to append to.
func (l *Log) activeLocked() (*entry, error) {
	if l.active != nil && l.active.end >= l.size {
		l.retireLocked()
	}
	if l.active != nil {
		return l.active, nil
	}
	e, err := l.begin()
	if err != nil {
		return nil, err
	}
	l.active = e
	l.add(e)
	return e, nil
}

// begin makes the file of a new segment. Its name is on disk before anything that is
// in it has a position, so that no later segment gets the same number.
func (l *Log) begin() (*entry, error) {
	h := newHeader(l.next, l.now(), l.key)
	name := fileName(h.number)
	f, err := l.files.Create(name)
	if err != nil {
		return nil, err
	}
	l.next++
	if _, err = f.WriteAt(h.bytes(), 0); err == nil {
		err = l.files.SyncDir()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.files.Remove(name))
	}
	w := newHandle(f, name, h)
	w.unlock(l.key)
	return &entry{
		Info: Info{Number: h.number, Size: headerSize, First: h.created, Last: h.created},
		name: name, end: headerSize, limit: headerSize, synced: 0,
		w: w, outline: outline{gist: l.gist, lines: make([]byte, 0, l.outlined+l.outlined/8)},
	}, nil
}

// undoLocked ends a segment to which writing has failed. Readers in other processes
// may have seen what is taken back, so nothing else may come to stand there.
func (l *Log) undoLocked(e *entry) {
	e.w.Truncate(e.limit) // what stays if it fails is taken for torn
	l.retireLocked()
}

// abandon removes a segment that was begun for what could not be written: else a full disk
// would get one with each try. This process does not use its number again. If it can't be
// removed Sync will, or the next start.
func (l *Log) abandon(e *entry) {
	l.sync.Lock()
	defer l.sync.Unlock()
	if e.Records > 0 || e.w == nil || !l.has(e) || l.files.Remove(e.name) != nil {
		return
	}
	l.drop(e.Number)
	e.w.release()
}

// retireLocked ends the segment that is appended to. Sync seals it.
func (l *Log) retireLocked() {
	if l.active == nil {
		return
	}
	l.outlined = len(l.active.outline.lines) // before Sync seals it, which takes that
	l.mu.Lock()
	l.active.closed = true
	l.mu.Unlock()
	l.active = nil
}
