package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"transom/ca"
	"transom/platform/trust"
)

// A trusting is what the commands about trust work with: an authority, and the
// machine that may trust it.
type trusting struct {
	dir     string
	kinds   listFlag
	json    bool
	rights  *rights
	machine *trust.Machine
	cert    *x509.Certificate
	file    string // the certificate, for everybody to read
}

// flags adds what the commands have in common.
func (t *trusting) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	addCADir(fl, &t.dir)
	fl.Var(&t.kinds, "store", "only stores of this `KIND`: "+strings.Join(trust.Kinds[:], ", ")+"; may be repeated (default: all there are)")
	fl.BoolVar(&t.json, "json", false, "print JSON, one object a line")
}

// open checks the flags, and opens the authority.
func (t *trusting) open(cmd *cobra.Command) error {
	for _, kind := range t.kinds {
		if !slices.Contains(trust.Kinds[:], kind) {
			return usagef("--store: there is no store %q: use one of %s", kind, strings.Join(trust.Kinds[:], ", "))
		}
	}
	var err error
	if t.rights, err = rightsFor("", slog.New(slog.DiscardHandler)); err != nil {
		return err
	}
	a, err := openAuthority(t.dir, t.rights)
	if err != nil {
		return err
	}
	tellMade(cmd.ErrOrStderr(), a)
	t.cert, t.file = a.Root(), certFile(a.Info())
	t.machine, err = t.rights.machine()
	return err
}

// certFile is the file beside the authority's key that has the certificate alone.
func certFile(i ca.Info) string { return strings.TrimSuffix(i.Path, ".pem") + "-cert.pem" }

// machine is this machine, with the home of the person who called. What is theirs
// is changed by programs that run as they.
func (r *rights) machine() (*trust.Machine, error) {
	m := &trust.Machine{Darwin: runtime.GOOS == "darwin", Env: os.Getenv}
	if r.caller {
		u := r.user
		m.Home = u.Home
		m.Run = trust.Runs(&trust.Person{UID: u.UID, GID: u.GID, Groups: u.Groups, Home: u.Home})
		return m, nil
	}
	home, err := os.UserHomeDir()
	if err != nil && os.Geteuid() != 0 {
		return nil, fmt.Errorf("whose browsers are meant? %w", err)
	}
	m.Home, m.Run = home, trust.Runs(nil)
	return m, nil
}

// stores are those that are meant.
func (t *trusting) stores() ([]trust.Store, error) {
	all := t.machine.Stores(t.cert)
	if len(t.kinds) == 0 {
		return all, nil
	}
	chosen := slices.DeleteFunc(all, func(s trust.Store) bool { return !slices.Contains(t.kinds, s.Kind()) })
	for _, kind := range t.kinds {
		if !slices.ContainsFunc(chosen, func(s trust.Store) bool { return s.Kind() == kind }) {
			return nil, fmt.Errorf("no store of the kind %q was found here", kind)
		}
	}
	return chosen, nil
}

// A change is what one store is to undergo.
type change struct {
	store trust.Store
	steps []trust.Step
	err   error // it is not known, or it failed
	state trust.State
}

// plan asks each store what it would take.
func (t *trusting) plan(ctx context.Context, ask func(trust.Store, context.Context) ([]trust.Step, error)) ([]change, error) {
	stores, err := t.stores()
	if err != nil {
		return nil, err
	}
	var changes []change
	for _, s := range stores {
		c := change{store: s}
		c.steps, c.err = ask(s, ctx)
		changes = append(changes, c)
	}
	return changes, nil
}

// errNeedsRoot is of changes that this process has no right to.
var errNeedsRoot = errors.New("takes root")

// errFollows is of a store that is made of another, and in which there is nothing to do.
var errFollows = errors.New("what it is made of does not trust the authority; 'transom ca trust --store system' changes that")

// do takes the steps of all changes in order: one store's failure is not another's.
func (t *trusting) do(ctx context.Context, changes []change, wanted bool) {
	for i := range changes {
		c := &changes[i]
		if c.err != nil {
			continue
		}
		if c.takesRoot() && os.Geteuid() != 0 {
			c.err = errNeedsRoot
			continue
		}
		if c.err = t.machine.Do(ctx, c.steps); c.err != nil {
			continue
		}
		c.state, c.err = c.store.Check(ctx)
		switch {
		case c.err != nil || c.state.Trusted == wanted:
		case len(c.steps) > 0:
			c.err = errors.New("its programs reported no error, and nothing has changed")
		case wanted:
			c.err = errFollows
		}
	}
}

// takesRoot reports whether root has to do some of it.
func (c *change) takesRoot() bool {
	return slices.ContainsFunc(c.steps, func(s trust.Step) bool { return !s.Own() })
}
