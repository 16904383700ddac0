// Package disk is a directory in memory that fails as disks do: its power is cut at any
// step, it forgets what was not synced, it is full, and it can't be synced. It is for
// tests of what writes through segment.FS.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"syscall"

	"transom/store/segment"
)

// ErrPower is what everything fails with after the power was cut.
var ErrPower = errors.New("the power was cut")

// A Disk is a segment.FS. Each change to a file or to the directory is a step, and so
// is each sync. Its fields are set before it is used, or by Set.
type Disk struct {
	CutAt    int   // the power is cut in this step, counted from 1; 0 is never
	Room     int64 // how many bytes there is room for; 0 is no limit
	SyncFail int   // the sync of a file that fails with EIO, counted from 1; 0 is none
	SyncBad  bool  // so do all after it

	mu     sync.Mutex
	steps  int
	syncs  int
	dead   bool
	locked bool
	names  map[string]*node
	kept   map[string]*node   // names as they are on the disk
	moves  []map[string]*node // names after each change since
}

var _ segment.FS = (*Disk)(nil)

// New returns an empty disk.
func New() *Disk { return &Disk{names: map[string]*node{}, kept: map[string]*node{}} }

// Set changes a disk that is in use.
func (d *Disk) Set(change func(d *Disk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

// Steps returns how many steps there have been.
func (d *Disk) Steps() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.steps
}

// Syncs returns how many times a file was synced.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// stepLocked begins a step. last is set in the one in which the power is cut: what it
// does may happen, in part or not at all.
func (d *Disk) stepLocked() (last bool, err error) {
	if d.dead {
		return false, ErrPower
	}
	d.steps++
	d.dead = d.CutAt > 0 && d.steps >= d.CutAt
	return d.dead, nil
}

// movedLocked is called after each change of names.
func (d *Disk) movedLocked(last bool) error {
	d.moves = append(d.moves, maps.Clone(d.names))
	if last {
		return ErrPower
	}
	return nil
}

// List implements segment.FS.
func (d *Disk) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, ErrPower
	}
	return slices.Collect(maps.Keys(d.names)), nil
}

// Open implements segment.FS.
func (d *Disk) Open(name string) (segment.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.names[name]
	switch {
	case d.dead:
		return nil, ErrPower
	case n == nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &file{d: d, n: n}, nil
}

// Change implements segment.FS.
func (d *Disk) Change(name string) (segment.File, error) { return d.Open(name) }

// Create implements segment.FS.
func (d *Disk) Create(name string) (segment.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.dead && d.names[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	last, err := d.stepLocked()
	if err != nil {
		return nil, err
	}
	n := new(node)
	d.names[name] = n
	return &file{d: d, n: n}, d.movedLocked(last)
}

// Rename implements segment.FS.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[from] == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	last, err := d.stepLocked()
	if err != nil {
		return err
	}
	d.names[to] = d.names[from]
	delete(d.names, from)
	return d.movedLocked(last)
}

// Remove implements segment.FS.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	last, err := d.stepLocked()
	if err != nil {
		return err
	}
	delete(d.names, name)
	return d.movedLocked(last)
}

// SyncDir implements segment.FS.
func (d *Disk) SyncDir() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	last, err := d.stepLocked()
	if err != nil {
		return err
	}
	if last {
		return ErrPower
	}
	d.kept, d.moves = maps.Clone(d.names), nil
	return nil
}

// Lock implements segment.FS.
func (d *Disk) Lock() (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locked {
		return nil, segment.ErrLocked
	}
	d.locked = true
	return unlocker{d}, nil
}

type unlocker struct{ d *Disk }

func (u unlocker) Close() error {
	u.d.Set(func(d *Disk) { d.locked = false })
	return nil
}

// Close implements segment.FS. The disk stays what it is.
func (d *Disk) Close() error { return nil }

// Used returns how many bytes are taken of the room.
func (d *Disk) Used() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.usedLocked()
}

// usedLocked returns how many bytes all files have.
func (d *Disk) usedLocked() (n int64) {
	for _, f := range d.names {
		n += int64(len(f.data))
	}
	return n
}

// roomLocked returns how much more there is room for.
func (d *Disk) roomLocked() int64 {
	if d.Room == 0 {
		return 1 << 62
	}
	return max(0, d.Room-d.usedLocked())
}

// errFull is what a disk without room says.
func errFull(op string) error { return &fs.PathError{Op: op, Path: "disk", Err: syscall.ENOSPC} }
