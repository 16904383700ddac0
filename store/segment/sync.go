package segment

import "errors"

// Sync returns when all that was appended before it was called is on disk. A
// *SyncError says what is not and never will be by itself. Segments that are full are
// sealed by it, so who appends must call it too.
func (l *Log) Sync() error {
	l.append.Lock()
	closed := l.closed
	l.append.Unlock()
	if closed {
		return ErrClosed
	}
	return l.flush()
}

// flush is Sync, also of a log that is being closed.
func (l *Log) flush() error {
	l.sync.Lock()
	defer l.sync.Unlock()
	var lost *SyncError
	for _, e := range l.unsynced() {
		failed := l.syncSegment(e)
		switch {
		case failed == nil:
		case lost == nil:
			lost = failed
		default:
			lost.To, lost.Err = failed.To, errors.Join(lost.Err, failed.Err)
		}
	}
	if lost == nil {
		return nil
	}
	return lost
}

// unsynced returns the segments of which something is not on disk, or that are to be
// sealed.
func (l *Log) unsynced() (out []*entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.w != nil && (e.closed || e.end > e.synced) {
			out = append(out, e)
		}
	}
	return out
}

// latest returns the number of the last segment.
func (l *Log) latest() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[len(l.entries)-1].Number
}

// syncSegment puts a segment on disk, and seals it if nothing more is appended.
func (l *Log) syncSegment(e *entry) *SyncError {
	l.mu.Lock()
	end, size, closed := e.end, e.limit, e.closed
	l.mu.Unlock()
	if closed && e.Records == 0 && e.Number < l.latest() {
		l.files.Remove(e.name) // an Append has failed before there was anything in it
		l.drop(e.Number)
		e.w.release()
		return nil
	}
	if err := e.w.Sync(); err != nil {
		return l.fail(e, explain(err))
	}
	if closed {
		size = finish(e.w, e)
	}
	l.mu.Lock()
	e.synced = end
	if closed {
		e.outline = outline{}
	}
	w := e.w
	if closed {
		e.Size, e.Sealed, e.w = size, size > e.limit, nil // without room for a footer it has none
	}
	l.mu.Unlock()
	if closed {
		w.release()
	}
	return nil
}

// finish writes the outline and the footer of a segment that is synced, and returns the size of the
// file. So a footer, even one that is not on disk yet, says that the records are. It is
// no loss when there is no room for it, or when it does not come to the disk: the
// segment is read from its begin when the log is opened.
func finish(h *handle, e *entry) int64 {
	b := ending(h, e)
	if _, err := h.WriteAt(b, e.limit); err != nil {
		h.Truncate(e.limit)
		return e.limit
	}
	return e.limit + int64(len(b))
}

// ending returns the outline and the footer of a segment.
func ending(h *handle, e *entry) []byte {
	f := footer{records: e.Records, last: e.Last, end: e.end, at: e.limit}
	b := e.outline.frames(h, e.limit, e.end)
	if b != nil {
		f.outline = e.limit
	}
	return append(b, f.bytes(h)...)
}

// fail gives a segment up that the system can't put on disk. It is not tried again: a
// second fsync may succeed because the kernel has dropped what the first one could not
// write. It returns nil if all of it was on disk before.
func (l *Log) fail(e *entry, err error) *SyncError {
	l.append.Lock()
	if l.active == e {
		l.retireLocked()
	}
	l.append.Unlock()
	l.mu.Lock()
	failed := &SyncError{From: Position{e.Number, max(e.synced, headerSize)}, To: Position{e.Number, e.end}, Err: err}
	w, all := e.w, e.end <= failed.From.Offset
	e.synced, e.w, e.outline = e.end, nil, outline{}
	l.mu.Unlock()
	w.release()
	if all {
		return nil
	}
	return failed
}
