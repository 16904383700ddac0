package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"transom"
	"transom/platform/helper"
	"transom/platform/sandbox"
)

// What rights things take.
var (
	steeringCaps = []sandbox.Cap{sandbox.NetAdmin}
	spoofing     = []sandbox.Cap{sandbox.NetRaw}
)

// rights is who started the process, with which rights, and as whom it goes on
// once it has opened everything, before it reads what anybody sends.
type rights struct {
	user *sandbox.User // nil: as it is
	held sandbox.Set
	log  *slog.Logger

	helperAs *sandbox.User // nil: there is none
	asker    bool          // a process of root's asks pf

	caller bool // user is who called sudo: what is made is theirs

	reads    []string // files that are read besides the system's
	writes   []string // directories that files are made in to the end
	confined bool     // its rights are gone
}

// rightsFor finds out. name is --user, "" for the default: whoever called sudo,
// or nobody if it was root.
func rightsFor(name string, log *slog.Logger) (*rights, error) {
	held, err := sandbox.Held()
	if err != nil {
		return nil, err
	}
	r := &rights{held: held, log: log}
	if os.Geteuid() != 0 {
		if name == "" {
			return r, nil
		}
		if u, err := sandbox.Lookup(name); err != nil || u.UID != os.Geteuid() {
			return nil, usagef("--user %s: only root can become another", name)
		}
		return r, nil
	}
	asked := name != ""
	if name == "" {
		u, ok, err := sandbox.Caller(os.Getenv)
		if err != nil {
			return nil, err
		}
		if ok {
			r.user, r.caller = &u, true
			return r, nil
		}
		name = "nobody"
	}
	u, err := sandbox.Lookup(name)
	if err != nil {
		return nil, usagef("--user: %w", err)
	}
	if _, why := sandbox.Within(u); asked && why != "" {
		return nil, usagef("--user %s: %s", name, why)
	}
	r.user = &u
	return r, nil
}

// need refuses to go on without capabilities, and says how to get them.
func (r *rights) need(what string, caps ...sandbox.Cap) error {
	if err := helper.Supported(); err != nil {
		return fmt.Errorf("can't %s: %w", what, err)
	}
	missing := r.held.Missing(caps...)
	if missing == 0 {
		return nil
	}
	program, err := os.Executable()
	if err != nil {
		program = "transom"
	}
	return fmt.Errorf("can't %s without %s: run as root, or: sudo setcap %s+ep %s", what, missing, sandbox.SetOf(caps...), program)
}

// configDir is where the settings of the person who started us are kept.
func (r *rights) configDir() (string, error) {
	switch {
	case !r.caller || os.Getenv("XDG_CONFIG_HOME") != "":
		return os.UserConfigDir()
	case r.user.Config() == "":
		return "", fmt.Errorf("%s has no home that is known here", r.user)
	}
	return r.user.Config(), nil
}

// helper starts the process that keeps the rights, and returns the host that
// goes through it. It is given the lock, if there is something to steer.
func (r *rights) helper(ctx context.Context, p *transom.Proxy, c helper.Charter, lock *helper.Hold) (*helper.Client, error) {
	caps := []uintptr{uintptr(sandbox.NetRaw)}
	if !c.Steering.IsZero() {
		caps = append(caps, uintptr(sandbox.NetAdmin))
	}
	if r.held.Has(sandbox.NetBindService) && wantsLowPorts(&c) {
		caps = append(caps, uintptr(sandbox.NetBindService))
	}
	o := helper.Options{Log: p.Log, Lock: lock, Capabilities: caps, Env: []string{}}
	if c.Backend != "iptables" { // whose lock is root's
		o.UID, o.GID = r.helperUser()
	}
	as := sandbox.Self()
	if u, err := sandbox.Lookup(fmt.Sprintf("%d:%d", o.UID, o.GID)); err == nil && o.UID != 0 {
		as, _ = sandbox.Within(u)
	}
	r.helperAs = &as
	return helper.Start(ctx, c, o)
}

// whom says as whom the proxy goes on, and who has its rights.
func (r *rights) whom() []string {
	as := sandbox.Self()
	if r.user != nil {
		as, _ = sandbox.Within(*r.user)
	}
	switch {
	case r.rooted():
		return []string{fmt.Sprintf("traffic is read as %s, with all of root's rights", as)}
	case r.asker:
		return []string{fmt.Sprintf("traffic is read as %s, without rights; a process of root's asks pf where connections were meant to go", as)}
	case r.helperAs != nil:
		return []string{fmt.Sprintf("traffic is read as %s, without rights; the helper that has them runs as %s", as, r.helperAs)}
	case r.user != nil:
		return []string{fmt.Sprintf("traffic is read as %s, without rights", as)}
	}
	return nil
}

// helperUser is whom the helper runs as if root starts it: neither root, who
// owns the system's files, nor whom the proxy becomes, which could end it.
func (r *rights) helperUser() (uid, gid int) {
	for _, name := range []string{"nobody", "daemon"} {
		u, err := sandbox.Lookup(name)
		if err == nil && r.user != nil && u.UID != r.user.UID {
			return u.UID, u.GID
		}
	}
	return 0, 0
}

// wantsLowPorts reports whether ports below 1024 may be bound: listeners', those
// that clients use, and those that answer them, as a name server's.
func wantsLowPorts(c *helper.Charter) bool {
	for _, a := range c.Listen {
		if a.Port() < 1024 {
			return true
		}
	}
	return c.SourcePort || len(c.Answers) > 0
}

// confine gives all rights up. What the proxy may still read is how names are
// resolved, the roots of trust and the time zones.
func (r *rights) confine() error {
	to := sandbox.Self()
	if r.user != nil {
		to, _ = sandbox.Within(*r.user)
	}
	drop := sandbox.Options{User: r.user, Read: append(sandbox.SystemFiles(to), r.reads...), Write: r.writes, Log: r.log}
	if _, err := sandbox.Drop(drop); err != nil {
		return fmt.Errorf("give up the rights it was started with: %w", err)
	}
	r.confined = true
	return nil
}

// writable has files made in dir when rights are gone. dir is made, as whoever makes them.
func (r *rights) writable(dir string) error {
	r.writes = append(r.writes, dir)
	return r.asWhom(func() error { return os.MkdirAll(dir, 0o700) })
}

// asWhom runs f with the file rights that are left when all others are gone.
func (r *rights) asWhom(f func() error) error {
	if r.user == nil {
		return f()
	}
	to, why := sandbox.Within(*r.user)
	if why != "" { // then we stay who we are
		return f()
	}
	return sandbox.AsUser(to, f)
}

// asUser runs f with the file rights of whom we become, if that is the person
// who called: what it makes is theirs.
func (r *rights) asUser(f func() error) error {
	if !r.caller {
		return f()
	}
	return sandbox.AsUser(*r.user, f)
}

// create opens a file that a person named, to write to it: as the caller, so
// that it is theirs, or else with the rights they have given us. These lead
// nowhere by links, which any program of the caller's may have laid.
func (r *rights) create(name string, flags int) (file *os.File, err error) {
	flags |= os.O_CREATE | os.O_WRONLY
	err = r.asUser(func() (err error) {
		file, err = os.OpenFile(name, flags, 0o600)
		return err
	})
	if r.caller && errors.Is(err, fs.ErrPermission) {
		return sandbox.OpenStraight(name, flags, 0o600)
	}
	return file, err
}
