package segment

import (
	"errors"
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
		l.recovered = append(l.recovered, damage)
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
		if foot, err = l.cut(h, size, &e.outline); err != nil {
			return err
		}
	}
	e.Records, e.Last, e.end, e.limit, e.synced = foot.records, foot.last, foot.end, foot.at, foot.end
	e.Sealed = sealed
	l.add(e)
	if sealed {
		return nil
	}
	if err := h.Sync(); err != nil {
		return err
	}
	e.Size = finish(h, e)
	e.outline = outline{}
	e.Sealed = e.Size > e.limit
	return nil
}

// cut goes through a segment that was not sealed, cuts off what is behind its last
// whole record, and returns what its footer would say. o gets its outline.
func (l *Log) cut(h *handle, size int64, o *outline) (footer, error) {
	foot := footer{last: h.head.created, end: headerSize, at: headerSize}
	s := newScanner(h, headerSize, size)
	var pending []*Damage
	for {
		f, stored, at, err := s.next()
		var damage *Damage
		switch {
		case err == io.EOF:
			if own, err := h.ownAt(foot.at, size); own || err != nil {
				return foot, errors.Join(err, h.Truncate(foot.at)) // all records are there
			}
			if foot.at < size {
				l.recovered = append(l.recovered, &Damage{File: h.name, Offset: foot.at, Length: size - foot.at, Reason: "a crash came before it was all written: cut off"})
				return foot, h.Truncate(foot.at)
			}
			return foot, nil
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
