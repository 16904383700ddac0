package segment

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// Options say where a log is and how it is kept.
type Options struct {
	Dir         string           // the directory, made if there is none
	FS          FS               // instead of Dir; closed with the log
	SegmentSize int64            // a segment that has reached it is followed by another; 0 is 64 MiB
	Now         func() time.Time // nil is time.Now

	// Gist says how many bytes of a record's begin Outline is to tell of; nil is that
	// there will be no outlines. It is asked once, when the record is appended.
	Gist func(kind uint8, payload []byte) int

	// Secret is what the log is encrypted with: a file of age-keygen, or a
	// passphrase. A log without one is not encrypted, and will never be.
	Secret []byte
}

// Sizes of segments.
const (
	defaultSegmentSize = 64 << 20
	maxSegmentSize     = 1 << 30
)

// A Log is a directory of segments that this process writes to. Its methods may be
// called by many goroutines: Append and Sync wait for their like, and Read and Scan for
// nobody. Positions are given once: what was lost in a crash leaves a gap.
type Log struct {
	table
	size      int64
	now       func() time.Time
	lock      io.Closer
	recovered []*Damage
	unsafe    *SyncError

	// append is held while something is written. It is not for state but for the
	// order of writes.
	append    sync.Mutex
	active    *entry // nil if the next Append begins one
	next      uint64 // the number of the next segment
	buf       []byte
	positions []Position
	outlined  int // how long the outline of the last segment was
	place     place
	closed    bool

	sync   sync.Mutex // held while something is synced
	change sync.Mutex // held while segments are removed or replaced

	closing     chan struct{}  // closed by Close
	compactions sync.WaitGroup // that are under way
}

// Open opens a log for writing, or begins one. It looks at what a crash has left:
// a torn end is cut off, Recovered tells.
func Open(o Options) (*Log, error) {
	files, err := o.files()
	if err != nil {
		return nil, err
	}
	l := &Log{table: table{files: files, gist: o.Gist}, size: o.SegmentSize, now: o.Now, next: 1, closing: make(chan struct{})}
	if l.size == 0 {
		l.size = defaultSegmentSize
	}
	l.size = min(l.size, maxSegmentSize)
	if l.now == nil {
		l.now = time.Now
	}
	if l.lock, err = files.Lock(); err == nil {
		l.key, err = loadKey(files, o.Secret, true)
	}
	if err == nil {
		err = l.recover()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the store: %w", explain(err)), l.release())
	}
	return l, nil
}

// files returns the directory that the options name.
func (o Options) files() (FS, error) {
	if o.FS != nil {
		return o.FS, nil
	}
	return Dir(o.Dir)
}

// Recovered returns what Open found damaged of segments that were not sealed, and cut off if it was
// at the end of one. What is damaged elsewhere comes by Scan and Read.
func (l *Log) Recovered() []*Damage { return l.recovered }

// Unsafe returns what Open found and could not put on disk, nil if there is none. It is read as
// all else; a crash of the machine may take of it what was not synced before.
func (l *Log) Unsafe() *SyncError { return l.unsafe }

// End returns where the log ends: all records that were appended are before.
func (l *Log) End() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.entries); n > 0 {
		return Position{l.entries[n-1].Number, l.entries[n-1].end}
	}
	return Position{}
}

// Close syncs, seals the last segment and lets others write to the directory.
func (l *Log) Close() error {
	l.append.Lock()
	if l.closed {
		l.append.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.retireLocked()
	l.append.Unlock()
	close(l.closing)
	l.compactions.Wait()
	l.change.Lock()
	defer l.change.Unlock()
	return errors.Join(l.flush(), l.release())
}

// release closes what is open.
func (l *Log) release() error {
	l.shutAll()
	var err error
	if l.lock != nil {
		err = l.lock.Close()
	}
	return errors.Join(err, l.files.Close())
}
