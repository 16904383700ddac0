package steer

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"transom/platform"
)

// lookEvery is how often it is looked whether all is there that should be. Most of
// what happens is heard of at once; the rest is not worth more.
const lookEvery = 5 * time.Second

// A source tells of changes that others make.
type source interface {
	Next() error // waits for one; it fails when the source is closed
	Close() error
}

// A tender has somebody look after what is in force: others take it away. A
// firewall that is loaded anew empties all tables, and a network manager removes
// routing rules that it has not made.
type tender struct {
	ctx     context.Context // until stop
	end     context.CancelFunc
	stir    chan struct{} // holds one: something has changed
	sources []source
	done    sync.WaitGroup
}

func newTender() *tender {
	ctx, end := context.WithCancel(context.Background())
	return &tender{ctx: ctx, end: end, stir: make(chan struct{}, 1)}
}

// hear takes notice of what a source tells. If the source fails, deaf says what
// that means.
func (t *tender) hear(s source, log *slog.Logger, deaf string) {
	t.sources = append(t.sources, s)
	t.done.Go(func() {
		for {
			if err := s.Next(); err != nil {
				if t.ctx.Err() == nil {
					log.Warn(deaf, "err", err)
				}
				return
			}
			t.poke()
		}
	})
}

// poke has it looked as soon as may be.
func (t *tender) poke() {
	select {
	case t.stir <- struct{}{}:
	default: // who looks later sees it all
	}
}

// start has look called when something has changed, and every now and then. Look
// says how long not to be called again.
func (t *tender) start(look func() time.Duration) {
	t.done.Go(func() {
		for t.wait(look(), nil) && t.wait(lookEvery, t.stir) {
		}
	})
}

// wait waits for so long, or for what comes first. It reports false if all is
// over.
func (t *tender) wait(d time.Duration, first <-chan struct{}) bool {
	if d == 0 {
		return t.ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-first:
	case <-t.ctx.Done():
		return false
	}
	return true
}

// stop ends it all, and waits for it.
func (t *tender) stop() error {
	t.end()
	var errs []error
	for _, s := range t.sources {
		errs = append(errs, s.Close())
	}
	t.done.Wait()
	return errors.Join(errs...)
}

// A pace keeps somebody who takes away in a loop what we put back from keeping us
// busy: a few times are free, then it is once in a while. Each thing has its own
// times: what is removed piece by piece, as routing rules are, may be found in several
// looks on a busy machine, and has been taken away once all the same.
type pace struct {
	times map[string]times // by what was taken away; who is not in it has all that are free
	slow  bool             // of something there were none left, and not all have been given back
}

// times are those that one thing was put back.
type times struct {
	used  int       // of the times that are free
	since time.Time // when the last one of them was given back
}

// How many times are free, and after how long one of them is given back.
const (
	freeTimes = 5
	paceOf    = 6 * time.Second
)

// step counts that things were put back. It returns how long to wait for the next
// time, and whether this is when it becomes slow.
func (p *pace) step(now time.Time, things []string) (wait time.Duration, slower bool) {
	p.giveBack(now)
	for _, what := range things {
		t, known := p.times[what]
		if !known {
			t.since = now
		}
		if t.used++; t.used > freeTimes {
			t.used, wait = freeTimes+1, paceOf
		}
		p.times[what] = t
	}
	if wait == 0 {
		return 0, false
	}
	slower, p.slow = !p.slow, true
	return paceOf, slower
}

// giveBack gives back the times that are due.
func (p *pace) giveBack(now time.Time) {
	for what, t := range p.times {
		back := now.Sub(t.since) / paceOf
		if t.used -= int(back); t.used <= 0 {
			delete(p.times, what)
			continue
		}
		t.since = t.since.Add(back * paceOf)
		p.times[what] = t
	}
	if len(p.times) == 0 {
		p.times, p.slow = make(map[string]times), false
	}
}

// mended is what was found when somebody looked.
type mended struct {
	lost []string // what had been taken away, and is back
	let  bool     // rules in the chains of others are back, as after each of their loads
	err  error    // why something is not back
}

// quiet reports whether nothing was missing.
func (m mended) quiet() bool { return len(m.lost) == 0 && !m.let && m.err == nil }

// things names what was not as it should be, for the pace: those that something is
// wrong with for good are one.
func (m mended) things() []string {
	things := m.lost
	if m.let {
		things = append(slices.Clip(things), "rules in the chains of others")
	}
	if len(things) == 0 && m.err != nil {
		things = []string{"what can't be put back"}
	}
	return things
}

// rest is how long not to look again after a look that took so long: where there
// are many rules it takes a while, and is done as much less often. It is as long as
// devices may have to do without what is taken away meanwhile, so it is bounded.
func rest(took time.Duration) time.Duration { return min(20*took, time.Second) }

// restLocked is how long not to look again after one that found m; wait is what is
// made of that. What has been taken away may be once more, so that it is looked again
// at once: how often, the pace knows.
func (g *ground) restLocked(wait time.Duration, m mended, took time.Duration) time.Duration {
	if !m.quiet() {
		return wait
	}
	return max(wait, rest(took))
}

// instead says what becomes of new connections that are not brought.
func instead(s *platform.Steering) string {
	if s.Closed {
		return "are refused"
	}
	return "go direct"
}

// A lifter stops and begins the bringing of new connections, as ground.lifted says,
// and can have it looked again without news.
type lifter interface {
	bringAgainLocked() error
	poke()
}

// afterLocked tells of what was found, and returns how long not to look again. What is
// taken away so often that it is not put back at once must not lose new connections
// meanwhile: they are brought no more until nothing was missing for a while.
func (g *ground) afterLocked(l lifter, log *slog.Logger, m mended, now time.Time) time.Duration {
	again := g.lifted && m.quiet()
	if again {
		g.lifted = false
		m.err = l.bringAgainLocked()
	}
	if m.quiet() {
		if again {
			log.Info("nobody takes it away any more: new connections are captured again")
		}
		return 0
	}
	wait, slower := g.pace.step(now, m.things())
	if wait > 0 && !g.lifted {
		g.lifted = true
		if err := l.bringAgainLocked(); err != nil {
			log.Error("new connections are brought all the same, and may fail", "err", err)
		}
	}
	g.pace.tell(log, m, slower, instead(&g.now))
	if g.lifted {
		l.poke() // when the wait is over: that nothing happens is what is waited for
	}
	return wait
}

// tell says what was found, and what becomes of new connections instead of being
// captured, if it becomes slow.
func (p *pace) tell(log *slog.Logger, m mended, slower bool, instead string) {
	what := strings.Join(m.lost, ", ")
	switch {
	case slower && m.err != nil:
		log.Error("what another program has taken away can't be put back: new connections "+instead+" until it can; it is tried again from now on, without a word",
			"what", what, "every", paceOf, "err", m.err)
	case slower:
		log.Warn("another program takes away again and again what transom has put into the kernel: new connections "+instead+" until nothing has been missing for a while; it is put back without a word, but not more often than this",
			"what", what, "every", paceOf)
	case p.slow:
		log.Debug("put back", "what", what, "err", m.err)
	case m.err != nil:
		log.Error("what another program has taken away can't be put back, so captured connections may fail", "what", what, "err", m.err)
	case what != "":
		log.Warn("another program has taken away what transom had put into the kernel, as a firewall does that is loaded anew: it is back", "what", what)
	}
}
