package segment

import (
	"cmp"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"time"
)

// An Info says what there is to know of a segment without reading it.
type Info struct {
	Number  uint64
	Size    int64 // of the file, in bytes
	Records uint64
	First   time.Time // when it was begun
	Last    time.Time // when the last record was appended
	Sealed  bool      // nothing will be appended, and all of it is on disk
}

// An entry is a segment of the table.
type entry struct {
	Info
	name   string
	end    int64   // offset where the next record would begin
	limit  int64   // in the file, where the records end
	broken *Damage // it has no header: nothing can be read
	w      *handle // while it may be written to
	synced int64   // what is on disk, as end
	closed bool    // nothing more is appended

	outline    outline // of what was appended, until it is written
	compacting bool
}

// A table is the segments of a log by number, and the files of them that are open.
type table struct {
	files FS
	key   *dataKey // nil if it is not encrypted
	gist  func(kind uint8, payload []byte) int

	mu      sync.Mutex
	entries []*entry
	open    []*handleOf // those used last come last
	shuts   int         // how often one was shut
}

// handleOf is an open segment.
type handleOf struct {
	*handle
	number uint64
}

// maxOpen is how many segments are kept open for reading.
const maxOpen = 32

// findLocked returns where segment number is, or where it belongs.
func (t *table) findLocked(number uint64) (int, bool) {
	return slices.BinarySearchFunc(t.entries, number, func(e *entry, n uint64) int { return cmp.Compare(e.Number, n) })
}

// getLocked returns a segment, or nil.
func (t *table) getLocked(number uint64) *entry {
	if i, ok := t.findLocked(number); ok {
		return t.entries[i]
	}
	return nil
}

func (t *table) add(e *entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, _ := t.findLocked(e.Number)
	t.entries = slices.Insert(t.entries, i, e)
}

// drop forgets a segment. Who reads it at the moment reads on.
func (t *table) drop(number uint64) {
	t.mu.Lock()
	if i, ok := t.findLocked(number); ok {
		t.entries = slices.Delete(t.entries, i, i+1)
	}
	t.mu.Unlock()
	t.shut(number)
}

// Renew has a segment opened anew by who reads it next: it may have been compacted by
// another process since.
func (t *table) Renew(number uint64) { t.shut(number) }

// shut has a segment opened anew by who reads it next.
func (t *table) shut(number uint64) {
	t.mu.Lock()
	t.shuts++
	i := slices.IndexFunc(t.open, func(h *handleOf) bool { return h.number == number })
	var h *handleOf
	if i >= 0 {
		h = t.open[i]
		t.open = slices.Delete(t.open, i, i+1)
	}
	t.mu.Unlock()
	if h != nil {
		h.release()
	}
}

// shutAll closes what is open.
func (t *table) shutAll() {
	t.mu.Lock()
	open := t.open
	t.open = nil
	t.mu.Unlock()
	for _, h := range open {
		h.release()
	}
}

// A piece is a segment as far as it can be read.
type piece struct {
	*handle // to be released
	number  uint64
	limit   int64 // in the file
	end     int64 // as an offset
	grows   bool  // something may be appended
	partial bool  // what is behind the last record may be on its way
}

// piece returns segment number, or the first behind it if later is set. It fails with
// ErrGone if there is none, and with the *Damage of one that can't be read.
func (t *table) piece(number uint64, later bool) (piece, error) {
	t.mu.Lock()
	i, ok := t.findLocked(number)
	if i == len(t.entries) || !ok && !later {
		t.mu.Unlock()
		return piece{}, ErrGone
	}
	e := t.entries[i]
	p := piece{number: e.Number, limit: e.limit, end: e.end, grows: !e.closed}
	broken, name, shuts := e.broken, e.name, t.shuts
	switch p.handle = t.openedLocked(e.Number); {
	case p.handle != nil:
	case e.w != nil && e.w.use():
		p.handle = e.w
	}
	t.mu.Unlock()
	if broken != nil {
		return p, broken
	}
	if p.handle == nil {
		h, err := openHandle(t.files, name, p.number, t.key)
		if errors.Is(err, fs.ErrNotExist) {
			return p, ErrGone
		}
		if err != nil {
			return p, err
		}
		p.handle = t.keep(p.number, h, shuts)
	}
	if foot := p.foot; foot != nil { // the file may be newer than its entry
		p.limit, p.end, p.grows = foot.at, foot.end, false
	}
	return p, nil
}

// openedLocked returns an open segment with one more use, or nil.
func (t *table) openedLocked(number uint64) *handle {
	i := slices.IndexFunc(t.open, func(h *handleOf) bool { return h.number == number })
	if i < 0 {
		return nil
	}
	h := t.open[i]
	h.use()
	copy(t.open[i:], t.open[i+1:])
	t.open[len(t.open)-1] = h
	return h.handle
}

// keep keeps h for later, with a use more, and closes what was not used for longest. If a
// segment was shut since there had been shuts, h may be of a file that was replaced meanwhile, and is
// used this once.
func (t *table) keep(number uint64, h *handle, shuts int) *handle {
	var old *handleOf
	t.mu.Lock()
	if t.shuts != shuts {
		t.mu.Unlock()
		return h
	}
	if there := t.openedLocked(number); there != nil {
		t.mu.Unlock()
		h.release()
		return there
	}
	h.use()
	t.open = append(t.open, &handleOf{h, number})
	if len(t.open) > maxOpen {
		old = t.open[0]
		t.open = slices.Delete(t.open, 0, 1)
	}
	t.mu.Unlock()
	if old != nil {
		old.release()
	}
	return h
}

// Segments returns what there is, by number.
func (t *table) Segments() []Info {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Info, len(t.entries))
	for i, e := range t.entries {
		out[i] = e.Info
	}
	return out
}

// Size returns how many bytes all segments have.
func (t *table) Size() (n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.entries {
		n += e.Size
	}
	return n
}
