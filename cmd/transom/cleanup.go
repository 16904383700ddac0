package main

import (
	"errors"
	"fmt"
	"io"

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
		Long: `cleanup takes back what a gateway left on this host when it was killed together
with its helper, or the power went, and lists it. The next gateway does the same
when it starts. It touches nothing of a gateway that runs.`,
		Args: noArguments,
	}
	cmd.Flags().BoolVarP(&list, "list", "n", false, "only list what would be taken back")
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error {
		r, err := rightsFor("", logger(cmd.ErrOrStderr(), false))
		if err != nil {
			return err
		}
		if err := r.need("look for what was left", sandbox.NetAdmin); err != nil {
			return err
		}
		return cleanup(cmd, r, list)
	})
	return cmd
}

// cleanup asks each of the backends that work here.
func cleanup(cmd *cobra.Command, r *rights, list bool) error {
	alone, err := helper.Lock(cmd.Context())
	if err != nil {
		return err
	}
	defer alone.Close()
	found := 0
	for _, name := range steer.Backends() {
		k, err := steer.OpenBackend(name, r.log)
		if err != nil {
			r.log.Debug("can't look for what was left", "backend", name, "err", err)
			continue
		}
		do := k.Cleanup
		if list {
			do = k.Leftovers
		}
		lines, err := do(cmd.Context())
		found += len(lines)
		if err := errors.Join(err, tellLines(cmd.OutOrStdout(), lines), k.Abandon()); err != nil {
			return err
		}
	}
	if found == 0 {
		_, err := fmt.Fprintln(cmd.ErrOrStderr(), "transom: there is nothing to take back")
		return err
	}
	return nil
}

func tellLines(w io.Writer, lines []string) error {
	for _, l := range lines {
		if _, err := fmt.Fprintln(w, l); err != nil {
			return err
		}
	}
	return nil
}
