package main

import (
	"github.com/spf13/cobra"

	"transom/app/demo"
	"transom/platform/lab"
)

func demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show it at work: a device, a gateway and a web server in private namespaces",
		Long: `demo makes network namespaces of its own, puts a real redirect in place, has a
device make requests through it, shows the flows, and removes everything. It
needs neither root nor a network.`,
		Args: noArguments,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			done, code, err := lab.Reexec()
			if err != nil {
				return err
			}
			if done {
				return exitCode(code)
			}
			return demo.Run(cmd.Context(), demo.Options{Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr()})
		}),
	}
}
