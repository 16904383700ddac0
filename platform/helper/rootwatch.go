package helper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
)

// watchRoot is the body of "helper watch" where pf steers: it starts the helper,
// waits for its end, and takes back what that has not.
func watchRoot(ctx context.Context, o WatchOptions) error {
	told := hearSignals()
	defer told.stop()
	role, brief, err := readRole(os.Stdin)
	if err != nil {
		return err
	}
	lock, err := startedWith(rootLockFD, "the lock")
	if err != nil {
		return err
	}
	defer lock.Close()
	err = runRootHelper(ctx, &o, &role.Charter, brief, lock, told)
	if err == nil {
		return nil
	}
	log := slog.New(o.handler(os.Stderr))
	return errors.Join(fmt.Errorf("the helper: %w", err), afterRoot(log, &o.Rights, &role.Charter))
}

// runRootHelper starts the helper and waits for it. Its end of the line is then its
// alone, so the proxy learns of its death by that. The lock both hold.
func runRootHelper(ctx context.Context, o *WatchOptions, c *Charter, brief []byte, lock *os.File, told *signals) error {
	leash, hold, err := os.Pipe()
	if err != nil {
		return err
	}
	defer hold.Close()
	cmd := exec.Command(o.Program, o.Args...)
	cmd.Stdin, cmd.Stderr, cmd.Env, cmd.Dir = bytes.NewReader(brief), os.Stderr, os.Environ(), "/"
	line, err := startedWith(rootLineFD, "the line to the proxy")
	if err != nil {
		return err
	}
	cmd.ExtraFiles = []*os.File{line, lock, leash}
	if c.looks() {
		lookup, err := startedWith(watchLookupFD, "the line for lookups")
		if err != nil {
			return err
		}
		cmd.ExtraFiles = append(cmd.ExtraFiles, lookup)
	}
	err = cmd.Start()
	for _, f := range cmd.ExtraFiles {
		if f != lock {
			f.Close()
		}
	}
	if err != nil {
		return err
	}
	return awaitRootHelper(ctx, cmd, told)
}

// awaitRootHelper hands on signals, of which the helper tells the proxy.
func awaitRootHelper(ctx context.Context, cmd *exec.Cmd, told *signals) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case err := <-ended:
			return err
		case sig := <-told.c:
			_ = cmd.Process.Signal(sig) // or it has ended
		case <-ctx.Done():
			_ = cmd.Process.Signal(os.Interrupt)
			return errors.Join(context.Cause(ctx), <-ended)
		}
	}
}

// afterRoot takes back what a helper that is dead has left. Nobody has said that it
// is over, so with Closed what would be captured is refused from now on.
func afterRoot(log *slog.Logger, r *Rights, c *Charter) error {
	s, err := openRootSteerer(log, r, c)
	if err != nil || s == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), rootApplyWithin)
	defer cancel()
	if c.Steering.Closed {
		left, err := s.Leftovers(ctx)
		if err == nil && len(left) > 0 {
			err = s.Apply(ctx, c.inState(refusing))
		}
		return errors.Join(err, s.Abandon())
	}
	lines, err := s.Cleanup(ctx)
	for _, line := range lines {
		log.Warn("the helper has left something behind, which is removed", "what", line)
	}
	return errors.Join(err, s.Abandon())
}
