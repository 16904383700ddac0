package steer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"sync"

	"transom/platform"
)

// An IPTables steers as a Kernel does, by the programs iptables-restore and
// ip6tables-restore: for kernels without nf_tables. It needs CAP_NET_ADMIN and
// CAP_NET_RAW, and where the programs are of the old kind, leave to write
// /run/xtables.lock, which is root's. Its methods may be called from any
// goroutine, on threads in the network namespace in which it was opened.
//
// What it puts into the kernel has no owner. If this process is killed, captures
// stay until the next Apply or Cleanup: somebody who outlives it has to see to
// that, and where all are killed at once, as with a control group, nobody does.
// Nor can it tell the leavings of one transom from another that lives; that there
// is one at most is for the caller to know. And a firewall that is loaded anew
// throws our rules out with its own: they are back some seconds later.
type IPTables struct {
	log      *slog.Logger
	programs []*xtPrograms

	*tender

	mu sync.Mutex
	ground
	laid   [][]xtThere // what there is of ours, for each of the programs
	closed bool
}

var _ Steerer = (*IPTables)(nil)

// OpenIPTables returns an IPTables, which has changed nothing yet. log gets what
// an operator should know; nil is silence.
func OpenIPTables(log *slog.Logger) (*IPTables, error) {
	variants := []string{"", "-legacy"}
	if legacyMatters() {
		slices.Reverse(variants)
	}
	return openIPTables(log, nil, variants...)
}

// openIPTables chooses among variants of the programs, and adds to their
// environment.
func openIPTables(log *slog.Logger, env []string, variants ...string) (_ *IPTables, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	x := &IPTables{log: log, tender: newTender()}
	defer func() {
		if err != nil {
			x.release()
		}
	}()
	if err = x.ground.open(); err != nil {
		return nil, err
	}
	names := []string{"iptables"}
	if x.settings.ipv6() {
		names = append(names, "ip6tables")
	}
	for _, name := range names {
		p, err := findPrograms(context.Background(), name, variants, env)
		if err != nil {
			return nil, fmt.Errorf("steer by iptables: %w", err)
		}
		x.programs = append(x.programs, p)
	}
	return x, x.watch()
}

// release closes what is open.
func (x *IPTables) release() error { return errors.Join(x.stop(), x.ground.release()) }

// Close takes everything back and closes the IPTables. If that fails it is
// closed all the same.
func (x *IPTables) Close() error {
	return errors.Join(x.Apply(context.Background(), platform.Steering{}), x.Abandon())
}

// Abandon closes the IPTables and takes nothing back: what is in force stays so.
// Once closed, it does nothing.
func (x *IPTables) Abandon() error {
	x.mu.Lock()
	closed := x.closed
	x.closed = true
	x.mu.Unlock()
	if closed {
		return nil
	}
	return x.release()
}

// Apply implements platform.Network. When it first puts anything in force, it
// takes over what an earlier run has left behind.
func (x *IPTables) Apply(ctx context.Context, want platform.Steering) error {
	if err := errors.Join(want.Check(), checkWords(&want)); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.closed && want.IsZero():
		return nil
	case x.closed:
		return fmt.Errorf("steer: %w", fs.ErrClosed)
	case want.IsZero() && x.now.IsZero():
		return nil
	case want.IsZero():
		return x.leaveLocked(context.WithoutCancel(ctx))
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if x.now.IsZero() {
		if err := x.adoptLocked(ctx); err != nil {
			return err
		}
	}
	old := x.now
	if err := x.putLocked(ctx, want); err != nil {
		return errors.Join(err, x.undoLocked(context.WithoutCancel(ctx), old))
	}
	return nil
}

// Leave takes back what this or an earlier process has put in force, but for the
// rules that refuse what would be captured, if there are any (Steering.Closed).
func (x *IPTables) Leave(ctx context.Context) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return fmt.Errorf("steer: %w", fs.ErrClosed)
	}
	if x.now.IsZero() {
		l, err := x.leftoversLocked(ctx)
		if err != nil {
			return err
		}
		x.was = l.changes
	}
	return x.leaveLocked(ctx, closedChain)
}

// undoLocked puts back what was in force before an Apply that failed.
func (x *IPTables) undoLocked(ctx context.Context, old platform.Steering) error {
	var err error
	if old.IsZero() {
		err = x.clearLocked(ctx)
	} else {
		err = x.putLocked(ctx, old)
	}
	if err != nil {
		return fmt.Errorf("and then, to go back to how it was: %w", err)
	}
	return nil
}

// putLocked puts a steering in force, in place of another. The settings of before
// are kept before they are changed, and new connections are brought only when
// all that they need is there.
func (x *IPTables) putLocked(ctx context.Context, want platform.Steering) error {
	t, err := x.planLocked(want)
	if err != nil {
		return err
	}
	keep := func(was []change) error { return x.keepLocked(ctx, was) }
	if err := x.enterLocked(t, keep); err != nil {
		return err
	}
	turned := x.judgeLocked()
	if err := x.bringLocked(ctx, steeringOf(x.inForceLocked())); err != nil {
		return err
	}
	if turned != nil {
		turned()
	}
	if err := x.finishLocked(t, keep); err != nil {
		return err
	}
	x.laid, err = x.thereLocked(ctx)
	return err
}

// keepLocked writes down what settings were. The chain is there even if none
// has changed: it says that something is in force.
func (x *IPTables) keepLocked(ctx context.Context, was []change) error {
	var b bytes.Buffer
	writeTables(&b, notes(was), false)
	if err := x.programs[0].put(ctx, b.Bytes()); err != nil {
		return fmt.Errorf("keep the settings of before: %w", err)
	}
	return nil
}

// bringLocked puts the rules of t in force, nil for none, in the place of what is
// there but for the notes and for chains to keep.
func (x *IPTables) bringLocked(ctx context.Context, t *steering, keep ...string) error {
	var errs []error
	for i, p := range x.programs {
		var want []xtTable
		if t != nil {
			want = (&xtables{t, i == 1}).tables()
		}
		err := p.change(ctx, want, append(keep, wasChain)...)
		if err != nil && ctx.Err() == nil { // a firewall may have been loaded anew since it was listed
			err = p.change(ctx, want, append(keep, wasChain)...)
		}
		if err != nil && t != nil {
			return fmt.Errorf("put rules in force: %w", err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// change puts want in the place of what is there, but for chains to keep.
func (p *xtPrograms) change(ctx context.Context, want []xtTable, keep ...string) error {
	there, err := p.list(ctx)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	writeChange(&b, there, want, keep...)
	return p.put(ctx, b.Bytes())
}

// leaveLocked takes everything back for good, as clearLocked does.
func (x *IPTables) leaveLocked(ctx context.Context, keep ...string) error {
	was := x.was
	if err := x.clearLocked(ctx, keep...); err != nil {
		return err
	}
	tellCutOff(x.log, was)
	return nil
}

// clearLocked takes everything back but for chains to keep, whoever put it
// there. It goes on after a failure: what was not taken back is still noted in
// the kernel.
func (x *IPTables) clearLocked(ctx context.Context, keep ...string) error {
	x.leaving = true
	err := errors.Join(x.sweepLocked(), x.bringLocked(ctx, nil, keep...), x.ground.clearLocked())
	if err == nil {
		err = x.forgetLocked(ctx)
	}
	if err != nil {
		return fmt.Errorf("take back: %w", err)
	}
	x.clearedLocked()
	return nil
}

// forgetLocked removes the notes, if there are any.
func (x *IPTables) forgetLocked(ctx context.Context) error {
	there, err := x.programs[0].list(ctx)
	if err != nil || !slices.ContainsFunc(there, func(t xtThere) bool { return slices.Contains(t.chains, wasChain) }) {
		return err
	}
	var b bytes.Buffer
	writeRemoval(&b, notes(nil))
	return x.programs[0].put(ctx, b.Bytes())
}
