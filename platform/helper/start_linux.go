package helper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"transom/platform"
)

// shownAs is what lists of processes call the watch and the helper.
const shownAs = "transom"

// Options say how the watch and the helper are started.
type Options struct {
	Log *slog.Logger // nil is silence

	// UID and GID are the user that both run as, if this process may choose;
	// 0 is the one it runs as itself. It should not be the one the proxy becomes:
	// that could stop them.
	UID, GID int
	// Lock is what makes the watch the only one, and is given to it; nil is taken
	// by Start itself, if there is something to steer. The caller closes it.
	Lock *Hold
	// Capabilities are what they have of this process's, by the kernel's numbers.
	Capabilities []uintptr
	// Program and Args start the watch; nothing is /proc/self/exe and "helper
	// watch".
	Program string
	Args    []string
	// Env is all that they find in their environment; nil is this process's. A
	// program that has rights by its file is deaf to variables that load code into
	// it, and what it starts is not.
	Env []string
}

// Start starts a watch, which starts a helper, and returns the host that goes
// through it when it is ready. It is called with the rights that they are to have;
// these can be given up afterwards. They belong to the network namespace of the
// calling thread, which should be locked if that is a special one.
//
// Close ends them. ctx is for the start alone.
func Start(ctx context.Context, charter Charter, o Options) (*Client, error) {
	if err := charter.Check(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Program == "" {
		o.Program, o.Args = "/proc/self/exe", []string{"helper", "watch"}
	}
	if o.Lock == nil && !charter.Steering.IsZero() {
		held, err := Lock(ctx, LockWithin, o.Log)
		if err != nil {
			return nil, err
		}
		defer held.Close()
		o.Lock = held
	}
	host, err := platform.Here(o.Log)
	if err != nil {
		return nil, err
	}
	ready := make(chan struct{})
	c := &Client{Host: host, charter: charter, log: o.Log, watched: make(chan error, 1), ending: make(chan string, 1), lost: make(chan struct{})}
	c.ready = sync.OnceFunc(func() { close(ready) })
	c.close = sync.OnceValue(c.end)
	if err := c.start(&o); err != nil {
		return nil, errors.Join(fmt.Errorf("start the helper: %w", err), host.Close())
	}
	select {
	case <-ready:
		return c, nil
	case <-c.lost:
		err = c.why
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = c.Close() // what it says comes of err
	return nil, fmt.Errorf("start the helper: %w", err)
}

// start starts the watch and what hears of it.
func (c *Client) start(o *Options) error {
	near, far, err := newPair()
	if err != nil {
		return err
	}
	defer far.Close()
	p, err := pairOf(near)
	if err != nil {
		return errors.Join(err, near.Close())
	}
	c.line = newLine(p, c.log, c.heard)
	if err := c.spawn(o, far); err != nil {
		return errors.Join(err, near.Close())
	}
	c.ends.Go(c.hear)
	return nil
}

// spawn starts the watch. A user that can't be had is done without: there is none
// but root in many a user namespace, or the program is for root alone.
func (c *Client) spawn(o *Options, far *os.File) error {
	r, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	held, err := o.Lock.files()
	for _, f := range held {
		defer f.Close()
	}
	if err != nil {
		return errors.Join(err, hold.Close())
	}
	brief, err := json.Marshal(role{Charter: c.charter, Capabilities: o.Capabilities, Held: len(held)})
	if err != nil {
		return errors.Join(err, hold.Close())
	}
	try := func(as *syscall.Credential) error {
		c.watch = exec.Command(o.Program, o.Args...)
		c.watch.Args[0] = shownAs
		c.watch.Stdin, c.watch.Stderr = bytes.NewReader(brief), os.Stderr
		c.watch.ExtraFiles = append([]*os.File{far, r}, held...)
		c.watch.Dir, c.watch.Env = "/", o.Env
		c.watch.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: as, AmbientCaps: o.Capabilities}
		return c.watch.Start()
	}
	var as *syscall.Credential
	if o.UID != 0 && o.UID != os.Getuid() {
		as = &syscall.Credential{Uid: uint32(o.UID), Gid: uint32(o.GID)}
	}
	err = try(as)
	if as != nil && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EACCES)) {
		c.log.Info("the helper runs as the user who started it", "wanted", o.UID, "err", err)
		err = try(nil)
	}
	if err != nil {
		return errors.Join(err, hold.Close())
	}
	c.leash = hold
	c.ends.Go(func() { c.watched <- c.watch.Wait() })
	return nil
}

// hear hears what the helper and the watch say until both are gone, and what became
// of the watch then. That one of them is gone the other one says.
func (c *Client) hear() {
	c.line.hear()
	why := "it and its watch have ended"
	if err := <-c.watched; err != nil {
		why += ": " + err.Error()
	}
	if !c.isClosing() {
		c.lose(why)
	}
}

func (c *Client) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// Close implements platform.Host: it takes back what is applied, ends the helper
// and the watch and waits for them.
func (c *Client) Close() error { return c.close() }

// end is Close, once. A helper or a watch that does not end is another user's: it
// can't be killed, and what waits for it is left waiting.
func (c *Client) end() error {
	err := c.last()
	c.mu.Lock()
	c.closing = true
	c.mu.Unlock()
	c.line.end(ErrLost)
	c.line.shutdown()
	err = errors.Join(err, c.leash.Close())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.ends.Wait()
	}()
	t := time.NewTimer(endWithin)
	defer t.Stop()
	select {
	case <-ended:
	case <-t.C:
		err = errors.Join(err, fmt.Errorf("the helper and its watch (process %d) do not end", c.watch.Process.Pid))
	}
	return errors.Join(err, c.line.pair.f.Close(), c.Host.Close())
}

// last takes back what is applied.
func (c *Client) last() error {
	if c.wants() == off {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), applyWithin)
	defer cancel()
	return c.Apply(ctx, platform.Steering{})
}
