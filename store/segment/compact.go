package segment

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// Compacted says what a compaction did to a segment.
type Compacted struct {
	Before, After int64     // the size of the file
	Damage        []*Damage // what was damaged, and is gone now
}

// Compact leaves out of a segment the records for which keep says no; length is that
// of the payload as stored. The others keep their positions, so that nothing that
// refers to them has to change. What anew returns, unless it is nil, takes the place of the payload of
// one that is kept; if it is longer than that it does not. Nobody waits for it, and it ends when the log is closed.
// The segment must be sealed, or given up by a Sync that failed. A crash at any moment
// leaves it as it was or as it is to be. What is read of it at the moment is read on as
// it was.
func (l *Log) Compact(ctx context.Context, number uint64, keep func(p Position, kind uint8, length int) bool, anew func(p Position) []byte) (Compacted, error) {
	e, err := l.startCompaction(number)
	if err != nil {
		return Compacted{}, err
	}
	defer l.endCompaction(e)
	p, err := l.piece(number, false)
	if err != nil {
		return Compacted{}, err
	}
	defer p.release()
	c := compaction{ctx: ctx, closing: l.closing, from: p, keep: keep, anew: anew, outline: outline{gist: l.gist}, last: footer{last: e.Last, end: p.end}}
	done, err := l.compact(e, &c)
	if err != nil {
		return Compacted{}, fmt.Errorf("compact %s: %w", e.name, explain(err))
	}
	return done, l.files.SyncDir()
}

// compact makes the new file and puts it in place of the old one.
func (l *Log) compact(e *entry, c *compaction) (Compacted, error) {
	name := e.name + newSuffix
	l.files.Remove(name) // of an attempt that could not even do that
	f, err := l.files.Create(name)
	if err != nil {
		return Compacted{}, err
	}
	err = errors.Join(c.write(f, name), f.Close())
	l.change.Lock()
	defer l.change.Unlock()
	if err == nil && !l.has(e) {
		err = ErrGone
	}
	if err == nil {
		err = l.files.Rename(name, e.name)
	}
	if err != nil {
		return Compacted{}, errors.Join(err, l.files.Remove(name))
	}
	return l.replaced(e, c), nil
}

// has reports whether a segment was not removed.
func (l *Log) has(e *entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.getLocked(e.Number) == e
}

// startCompaction returns a segment that nobody writes to, for one who compacts it.
// Close waits for that.
func (l *Log) startCompaction(number uint64) (*entry, error) {
	l.append.Lock()
	defer l.append.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.getLocked(number)
	switch {
	case e == nil:
		return nil, ErrGone
	case !e.closed || e.w != nil:
		return nil, fmt.Errorf("compact %s: it is still written to", e.name)
	case e.compacting:
		return nil, fmt.Errorf("compact %s: it is being compacted", e.name)
	}
	e.compacting = true
	l.compactions.Add(1)
	return e, nil
}

func (l *Log) endCompaction(e *entry) {
	l.mu.Lock()
	e.compacting = false
	l.mu.Unlock()
	l.compactions.Done()
}

// replaced has the table know of the new file.
func (l *Log) replaced(e *entry, c *compaction) Compacted {
	l.mu.Lock()
	done := Compacted{Before: e.Size, After: c.size, Damage: c.damage}
	e.Size, e.Records, e.limit, e.Sealed = c.size, c.last.records, c.last.at, true
	l.mu.Unlock()
	l.shut(e.Number)
	return done
}

// A compaction is under way.
type compaction struct {
	ctx     context.Context
	closing <-chan struct{}
	from    piece
	keep    func(Position, uint8, int) bool
	anew    func(Position) []byte // nil is none
	marks   []mark
	outline outline
	damage  []*Damage
	last    footer
	size    int64
}

// write makes the new file, and puts it on disk. Frames are copied as they stand: the
// salt stays the same, and with it their checksums.
func (c *compaction) write(f File, name string) error {
	head := c.from.head
	head.flags |= flagCompacted
	h := newHandle(f, name, head)
	h.key = c.from.key
	w := &appender{f: f, buf: head.bytes()}
	if err := c.copy(w); err != nil {
		return err
	}
	c.last.at = w.size()
	w.buf = append(w.buf, marksBytes(c.marks, c.last.end, h.seed)...)
	if b := c.outline.frames(h, w.size(), c.last.end); b != nil {
		c.last.outline = w.size()
		w.buf = append(w.buf, b...)
	}
	w.buf = append(w.buf, c.last.bytes(h)...)
	c.size = w.size()
	return errors.Join(w.flush(), f.Sync())
}

// copy copies the frames to keep.
func (c *compaction) copy(w *appender) error {
	s := newScanner(c.from.handle, headerSize, c.from.limit)
	for {
		select {
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		case <-c.closing:
			return ErrClosed
		default:
		}
		f, stored, _, err := s.next()
		var damage *Damage
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &damage):
			c.damage = append(c.damage, damage)
		case err != nil:
			return err
		case f.kind != kindOwn && c.keep(Position{c.from.number, f.offset}, f.kind&^kindAnew, f.length):
			f, stored = c.replace(f, stored)
			c.marks = addMark(c.marks, f.offset, w.size())
			c.outline.addStored(c.from.handle, f, stored)
			c.last.records++
			if err := w.frame(f, c.from.seed, stored); err != nil {
				return err
			}
		}
	}
}

// replace puts what there is anew in the place of a payload.
func (c *compaction) replace(f frame, stored []byte) (frame, []byte) {
	if c.anew == nil {
		return f, stored
	}
	payload := c.anew(Position{c.from.number, f.offset})
	if payload == nil {
		return f, stored
	}
	g := f
	g.length = len(payload)
	if c.from.box != nil {
		g, payload = c.from.box.sealAnew(f, payload)
	}
	if g.length > f.length { // the offset behind it is another's
		return f, stored
	}
	g.sum = checksum(payload)
	return g, payload
}

// An appender writes a file from its begin.
type appender struct {
	f   File
	at  int64
	buf []byte
}

// size is how long the file is with what waits.
func (w *appender) size() int64 { return w.at + int64(len(w.buf)) }

func (w *appender) frame(f frame, seed uint32, stored []byte) error {
	w.buf = append(f.append(w.buf, seed), stored...)
	if len(w.buf) < writeBuffer {
		return nil
	}
	return w.flush()
}

func (w *appender) flush() error {
	_, err := w.f.WriteAt(w.buf, w.at)
	w.at += int64(len(w.buf))
	w.buf = w.buf[:0]
	return err
}
