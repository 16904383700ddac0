package store

import (
	"errors"
	"time"

	"transom/flow"
	"transom/store/segment"
)

// retain removes the oldest segments while the store is over one of its bounds. The
// last one stays, since it is written to, unless all in it is too old. Flows that have not ended go on in the last.
func (w *work) retain() {
	d := w.d
	all := d.log.Segments()
	if n := len(all); n > 0 && all[n-1].Records > 0 && d.o.MaxAge > 0 && time.Since(all[n-1].First) > d.o.MaxAge/ages {
		d.log.Turn() // or what is too old would stay for the sake of what is not
	}
	size := min(d.index.size(), d.o.MaxBytes/2) // it has to leave room for what it is of
	for _, s := range all {
		size += s.Size
	}
	for len(all) > 0 && (len(all) > 1 || d.old(all[0])) && d.over(all[0], size) {
		if err := w.evict(all[0].Number); err != nil {
			d.o.Log.Warn("what is too old or too much can't be removed", "dir", d.o.Dir, "err", err)
			return
		}
		size -= all[0].Size
		all = all[1:]
	}
}

// old reports whether all in a segment is too old.
func (d *Disk) old(s segment.Info) bool { return d.o.MaxAge > 0 && time.Since(s.Last) > d.o.MaxAge }

// ages is how many segments there are of what is young enough, with little traffic.
const ages = 8

// over reports whether the oldest segment has to go. Half a segment of what MaxBytes
// allows is for what comes until the next look.
func (d *Disk) over(oldest segment.Info, size int64) bool {
	switch {
	case d.o.MaxBytes > 0 && size > d.o.MaxBytes-d.o.SegmentSize/2:
		return true
	case d.old(oldest):
		return true
	}
	return d.o.MaxFlows > 0 && d.enough(oldest.Number)
}

// enough reports whether MaxFlows are there without those of a segment.
func (d *Disk) enough(number uint64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int64(d.known.flows.len()-d.known.live[uint32(number)]) >= d.o.MaxFlows
}

// evict removes a segment, and what is in it but for flows that have not ended: these
// are on disk elsewhere before.
func (w *work) evict(number uint64) error {
	d := w.d
	if d.keepOpen(number) > 0 {
		err := w.batch(true, false)
		if err == nil {
			err = w.sync()
		}
		if err != nil && !errors.Is(err, segment.ErrFull) { // else this is what makes room, and they are in memory
			return err
		}
	}
	n := d.remove(number)
	d.mu.Lock()
	d.stats.Evicted += int64(n)
	d.mu.Unlock()
	return d.log.Remove(number)
}

// keepOpen has the flows of a segment that have not ended written again, and returns how
// many those are.
func (d *Disk) keepOpen(number uint64) int {
	open := d.openIn(number)
	for _, hit := range open {
		f, err := d.read(hit)
		if err != nil {
			d.o.Log.Error("a flow that is under way can't be read", "dir", d.o.Dir, "flow", hit.id.String(), "err", err)
			continue
		}
		d.lack(f, nil)
		d.putAgain(f)
	}
	return len(open)
}

// putAgain has a flow written again, unless there is a later state or it was deleted.
func (d *Disk) putAgain(f *flow.Flow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.known.flows.get(f.ID); !ok || d.queued.get(f.ID) != nil || d.writing.get(f.ID) != nil {
		return
	}
	cost := flowCost(f)
	d.used += cost // it does not wait for those that wait for us
	d.queued.insert(&entry{flow: f, cost: cost})
}
