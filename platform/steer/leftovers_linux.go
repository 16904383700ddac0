package steer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"transom/platform"
	"transom/platform/nft"
)

// leftovers is what a process that could not clean up has left.
type leftovers struct {
	tables  []nft.TableInfo
	chains  []nft.RuleInfo // our rules in others' chains
	changes []change       // settings that are still as it set them
	routing []string       // rules and routes, as text
}

// lines names each thing as a person would.
func (l *leftovers) lines() (list []string) {
	for _, t := range l.tables {
		list = append(list, fmt.Sprintf("nft table %s %s", t.Family, t.Name))
	}
	for _, r := range l.chains {
		list = append(list, fmt.Sprintf("nft rule %d of chain %s of table %s %s: accept what %s brings", r.Handle, r.Chain, r.Family, r.Table, mine))
	}
	list = append(list, l.routing...)
	for _, c := range l.changes {
		list = append(list, c.String())
	}
	return list
}

// Leftovers lists what an earlier run has left behind, one line each, as a
// person would name it. If some of it belongs to a process that lives it is
// listed all the same, with ErrLiving.
func (k *Kernel) Leftovers(ctx context.Context) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.leftoversLocked(ctx)
	if err != nil && !errors.Is(err, ErrLiving) || l == nil {
		return nil, err
	}
	return l.lines(), err
}

// Cleanup removes what an earlier run has left behind, and returns what that
// was, as Leftovers. It fails with ErrLiving, and removes nothing, if some of it
// belongs to a process that lives.
func (k *Kernel) Cleanup(ctx context.Context) ([]string, error) {
	return k.cleanup(ctx, func(l *leftovers) bool { return len(l.lines()) > 0 })
}

// Yield implements Steerer.
func (k *Kernel) Yield(ctx context.Context) ([]string, error) {
	return k.cleanup(ctx, func(l *leftovers) bool { return len(l.tables)+len(l.chains) > 0 })
}

// cleanup is Cleanup if what is left matters.
func (k *Kernel) cleanup(ctx context.Context, matters func(*leftovers) bool) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	l, err := k.leftoversLocked(ctx)
	if err != nil || !matters(l) {
		return nil, err
	}
	k.was = l.changes
	return l.lines(), k.leaveLocked(false)
}

// adoptLocked is for who is about to put things in force: what an earlier run has
// left behind becomes this one's, so that connections that live by it go on, and
// is taken back with the rest. What put does not replace by itself is removed, but for
// what a test has laid: a new one may be under way already.
func (k *Kernel) adoptLocked(m platform.Marks) error {
	l, err := k.leftoversLocked(context.Background())
	if err != nil {
		return err
	}
	tookOver(k.log, l.lines())
	k.was = l.changes
	if !k.routes.sameMarks(m) {
		return k.letOut() // put lets in what carries the new mark
	}
	return nil
}

// tookOver says that what a process has left that could not clean up is another's
// now, and what that is: a few of it in one line, and all of it to who looks closer. It may have been
// one of this run, whose successor this process is.
func tookOver(log *slog.Logger, lines []string) {
	if len(lines) == 0 {
		return
	}
	what := strings.Join(lines[:min(len(lines), fewLeft)], ", ")
	if more := len(lines) - fewLeft; more > 0 {
		what += fmt.Sprintf(", and %d more", more)
	}
	log.Info("what a process of transom that has died left in force is taken over", "what", what)
	for _, line := range lines {
		log.Debug("taken over", "what", line)
	}
}

// fewLeft is how many leftovers a line names.
const fewLeft = 3

// Leave takes back what this or an earlier process has put in force, but for the
// table that refuses what would go past: it is for when nobody has said that it
// is over.
func (k *Kernel) Leave(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now.IsZero() {
		l, err := k.leftoversLocked(ctx)
		if err != nil {
			return err
		}
		if len(l.lines()) == 0 {
			return nil
		}
		k.was = l.changes
	}
	return k.leaveLocked(true)
}

func (k *Kernel) leftoversLocked(ctx context.Context) (*leftovers, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if !k.now.IsZero() {
		return nil, fmt.Errorf("look for leftovers: %w: this one", ErrLiving)
	}
	tables, living := k.ourTables()
	if living != nil && !errors.Is(living, ErrLiving) {
		return nil, living
	}
	l := &leftovers{tables: tables}
	var err error
	if l.chains, err = k.ownRules(); err != nil {
		return nil, err
	}
	if l.changes, err = k.notes(); err != nil {
		return nil, err
	}
	l.routing, err = k.routes.lines()
	return l, errors.Join(err, living)
}

// ourTables lists the tables of our names. If one belongs to another process the
// error is ErrLiving.
func (k *Kernel) ourTables() ([]nft.TableInfo, error) {
	list, err := k.rules.Tables()
	if err != nil {
		return nil, refused(err)
	}
	list = slices.DeleteFunc(list, func(t nft.TableInfo) bool { return !isOurs(t.Family, t.Name) })
	for _, t := range list {
		if t.Owned && !t.Mine {
			return list, fmt.Errorf("%w: nft table %s %s belongs to netlink port %d, mostly its process's number; end that one first", ErrLiving, t.Family, t.Name, t.Owner)
		}
	}
	return list, nil
}

// notes reads the settings that an earlier run changed, and that are still as it
// left them.
func (k *Kernel) notes() ([]change, error) {
	rules, err := k.rules.Rules(nft.Inet, divertName, wasName)
	if err != nil {
		return nil, err
	}
	var list []change
	for _, r := range rules {
		if c, ok := parseChange(r.Comment); ok {
			list = append(list, c)
		}
	}
	return k.recallLocked(list, k.log), nil
}
