package main

import (
	"context"
	"io"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"transom/app/show"
	"transom/platform/helper"
	"transom/platform/rootless"
	"transom/platform/sandbox"
	"transom/platform/steer"
)

// helperCommand is what transom starts to keep rights that it gives up itself.
func helperCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "helper",
		Short:  "Hold the rights that transom gives up; transom starts it",
		Hidden: true,
		Args:   noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("transom starts it; there is nothing to do by hand")
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "watch",
		Short: "Start the helper, and put everything back when nobody else can",
		Args:  noArguments,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			return helper.Watch(cmd.Context(), helper.WatchOptions{Rights: helperRights()})
		}),
	}, &cobra.Command{
		Use:   "serve",
		Short: "Answer requests for what takes rights",
		Args:  noArguments,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			return helper.Serve(cmd.Context(), helper.ServeOptions{Rights: helperRights(), Test: selfTest, Translated: translatedNow})
		}),
	})
	cmd.AddCommand(&cobra.Command{
		Use:   "guard",
		Short: "Start what keeps the namespaces of one program, and end what that leaves",
		Args:  cobra.RangeArgs(1, 2),
		RunE:  running(guardCommand),
	}, &cobra.Command{
		Use:   "find",
		Short: "Find the programs that have sockets",
		Args:  noArguments,
		RunE:  running(func(*cobra.Command, []string) error { return serveOwners() }),
	}, &cobra.Command{
		Use:   "keep",
		Short: "Be root in the namespaces of one program",
		Args:  cobra.ExactArgs(2),
		RunE: running(func(_ *cobra.Command, args []string) error {
			fds, err := descriptors(args)
			if err != nil {
				return err
			}
			return rootless.Keep(fds[0], fds[1], keepProgram, lookInside)
		}),
	})
	cmd.AddCommand(pfCommand())
	return cmd
}

// guardCommand has the rights of root if there is a cgroup to remove.
func guardCommand(_ *cobra.Command, args []string) error {
	fds, err := descriptors(args[:1])
	if err != nil {
		return err
	}
	cgroup, lower := "", func() error { return nil }
	if len(args) > 1 {
		cgroup, lower = args[1], keepProgram
	}
	return rootless.Guard(fds[0], cgroup, []string{"helper", "keep"}, lower)
}

func descriptors(args []string) ([]int, error) {
	fds := make([]int, len(args))
	for i, a := range args {
		fd, err := strconv.Atoi(a)
		if err != nil {
			return nil, usagef("%q is no descriptor: transom run starts this by itself", a)
		}
		fds[i] = fd
	}
	return fds, nil
}

func helperRights() helper.Rights {
	return helper.Rights{
		Open: open,
		Keep: keep,
		Log:  func(w io.Writer) slog.Handler { return show.LogHandler(w, slog.LevelInfo) },
	}
}

// open returns what steers, with a memory of what it has changed.
func open(log *slog.Logger, backend string, m helper.Memory) (helper.Steerer, error) {
	s, err := steer.OpenBackend(backend, log)
	if err != nil {
		return nil, err
	}
	s.Remember(m)
	return s, nil
}

// keep gives up all capabilities but some.
func keep(caps []uintptr, across bool) error {
	kept := make([]sandbox.Cap, len(caps))
	for i, c := range caps {
		kept[i] = sandbox.Cap(c)
	}
	if across {
		return sandbox.KeepAcross(kept...)
	}
	return sandbox.Keep(kept...)
}

// keepProgram leaves what it takes to end a program and remove its cgroup: the top of
// these is a directory that root itself may not change.
func keepProgram() error { return sandbox.Keep(sandbox.Kill, sandbox.DACOverride) }

// selfTest tries whether answers to assumed addresses would be taken.
func selfTest(ctx context.Context, c helper.Charter) error {
	return steer.SelfTest(ctx, c.Steering, c.Sources)
}

// translatedNow says what firewalls make of the addresses that are assumed.
func translatedNow(c helper.Charter) ([]string, error) {
	list, err := steer.Translations(c.Steering, c.Sources)
	return otherThan(list), err
}
