package steer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"

	"golang.org/x/sys/unix"

	"transom/platform"
	"transom/platform/nft"
)

// A Kernel applies steerings in one network namespace: that of the thread that
// opened it. Its methods may be called from any goroutine.
type Kernel struct {
	log   *slog.Logger
	rules *nft.Conn // owns the table that brings connections
	*tender

	mu sync.Mutex
	ground
	laid     []part         // what there is of our tables
	filtered bool           // br_netfilter was there when they came
	locked   []string       // chains of others that nobody may change, of which has been told
	legacy   []*legacyTable // as they were when it was opened
	unowned  bool           // the kernel has no tables with an owner
	closed   bool
}

var _ Steerer = (*Kernel)(nil)

// Open returns a Kernel, which has changed nothing yet. Apply needs
// CAP_NET_ADMIN. log gets what an operator should know; nil is silence.
func Open(log *slog.Logger) (_ *Kernel, err error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	k := &Kernel{log: log, tender: newTender()}
	defer func() {
		if err != nil {
			k.release()
		}
	}()
	if k.rules, err = nft.Dial(); err != nil {
		return nil, err
	}
	if err = k.ground.open(); err != nil {
		return nil, err
	}
	if k.legacy, err = legacyFilters(); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	switch news, err := k.rules.Watch(); {
	case err == nil:
		k.hear(news, log, "changes of firewalls are not heard of any more: if one is loaded anew, captured packets may not pass it for some seconds")
	case !errors.Is(err, fs.ErrPermission): // without the right to hear there is none to steer
		return nil, err
	}
	removed, err := openRouteNews()
	if err != nil {
		return nil, err
	}
	k.hear(removed, log, "it is not heard of any more when routing rules are removed: it may be some seconds until they are back")
	k.start(k.tend)
	return k, nil
}

// release closes what is open. What is held by it in the kernel ends with it.
func (k *Kernel) release() error {
	errs := []error{k.stop()}
	if k.rules != nil {
		errs = append(errs, k.rules.Close())
	}
	return errors.Join(append(errs, k.ground.release())...)
}

// Close takes everything back and closes the Kernel. If that fails it is closed
// all the same.
func (k *Kernel) Close() error {
	return errors.Join(k.Apply(context.Background(), platform.Steering{}), k.Abandon())
}

// Abandon closes the Kernel and takes nothing back. With it goes the table that
// brings new connections; the rest is for who comes after: Cleanup, or the next
// Apply. Once closed, it does nothing.
func (k *Kernel) Abandon() error {
	k.mu.Lock()
	closed := k.closed
	k.closed = true
	k.mu.Unlock()
	if closed {
		return nil
	}
	return k.release()
}

// Apply implements platform.Network. When it first puts anything in force, it
// takes over what an earlier run has left behind.
func (k *Kernel) Apply(ctx context.Context, want platform.Steering) error {
	if err := want.Check(); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed && want.IsZero():
		return nil
	case k.closed:
		return fmt.Errorf("steer: %w", fs.ErrClosed)
	case want.IsZero():
		return k.takeBackLocked()
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if k.now.IsZero() {
		if err := k.adoptLocked(want.Marks.OrDefault()); err != nil {
			return err
		}
	}
	old := k.now
	changed, err := k.putLocked(want)
	if changed && err != nil {
		err = errors.Join(err, k.undoLocked(old))
	}
	return err
}

// undoLocked puts back what was in force before an Apply that failed.
func (k *Kernel) undoLocked(old platform.Steering) error {
	var err error
	if old.IsZero() {
		err = k.clearLocked(false)
	} else {
		_, err = k.putLocked(old)
	}
	if err != nil {
		return fmt.Errorf("and then, to go back to how it was: %w", err)
	}
	return nil
}

// putLocked puts a steering in force, in place of another. New connections are
// brought only when all that they need is there. changed says that something is
// not as it was, also if it fails.
func (k *Kernel) putLocked(want platform.Steering) (changed bool, err error) {
	t, err := k.planLocked(want)
	if err != nil {
		return false, err
	}
	if k.now.IsZero() {
		if err := k.bringLocked([]*nft.Table{claim()}); err != nil {
			return false, err
		}
	}
	anew := !k.now.IsZero() && k.now.Marks.OrDefault() != t.marks
	tables := Tables(want)
	keep := func(was []change) error { return k.keepLocked(tables[0], was) }
	if err := k.enterLocked(t, keep); err != nil {
		return true, err
	}
	if _, err := k.letIn(t.steering, anew); err != nil {
		return true, err
	}
	if err := k.bringLocked(tables[1:]); err != nil {
		return true, err
	}
	if err := k.finishLocked(t, keep); err != nil {
		return true, err
	}
	k.laid, err = k.partsLocked()
	return true, err
}

// keepLocked puts the harmless table in force, with the notes of what settings
// were.
func (k *Kernel) keepLocked(divert *nft.Table, was []change) error {
	var b nft.Batch
	b.Replace(withNotes(divert, was))
	return k.rules.Commit(&b)
}

func withNotes(divert *nft.Table, was []change) *nft.Table {
	notes := nft.Chain{Name: wasName}
	for _, c := range was {
		notes.Rules = append(notes.Rules, nft.Rule{nft.Comment(c.String())})
	}
	table := *divert
	table.Chains = append([]nft.Chain{notes}, divert.Chains...)
	return &table
}

// bringLocked puts the tables in force that bring connections, and refuse what
// would go past; those that are not among them are removed. There is no moment
// without. A table of our name that another process owns is an error.
func (k *Kernel) bringLocked(tables []*nft.Table) error {
	if err := k.knowOwnersLocked(); err != nil {
		return err
	}
	var b nft.Batch
	return k.commitLocked(&b, tables)
}

// commitLocked adds to a batch what bringLocked puts in force, and carries it out.
func (k *Kernel) commitLocked(b *nft.Batch, tables []*nft.Table) error {
	b.Remove(nft.Inet, tableName)
	b.Remove(nft.Inet, closedName)
	for _, t := range tables {
		t.Owned = t.Owned && !k.unowned
		b.Add(t)
	}
	k.filtered = k.routes.bridgesFilterHere()
	return k.rules.Commit(b)
}

// claimLocked brings nothing any more, and makes sure that nobody else does.
func (k *Kernel) claimLocked(closed bool) error {
	if !closed {
		return k.bringLocked([]*nft.Table{claim()})
	}
	if err := k.knowOwnersLocked(); err != nil {
		return err
	}
	t := claim()
	t.Owned = t.Owned && !k.unowned
	var b nft.Batch
	b.Replace(t)
	return k.rules.Commit(&b)
}

// knowOwnersLocked finds out whether tables can have an owner.
func (k *Kernel) knowOwnersLocked() error {
	if k.unowned {
		return nil
	}
	var b nft.Batch
	b.Add(&nft.Table{Family: nft.Inet, Name: tableName + "_try", Owned: true})
	err := k.rules.Try(&b)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EINVAL) {
		k.unowned = true
		k.log.Warn("this kernel is older than Linux 5.12: if transom is killed, connections are brought to nobody until it is started anew or transom cleanup is run")
		return nil
	}
	return err
}

// takeBackLocked takes back what has been put in force, if anything.
func (k *Kernel) takeBackLocked() error {
	if k.now.IsZero() {
		return nil
	}
	return k.leaveLocked(false)
}

// leaveLocked takes everything back for good, as clearLocked does.
func (k *Kernel) leaveLocked(closed bool) error {
	was := k.was
	if err := k.clearLocked(closed); err != nil {
		return err
	}
	tellCutOff(k.log, was)
	return nil
}

// clearLocked takes everything back, whoever put it there, but for the table that
// refuses, if that is to stay closed. It goes on after a failure: what was not
// taken back is still noted in the kernel.
func (k *Kernel) clearLocked(closed bool) error {
	k.leaving = true
	err := errors.Join(k.claimLocked(closed), k.sweepLocked(), k.letOut(), k.ground.clearLocked())
	if err != nil {
		return fmt.Errorf("take back: %w", err)
	}
	var test nft.Batch
	test.Remove(nft.Inet, testName)
	if err := k.rules.Commit(&test); err != nil && !errors.Is(err, unix.EPERM) { // its own takes back one that is under way
		return fmt.Errorf("take back: %w", err)
	}
	var last nft.Batch
	last.Remove(nft.Inet, divertName)
	last.Remove(nft.Inet, tableName)
	if err := k.rules.Commit(&last); err != nil {
		return fmt.Errorf("take back: %w", err)
	}
	k.clearedLocked()
	k.laid, k.locked = nil, nil
	return nil
}
