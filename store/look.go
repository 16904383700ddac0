package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"transom/flow"
	"transom/store/segment"
)

// A DiskReader reads what was recorded in a directory, beside whoever records there or
// when nobody does. It changes nothing there and locks nothing. What came after it was
// opened it does not have.
type DiskReader struct{ d *Disk }

// OpenDiskReader opens a directory. Of the options it needs where that is, the secret,
// and where to say what can't be read.
func OpenDiskReader(o DiskOptions) (*DiskReader, error) {
	o = o.withDefaults()
	log, err := segment.OpenReader(segment.Options{Dir: o.Dir, FS: o.FS, Secret: o.Secret})
	if err != nil {
		return nil, err
	}
	d := newDisk(o, readJournal{log})
	r := d.newReplay()
	if err := r.scan(log.Scan(context.Background(), segment.Position{})); err != nil {
		return nil, errors.Join(fmt.Errorf("read what is recorded in %s: %w", o.Dir, err), log.Close())
	}
	r.leave()
	return &DiskReader{d}, nil
}

// leave has bodies that were not written to their end as far as they go.
func (r *replay) leave() {
	for number, parts := range r.parts {
		s := &stream{d: r.Disk, number: number, closed: true}
		for _, e := range parts {
			s.store(e)
		}
		r.streams[number] = s
	}
}

// Flows yields flows as a Store does.
func (r *DiskReader) Flows(ctx context.Context, q Query) iter.Seq2[*flow.Flow, error] {
	return selected(ctx, r.d, q)
}

// OpenBody opens a body as a Store does.
func (r *DiskReader) OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	return r.d.OpenBody(ctx, ref)
}

// Stats returns what is kept. What whoever records there has lost, and how far its index
// is, it does not know.
func (r *DiskReader) Stats() (s DiskStats, err error) {
	all, err := r.d.log.(readJournal).Reader.Segments()
	for _, seg := range all {
		s.Bytes += seg.Size
	}
	s.Segments = len(all)
	s.Flows, s.Bodies = r.d.known.flows.len(), r.d.known.bodies.len()+len(r.d.streams)
	return s, err
}

// Close closes the files.
func (r *DiskReader) Close() error { return r.d.log.Close() }

// A readJournal is a log that nothing is written to.
type readJournal struct{ *segment.Reader }

func (readJournal) Append(...segment.Record) ([]segment.Position, error) { return nil, errReadOnly }
func (readJournal) Sync() error                                          { return errReadOnly }
func (readJournal) Remove(uint64) error                                  { return errReadOnly }
func (readJournal) Segments() []segment.Info                             { return nil }
func (readJournal) Turn()                                                {}
func (readJournal) End() segment.Position                                { return segment.Position{} }

// Compact implements journal.
func (readJournal) Compact(context.Context, uint64, func(segment.Position, uint8, int) bool) (segment.Compacted, error) {
	return segment.Compacted{}, errReadOnly
}

var errReadOnly = errors.New("this store is only read")
