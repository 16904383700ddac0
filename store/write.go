package store

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"transom/flow"
	"transom/store/segment"
	"transom/store/wire"
)

// write is the goroutine that writes. It gathers for a moment, writes all that there
// is, and syncs each second; if the store is Lossless, it does all of it at once.
func (d *Disk) write() {
	defer close(d.closed)
	w := &work{d: d, scribe: newScribe(d), thrift: newThrift(d.o.Thrift)}
	if d.unsafe != nil {
		w.unsaid(w.rescue(d.unsafe))
	}
	tick := time.NewTicker(syncEach)
	defer tick.Stop()
	for {
		due := false
		select {
		case <-d.closing:
			d.err = w.finish()
			return
		case done := <-d.flush:
			done <- w.flush()
			continue
		case <-d.now:
		case <-tick.C:
			due = true
		case <-d.soon:
			if !d.o.Lossless {
				w.linger()
			}
		}
		w.step(due)
	}
}

// work is what the writing goroutine has in hand.
type work struct {
	d      *Disk
	scribe *scribe
	thrift *thrift
	flows  []*flow.Flow // being written, by ID
	costs  []int64      // of these
	dead   []wire.Deleted
	dirty  bool      // something is not synced
	unsafe error     // of a sync since the last flush: what was Put before is not on disk
	wrote  bool      // something was written
	recent int       // flows that were written since the last look
	came   time.Time // when the last were
	lag    int       // flows that may not be in the index
	looked uint64    // the segment that was written to when it was last looked at what is too much
	failed error
	lost   DiskStats // when it began to fail
}

// Indexing takes longer than writing. It is done as long as it takes a few hundredths of a
// processor, once nothing comes any more, and else when the index is so far behind that who asks
// it would have to wait for seconds.
const (
	quiet  = 5000 // flows a second
	idle   = 4 * linger
	behind = 500_000 // flows
)

// index has the index filled, if it is time for that. Before there is traffic it never
// is: a process may still have rights then that files should not be made with.
func (w *work) index() {
	w.lag += w.recent
	if w.wrote && (w.recent < quiet || time.Since(w.came) > idle || w.lag >= behind) {
		w.lag = 0
		wake(w.d.index.wake)
	}
	w.recent = 0
}

func (d *Disk) tables() (n int64) {
	if d.index.x != nil {
		n = d.index.x.Tables()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return n + d.known.tables()
}

// linger waits for more to write.
func (w *work) linger() {
	t := time.NewTimer(linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.d.now:
	case done := <-w.d.flush:
		done <- w.flush()
	case <-w.d.closing:
	}
}

// step writes what there is. due is that it is time to sync.
func (w *work) step(due bool) {
	if w.failed != nil && !due && !w.d.ending() {
		return // it is tried again each second
	}
	err := w.batch(due, false)
	if err == nil && w.dirty && (due || w.d.o.Lossless) {
		err = w.sync()
	}
	if err != nil {
		w.fail(err)
		if due && errors.Is(err, segment.ErrFull) {
			w.retain() // what is too much may be all the room that is wanted
		}
		return
	}
	w.works()
	if last := w.d.log.End().Segment; due || last != w.looked {
		w.retain() // not only each second: fast traffic would have taken a multiple by then
		w.looked = last
	}
	if due {
		w.index()
		w.thrift.look(w.d.tables())
	}
}

// flush writes and syncs all that there is. What an earlier batch has left is written
// first.
func (w *work) flush() error {
	err := w.batch(true, true)
	if err == nil {
		err = w.batch(true, true)
	}
	if err == nil {
		err = w.sync()
	}
	if err != nil {
		w.fail(err)
		return err
	}
	w.works()
	w.retain()
	err, w.unsafe = w.unsafe, nil
	return err
}

func (d *Disk) ending() bool {
	select {
	case <-d.closing:
		return true
	default:
		return false
	}
}

// batch writes what was deleted, then bodies, then flows: so in the log a flow that has
// ended stands behind its bodies, and one that was deleted and Put again behind that it
// was. all is that no body waits for more.
func (w *work) batch(due, all bool) error {
	bodies := w.take(due, all)
	if len(w.flows) > 0 {
		w.recent += len(w.flows)
		w.came = time.Now()
	}
	w.dirty = w.dirty || len(bodies)+len(w.flows)+len(w.dead) > 0
	w.wrote = w.wrote || w.dirty
	w.scribe.forget()
	if err := w.scribe.deleted(w.dead); err != nil {
		giveBack(bodies)
		return err
	}
	w.dead = nil
	if err := w.scribe.streams(bodies); err != nil {
		return err
	}
	at := make([]stood, len(w.flows))
	if err := w.scribe.flows(w.flows, w.costs, at); err != nil {
		return err
	}
	w.known(at)
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.d.written = max(w.d.written, w.scribe.segment)
	return nil
}

// take takes what there is to write. What could not be written is still there.
func (w *work) take(due, all bool) []taken {
	d := w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	all = all || d.o.Lossless || d.used > d.o.Queue/2 || d.ending()
	d.fresh = 0
	if w.leaveLocked(); len(w.flows) == 0 {
		d.writing = d.queued.take(all || due)
		for i := range d.writing.sorted {
			e := d.writing.sorted[i].e
			w.flows, w.costs = append(w.flows, e.flow), append(w.costs, e.cost)
		}
	}
	w.dead, d.dead = append(w.dead, d.dead...), nil
	var bodies []taken
	left := d.dirty[:0]
	for _, s := range d.dirty {
		chunks, last := s.take(all || due && s.whole, due)
		if s.waits() {
			left = append(left, s)
		}
		if len(chunks) > 0 || last {
			bodies = append(bodies, taken{stream: s, chunks: chunks, last: last})
		}
	}
	clear(d.dirty[len(left):])
	d.dirty = left
	return bodies
}

// leaveLocked leaves out of what could not be written what was deleted since. It may be
// in the log already, before that it was deleted.
func (w *work) leaveLocked() {
	d := w.d
	n := 0
	for i, f := range w.flows {
		if !d.undone[f.ID] {
			w.flows[n], w.costs[n] = f, w.costs[i]
			n++
		}
	}
	clear(w.flows[n:])
	w.flows, w.costs = w.flows[:n], w.costs[:n]
	clear(d.undone)
}

// known says where flows are, and gives their room back.
func (w *work) known(at []stood) {
	d := w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	freed := int64(0)
	for i, f := range w.flows {
		if d.undone[f.ID] {
			d.known.dead[uint32(at[i].Segment)] += at[i].size
			continue
		}
		d.known.put(f.ID, flowAtOf(at[i].Position, f.Rev, f.State), at[i].size)
		freed += w.costs[i]
	}
	d.freeLocked(freed)
	clear(d.undone)
	clear(w.flows)
	w.flows, w.costs, d.writing = w.flows[:0], w.costs[:0], flowQueue{}
}

// sync makes what was written lasting. What the system could not put on disk, and neither
// when it was written again, is lost, though it can be read as long as the machine runs.
func (w *work) sync() error {
	err := w.unsaid(w.toDisk())
	if err == nil {
		w.dirty = false
	}
	return err
}

// unsaid says what is lost, and returns what else has failed.
func (w *work) unsaid(err error) error {
	var lost *segment.SyncError
	if !errors.As(err, &lost) {
		return err
	}
	w.d.o.Log.Error("what was recorded is not safe: the system could not put it on disk", "err", err, "dir", w.d.o.Dir)
	w.unsafe = err
	return nil
}

// toDisk syncs, and has what the system could not put on disk written again, once.
func (w *work) toDisk() error {
	err := w.d.log.Sync()
	var lost *segment.SyncError
	if !errors.As(err, &lost) {
		return err
	}
	if err := w.rescue(lost); err != nil {
		return err
	}
	w.clear(lost)
	return nil
}

// rescue has what the system could not put on disk written again, once.
func (w *work) rescue(lost *segment.SyncError) error {
	failed := w.again(lost)
	w.d.mu.Lock()
	w.d.moved++
	if failed != nil {
		w.d.stats.Unsynced++
	}
	w.d.mu.Unlock()
	if failed != nil {
		return errors.Join(lost, failed)
	}
	w.d.o.Log.Warn("the system could not put on disk what was recorded: it was written again; see to the disk", "err", lost, "dir", w.d.o.Dir)
	return nil
}

// fail says once that nothing can be written.
func (w *work) fail(err error) {
	d := w.d
	if w.failed != nil {
		w.failed = err
		return
	}
	w.failed = err
	d.mu.Lock()
	d.stats.Failing = true
	d.stats.Failures++
	w.lost = d.stats
	d.mu.Unlock()
	then := "traffic goes on, and what doesn't fit into memory is lost"
	if d.o.Lossless {
		then = "traffic waits"
	}
	todo := "see to the disk"
	if errors.Is(err, segment.ErrFull) {
		todo = "make room on it; --store-max bounds what transom takes"
	}
	d.o.Log.Error("recording has stopped: "+then+"; "+todo+", and it resumes by itself", "dir", d.o.Dir, "err", err)
}

// works says once that writing works again, and what was lost.
func (w *work) works() {
	if w.failed == nil {
		return
	}
	d := w.d
	d.mu.Lock()
	d.stats.Failing = false
	s := d.stats
	d.mu.Unlock()
	w.failed = nil
	d.o.Log.Warn("recording again", "dir", d.o.Dir, "flows_lost", s.Refused-w.lost.Refused,
		"bodies_cut", s.TruncatedBody-w.lost.TruncatedBody, "bytes_lost", s.DroppedBytes-w.lost.DroppedBytes)
}

// finish writes all that waits. While that fails it is tried again, within the grace.
func (w *work) finish() error {
	grace := time.NewTimer(w.d.o.Grace)
	defer grace.Stop()
	again := time.NewTicker(min(w.d.o.Grace/10, syncEach))
	defer again.Stop()
	for {
		if w.step(true); w.failed == nil && !w.left() {
			return nil
		}
		select {
		case <-again.C:
		case <-grace.C:
			return w.givenUp()
		}
	}
}

// left reports whether something waits to be written.
func (w *work) left() bool {
	d := w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.queued.len() > 0 || len(d.dead) > 0 || len(d.dirty) > 0 || w.dirty
}

// errLate is why something is left where nothing has failed.
var errLate = errors.New("more came until the store was closed")

func (w *work) givenUp() error {
	d := w.d
	d.mu.Lock()
	defer d.mu.Unlock()
	flows := d.countLocked() - d.known.flows.len()
	return fmt.Errorf("%d flows and %d bodies could not be written to %s: %w", flows, len(d.dirty), d.o.Dir, cmp.Or(w.failed, errLate))
}
