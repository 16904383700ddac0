package steer

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"transom/platform"
	"transom/platform/nft"
)

// watch begins to look after what is in force. Of changes by the old programs
// nobody hears: those are found when it is looked the next time.
func (x *IPTables) watch() error {
	const deaf = "changes of firewalls and routing rules are not heard of any more: it may be some seconds until what they take away is back"
	if c, err := nft.Dial(); err == nil {
		news, err := c.Watch()
		if err == nil {
			x.hear(news, x.log, deaf)
		} else {
			x.log.Debug("changes by nf_tables are not heard of", "err", err)
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	removed, err := openRouteNews()
	if err != nil {
		return err
	}
	x.hear(removed, x.log, deaf)
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	enter := sync.OnceFunc(func() { x.enter(ns) })
	x.start(func() time.Duration {
		enter()
		return x.tend()
	})
	return nil
}

// enter brings the goroutine into a network namespace, for good, if it is in
// another: the programs run in that of the thread that starts them. nil is one
// that nobody may know.
func (x *IPTables) enter(ns *os.File) {
	if ns == nil {
		return
	}
	defer ns.Close()
	runtime.LockOSThread() // which ends with the goroutine
	var there, here unix.Stat_t
	err := errors.Join(unix.Fstat(int(ns.Fd()), &there), unix.Stat("/proc/thread-self/ns/net", &here))
	if err == nil && there.Ino != here.Ino {
		err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
	}
	if err != nil {
		x.log.Warn("it can't be looked whether other programs take away what transom has put into the kernel", "err", err)
		x.end()
	}
}

// tend is Kernel.tend.
func (x *IPTables) tend() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed || !x.staysLocked() || x.ctx.Err() != nil {
		return 0
	}
	m, took := x.mendLocked()
	if x.ctx.Err() != nil {
		return 0
	}
	return x.restLocked(x.afterLocked(x, x.log, m, time.Now()), m, took)
}

// mendLocked puts back what is not there any more. It tells how long it took to
// look, for which to put back is not counted: how often that is done is the pace's
// matter.
func (x *IPTables) mendLocked() (m mended, took time.Duration) {
	began := time.Now()
	turned := x.judgeLocked()
	lost, err := x.lostLocked()
	took = time.Since(began)
	switch {
	case turned != nil && err == nil: // what is missing has never been there
		lost = nil
		err = errors.Join(x.keepLocked(x.ctx, x.was), x.bringAgainLocked())
	case len(lost) > 0:
		err = errors.Join(x.keepLocked(x.ctx, x.was), x.bringAgainLocked())
	}
	if turned != nil && err == nil {
		turned()
	}
	routing, err2 := x.reenterLocked()
	return mended{lost: slices.Concat(lost, routing), err: errors.Join(err, err2)}, took
}

// bringAgainLocked lays the rules anew.
func (x *IPTables) bringAgainLocked() error {
	err := x.bringLocked(x.ctx, steeringOf(x.inForceLocked()))
	if err == nil {
		x.laid, err = x.thereLocked(x.ctx)
	}
	return err
}

// thereLocked lists what is there of ours, for each program.
func (x *IPTables) thereLocked(ctx context.Context) (list [][]xtThere, err error) {
	for _, p := range x.programs {
		there, err := p.list(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, there)
	}
	return list, nil
}

// lostLocked names the tables in which something of ours is missing.
func (x *IPTables) lostLocked() (lost []string, err error) {
	there, err := x.thereLocked(x.ctx)
	if err != nil {
		return nil, err
	}
	for i, p := range x.programs {
		var laid []xtThere
		if i < len(x.laid) { // else it could not be listed
			laid = x.laid[i]
		}
		want := (&xtables{steeringOf(x.inForceLocked()), i == 1}).tables()
		if i == 0 {
			want = append(want, notes(x.was)...)
		}
		for _, w := range want {
			what := p.name + " -t " + w.name
			if t := tableOf(there[i], w.name); (!t.holds(w) || !t.has(tableOf(laid, w.name))) && !slices.Contains(lost, what) {
				lost = append(lost, what)
			}
		}
	}
	return lost, nil
}

// judgeLocked looks whether what is brought would get lost by now: a bridge holds
// it up, as when Docker is started, or a firewall has come that drops it and that
// nobody can change. If that has changed it returns what says so, for when the rules
// are as it wants.
func (x *IPTables) judgeLocked() (say func()) {
	t, before := steeringOf(x.now), x.held
	if t.Draining {
		return nil
	}
	err := errors.Join(x.heldUp(t), ownersAllowHere(t))
	switch x.held = errors.Is(err, platform.ErrUnsupported); {
	case x.held && !before:
		return func() {
			x.log.Warn("captured connections would be lost from now on: new ones "+instead(&x.now)+" until that is over", "err", err)
		}
	case !x.held && before:
		return func() {
			x.log.Info("captured connections would be lost no longer: new ones are captured again")
		}
	}
	return nil
}
