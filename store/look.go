package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"

	"transom/flow"
	"transom/store/index"
	"transom/store/segment"
	"transom/store/wire"
)

// A DiskReader reads what was recorded in a directory, beside whoever records there or
// when nobody does. It changes nothing there and locks nothing. What came after it was
// opened it does not have.
//
// It asks the index that whoever recorded there has left, and reads what the index does
// not have yet from the log. Without one it goes through all that is recorded.
type DiskReader struct {
	d   *Disk
	log *segment.Reader

	mu     sync.Mutex // held while the catalog is filled
	loaded bool

	shared atomic.Int64 // what Check has found that equal bodies save
}

// OpenDiskReader opens a directory. Of the options it needs where that is, the secret,
// and where to say what can't be read.
func OpenDiskReader(o DiskOptions) (*DiskReader, error) {
	o = o.withDefaults()
	log, err := segment.OpenReader(segment.Options{Dir: o.Dir, FS: o.FS, Secret: o.Secret, Gist: wire.Gist})
	if err != nil {
		return nil, err
	}
	r := &DiskReader{d: newDisk(o, readJournal{log}), log: log}
	r.d.index = newIndexer(r.d)
	if r.d.index.path == "" {
		r.d.index.broken.Store(true) // there never is one
	} else if err := r.d.index.read(); err != nil {
		r.giveUp(err)
	}
	if r.d.index.broken.Load() {
		if err := r.load(context.Background()); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// giveUp says why the index is of no use, once.
func (r *DiskReader) giveUp(err error) {
	if r.d.index.broken.Swap(true) {
		return
	}
	then := "the next transom that records there makes it anew"
	if errors.Is(err, errRecording) || errors.Is(err, index.ErrChanged) {
		then = "that is for who records there, and does not answer here: ask as the same user, in their network namespace, or when they have ended"
	}
	r.d.o.Log.Warn("all that is recorded is read for want of an index, which takes long: "+then, "dir", r.d.o.Dir, "err", err)
}

// load fills the catalog from the log, once.
func (r *DiskReader) load(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded {
		return nil
	}
	p := r.d.newReplay()
	if err := p.scan(r.log.Outline(ctx)); err != nil {
		return fmt.Errorf("read what is recorded in %s: %w", r.d.o.Dir, err)
	}
	p.leave()
	r.loaded = true
	return nil
}

// leave has bodies that were not written to their end as far as they go.
func (r *replay) leave() {
	for number, parts := range r.parts {
		if parts := joined(parts); len(parts) > 0 {
			r.streams[number] = r.standing(number, parts)
		}
	}
}

// standing returns a body of which nothing is in memory.
func (d *Disk) standing(number uint64, parts []wire.Extent) *stream {
	s := &stream{d: d, number: number, closed: true}
	for _, e := range parts {
		s.store(e)
	}
	return s
}

// Flows yields flows as a Store does.
func (r *DiskReader) Flows(ctx context.Context, q Query) iter.Seq2[*flow.Flow, error] {
	return r.d.lacks(r.flows(ctx, q), q.Lacks)
}

func (r *DiskReader) flows(ctx context.Context, q Query) iter.Seq2[*flow.Flow, error] {
	return func(yield func(*flow.Flow, error) bool) {
		if !r.d.index.broken.Load() && r.found(ctx, &q, yield) {
			return
		}
		if err := r.load(ctx); err != nil {
			yield(nil, err)
			return
		}
		selected(ctx, r.d, q)(yield)
	}
}

// found yields what the index finds, and reports whether that is all. If it is not, q
// asks for the rest.
func (r *DiskReader) found(ctx context.Context, q *Query, yield func(*flow.Flow, error) bool) bool {
	ask := *q
	for f, err := range r.d.look(ctx, &ask, index.Cursor{ID: q.After}, r) {
		var wrong *indexError
		switch {
		case !errors.As(err, &wrong) || ctx.Err() != nil:
		case errors.Is(err, index.ErrUnknown):
			yield(nil, ErrGone) // of the flow to begin behind
			return true
		default:
			r.giveUp(wrong.error)
			return false
		}
		if !yield(f, err) {
			return true
		}
		if err != nil {
			continue
		}
		q.After = f.ID
		if q.Limit--; q.Limit == 0 {
			return true
		}
	}
	return true
}

// OpenBody opens a body as a Store does. One that was being written when the process
// ended is in no index.
func (r *DiskReader) OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	if ref.Segment == 0 {
		return r.d.OpenBody(ctx, ref)
	}
	if !r.d.index.broken.Load() {
		b, err := r.d.index.x.Body(ctx, ref.Segment)
		if err == nil {
			parts := make([]wire.Extent, len(b.Extents))
			for i, e := range b.Extents {
				parts[i] = wire.Extent{Position: e.Position, Length: e.Length}
			}
			return &diskReader{d: r.d, s: r.d.standing(b.Number, parts)}, nil
		}
		if !errors.Is(err, index.ErrUnknown) {
			r.giveUp(err)
		}
	}
	if err := r.load(ctx); err != nil {
		return nil, err
	}
	return r.d.OpenBody(ctx, ref)
}

// Stats returns what is kept. What whoever records there has lost, and how far its index
// is, it does not know, and how many bodies there are only without an index.
func (r *DiskReader) Stats() (s DiskStats, err error) {
	all, err := r.log.Segments()
	s.Bytes = r.d.index.size()
	for _, seg := range all {
		s.Bytes += seg.Size
	}
	s.Segments, s.Shared = len(all), r.shared.Load()
	if s.Unindexed = r.d.index.broken.Load(); !s.Unindexed {
		s.Flows = r.d.index.x.Len()
		return s, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Flows, s.Bodies = r.d.known.flows.len(), r.d.known.bodies.len()+len(r.d.streams)
	return s, err
}

// Close closes the files.
func (r *DiskReader) Close() error {
	var err error
	if x := r.d.index.x; x != nil {
		err = x.Close()
	}
	return errors.Join(err, r.log.Close())
}

// A readJournal is a log that nothing is written to.
type readJournal struct{ *segment.Reader }

func (readJournal) Append(...segment.Record) ([]segment.Position, error) { return nil, errReadOnly }
func (readJournal) Sync() error                                          { return errReadOnly }
func (readJournal) Remove(uint64) error                                  { return errReadOnly }
func (readJournal) Turn()                                                {}

// Segments implements journal. Where the directory can't be read there is none.
func (r readJournal) Segments() []segment.Info {
	all, err := r.Reader.Segments()
	if err != nil {
		return nil // who reads a segment is told
	}
	return all
}

// End implements journal.
func (r readJournal) End() segment.Position {
	if all := r.Segments(); len(all) > 0 {
		last := all[len(all)-1]
		return segment.Position{Segment: last.Number, Offset: last.Size}
	}
	return segment.Position{}
}

// Compact implements journal.
func (readJournal) Compact(context.Context, uint64, func(segment.Position, uint8, int) bool, func(segment.Position) []byte) (segment.Compacted, error) {
	return segment.Compacted{}, errReadOnly
}

var errReadOnly = errors.New("this store is only read")
