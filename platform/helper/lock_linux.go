package helper

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"transom/platform/nft"
)

// The lock of a network namespace is a table of nf_tables with an owner: only who
// may steer packets can make it, the kernel makes it once, flushing leaves it there,
// and it goes with its holder, however that ends. Who holds it is a comment in it.
//
// Where the kernel has no such tables (before Linux 5.12), the lock is an abstract
// socket. Anybody on the host can bind that, so it is second: whoever holds the
// table goes on beside a stranger who has the socket. Nobody goes on without both
// but beside a stranger, so that two find each other also if only one of them has found
// nf_tables.
const (
	lockTable = "transom_lock"
	lockChain = "held_by"
	lockName  = "@transom-gateway"
)

// LockWithin is how long an earlier run may take to clean up.
const LockWithin = 2 * time.Second

// lockEvery is how often the lock is tried meanwhile.
const lockEvery = 20 * time.Millisecond

// running is the error for a process.
func running(pid int) *RunningError {
	return &RunningError{PID: pid, Ended: pid != 0 && errors.Is(unix.Kill(pid, 0), unix.ESRCH)}
}

// A Hold is held by at most one in a network namespace, until it is closed here
// and by the watch and the helper that it was given to.
type Hold struct {
	table *nft.Conn    // nil where tables have no owner
	name  net.Listener // nil if a stranger has it
}

// Lock makes sure that nobody else steers the network namespace of the calling
// thread, and nobody begins to while the result is held: give it to Start, and close
// it. If it can't be had within a while the error is a RunningError. It takes
// CAP_NET_ADMIN.
func Lock(ctx context.Context, within time.Duration, log *slog.Logger) (*Hold, error) {
	return lock(ctx, within, log, claim)
}

// lock is Lock with a way to make the table.
func lock(ctx context.Context, within time.Duration, log *slog.Logger, claim func() (*nft.Conn, bool, error)) (_ *Hold, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	h := &Hold{}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.Close())
		}
	}()
	tick := time.NewTicker(lockEvery)
	defer tick.Stop()
	for {
		free, err := h.try(claim)
		if err != nil {
			return nil, fmt.Errorf("make sure that no other transom steers this network: %w", err)
		}
		if free {
			return h, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, context.Cause(ctx)
			}
			return h, h.despite(log)
		}
	}
}

// try takes what of the lock is missing. It reports whether that is all of it.
func (h *Hold) try(claim func() (*nft.Conn, bool, error)) (all bool, err error) {
	if h.table == nil {
		var taken bool
		if h.table, taken, err = claim(); err != nil || taken {
			return false, err
		}
	}
	h.name, err = net.Listen("unix", lockName)
	if errors.Is(err, unix.EADDRINUSE) {
		h.name = nil // not a nil *UnixListener in an interface
		return false, nil
	}
	return err == nil, err
}

// claim makes the table; nil without an error or taken says that the kernel has no
// tables with an owner.
func claim() (_ *nft.Conn, taken bool, err error) {
	c, err := nft.Dial()
	if err != nil {
		return nil, false, lacking(err)
	}
	var b nft.Batch
	b.Replace(&nft.Table{Family: nft.Inet, Name: lockTable, Owned: true, Chains: []nft.Chain{
		{Name: lockChain, Rules: []nft.Rule{{nft.Comment(self())}}},
	}})
	if err = c.Commit(&b); err == nil {
		return c, false, nil
	}
	defer c.Close()
	if !errors.Is(err, fs.ErrPermission) {
		return nil, false, lacking(err)
	}
	if _, e := c.Tables(); e != nil { // it is not the table's owner who forbids it
		return nil, false, err
	}
	return nil, true, nil
}

// lacking is nil for an error that says that the kernel has no tables with an owner.
func lacking(err error) error {
	for _, e := range []error{unix.EOPNOTSUPP, unix.EINVAL, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

// despite is what there is to say when not all of the lock can be had: nil if it
// can be done without the rest.
func (h *Hold) despite(log *slog.Logger) error {
	if h.table == nil {
		if running, held := holder(); held {
			return running
		}
	}
	o, found := occupies()
	if found && o.listening && (o.uid <= 0 || o.uid == os.Geteuid()) {
		return running(o.pid) // of whom nothing can be known may be a transom
	}
	if h.table == nil {
		return fmt.Errorf("%s holds the abstract socket %s, which is transom's lock where the kernel is older than Linux 5.12: %s", o.who(), lockName, o.remedy())
	}
	if found {
		log.Warn("a process that is no transom holds the abstract socket that is transom's second lock; transom goes on without it", "socket", lockName, "held_by", o.who())
	}
	return nil
}

// self names this process, for whoever finds the table.
func self() string { return fmt.Sprintf("process %d in %s", os.Getpid(), pidNamespace()) }

// pidNamespace names the one that this process's number is of.
func pidNamespace() string {
	name, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "a pid namespace"
	}
	return name
}

// holder tells who holds the table, if anybody does.
func holder() (who *RunningError, held bool) {
	c, err := nft.Dial()
	if err != nil {
		return nil, false
	}
	defer c.Close()
	rules, err := c.Rules(nft.Inet, lockTable, lockChain)
	if err != nil || len(rules) == 0 {
		return nil, false
	}
	var pid int
	if number, ok := strings.CutSuffix(rules[0].Comment, " in "+pidNamespace()); ok {
		if _, err := fmt.Sscanf(number, "process %d", &pid); err != nil {
			pid = 0
		}
	}
	return running(pid), true
}

// Running tells which transom steers the network namespace of the calling thread, nil
// if none can be seen: who has no CAP_NET_ADMIN sees it by the socket alone.
func Running() *RunningError {
	if who, held := holder(); held {
		return who
	}
	if o, found := occupies(); found && o.listening && (o.uid <= 0 || o.uid == os.Geteuid()) {
		return running(o.pid)
	}
	return nil
}

// Close lets go of it; a watch and a helper that it was given to may still hold it.
func (h *Hold) Close() error {
	if h == nil {
		return nil
	}
	var errs []error
	if h.name != nil {
		errs = append(errs, h.name.Close())
	}
	if h.table != nil {
		errs = append(errs, h.table.Close())
	}
	return errors.Join(errs...)
}

// files are for a process that is to hold it; the caller closes them.
func (h *Hold) files() (list []*os.File, err error) {
	if h == nil {
		return nil, nil
	}
	if h.name != nil {
		f, err := h.name.(*net.UnixListener).File()
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	if h.table != nil {
		f, err := h.table.File()
		if err != nil {
			return list, err
		}
		list = append(list, f)
	}
	return list, nil
}
