package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"transom/flow"
	"transom/store"
)

// A flowsPrune deletes flows.
type flowsPrune struct {
	recordingFlags
	older  ageFlag
	keep   numberFlag
	dryRun bool
}

func flowsPruneCommand() *cobra.Command {
	var f flowsPrune
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete recorded flows",
		Long: `prune deletes the flows that match the filter, are older than said, and are not
among the newest that are kept. What they take is given back at once, or of a store
that is in use by and by.`,
		Example: `  transom flows prune --store /var/lib/transom --older-than 30d
  transom flows prune -f '~d telemetry\.example' --dry-run`,
		Args: noArguments,
	}
	fl := cmd.Flags()
	f.add(fl)
	f.keep = numberFlag{max: 1 << 30, name: "NUMBER"}
	fl.Var(&f.older, "older-than", "delete only what ended longer ago than this, as in 12h or 30d")
	fl.Var(&f.keep, "keep", "leave so many of the newest flows")
	fl.BoolVar(&f.dryRun, "dry-run", false, "say how many there are, and delete nothing")
	cmd.RunE = running(f.run)
	return cmd
}

func (f *flowsPrune) run(cmd *cobra.Command, _ []string) error {
	if !f.flags.Changed("filter") && f.older == 0 && f.keep.value == 0 {
		return usagef("which flows are to go? say it with --filter, --older-than or --keep; -f '~all' is all of them")
	}
	if f.file != "" {
		return usagef("-r: nothing is deleted in a file: export what is to be kept into another")
	}
	f.changes = true
	return f.with(cmd, func(from recording, q store.Query) error {
		n, err := f.prune(cmd, from, q)
		if err != nil {
			return err
		}
		if d, ok := from.(*store.Disk); ok && !f.dryRun {
			if err := d.Compact(cmd.Context()); err != nil {
				return fmt.Errorf("%d flows are deleted, but what they take is not given back: %w", n, err)
			}
		}
		if n+f.keep.value == 0 && f.older == 0 {
			f.noneTo(cmd, "delete")
		}
		said := "deleted %d flows\n"
		if f.dryRun {
			said = "would delete %d flows\n"
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), said, n)
		return err
	})
}

// someFlows is how many flows are deleted at a time.
const someFlows = 1000

// prune deletes from the newest to the oldest, so that it knows which to keep. A flow
// that the filter could not judge stays.
func (f *flowsPrune) prune(cmd *cobra.Command, from recording, q store.Query) (n int, err error) {
	ctx, before := cmd.Context(), time.Now().Add(-time.Duration(f.older))
	var unsure flow.ID
	q.Doubt = func(f *flow.Flow, _ error) { unsure = f.ID }
	q.Lacks = q.Doubt
	q.Descending = true
	var ids []flow.ID
	left := f.keep.value
	for x, err := range from.Flows(ctx, q) {
		switch {
		case err != nil:
			return n, err
		case x.ID == unsure || x.State == flow.Open || f.older > 0 && !x.End.Before(before):
			continue
		case left > 0:
			left--
			continue
		}
		if ids = append(ids, x.ID); len(ids) < someFlows {
			continue
		}
		if err := f.remove(cmd, from, ids); err != nil {
			return n, err
		}
		n, ids = n+len(ids), ids[:0]
	}
	return n + len(ids), f.remove(cmd, from, ids)
}

func (f *flowsPrune) remove(cmd *cobra.Command, from recording, ids []flow.ID) error {
	if f.dryRun || len(ids) == 0 {
		return nil
	}
	c, ok := from.(changeable)
	if !ok {
		return errors.New("nothing can be deleted there")
	}
	if err := c.Delete(cmd.Context(), ids...); err != nil {
		return err
	}
	if d, ok := c.(interface{ Sync(context.Context) error }); ok {
		return d.Sync(cmd.Context())
	}
	return nil
}
