package segment

import (
	"errors"
	"io/fs"
)

// Remove removes a segment with all that is in it. What is read of it at the moment is
// read on. It fails with ErrGone if there is none. Of the last segment the file is
// followed by another first, so that its number is not used again.
func (l *Log) Remove(number uint64) error {
	l.change.Lock()
	defer l.change.Unlock()
	e, err := l.giveUp(number)
	if err != nil {
		return err
	}
	if err := l.files.Remove(e.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	l.sync.Lock()
	l.drop(number)
	if e.w != nil {
		e.w.release()
	}
	l.sync.Unlock()
	return l.files.SyncDir()
}

// giveUp returns a segment that nothing is appended to any more.
func (l *Log) giveUp(number uint64) (*entry, error) {
	l.append.Lock()
	defer l.append.Unlock()
	if l.closed {
		return nil, ErrClosed
	}
	l.mu.Lock()
	e := l.getLocked(number)
	l.mu.Unlock()
	switch {
	case e == nil:
		return nil, ErrGone
	case number != l.next-1:
		return e, nil
	}
	l.retireLocked()
	_, err := l.activeLocked()
	return e, explain(err)
}
