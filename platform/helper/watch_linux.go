package helper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	deathsMax   = 3 // more than so many
	deathsIn    = 10 * time.Second
	leaveWithin = 2 * time.Second // how long a helper may take to take everything back
	exitTold    = 1               // a helper's exit code when the proxy knows why it ends
)

// WatchOptions are what Watch is given by the command.
type WatchOptions struct {
	Rights
	// Program and Args start the helper; nothing is /proc/self/exe and "helper
	// serve".
	Program string
	Args    []string
}

// Watch is the body of "helper watch": it starts the helper, and again when it
// dies, until the proxy is gone. Then everything is taken back: by the helper, and
// by the watch if there is none. Both have the lock that makes them the only ones in
// their network namespace, until the last of their processes ends.
func Watch(ctx context.Context, o WatchOptions) error {
	deafen()
	r, v, err := begin()
	if err != nil {
		return err
	}
	defer v.pair.f.Close()
	_ = unix.SetNonblock(leashFD, true) // so that closing it ends a read; if it is missing that is said below
	leash := os.NewFile(leashFD, "proxy's life")
	if leash == nil {
		return fmt.Errorf("helper: descriptor %d is missing", leashFD)
	}
	var awaiting sync.WaitGroup
	defer awaiting.Wait()
	defer leash.Close()
	lock := r.lock(notesFD)
	for _, f := range lock {
		defer f.Close()
	}
	if err = o.keep(r.Capabilities, true); err != nil {
		_ = v.lost(err) // and returned: what is left to do is to exit
		return err
	}
	notes, err := newMemory()
	if err != nil {
		_ = v.lost(err)
		return err
	}
	defer notes.f.Close()
	if o.Program == "" {
		o.Program, o.Args = "/proc/self/exe", []string{"helper", "serve"}
	}
	w := &watch{o: o, role: r, held: lock, notes: notes, voice: v, log: v.log(&o.Rights), gone: make(chan struct{})}
	defer v.handOn()()
	awaiting.Go(func() { w.await(leash) })
	return w.run(ctx)
}

// A watch is one at work.
type watch struct {
	o     WatchOptions
	role  role
	held  []*os.File // the lock, which a helper has as well: it may outlive this process
	notes *memory    // what a helper has to know of the one before it
	voice *voice
	log   *slog.Logger
	gone  chan struct{} // closed when the proxy is gone

	deaths []time.Time // of helpers, the last few
}

// await notes the end of the proxy: nobody ever writes to the pipe, whose other
// end it has. It returns when leash is closed, at the latest.
func (w *watch) await(leash io.Reader) {
	_, _ = io.Copy(io.Discard, leash) // any end is the end
	close(w.gone)
}

// run starts helpers until there is no use in it.
func (w *watch) run(ctx context.Context) error {
	for {
		w.role.Epoch++
		h, err := w.start()
		if err != nil {
			return w.retreat(ctx, fmt.Errorf("start the helper: %w", err))
		}
		err = w.see(ctx, h)
		switch {
		case err == nil:
			return nil // it has taken everything back
		case w.over():
			return w.takeBack(ctx)
		case code(err) == exitTold:
			return w.retreat(ctx, fmt.Errorf("the helper has given up: %w", err))
		case w.tooMany(time.Now()):
			return w.retreat(ctx, fmt.Errorf("the helper died %d times within %v, the last time by: %w", len(w.deaths), deathsIn, err))
		}
		w.log.Warn("the helper died; another one is started", "err", err)
	}
}

// over reports whether the proxy is gone.
func (w *watch) over() bool {
	select {
	case <-w.gone:
		return true
	default:
		return false
	}
}

// code is a process's exit code, negative if it did not exit by itself.
func code(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// tooMany counts a death.
func (w *watch) tooMany(now time.Time) bool {
	w.deaths = append(w.deaths, now)
	for now.Sub(w.deaths[0]) > deathsIn {
		w.deaths = w.deaths[1:]
	}
	return len(w.deaths) > deathsMax
}

// A child is a helper that runs.
type child struct {
	cmd   *exec.Cmd
	leash *os.File   // the helper sees it end with this process
	ended chan error // gets how it ended
}

// start starts a helper, with the same rights.
func (w *watch) start() (*child, error) {
	brief, err := json.Marshal(w.role)
	if err != nil {
		return nil, err
	}
	r, hold, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command(w.o.Program, w.o.Args...)
	cmd.Args[0] = shownAs
	cmd.Stdin, cmd.Stderr = bytes.NewReader(brief), os.Stderr
	cmd.ExtraFiles = append([]*os.File{w.voice.pair.f, r, w.notes.f}, w.held...)
	cmd.SysProcAttr = &syscall.SysProcAttr{AmbientCaps: w.role.Capabilities}
	if err := cmd.Start(); err != nil {
		hold.Close()
		return nil, err
	}
	h := &child{cmd: cmd, leash: hold, ended: make(chan error, 1)}
	go func() { h.ended <- cmd.Wait() }()
	return h, nil
}

// see waits for the end of a helper. One that does not end soon after the proxy has
// hung, and is ended.
func (w *watch) see(ctx context.Context, h *child) error {
	defer h.leash.Close()
	select {
	case err := <-h.ended:
		return err
	case <-w.gone:
	case <-ctx.Done():
	}
	t := time.NewTimer(leaveWithin)
	defer t.Stop()
	select {
	case err := <-h.ended:
		return err
	case <-t.C:
		_ = h.cmd.Process.Kill() // it may have ended just now
		return errors.Join(<-h.ended, context.Cause(ctx))
	}
}

// retreat gives up while the proxy is there: new connections go past it or are
// refused, the open ones live on until it has drained.
func (w *watch) retreat(ctx context.Context, why error) error {
	s, err := w.o.open(w.log, &w.role.Charter, w.notes)
	if err == nil && s != nil {
		err = w.bypass(ctx, s)
	}
	if err != nil {
		w.log.Error("new connections go on to be brought to transom, which can't take them", "err", err)
	}
	_ = w.voice.lost(why) // a proxy that is gone need not know
	w.voice.pair.deafen()
	select {
	case <-w.gone:
	case <-ctx.Done():
	}
	w.voice.alone.Store(true)
	if s == nil {
		return errors.Join(why, w.takeBack(ctx))
	}
	return errors.Join(why, leave(ctx, w.log, s, &w.role.Charter), s.Abandon())
}

// bypass has s let new connections go past the proxy, or refuse them. What that
// takes is tended as long as s is open.
func (w *watch) bypass(ctx context.Context, s Steerer) error {
	ctx, cancel := context.WithTimeout(ctx, applyWithin)
	defer cancel()
	if left, err := s.Leftovers(ctx); err != nil || len(left) == 0 {
		return err // there is nothing that captures, and none open that was
	}
	return s.Apply(ctx, steeringOf(&w.role.Charter, unserved(&w.role.Charter)))
}

// takeBack does what a helper does at its end.
func (w *watch) takeBack(ctx context.Context) error {
	w.voice.alone.Store(true)
	s, err := w.o.open(w.log, &w.role.Charter, w.notes)
	if err != nil {
		return fmt.Errorf("take back what was put into the kernel: %w", err)
	}
	if s == nil {
		return nil
	}
	return errors.Join(leave(ctx, w.log, s, &w.role.Charter), s.Abandon())
}
