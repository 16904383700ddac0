package main

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"transom/egress"
	"transom/platform"
	"transom/platform/steer"
)

func steerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "steer",
		Short: "Show how connections are brought here",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usagef("what to do with the rules? known is: show")
		},
	}
	cmd.AddCommand(steerShowCommand())
	return cmd
}

func steerShowCommand() *cobra.Command {
	var f captureFlags
	var spoof spoofFlag
	var format string
	cmd := &cobra.Command{
		Use:   "show [--interface INTERFACE]",
		Short: "Print what a person would type to do by hand what gateway does",
		Long: `show prints the rules, routes and settings of a gateway as a script with comments,
for the tools of this system or of another, and changes nothing. With them in
force, transom listen --mode transparent does the rest.

Without --interface it takes this host's, as gateway does, for the tools of this
system; for others name one of the host that the rules are for. Servers see this
host's address unless --spoof-source, given to both commands, says otherwise.`,
		Example: `  transom steer show
  transom steer show --interface lan0 --format iptables
  transom steer show --interface en0 --format pf --method redirect`,
		Args: noArguments,
	}
	fl := cmd.Flags()
	f.add(fl)
	spoof.add(fl)
	fl.StringVarP(&format, "format", "f", "auto", "for which tool: `auto|nft|iptables|pf|ipfw`; auto is nft on Linux, pf on macOS and the BSDs")
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error {
		if format == "auto" {
			format = steer.Backends()[0]
		}
		if !slices.Contains([]string{"nft", "iptables", "pf", "ipfw"}, format) {
			return usagef("--format %q: want auto, nft, iptables, pf or ipfw", format)
		}
		s, err := f.steering()
		if err != nil {
			return &usageError{err}
		}
		sp, err := spoof.parse("none")
		if err != nil {
			return err
		}
		if f.noInterface() && spoof.assumes() {
			return &usageError{aboutClients("spoof-source")}
		}
		if err := f.findHere(cmd.ErrOrStderr(), &s, spoof.assumes(), format); err != nil {
			return err
		}
		s.Spoof = sp.Mode() != egress.SpoofNone
		if err := s.Check(); err != nil {
			return &usageError{err}
		}
		if err := steer.Show(cmd.OutOrStdout(), s, format); err != nil {
			return &usageError{err}
		}
		return nil
	})
	return cmd
}

// findHere gives s the interfaces of this host that clients are behind, as gateway
// does, and says which were left out: unless some were named, which may be another
// host's, as all are that another system's tools are for.
func (f *captureFlags) findHere(w io.Writer, s *platform.Steering, assumes bool, format string) error {
	switch {
	case len(f.interfaces) > 0:
		return nil
	case (format == "pf" || format == "ipfw") != steer.ByPF():
		return usagef("which interface are the clients behind? name it with --interface")
	}
	in, err := f.find(s, assumes)
	if errors.Is(err, platform.ErrUnsupported) {
		return usagef("which interface are the clients behind? name it with --interface: %w", err)
	}
	if err != nil {
		return err
	}
	for _, line := range in.missed(s.Interfaces) {
		fmt.Fprintln(w, "transom: "+line)
	}
	return nil
}
