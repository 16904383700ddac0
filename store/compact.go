package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"transom/store/segment"
)

// A compactor gives back what deleted flows and superseded states take, behind the one
// who writes. One pass reads the log, to see what of the segments that seem mostly dead
// is alive; then these are written anew, one after the other. The log alone says what
// refers to what: an index may be behind, or wrong, and what it does not know would be
// lost.
type compactor struct {
	d    *Disk
	ctx  context.Context // ends with the store
	stop context.CancelFunc
	done chan struct{}

	turn    chan struct{}   // taken by who compacts
	damaged map[uint64]bool // segments that are left as they are
	met     bool            // what was there when the store was opened
}

const (
	compactEach = 30 * time.Second
	compactRate = 32 << 20 // bytes a second that are read in the background
	compactStep = 1 << 20  // what is read at once
	compactSome = 8        // segments a pass

	compactPart  = 4   // one in so many bytes of a segment have to be dead
	compactShare = 128 // and in the background of all that is read for it
)

func (d *Disk) startCompactor() {
	ctx, stop := context.WithCancel(context.Background())
	d.compactor = &compactor{d: d, ctx: ctx, stop: stop, done: make(chan struct{}), turn: make(chan struct{}, 1), damaged: map[uint64]bool{}}
	go d.compactor.run()
}

// run compacts now and then. What fails is tried again with the next deletions.
func (c *compactor) run() {
	defer close(c.done)
	tick := time.NewTicker(compactEach)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.compact(c.ctx, &pace{d: c.d, rate: compactRate}, compactShare); err != nil && c.ctx.Err() == nil && !errors.Is(err, fs.ErrClosed) {
			c.d.o.Log.Warn("the room that deleted flows take is not given back", "dir", c.d.o.Dir, "err", err)
		}
	}
}

func (c *compactor) close() {
	c.stop()
	<-c.done
	c.turn <- struct{}{} // of a Compact
}

// Compact gives back what deleted flows take in files that are mostly dead, at once:
// in the background it is done by and by. It gives way to what is recorded.
func (d *Disk) Compact(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer context.AfterFunc(d.compactor.ctx, func() { stop(fs.ErrClosed) })()
	return d.compactor.compact(ctx, &pace{d: d}, 0)
}

// compact makes passes until none is worth it: until it would give back less than one in share
// of all bytes; 0 is whatever there is.
func (c *compactor) compact(ctx context.Context, p *pace, share int64) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.turn }()
	if err := c.meet(ctx, p); err != nil {
		return err
	}
	for {
		some := c.choose(share)
		if len(some) == 0 {
			return nil
		}
		if err := c.pass(ctx, some, p); err != nil {
			return err
		}
	}
}

// A chosen segment, and how many bytes seemed to be dead in it.
type chosen struct {
	segment.Info
	dead int64
}

// choose returns segments that seem to have most to give back, by number. Nothing that is written
// from now on refers to them: they are on disk, and the one who writes has gone on to a
// later one. After a failed sync nothing is chosen, since a later state may be among what is
// lost.
func (c *compactor) choose(share int64) (some []chosen) {
	d := c.d
	all := d.log.Segments()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stats.Unsynced > 0 || d.stats.Failing {
		return nil
	}
	size, gain := int64(0), int64(0)
	for _, s := range all {
		size += s.Size
		if s.Sealed && s.Number < d.written && !c.damaged[s.Number] && worth(d.known.dead[uint32(s.Number)], s) {
			some = append(some, chosen{s, d.known.dead[uint32(s.Number)]})
		}
	}
	slices.SortStableFunc(some, func(a, b chosen) int { return cmp.Compare(b.dead, a.dead) })
	some = some[:min(len(some), compactSome)]
	for _, s := range some {
		gain += s.dead
	}
	if gain*share < size && share > 0 {
		return nil
	}
	slices.SortFunc(some, func(a, b chosen) int { return cmp.Compare(a.Number, b.Number) })
	return some
}

// worth reports whether a segment is written anew for the sake of what is dead in it.
func worth(dead int64, s segment.Info) bool { return dead > 0 && dead >= s.Size/compactPart }

// pass looks at what is alive in segments, and compacts them.
func (c *compactor) pass(ctx context.Context, some []chosen, p *pace) error {
	moved := c.d.movements()
	a := newAlive(c.d, some, p)
	if err := a.look(ctx); err != nil {
		return err
	}
	// What has taken the place of something has to be on disk before that goes.
	if err := c.d.Sync(ctx); err != nil {
		return err
	}
	if c.d.Stats().Unsynced > 0 || c.d.movements() != moved {
		return nil // what was seen may be elsewhere now, and not on disk where it was
	}
	whole := true   // all before are compacted
	all := int64(0) // bytes given back
	for _, s := range some {
		part := a.parts[s.Number]
		if whole {
			a.exorcise(part)
		}
		dead := part.dead()
		if part.damaged || !worth(dead+part.elsewhere(), s.Info) {
			whole = false
			c.counted(s, dead)
			c.damaged[s.Number] = part.damaged
			continue
		}
		freed, err := c.rewrite(ctx, s, part, p)
		if err != nil {
			return err
		}
		all += freed
	}
	for _, part := range a.parts {
		if all > 0 {
			c.again(part)
		}
	}
	return nil
}

// movements returns how often what was written has come to be elsewhere.
func (d *Disk) movements() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.moved
}

// counted says what is dead in a segment, besides what was since it was chosen.
func (c *compactor) counted(s chosen, dead int64) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	c.d.known.dead[uint32(s.Number)] += dead - s.dead
}

// again has the tombstones of a segment, for which something was left, count as dead: some of
// that is gone now.
func (c *compactor) again(part *part) {
	c.d.mu.Lock()
	defer c.d.mu.Unlock()
	for _, g := range part.graves {
		if r := part.records[g.record]; r.alive {
			c.d.known.dead[uint32(part.number)] += int64(r.length) + frameSize
		}
	}
}

// rewrite compacts a segment, or removes it if nothing in it is alive. It returns how many bytes
// that gave back.
func (c *compactor) rewrite(ctx context.Context, s chosen, part *part, p *pace) (freed int64, err error) {
	d := c.d
	after := int64(0)
	if part.empty() {
		err = d.log.Remove(s.Number)
	} else {
		var done segment.Compacted
		done, err = d.log.Compact(ctx, s.Number, func(at segment.Position, _ uint8, length int) bool {
			_ = p.spend(ctx, int64(length)) // Compact looks at ctx itself
			return part.keeps(at.Offset)
		}, func(at segment.Position) []byte { return part.anew[at.Offset] })
		after = done.After
	}
	if errors.Is(err, segment.ErrGone) {
		return 0, nil // retention was first
	}
	if err != nil {
		return 0, fmt.Errorf("give back what is deleted: %w", err)
	}
	c.counted(s, 0)
	d.mu.Lock()
	defer d.mu.Unlock()
	if after == 0 {
		d.known.uncount(s.Number)
	}
	d.stats.Compacted++
	d.stats.Reclaimed += s.Size - after
	d.stats.Shared += part.saved
	for _, e := range part.left {
		d.known.dead[uint32(e.Segment)] += e.Length + frameSize
	}
	return s.Size - after, nil
}

// A pace bounds what is read: to a rate, 0 is none, and not while the queue is over a
// quarter full.
type pace struct {
	d    *Disk
	rate int64
	read int64
}

// spend waits for n bytes.
func (p *pace) spend(ctx context.Context, n int64) error {
	if p.read += n; p.read < compactStep {
		return nil
	}
	wait := time.Duration(0)
	if p.rate > 0 {
		wait = time.Duration(p.read) * time.Second / time.Duration(p.rate)
	}
	p.read = 0
	for p.busy() || wait > 0 {
		t := time.NewTimer(max(wait, linger))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
		wait = 0
	}
	return nil
}

func (p *pace) busy() bool {
	p.d.mu.Lock()
	defer p.d.mu.Unlock()
	return p.d.used > p.d.o.Queue/4
}
