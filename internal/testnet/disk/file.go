package disk

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// A node is a file: as programs see it, and as the disk has it.
type node struct {
	data    []byte
	kept    []byte
	pending []edit // what was not synced
}

// An edit is a write, or a truncation to off if data is nil.
type edit struct {
	off  int64
	data []byte
}

// apply makes an edit.
func (e edit) apply(b []byte) []byte {
	if e.data == nil {
		if e.off <= int64(len(b)) {
			return b[:e.off:e.off]
		}
		return append(b, make([]byte, e.off-int64(len(b)))...)
	}
	if end := e.off + int64(len(e.data)); end > int64(len(b)) {
		b = append(b, make([]byte, end-int64(len(b)))...)
	}
	copy(b[e.off:], e.data)
	return b
}

func (n *node) edit(e edit) {
	n.data = e.apply(n.data)
	n.pending = append(n.pending, e)
}

type file struct {
	d      *Disk
	n      *node
	closed bool
}

// ready says why nothing can be done with the file.
func (f *file) ready() error {
	if f.closed {
		return fs.ErrClosed
	}
	if f.d.dead {
		return ErrPower
	}
	return nil
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.ready(); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt. Without room for all it writes what there is room
// for.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.ready(); err != nil {
		return 0, err
	}
	last, err := f.d.stepLocked()
	if err != nil {
		return 0, err
	}
	n := min(int64(len(p)), max(0, int64(len(f.n.data))-off)+f.d.roomLocked())
	if n > 0 {
		f.n.edit(edit{off, slices.Clone(p[:n])})
	}
	switch {
	case last:
		return 0, ErrPower
	case n < int64(len(p)):
		return int(n), errFull("write")
	}
	return len(p), nil
}

// Size implements segment.File.
func (f *file) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.n.data)), f.ready()
}

// Truncate implements segment.File.
func (f *file) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.ready(); err != nil {
		return err
	}
	last, err := f.d.stepLocked()
	if err != nil {
		return err
	}
	f.n.edit(edit{off: size})
	if last {
		return ErrPower
	}
	return nil
}

// Sync implements segment.File. After it has failed the disk takes what was to be
// synced for done, as kernels do.
func (f *file) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.ready(); err != nil {
		return err
	}
	last, err := f.d.stepLocked()
	if err != nil {
		return err
	}
	f.d.syncs++
	switch {
	case last:
		return ErrPower
	case f.d.syncs == f.d.SyncFail, f.d.SyncBad && f.d.SyncFail > 0 && f.d.syncs > f.d.SyncFail:
		f.n.pending = nil
		return &fs.PathError{Op: "sync", Path: "disk", Err: syscall.EIO}
	}
	for _, e := range f.n.pending {
		f.n.kept = e.apply(f.n.kept)
	}
	f.n.pending = nil
	return nil
}

// Close implements io.Closer.
func (f *file) Close() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.closed {
		return errors.New("closed twice")
	}
	f.closed = true
	return nil
}
