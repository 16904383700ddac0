package index

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// A settled is a file that is only read, as it was found. SQLite is told that it does
// not change, since it would else make files beside it; so it has to be seen if it does.
type settled struct {
	path  string
	size  int64
	since time.Time
}

// settle looks at a file that nobody is said to write. What a crash has left beside it
// belongs to it, and can't be read without a file for it: then a copy of both is, in a
// directory that is returned to be removed.
func settle(path string) (read string, s *settled, scratch string, err error) {
	if s, err = lookAt(path); err != nil {
		return "", nil, "", err
	}
	left, err := s.left()
	if err != nil || left == "" {
		return path, s, "", err
	}
	if scratch, err = os.MkdirTemp("", "transom-index-"); err != nil {
		return "", nil, "", fmt.Errorf("copy index: %w", err)
	}
	read = filepath.Join(scratch, "index")
	room := int64(maxCopy)
	err = copyFile(read, path, &room)
	if err == nil {
		err = copyFile(read+left, path+left, &room)
	}
	if err == nil {
		err = s.same()
	}
	if err == nil {
		err = fold(read)
	}
	if err != nil {
		return "", nil, "", errors.Join(fmt.Errorf("copy index: %w", err), os.RemoveAll(scratch))
	}
	return read, nil, scratch, nil
}

func lookAt(path string) (*settled, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	return &settled{path: path, size: info.Size(), since: info.ModTime()}, nil
}

// maxCopy is how large a copy may be. What is larger is of some million flows.
const maxCopy = 1 << 30

// copyFile copies a file that is no longer than there is room.
func copyFile(to, from string, room *int64) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	if *room -= info.Size(); *room < 0 {
		return fmt.Errorf("%s is too large", from)
	}
	w, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.LimitReader(r, info.Size()))
	return errors.Join(err, w.Close())
}

// left returns the end of the name of what a crash, or who writes now, has beside the
// file, "" if there is nothing.
func (s *settled) left() (end string, err error) {
	for _, end := range []string{"-wal", "-journal"} {
		info, err := os.Stat(s.path + end)
		switch {
		case err == nil && info.Size() > 0:
			return end, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("open index: %w", err)
		}
	}
	return "", nil
}

// same fails with ErrChanged if the file was written.
func (s *settled) same() error {
	now, err := lookAt(s.path)
	if err != nil || now.size != s.size || !now.since.Equal(s.since) {
		return errChanged(s.path)
	}
	return nil
}

// still fails with ErrChanged if somebody writes the file now, or has.
func (s *settled) still() error {
	if s == nil {
		return nil
	}
	if left, err := s.left(); err != nil || left != "" {
		return errChanged(s.path) // what is in it we don't see
	}
	return s.same()
}

func errChanged(path string) error { return fmt.Errorf("read index %s: %w", path, ErrChanged) }
