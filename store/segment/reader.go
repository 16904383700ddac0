package segment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"sync"
)

// A Reader reads a log that another process may be writing, or nobody. It locks
// nothing and changes nothing. Its methods may be called by many goroutines.
type Reader struct {
	table table
	look  sync.Mutex // one looks at the directory at a time
}

// OpenReader opens a log for reading. Of the options it needs where the log is, and
// the secret.
func OpenReader(o Options) (*Reader, error) {
	files := o.FS
	if files == nil {
		var err error
		if files, err = openDir(o.Dir); err != nil {
			return nil, err
		}
	}
	r := &Reader{table: table{files: files, gist: o.Gist}}
	var err error
	if r.table.key, err = loadKey(files, o.Secret, false); err == nil {
		err = r.refresh()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the store: %w", err), files.Close())
	}
	return r, nil
}

// Read is as that of a Log. ErrGone is also what there is not yet.
func (r *Reader) Read(p Position, dst []byte) (Record, error) {
	rec, err := read(&r.table, p, dst)
	if err == nil {
		return rec, nil
	}
	if err := r.refresh(); err != nil {
		return Record{}, err
	}
	if rec, err = read(&r.table, p, dst); r.torn(p, err) {
		err = ErrGone
	}
	return rec, err
}

// torn reports whether err may come from a record that is just being written.
func (r *Reader) torn(p Position, err error) bool {
	var damage *Damage
	if !errors.As(err, &damage) {
		return false
	}
	r.table.mu.Lock()
	defer r.table.mu.Unlock()
	e := r.table.getLocked(p.Segment)
	return e != nil && !e.closed && damage.Offset+damage.Length >= e.limit
}

// Renew is as that of a Log.
func (r *Reader) Renew(number uint64) { r.table.Renew(number) }

// Scan is as that of a Log. A record of which not all is there yet is the end: a Scan
// from the last Next goes on when there is more.
func (r *Reader) Scan(ctx context.Context, from Position) iter.Seq2[At, error] {
	return scan(ctx, r, from)
}

// Segments returns what there is, by number. How many records there are in a segment
// is known once it is sealed.
func (r *Reader) Segments() ([]Info, error) {
	if err := r.refresh(); err != nil {
		return nil, err
	}
	return r.table.Segments(), nil
}

// Close ends what is being read.
func (r *Reader) Close() error {
	r.table.shutAll()
	return r.table.files.Close()
}

// piece implements source. Scan asks again at each end.
func (r *Reader) piece(number uint64, later bool) (piece, error) {
	if err := r.refresh(); err != nil {
		return piece{number: number}, err
	}
	p, err := r.table.piece(number, later)
	p.partial = p.handle != nil && p.foot == nil
	return p, err
}

// refresh looks at what is in the directory now. Names come first: a segment that is
// followed by another is complete.
func (r *Reader) refresh() error {
	r.look.Lock()
	defer r.look.Unlock()
	names, err := r.table.files.List()
	if err != nil {
		return err
	}
	var numbers []uint64
	for _, name := range names {
		if n, ok := numberOf(name); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, i := range r.table.Segments() {
		if _, ok := slices.BinarySearch(numbers, i.Number); !ok {
			r.table.drop(i.Number)
		}
	}
	for i, n := range numbers {
		err := r.adopt(n, i < len(numbers)-1)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// adopt looks at a segment, unless what it was is what it will be.
func (r *Reader) adopt(n uint64, complete bool) error {
	r.table.mu.Lock()
	e := r.table.getLocked(n)
	known := e != nil && (e.Sealed || e.broken != nil)
	r.table.mu.Unlock()
	if known {
		return nil
	}
	fresh, err := r.examine(n, complete)
	if err != nil || fresh == nil {
		return err
	}
	r.table.shut(n)
	if e == nil {
		r.table.add(fresh)
		return nil
	}
	r.table.mu.Lock()
	*e = *fresh
	r.table.mu.Unlock()
	return nil
}

// examine returns what a segment's file says, or nil if it says nothing yet.
func (r *Reader) examine(n uint64, complete bool) (*entry, error) {
	name := fileName(n)
	h, err := openHandle(r.table.files, name, n, r.table.key)
	var damage *Damage
	switch {
	case errors.As(err, &damage) && damage.Length <= headerSize: // it is being begun, or a crash came before there was anything in it
		return nil, nil
	case errors.As(err, &damage):
		return &entry{Info: Info{Number: n, Size: damage.Length}, name: name, broken: damage, closed: true}, nil
	case err != nil:
		return nil, err
	}
	defer h.release()
	size, err := h.Size()
	if err != nil {
		return nil, err
	}
	e := &entry{Info: Info{Number: n, Size: size, First: h.head.created, Last: h.head.created}, name: name, closed: complete, limit: size, end: size}
	if h.compacted() {
		e.end = maxOffset // without a footer nobody knows
	}
	if f := h.foot; f != nil {
		e.limit, e.end, e.closed = f.at, f.end, true
		e.Records, e.Last, e.Sealed = f.records, f.last, true
	}
	return e, nil
}
