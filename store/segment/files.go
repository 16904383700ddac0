package segment

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"transom/platform"
)

// FS is the directory of a log. Names are of files in it. What fails for lack of
// room wraps syscall.ENOSPC or syscall.EDQUOT, and what does not exist
// fs.ErrNotExist.
type FS interface {
	// List returns the names of what is in the directory.
	List() ([]string, error)
	// Open opens a file for reading.
	Open(name string) (File, error)
	// Create makes a new file, for reading and writing.
	Create(name string) (File, error)
	// Change opens a file for reading and writing.
	Change(name string) (File, error)
	// Rename gives a file another name, in place of what had it.
	Rename(from, to string) error
	Remove(name string) error
	// SyncDir makes lasting what Create, Rename and Remove did.
	SyncDir() error
	// Lock makes this the one writer until the closer is closed, or fails with
	// ErrLocked.
	Lock() (io.Closer, error)
	Close() error
}

// A File is a file of an FS.
type File interface {
	io.ReaderAt
	io.WriterAt
	Size() (int64, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// lockName is the file whose lock is the directory's.
const lockName = "lock"

// Dir returns a directory of the system. It is made if there is none, for its owner
// alone; one that others may write to is refused.
func Dir(name string) (FS, error) {
	if err := os.MkdirAll(name, 0o700); err != nil {
		return nil, fmt.Errorf("make directory for the store: %w", err)
	}
	return openDir(name)
}

// openDir is Dir for a directory that exists.
func openDir(name string) (FS, error) {
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("open directory of the store: %w", err)
	}
	info, err := root.Stat(".")
	if err == nil && info.Mode()&0o022 != 0 {
		err = fmt.Errorf("others than its owner may write to %s, and could change what is recorded: chmod go-w %s, or choose another directory", name, name)
	}
	if err != nil {
		root.Close()
		return nil, err
	}
	return dir{root}, nil
}

type dir struct{ root *os.Root }

func (d dir) List() ([]string, error) {
	f, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d dir) Open(name string) (File, error) { return d.open(name, os.O_RDONLY) }

func (d dir) Create(name string) (File, error) { return d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL) }

func (d dir) Change(name string) (File, error) { return d.open(name, os.O_RDWR) }

func (d dir) open(name string, flags int) (File, error) {
	f, err := d.root.OpenFile(name, flags, 0o600)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, errors.Join(err, &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")})
	}
	return file{f}, nil
}

func (d dir) Rename(from, to string) error { return d.root.Rename(from, to) }

func (d dir) Remove(name string) error { return d.root.Remove(name) }

func (d dir) SyncDir() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer f.Close()
	err = f.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil // file systems of networks have no such thing
	}
	return err
}

func (d dir) Lock() (io.Closer, error) {
	f, err := d.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = platform.LockFile(f)
	for i := 0; i < lockTries && errors.Is(err, platform.ErrLocked); i++ {
		<-time.After(lockWait) // flock waits for ever, or not at all
		err = platform.LockFile(f)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, platform.ErrLocked) {
			return nil, fmt.Errorf("%s: %w: end it, or choose another directory", d.root.Name(), ErrLocked)
		}
		return nil, err
	}
	return f, nil
}

// Who asks whether there is a writer keeps the lock from the next one for a moment.
const (
	lockTries = 5
	lockWait  = 10 * time.Millisecond
)

// Written reports whether a process has the log of a directory open for writing.
func Written(dir string) (bool, error) {
	f, err := os.Open(filepath.Join(dir, lockName))
	if err != nil {
		return false, err
	}
	defer f.Close()
	return platform.FileLocked(f)
}

func (d dir) Close() error { return d.root.Close() }

type file struct{ *os.File }

func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// explain makes a lack of room something to branch on.
func explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
