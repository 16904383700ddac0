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

// tend is Kernel.tend. Where there are many rules it takes a while to look, and is
// done as much less often.
func (x *IPTables) tend() time.Duration {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed || !x.staysLocked() || x.ctx.Err() != nil {
		return 0
	}
	began := time.Now()
	x.lookAtBridgesLocked()
	m := x.mendLocked()
	if x.ctx.Err() != nil {
		return 0
	}
	now := time.Now()
	return max(x.pace.tell(x.log, m, now), 20*now.Sub(began))
}

// mendLocked puts back what is not there any more.
func (x *IPTables) mendLocked() mended {
	lost, err := x.lostLocked()
	if len(lost) > 0 {
		err = errors.Join(x.keepLocked(x.ctx, x.was), x.bringLocked(x.ctx, steeringOf(x.now)))
		if err == nil {
			x.laid, err = x.thereLocked(x.ctx)
		}
	}
	routing, err2 := x.reenterLocked()
	return mended{lost: slices.Concat(lost, routing), err: errors.Join(err, err2)}
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
		want := (&xtables{steeringOf(x.now), i == 1}).tables()
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

// lookAtBridgesLocked says it if a bridge begins to hold up what comes by it, as when
// Docker is started.
func (x *IPTables) lookAtBridgesLocked() {
	err := x.heldUp(steeringOf(x.now))
	if err != nil && !x.held {
		x.log.Warn("connections of clients are lost from now on", "err", err)
	}
	x.held = err != nil
}
