package main

import (
	"github.com/spf13/cobra"

	"transom/egress"
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
		Use:   "show --interface INTERFACE",
		Short: "Print what a person would type to do by hand what gateway does",
		Long: `show prints the rules, routes and settings of a gateway as a script with comments,
for the tools of this system or of another, and changes nothing. With them in
force, transom listen --mode transparent does the rest.`,
		Example: `  transom steer show --interface lan0
  transom steer show --interface en0 --format pf --method redirect`,
		Args: noArguments,
	}
	fl := cmd.Flags()
	f.add(fl)
	fl.Lookup("interface").Usage = "what comes in by this `INTERFACE`, which clients are behind; may be repeated; none, with --local, is no interface"
	spoof.add(fl)
	fl.StringVarP(&format, "format", "f", "nft", "for which tool: `nft|iptables|pf|ipfw`")
	cmd.RunE = running(func(cmd *cobra.Command, _ []string) error {
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
		if s.IsZero() {
			return usagef("which interface are the clients behind? name it with --interface, or give --local for this host's own programs")
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
