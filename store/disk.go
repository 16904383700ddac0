package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"sync"
	"time"

	"transom/flow"
	"transom/store/segment"
	"transom/store/wire"
)

// DiskOptions say where a store on disk is and what it keeps. Zero fields take the
// defaults.
type DiskOptions struct {
	Dir string     // made if there is none
	FS  segment.FS // instead of Dir

	MaxBytes  int64         // bounds the directory; 0 is no bound
	MaxAge    time.Duration // flows that ended longer ago go; 0 keeps them
	MaxFlows  int64         // about how many are kept; 0 is no bound
	BodyLimit int64         // bounds what is kept of one body: 64 MiB; negative keeps nothing of any

	// Queue bounds what is kept in memory until it is written: 32 MiB, at least 256 KiB.
	Queue int64
	// Lossless has who records wait for the disk when the queue is full: traffic
	// waits then. Else bodies are cut, and then flows refused.
	Lossless bool
	// Grace bounds how long Close tries to write what the disk has no room for: 5 s.
	Grace time.Duration

	// Secret is what the store is encrypted with: a file of age-keygen, or a
	// passphrase. One that holds something without stays as it is.
	Secret []byte

	// Words has words in bodies found by index. It costs more than all the rest.
	Words bool
	// Trigrams has text in bodies found by index, and words. It costs some times as much
	// again.
	Trigrams bool

	// Thrift has the process's collector take less memory, the more flows there are, unless
	// GOGC says how much. It is for a program of which the store is the greatest part.
	Thrift bool

	SegmentSize int64        // of the files: a sixteenth of MaxBytes, at most 64 MiB
	Log         *slog.Logger // default: discard
}

const (
	defaultDiskBody = 64 << 20
	defaultQueue    = 32 << 20
	minQueue        = 256 << 10 // a few pieces of bodies
	defaultGrace    = 5 * time.Second
	maxSegment      = 64 << 20
	minSegment      = 1 << 20

	// perSegment is more bodies than a segment has records. The numbers of those of which
	// nothing came to be written are nowhere to be found but in flows: so a store that is
	// opened begins behind all that there can have been.
	perSegment = 1 << 22

	linger   = 50 * time.Millisecond // what comes within is written at once, unless that is more than
	atOnce   = 1 << 20               // bytes: what a processor has at hand, and its collector need not look at again and again
	syncEach = time.Second
)

// Disk is a Store in a directory: a log of segment files that only grow, from which
// the oldest are removed when they are too many.
//
// What is recorded waits in a bounded queue for the one goroutine that writes, and can
// be read from there. Each second it is made sure that what was written is on disk;
// that survives whatever happens to the process or the machine. When the disk is full
// recording stops, and resumes by itself: what finds no room in the queue meanwhile is
// lost, and counted, unless Lossless has traffic wait.
//
// A body's BodyRef has its number for Segment.
type Disk struct {
	o   DiskOptions
	log journal

	unsafe *segment.SyncError // of what was there when it was opened
	holes  []*segment.Damage  // that were there then, and were told of

	index     *indexer
	compactor *compactor

	mu       sync.Mutex
	room     sync.Cond // what waits for the queue
	used     int64     // of the queue
	fresh    int64     // of that, what came since something was taken to be written
	released bool      // nobody waits any more
	queued   flowQueue // to be written next
	writing  flowQueue // being written
	undone   map[flow.ID]bool
	dead     []wire.Deleted // to be written
	dirty    []*stream      // with something to be written
	streams  map[uint64]*stream
	last     uint64 // number of the last body
	written  uint64 // what is written from now on refers to no segment before this one but for bodies under way
	known    catalog
	stats    DiskStats
	moved    int // how often what the system could not put on disk was written again
	conns    cache[segment.Position, *flow.Conn]
	lacking  cache[*flow.Conn, *lack]          // connections that can't be read
	twins    cache[likeness, segment.Position] // where the newest of equal large bodies is
	blobs    cache[segment.Position, []byte]

	soon, now chan struct{} // there is something to write; it is urgent
	flush     chan chan error
	closing   chan struct{}
	closed    chan struct{}
	once      sync.Once
	err       error // of Close
}

// A journal is what a Disk needs of a segment.Log.
type journal interface {
	Append(recs ...segment.Record) ([]segment.Position, error)
	Sync() error
	Read(p segment.Position, dst []byte) (segment.Record, error)
	Scan(ctx context.Context, from segment.Position) iter.Seq2[segment.At, error]
	End() segment.Position
	Segments() []segment.Info
	Remove(number uint64) error
	Turn()
	Compact(ctx context.Context, number uint64, keep func(p segment.Position, kind uint8, length int) bool, anew func(p segment.Position) []byte) (segment.Compacted, error)
	Outline(ctx context.Context) iter.Seq2[segment.Line, error]
	Renew(number uint64)
	Close() error
}

// DiskStats tell what a Disk holds and what it has lost.
type DiskStats struct {
	Flows, Bodies int   // kept now
	Bytes, Max    int64 // taken on disk, with the index, and the bound
	Segments      int
	Queued        int64 // bytes that wait to be written

	Failing       bool  // nothing can be written at the moment
	Failures      int64 // how often that began
	Refused       int64 // flows that found no room in the queue
	TruncatedBody int64 // bodies that were cut
	Starved       int64 // of these, those that found no room in the queue
	DroppedBytes  int64 // payload bytes that were seen and not kept
	Unsynced      int64 // times that the system could not put on disk what was written
	Evicted       int64 // flows that went with the oldest segments
	Compacted     int64 // segments that what was deleted was taken out of
	Reclaimed     int64 // bytes that this gave back
	Shared        int64 // of these, what large bodies take that there are more than once
	Damaged       int64 // places in the log that could not be read when it was opened

	Behind      int64 // about how many records the index does not have yet
	BehindBytes int64 // and what they take
	Unindexed   bool  // the index has failed: filters read all of what is recorded
}

// OpenDisk opens the store in a directory, or makes one. One process writes to it.
func OpenDisk(o DiskOptions) (*Disk, error) {
	o = o.withDefaults()
	log, err := segment.Open(segment.Options{Dir: o.Dir, FS: o.FS, SegmentSize: o.SegmentSize, Secret: o.Secret, Gist: wire.Gist})
	if err != nil {
		return nil, err
	}
	d, end := newDisk(o, log), log.End()
	if err := d.replay(log); err != nil {
		return nil, errors.Join(fmt.Errorf("read what is recorded in %s: %w", o.Dir, err), log.Close())
	}
	d.written = log.End().Segment
	first := d.written // of those that are written to from now on
	if log.End() == end {
		first++
	}
	d.last = max(d.last, (first+1)*perSegment)
	d.unsafe = log.Unsafe()
	d.startIndex()
	d.startCompactor()
	go d.write()
	return d, nil
}

func (o DiskOptions) withDefaults() DiskOptions {
	if o.BodyLimit == 0 {
		o.BodyLimit = defaultDiskBody
	}
	o.BodyLimit = max(o.BodyLimit, 0)
	if o.Queue <= 0 {
		o.Queue = defaultQueue
	}
	o.Queue = max(o.Queue, minQueue)
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = maxSegment
		if o.MaxBytes > 0 {
			o.SegmentSize = min(max(o.MaxBytes/16, minSegment), maxSegment)
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func newDisk(o DiskOptions, log journal) *Disk {
	d := &Disk{
		o: o, log: log, known: newCatalog(), undone: map[flow.ID]bool{}, streams: map[uint64]*stream{},
		conns: newCache[segment.Position, *flow.Conn](256), lacking: newCache[*flow.Conn, *lack](256), blobs: newCache[segment.Position, []byte](1024), twins: newCache[likeness, segment.Position](maxTwins),
		soon: make(chan struct{}, 1), now: make(chan struct{}, 1), flush: make(chan chan error), closing: make(chan struct{}), closed: make(chan struct{}),
	}
	d.room.L = &d.mu
	return d
}

// Stats returns the state of the store.
func (d *Disk) Stats() DiskStats {
	segments := d.log.Segments()
	records, bytes := d.index.behind(segments, d.log.End())
	index := d.index.size()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.stats
	s.Behind, s.BehindBytes, s.Unindexed = records, bytes, d.index.broken.Load()
	s.Flows, s.Bodies = d.countLocked(), d.known.bodies.len()+len(d.streams)
	s.Max, s.Queued, s.Segments = d.o.MaxBytes, d.used, len(segments)
	s.Bytes = index
	for _, seg := range segments {
		s.Bytes += seg.Size
	}
	return s
}

// countLocked returns how many flows there are.
func (d *Disk) countLocked() int {
	n := d.known.flows.len()
	for _, q := range []*flowQueue{&d.queued, &d.writing} {
		for i := range q.sorted {
			if _, ok := d.known.flows.get(q.sorted[i].id); !ok && (q == &d.writing || d.writing.get(q.sorted[i].id) == nil) {
				n++
			}
		}
	}
	return n
}

// Release ends all waiting for the queue, now and later: what finds no room is lost
// from then on, and counted, also if the store is Lossless. It is for who has waited
// long enough for the traffic to end.
func (d *Disk) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.released = true
	d.room.Broadcast()
}

// Sync returns when all that was Put before, and all that was written to bodies, is on
// disk, or with why it is not.
func (d *Disk) Sync(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case d.flush <- done:
	case <-d.closing:
		return fs.ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close implements Store. It writes what waits, and returns what was lost then.
func (d *Disk) Close() error {
	d.once.Do(func() {
		d.Release()
		close(d.closing)
		d.compactor.close()
		<-d.closed
		d.err = errors.Join(d.err, d.index.close(), d.log.Close())
	})
	return d.err
}

// wake has the queue written: soon, or now.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// reserve takes n bytes of the queue's room up to limit, and reports whether it could.
func (d *Disk) reserve(n, limit int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.reserveLocked(n, limit)
}

func (d *Disk) reserveLocked(n, limit int64) bool {
	for d.used+n > limit {
		wake(d.now)
		if !d.o.Lossless || d.released || n > limit {
			return false
		}
		d.room.Wait()
	}
	d.used += n
	if d.fresh += n; d.fresh > min(d.o.Queue/4, atOnce) {
		d.fresh = 0
		wake(d.now)
	}
	return true
}

// freeLocked gives room back.
func (d *Disk) freeLocked(n int64) {
	d.used -= n
	if n > 0 {
		d.room.Broadcast()
	}
}

var _ Store = (*Disk)(nil)
