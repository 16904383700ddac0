//go:build darwin || freebsd || openbsd

package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"transom/platform"
	"transom/platform/pf"
)

// Supported returns why there is no helper that prepares sockets: on these systems
// one steers, by pf, and looks up, and does nothing else.
func Supported() error {
	return fmt.Errorf("a helper that keeps the rights to make such sockets: %w", platform.ErrUnsupported)
}

// Options say how the watch and the helper are started.
type Options struct {
	// Log gets what an operator should know; nil is silence.
	Log *slog.Logger
	// UID, GID and Capabilities are Linux's: here root has the rights.
	UID, GID     int
	Capabilities []uintptr
	// Lock is what makes the watch the only one, and is given to it. The caller
	// closes it.
	Lock *Hold
	// Program and Args start the watch; nothing is this program and "helper watch".
	Program string
	Args    []string
	// Env is all that they find in their environment; nil is this process's.
	Env []string
}

// ServeOptions are what Serve is given by the command.
type ServeOptions struct {
	Rights
	// Test, Translated and Patience are Linux's.
	Test       func(ctx context.Context, c Charter) error
	Translated func(c Charter) ([]string, error)
	Patience   time.Duration
}

// WatchOptions are what Watch is given by the command.
type WatchOptions struct {
	Rights
	// Program and Args start the helper; nothing is this program and "helper serve".
	Program string
	Args    []string
}

// A Client is a platform.Host whose steering is a helper's.
type Client = rootClient

// SelfTest fails: there is nothing to test.
func (c *rootClient) SelfTest(context.Context) error {
	return fmt.Errorf("test whether answers come back: %w", platform.ErrUnsupported)
}

// Start starts a watch, which starts a helper, and returns the host that is steered
// by it when it is ready. It is called as root, which can be given up afterwards. Close
// ends them. ctx is for the start alone.
func Start(ctx context.Context, charter Charter, o Options) (*Client, error) {
	if o.Lock == nil {
		return nil, errors.New("start the helper: without the lock")
	}
	if err := self(&o.Program, &o.Args, "watch"); err != nil {
		return nil, err
	}
	return startRoot(ctx, charter, o.Lock.f, o)
}

// self is this program by default.
func self(program *string, args *[]string, role string) (err error) {
	if *program == "" {
		*args = []string{"helper", role}
		if *program, err = os.Executable(); err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
	}
	return nil
}

// Serve is the body of "helper serve": it answers requests until the proxy or the
// watch is gone, and then takes back what it has applied.
func Serve(ctx context.Context, o ServeOptions) error {
	return serveRoot(ctx, rootRights{o.Rights, lookHere})
}

func lookHere() (pf.Looker, io.Closer, error) {
	table, ok := pf.Here()
	if !ok {
		return nil, nil, platform.ErrUnsupported
	}
	if err := table.Ready(); err != nil {
		return nil, nil, fmt.Errorf("open /dev/pf: %w", err)
	}
	return table, table, nil
}

// Watch is the body of "helper watch": it starts the helper, and takes back what that
// leaves when it dies.
func Watch(ctx context.Context, o WatchOptions) error {
	if err := self(&o.Program, &o.Args, "serve"); err != nil {
		return err
	}
	return watchRoot(ctx, o)
}

// lockPath is where the lock is. /var/run is root's on these systems.
const lockPath = "/var/run/transom.lock"

// LockWithin is how long an earlier run may take to clean up.
const LockWithin = 2 * time.Second

// A Hold is held by at most one on a host, until it is closed here and by the watch
// and the helper that it was given to.
type Hold = rootLock

// Lock makes sure that nobody else steers this host, and nobody begins to while the
// result is held: give it to Start, and close it. If it can't be had within a while the
// error is a RunningError. It takes root.
func Lock(ctx context.Context, within time.Duration, _ *slog.Logger) (*Hold, error) {
	return lockRoot(ctx, lockPath, within)
}

// Running returns who steers this host, nil if none can be seen.
func Running() *RunningError { return runningRoot(lockPath) }
