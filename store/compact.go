package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

	turn   chan struct{} // taken by who compacts
	looked map[uint64]look
}

// A look is what was known of a segment when it was looked at.
type look struct {
	waste int
	freed int64
}

const (
	compactEach = 30 * time.Second
	compactRate = 32 << 20 // bytes a second that are read in the background
	compactStep = 1 << 20  // what is read at once
	compactSome = 8        // segments a pass
)

func (d *Disk) startCompactor() {
	ctx, stop := context.WithCancel(context.Background())
	d.compactor = &compactor{d: d, ctx: ctx, stop: stop, done: make(chan struct{}), turn: make(chan struct{}, 1), looked: map[uint64]look{}}
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
		if err := c.compact(c.ctx, &pace{d: c.d, rate: compactRate}); err != nil && c.ctx.Err() == nil && !errors.Is(err, fs.ErrClosed) {
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
	return d.compactor.compact(ctx, &pace{d: d})
}

// compact makes passes until nothing seems mostly dead.
func (c *compactor) compact(ctx context.Context, p *pace) error {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-c.turn }()
	for {
		chosen := c.choose()
		if len(chosen) == 0 {
			return nil
		}
		if err := c.pass(ctx, chosen, p); err != nil {
			return err
		}
	}
}

// choose returns segments that seem mostly dead and were not looked at since. Nothing
// that is written from now on refers to them: they are on disk, and the one who writes
// has gone on to a later one. After a failed sync nothing is chosen, since a later
// state may be among what is lost.
func (c *compactor) choose() (chosen []segment.Info) {
	d := c.d
	all := d.log.Segments()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stats.Unsynced > 0 || d.stats.Failing {
		return nil
	}
	for _, s := range all {
		number := uint32(s.Number)
		waste, live := d.known.waste[number], d.known.live[number]
		old := c.looked[s.Number]
		switch {
		case !s.Sealed || s.Number >= d.written:
		case waste > live && waste > old.waste, live == 0 && d.known.freed-old.freed >= max(d.o.SegmentSize/2, 1):
			c.looked[s.Number] = look{waste, d.known.freed}
			chosen = append(chosen, s)
		}
		if len(chosen) == compactSome {
			break
		}
	}
	return chosen
}

// pass looks at what is alive in segments, and compacts them.
func (c *compactor) pass(ctx context.Context, chosen []segment.Info, p *pace) error {
	a := newAlive(c.d, chosen, p)
	if err := a.look(ctx); err != nil {
		return err
	}
	// What has taken the place of something has to be on disk before that goes.
	if err := c.d.Sync(ctx); err != nil {
		return err
	}
	if c.d.Stats().Unsynced > 0 {
		return nil
	}
	whole := true // all before are compacted
	done := 0
	for _, s := range chosen {
		part := a.parts[s.Number]
		if part.damaged || 2*part.alive() > s.Size {
			whole = false
			continue
		}
		if whole {
			a.exorcise(part)
		}
		if err := c.rewrite(ctx, s, part, p); err != nil {
			return err
		}
		done++
	}
	c.again(a, done)
	return nil
}

// again has segments looked at again that have stayed for the sake of tombstones, if
// something of what those are for is gone.
func (c *compactor) again(a *alive, done int) {
	for number, part := range a.parts {
		if l, ok := c.looked[number]; ok && done > 0 && len(part.graves) > 0 {
			l.waste = 0
			c.looked[number] = l
		}
	}
}

// rewrite compacts a segment, or removes it if nothing in it is alive.
func (c *compactor) rewrite(ctx context.Context, s segment.Info, part *part, p *pace) error {
	d := c.d
	after := int64(0)
	var err error
	if part.alive() == 0 {
		err = d.log.Remove(s.Number)
	} else {
		var done segment.Compacted
		done, err = d.log.Compact(ctx, s.Number, func(at segment.Position, _ uint8, length int) bool {
			_ = p.spend(ctx, int64(length)) // Compact looks at ctx itself
			return part.keeps(at.Offset)
		})
		after = done.After
	}
	if errors.Is(err, segment.ErrGone) {
		return nil // retention was first
	}
	if err != nil {
		return fmt.Errorf("give back what is deleted: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c.looked[s.Number] = look{freed: d.known.freed}
	if d.known.waste[uint32(s.Number)] = 0; after == 0 {
		d.known.uncount(s.Number)
		delete(c.looked, s.Number)
	}
	d.stats.Compacted++
	d.stats.Reclaimed += s.Size - after
	return nil
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
