package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"

	"transom/platform/helper"
	"transom/platform/sandbox"
	"transom/platform/steer"
)

func cleanupCommand() *cobra.Command {
	var list bool
	cmd := &cobra.Command{
		Use:   "cleanup",
		Short: "Take back what an earlier run left",
		Long: `cleanup takes back what a gateway left on this host when all of it was killed at
once, and lists it; and it ends what --on-dead closed refuses. The next gateway does the same
when it starts. It touches nothing of a gateway that runs; with --list it says
what that has in force.`,
		Args: noArguments,
	}
	cmd.Flags().BoolVarP(&list, "list", "n", false, "only list what would be taken back")
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error {
		r, err := rightsFor("", logger(cmd.ErrOrStderr(), slog.LevelInfo))
		if err != nil {
			return err
		}
		if err := r.mayLook(); err != nil {
			return err
		}
		return cleanup(cmd, r, list)
	})
	return cmd
}

// mayLook refuses to go on without the right to see what was left.
func (r *rights) mayLook() error {
	const what = "look for what was left"
	if steer.ByPF() {
		return needRoot(what)
	}
	return r.need(what, sandbox.NetAdmin)
}

// cleanup takes back what was left, or lists it.
func cleanup(cmd *cobra.Command, r *rights, list bool) error {
	within := helper.LockWithin
	if list {
		within = 0
	}
	alone, err := helper.Lock(cmd.Context(), within, r.log)
	var running *helper.RunningError
	if list && errors.As(err, &running) {
		return inForce(cmd, r, running)
	}
	if err != nil {
		return err
	}
	defer alone.Close()
	found, err := each(cmd, r, func(k steer.Steerer) ([]string, error) {
		if list {
			return k.Leftovers(cmd.Context())
		}
		return k.Cleanup(cmd.Context())
	})
	if err == nil && found == 0 {
		_, err = fmt.Fprintln(cmd.ErrOrStderr(), "transom: there is nothing to take back")
	}
	return err
}

// inForce lists what a transom that runs has put in force.
func inForce(cmd *cobra.Command, r *rights, running *helper.RunningError) error {
	_, err := each(cmd, r, func(k steer.Steerer) ([]string, error) {
		lines, err := k.Leftovers(cmd.Context())
		if errors.Is(err, steer.ErrLiving) {
			err = nil
		}
		return lines, err
	})
	if err != nil {
		return err
	}
	words := fmt.Sprintf("for the transom that runs (process %d); it takes it back at its end", running.PID)
	switch {
	case running.Ended:
		words = fmt.Sprintf("for a transom that has ended just now (process %d), and is being taken back", running.PID)
	case running.PID == 0:
		words = "for the transom that runs (in another container); it takes it back at its end"
	}
	_, err = fmt.Fprintln(cmd.ErrOrStderr(), "transom: this is in force, "+words)
	return err
}

// each asks each of the backends that work here, and prints what they tell: routing
// and settings are the same for both, and are told once.
func each(cmd *cobra.Command, r *rights, do func(steer.Steerer) ([]string, error)) (found int, err error) {
	told := map[string]bool{}
	for _, name := range steer.Backends() {
		k, err := steer.OpenBackend(name, r.log)
		if err != nil {
			r.log.Debug("can't look for what was left", "backend", name, "err", err)
			continue
		}
		lines, err := do(k)
		lines = slices.DeleteFunc(lines, func(l string) bool { return told[l] })
		for _, l := range lines {
			told[l] = true
		}
		found += len(lines)
		if err := errors.Join(err, tellLines(cmd.OutOrStdout(), lines), k.Abandon()); err != nil {
			return found, err
		}
	}
	return found, nil
}

func tellLines(w io.Writer, lines []string) error {
	for _, l := range lines {
		if _, err := fmt.Fprintln(w, l); err != nil {
			return err
		}
	}
	return nil
}
