package segment

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// recover looks at what is in the directory.
func (l *Log) recover() error {
	names, err := l.files.List()
	if err != nil {
		return err
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := numberOf(name); ok {
			numbers = append(numbers, n)
		} else if unfinished(name) {
			if err := l.files.Remove(name); err != nil {
				return err
			}
		}
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		l.next = n + 1
		if err := l.adopt(n, i == len(numbers)-1); err != nil {
			return err
		}
	}
	return nil
}

// unfinished reports whether a file of ours did not come to take its place. Others may
// have files in the directory too.
func unfinished(name string) bool {
	name, ok := strings.CutSuffix(name, newSuffix)
	_, segment := numberOf(name)
	return ok && (segment || name == keyName)
}

// adopt takes a segment into the table.
func (l *Log) adopt(n uint64, last bool) error {
	name := fileName(n)
	f, err := l.files.Change(name)
	if err != nil {
		return err
	}
	size, err := f.Size()
	if err != nil {
		f.Close()
		return err
	}
	h, err := examine(f, name, n, l.key)
	if err == nil {
		defer h.release()
		return l.adoptHandle(h, size)
	}
	f.Close()
	var damage *Damage
	switch {
	case !errors.As(err, &damage):
		return err
	case size <= headerSize && last: // a crash came before there was anything in it; the name keeps its number from being used again
	case size <= headerSize:
		return l.files.Remove(name)
	default:
		l.add(&entry{Info: Info{Number: n, Size: size}, name: name, broken: damage, closed: true})
	}
	return nil
}

// adoptHandle takes a segment with a good header into the table.
func (l *Log) adoptHandle(h *handle, size int64) error {
	e := &entry{Info: Info{Number: h.head.number, Size: size, First: h.head.created}, name: h.name, closed: true}
	foot, sealed, err := h.readFooter(size)
	if err != nil {
		return err
	}
	if !sealed {
		e.outline.gist = l.gist
		if foot, err = l.survey(h, size, &e.outline); err != nil {
			return err
		}
	}
	e.Records, e.Last, e.end, e.limit, e.synced = foot.records, foot.last, foot.end, foot.at, foot.end
	e.Sealed = sealed
	if !sealed {
		l.settle(h, e)
	}
	e.outline = outline{}
	l.add(e)
	return nil
}

// settle puts a segment that was not sealed on disk. Where that can't be done it is read as it is.
func (l *Log) settle(h *handle, e *entry) {
	err := l.renew(h, e)
	if err == nil {
		return
	}
	if !e.Sealed && e.limit < e.Size && h.Truncate(e.limit) == nil { // what stays is taken for torn
		e.Size = e.limit
	}
	if errors.Is(explain(err), ErrFull) { // its records are not known to be on disk, so it gets no footer
		err = h.Sync()
	}
	if err == nil || e.Records == 0 {
		return
	}
	if l.unsafe == nil {
		l.unsafe = &SyncError{From: Position{e.Number, headerSize}}
	}
	l.unsafe.To, l.unsafe.Err = Position{e.Number, e.end}, errors.Join(l.unsafe.Err, fmt.Errorf("put %s on disk: %w", e.name, err))
}

// renew copies what is read of a segment into a file that takes its place. What a process that
// has ended could not put on disk, and was told so, the system may read from memory as long as it likes,
// and say that all is on disk: only what is written is known to be.
func (l *Log) renew(h *handle, e *entry) error {
	name := e.name + newSuffix
	f, err := l.files.Create(name)
	if err != nil {
		return err
	}
	w := &appender{f: f}
	if err = w.copy(h, e.limit); err == nil {
		w.buf = append(w.buf, ending(h, e)...)
		err = errors.Join(w.flush(), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = l.files.Rename(name, e.name)
	}
	if err != nil {
		return errors.Join(err, l.files.Remove(name))
	}
	e.Size, e.Sealed = w.size(), true
	return l.files.SyncDir()
}

// copy copies a file up to limit.
func (w *appender) copy(from io.ReaderAt, limit int64) error {
	for w.size() < limit {
		n := min(writeBuffer, limit-w.size())
		w.buf = slices.Grow(w.buf, int(n))[:n]
		if got, err := from.ReadAt(w.buf, w.at); got < len(w.buf) {
			return unexpected(err)
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
	return nil
}

// survey goes through a segment that was not sealed, and returns what its footer would
// say: it ends behind its last whole record. o gets its outline.
func (l *Log) survey(h *handle, size int64, o *outline) (footer, error) {
	foot := footer{last: h.head.created, end: headerSize, at: headerSize}
	s := newScanner(h, headerSize, size)
	var pending []*Damage
	for {
		f, stored, at, err := s.next()
		var damage *Damage
		switch {
		case err == io.EOF:
			own, err := h.ownAt(foot.at, size)
			if !own && err == nil && foot.at < size { // else all records are there
				l.recovered = append(l.recovered, &Damage{File: h.name, Offset: foot.at, Length: size - foot.at, Reason: "a crash came before it was all written: cut off"})
			}
			return foot, err
		case errors.As(err, &damage):
			pending = append(pending, damage)
		case err != nil:
			return foot, err
		case f.kind != kindOwn:
			o.addStored(h, f, stored)
			foot.records++
			foot.end, foot.at = f.offset+f.size(), at+f.size()
			l.recovered = append(l.recovered, pending...)
			pending = nil
		}
	}
}
