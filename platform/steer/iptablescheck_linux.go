package steer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"transom/platform"
	"transom/platform/nft"
)

// Check finds, before anything is changed, what Apply(want) would fail of. Its
// one error says what, where, and what to do. Whether the kernel has all that the
// rules need it finds out with chains that nothing jumps to, which are removed
// at once.
func (x *IPTables) Check(ctx context.Context, want platform.Steering) error {
	if err := errors.Join(want.Check(), checkWords(&want)); err != nil || want.IsZero() {
		return err
	}
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if want.Program != "" {
		return fmt.Errorf("iptables: to capture one program is %w: that takes nf_tables", platform.ErrUnsupported)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	t := steeringOf(want)
	if err := x.interfaces(t.ifaces); err != nil {
		return err
	}
	if err := ownersAllowHere(t); err != nil {
		return err
	}
	if err := x.heldUp(t); err != nil {
		return err
	}
	if err := x.tryLocked(ctx, t); err != nil {
		return err
	}
	if t.diverts() {
		if err := x.routing(); err != nil {
			return err
		}
	}
	return x.canSetLocked(t)
}

// tryLocked asks the kernel about the rules.
func (x *IPTables) tryLocked(ctx context.Context, t *steering) error {
	for i, p := range x.programs {
		tables := onTrial((&xtables{t, i == 1}).tables())
		var put bytes.Buffer
		writeTables(&put, tables, false)
		err := p.put(ctx, put.Bytes())
		removeErr := p.removeTrial(context.WithoutCancel(ctx))
		switch {
		case errors.Is(err, fs.ErrPermission):
			err = fmt.Errorf("steering by iptables needs root, or CAP_NET_ADMIN and CAP_NET_RAW and leave to write /run/xtables.lock: %w", err)
		case err != nil && ctx.Err() == nil:
			err = fmt.Errorf("a rule for %s is %w; its module may be missing: %w", p.name, platform.ErrUnsupported, err)
		}
		if err := errors.Join(err, removeErr); err != nil {
			return err
		}
	}
	return nil
}

// ownersAllowHere is ownersAllow where there may be no nf_tables.
func ownersAllowHere(t *steering) error {
	conn, err := nft.Dial()
	if err != nil {
		return nil
	}
	defer conn.Close()
	if _, err := conn.Tables(); err != nil {
		return nil
	}
	return ownersAllow(conn, t)
}

// removeTrial removes what there is of a trial. It looks once more if that has gone
// meanwhile, as when a firewall is loaded anew.
func (p *xtPrograms) removeTrial(ctx context.Context) error {
	err := p.removeTrialOnce(ctx)
	if err != nil && ctx.Err() == nil {
		err = p.removeTrialOnce(ctx)
	}
	return err
}

func (p *xtPrograms) removeTrialOnce(ctx context.Context) error {
	there, err := p.list(ctx)
	if err != nil {
		return err
	}
	var left []xtTable
	for _, t := range there {
		table := xtTable{name: t.name}
		for _, c := range t.chains {
			if strings.HasPrefix(c, trialPrefix) {
				table.chains = append(table.chains, xtChain{name: c})
			}
		}
		if len(table.chains) > 0 {
			left = append(left, table)
		}
	}
	var b bytes.Buffer
	writeRemoval(&b, left)
	return p.put(ctx, b.Bytes())
}

// trialPrefix begins the names of chains that are there to be tried.
const trialPrefix = chainPrefix + "TRY_"

// onTrial gives chains other names, and nothing that jumps to them.
func onTrial(tables []xtTable) []xtTable {
	renamed := strings.NewReplacer("-j "+chainPrefix, "-j "+trialPrefix, "-g "+chainPrefix, "-g "+trialPrefix)
	var out []xtTable
	for _, t := range tables {
		table := xtTable{name: t.name}
		for _, c := range t.chains {
			chain := xtChain{name: trialPrefix + strings.TrimPrefix(c.name, chainPrefix)}
			for _, r := range c.rules {
				chain.rules = append(chain.rules, renamed.Replace(r))
			}
			table.chains = append(table.chains, chain)
		}
		out = append(out, table)
	}
	return out
}

// Leftovers lists what an earlier run has left behind, one line each, as a
// person would name it.
func (x *IPTables) Leftovers(ctx context.Context) ([]string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l, err := x.leftoversLocked(ctx)
	return l.lines(), err
}

// Cleanup removes what an earlier run has left behind, and returns what that
// was, as Leftovers.
func (x *IPTables) Cleanup(ctx context.Context) ([]string, error) {
	return x.cleanup(ctx, func(l xtLeftovers) bool { return len(l.lines()) > 0 })
}

// Yield implements Steerer.
func (x *IPTables) Yield(ctx context.Context) ([]string, error) {
	return x.cleanup(ctx, func(l xtLeftovers) bool { return len(l.chains) > 0 })
}

// cleanup is Cleanup if what is left matters.
func (x *IPTables) cleanup(ctx context.Context, matters func(xtLeftovers) bool) ([]string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l, err := x.leftoversLocked(ctx)
	if err != nil || !matters(l) {
		return nil, err
	}
	x.was = l.changes
	return l.lines(), x.leaveLocked(ctx)
}

// adoptLocked is for who is about to put things in force: what an earlier run has
// left behind becomes this one's, so that connections that live by it go on. Put
// replaces it all.
func (x *IPTables) adoptLocked(ctx context.Context) error {
	l, err := x.leftoversLocked(ctx)
	if err != nil {
		return err
	}
	tookOver(x.log, l.lines())
	x.was = l.changes
	return nil
}

// xtLeftovers is what a process that could not clean up has left.
type xtLeftovers struct {
	chains  []string // as text, those of a table in one line
	routing []string // rules and routes, as text
	changes []change // settings that are still as it set them
}

// lines names each thing as a person would.
func (l xtLeftovers) lines() []string {
	list := slices.Concat(l.chains, l.routing)
	for _, c := range l.changes {
		list = append(list, c.String())
	}
	return list
}

func (x *IPTables) leftoversLocked(ctx context.Context) (l xtLeftovers, err error) {
	if !x.now.IsZero() {
		return l, fmt.Errorf("look for leftovers: %w: this one", ErrLiving)
	}
	var was []change
	for _, p := range x.programs {
		there, err := p.list(ctx)
		if err != nil {
			return xtLeftovers{}, err
		}
		for _, t := range there {
			l.chains = append(l.chains, fmt.Sprintf("%s -t %s: chains %s", p.name, t.name, strings.Join(t.chains, ", ")))
			for _, note := range t.notes {
				if c, ok := parseChange(note); ok {
					was = append(was, c)
				}
			}
		}
	}
	if l.routing, err = x.routes.lines(); err != nil {
		return xtLeftovers{}, err
	}
	l.changes = x.recallLocked(was, x.log)
	return l, nil
}
