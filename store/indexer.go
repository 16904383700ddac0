package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"transom/filter"
	"transom/flow"
	"transom/store/index"
	"transom/store/segment"
	"transom/store/wire"
)

// An indexer fills an index from the log, behind it. Nothing waits for it but who asks
// the index. If it fails the log goes on without.
type indexer struct {
	d    *Disk
	path string

	mu      sync.Mutex // held while the index is filled
	x       *index.Index
	failed  error       // it is given up
	broken  atomic.Bool // failed is set
	full    error       // it lacks what came last, for want of room
	entries []index.Entry
	text    int // bytes of text in them

	told []index.Removed // segments that there are none of, as the index knows

	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

// indexName is the file of the index in the directory of the log.
const indexName = "index.db"

// applyAtOnce is how many entries are applied together.
const (
	applyAtOnce = 1000
	textAtOnce  = 1 << 20
)

// lastFill is how long filling the index may take when the store is closed.
const lastFill = 2 * time.Second

// newIndexer returns one that is not open yet. The index of a store that is encrypted
// is in memory.
func newIndexer(d *Disk) *indexer {
	x := &indexer{d: d, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if d.o.FS == nil && len(d.o.Secret) == 0 {
		x.path = filepath.Join(d.o.Dir, indexName)
	}
	return x
}

// startIndex opens the index and begins to fill it.
func (d *Disk) startIndex() {
	x := newIndexer(d)
	d.index = x
	if x.failed = x.open(); x.failed != nil {
		x.broken.Store(true)
		d.o.Log.Warn("what is recorded is not indexed: filters read all of it", "dir", d.o.Dir, "err", x.failed)
	}
	ctx, stop := context.WithCancel(context.Background())
	x.stop = stop
	go x.run(ctx)
}

func (x *indexer) open() (err error) {
	if err = x.openFor(index.Options{Trigrams: x.d.o.Trigrams}); !errors.Is(err, index.ErrRebuild) {
		return err
	}
	x.d.o.Log.Info("the index is built again from the log", "dir", x.d.o.Dir, "err", err)
	if err = index.Reset(x.path); err == nil {
		err = x.openFor(index.Options{Trigrams: x.d.o.Trigrams})
	}
	return err
}

// openFor opens the index, unless it is of another log.
func (x *indexer) openFor(o index.Options) (err error) {
	if x.x, err = index.Open(x.path, o); err != nil {
		return err
	}
	if x.x.At().Segment > x.d.log.End().Segment {
		err = errors.Join(fmt.Errorf("%w: %s is of files that are not there", index.ErrRebuild, x.path), x.x.Close())
		x.x = nil
	}
	return err
}

// errRecording says that an index is somebody's who writes it.
var errRecording = errors.New("somebody records there")

// maxTail is how much of the log is read that an index does not have. Flows that
// are nowhere else are kept in memory, some hundred bytes of each.
const maxTail = 1 << 30

// read opens the index that somebody has left, to be read alone, and takes in what it
// lacks.
func (x *indexer) read() error {
	if is, err := segment.Written(x.d.o.Dir); is || err != nil {
		return cmp.Or(err, errRecording)
	}
	if err := x.openFor(index.Options{ReadOnly: true}); err != nil {
		return err
	}
	if _, bytes := x.behind(x.d.log.Segments(), x.d.log.End()); bytes > maxTail {
		return fmt.Errorf("it lacks %d MiB of what was recorded", bytes>>20)
	}
	return x.fill(context.Background())
}

// size returns what the index takes on disk.
func (x *indexer) size() (n int64) {
	if x.path == "" {
		return 0
	}
	for _, end := range []string{"", "-wal", "-shm"} {
		if info, err := os.Stat(x.path + end); err == nil { // else there is none, or it takes nothing
			n += info.Size()
		}
	}
	return n
}

func (x *indexer) run(ctx context.Context) {
	defer close(x.done)
	for {
		select {
		case <-x.wake:
		case <-ctx.Done():
			return
		}
		_ = x.catchUp(ctx) // which says so if it fails
	}
}

// close fills the index once more, so that who reads what was recorded has little to
// read besides; but nobody waits long for that.
func (x *indexer) close() error {
	x.stop()
	<-x.done
	if x.x == nil {
		return nil
	}
	ctx, stop := context.WithTimeout(context.Background(), lastFill)
	defer stop()
	_ = x.catchUp(ctx) // which says so if it fails
	return x.x.Close()
}

// behind returns what of the log the index does not have yet. Of the segment that it is
// in it knows how many bytes, and takes records for equally long.
func (x *indexer) behind(segments []segment.Info, end segment.Position) (records, bytes int64) {
	var at segment.Position
	if !x.broken.Load() {
		at = x.x.At()
	}
	for _, s := range segments {
		whole := s.Size
		if s.Number == end.Segment {
			whole = end.Offset
		}
		left := max(whole-at.Offset, 0)
		switch {
		case s.Number > at.Segment:
			left = whole
		case s.Number < at.Segment:
			left = 0
		}
		bytes += left
		records += int64(s.Records) * left / max(whole, 1)
	}
	return records, bytes
}

// catchUp fills the index up to what the log has when it comes there. Its error is said
// once.
func (x *indexer) catchUp(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.failed != nil {
		return nil
	}
	err := x.fill(ctx)
	if x.full = nil; errors.Is(err, index.ErrFull) {
		x.full = err
		return nil // it goes on when there is room
	}
	if err != nil && ctx.Err() == nil {
		x.failed = err
		x.d.o.Log.Warn("what is recorded is no longer indexed: filters read all of it", "dir", x.d.o.Dir, "err", err)
		x.broken.Store(true)
	}
	return err
}

func (x *indexer) fill(ctx context.Context) error {
	if err := x.missing(ctx); err != nil {
		return err
	}
	to := x.x.At()
	for at, err := range x.d.log.Scan(ctx, to) {
		var damage *segment.Damage
		if err != nil && !errors.As(err, &damage) {
			return err
		}
		if err == nil {
			x.record(ctx, at) // what it can't read it has no entry for
		}
		to = at.Next
		if len(x.entries) >= applyAtOnce || x.text > textAtOnce {
			if err := x.apply(ctx, to); err != nil {
				return err
			}
		}
	}
	return x.apply(ctx, to)
}

// missing tells the index which segments there are none of: no record says it.
func (x *indexer) missing(ctx context.Context) error {
	gaps := gapsIn(x.d.log.Segments())
	for _, gap := range gaps {
		if !slices.Contains(x.told, gap) {
			x.entries = append(x.entries, gap)
		}
	}
	err := x.apply(ctx, x.x.At())
	if err == nil {
		x.told = gaps
	}
	return err
}

// gapsIn returns the numbers between and before segments.
func gapsIn(all []segment.Info) (gaps []index.Removed) {
	next := uint64(0)
	for _, s := range all {
		if next < s.Number {
			gaps = append(gaps, index.Removed{From: next, To: s.Number - 1})
		}
		next = s.Number + 1
	}
	return gaps
}

func (x *indexer) apply(ctx context.Context, to segment.Position) error {
	if len(x.entries) == 0 && to == x.x.At() {
		return nil
	}
	err := x.x.Apply(ctx, x.entries, to)
	clear(x.entries)
	x.entries, x.text = x.entries[:0], 0
	return err
}

// record makes entries of a record.
func (x *indexer) record(ctx context.Context, at segment.At) {
	switch at.Kind {
	case wire.KindFlow:
		f, name, err := wire.ReadFlow(at.Payload)
		if err != nil {
			return
		}
		if name != 0 {
			f.Conn = x.d.connOf(positionOf(name))
		}
		x.entries = append(x.entries, index.Put{Flow: f, Position: at.Position})
		if f.State != flow.Open && (x.d.o.Words || x.d.o.Trigrams) {
			x.words(ctx, f)
		}
	case wire.KindChunk:
		if c, err := wire.ReadChunk(at.Payload); err == nil && c.Whole {
			n := int64(len(c.Data))
			x.entries = append(x.entries, index.Body{Number: c.Number, Size: n, Extents: []index.Extent{{Position: at.Position, Length: n}}})
		}
	case wire.KindBody:
		b, err := wire.ReadBody(at.Payload)
		if err != nil {
			return
		}
		body := index.Body{Number: b.Number, Size: b.Size()}
		if body.Size > 0 { // its bytes may come to be elsewhere, but its record stays
			body.Extents = []index.Extent{{Position: at.Position, Length: body.Size}}
		}
		x.entries = append(x.entries, body)
	case wire.KindDeleted:
		gone, err := wire.ReadDeleted(at.Payload)
		if err != nil {
			return
		}
		x.entries = append(x.entries, index.Deleted{ID: gone.ID})
		for _, number := range gone.Bodies {
			x.entries = append(x.entries, index.Dropped{Number: number})
		}
	}
}

// words makes entries of what there is to search in the bodies of a flow. One that can't
// be read, or undone, is one that the index does not know.
func (x *indexer) words(ctx context.Context, f *flow.Flow) {
	for t, err := range filter.BodyTexts(ctx, f, x.d) {
		if err == nil {
			x.entries = append(x.entries, index.Text{Number: t.Number, Text: t.Text, Complete: t.Complete})
			x.text += len(t.Text)
		}
	}
}

// An indexError is one of the index, and not of a flow.
type indexError struct{ error }

func (e *indexError) Error() string { return "look into the index: " + e.error.Error() }
func (e *indexError) Unwrap() error { return e.error }

// look yields what the index finds of q, behind a place. bodies is what to ask for
// bodies.
func (d *Disk) look(ctx context.Context, q *Query, after index.Cursor, bodies filter.Bodies) iter.Seq2[*flow.Flow, error] {
	ask := index.Query{Filter: q.Filter, By: orders[q.By], Descending: q.Descending, After: after}
	return func(yield func(*flow.Flow, error) bool) {
		for hit, err := range d.index.x.Query(ctx, ask) {
			if err != nil {
				yield(nil, &indexError{err})
				return
			}
			f, err := d.read(found{at: hit.Position})
			if errors.Is(err, ErrGone) {
				f, err = d.flow(ctx, hit.ID) // it was written again meanwhile, or is gone
				hit.Sure = false
			}
			switch {
			case errors.Is(err, ErrGone):
				continue
			case err != nil:
				err = fmt.Errorf("flow %s: %w", hit.ID, err)
			case f.ID != hit.ID:
				yield(nil, &indexError{fmt.Errorf("%w: another flow is where it has flow %s", index.ErrRebuild, hit.ID)})
				return
			case hit.Sure && (q.Match == nil || q.Match(f)):
			case hit.Sure || !q.Selects(ctx, f, bodies):
				continue
			}
			if !yield(f, err) {
				return
			}
		}
	}
}

// orders are what the index calls them.
var orders = [...]index.Order{ByTime: index.ByTime, BySize: index.BySize, ByDuration: index.ByDuration, ByHost: index.ByHost}

// Index returns when all is in the index that was Put before: who reads the directory then
// has nothing to make up for. It fails if that was not written, or ctx ends; an index that
// fails says so itself, and filters do without.
func (d *Disk) Index(ctx context.Context) error {
	if err := d.Sync(ctx); err != nil {
		return err
	}
	_ = d.index.catchUp(ctx)
	return context.Cause(ctx)
}

// indexed waits until all is in the index that was Put before.
func (d *Disk) indexed(ctx context.Context) error {
	if err := d.Sync(ctx); err != nil {
		return err
	}
	if err := d.index.catchUp(ctx); err != nil {
		return err
	}
	d.index.mu.Lock()
	defer d.index.mu.Unlock()
	return cmp.Or(d.index.failed, d.index.full)
}
