// Command transom is a transparent intercepting proxy. Its subcommands parse
// flags and hand over to the library and to the packages under app.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"transom/platform/sandbox"
)

// version is set when the program is built.
var version = ""

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // it ran and something failed
	exitUsage  = 2 // the command line is wrong; nothing was started

	// Of run, as a shell has them. Nothing was started.
	exitNotExecutable = 126
	exitNotFound      = 127
)

func main() {
	if err := sandbox.OwnFiles(); err != nil {
		fmt.Fprintf(os.Stderr, "transom: %v\n", err)
		os.Exit(exitFailed)
	}
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the program without the process: it returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetUsageFunc(usageWithin(columnsOf(stdout)))
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	name := "transom"
	if cmd != nil && cmd != root {
		name = "transom: " + commandName(cmd)
	}
	sayError(stderr, name, err)
	var no *notRunnable
	if errors.As(err, &no) {
		return no.code
	}
	var u *usageError
	if errors.As(err, &u) || !started(cmd) {
		fmt.Fprintf(stderr, "Run '%s --help' for usage.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

// sayError says an error, each of its lines behind whose it is.
func sayError(w io.Writer, name string, err error) {
	fmt.Fprintf(w, "%s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", "\n"+name+": "))
}

// An exitCode is the exit code of a process that did the work, and has said
// what there was to say.
type exitCode int

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// commandName is the command's path without the program.
func commandName(cmd *cobra.Command) string {
	name := cmd.Name()
	for p := cmd.Parent(); p != nil && p.HasParent(); p = p.Parent() {
		name = p.Name() + " " + name
	}
	return name
}

// A usageError is a mistake on the command line: nothing was started.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// startedKey marks a command whose arguments were accepted.
const startedKey = "started"

// started reports whether cmd got as far as running.
func started(cmd *cobra.Command) bool { return cmd != nil && cmd.Annotations[startedKey] != "" }

// running wraps a command's function to mark it started.
func running(f func(cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		if cmd.Annotations == nil {
			cmd.Annotations = map[string]string{}
		}
		cmd.Annotations[startedKey] = "yes"
		if err := empty(cmd.Flags()); err != nil {
			return err
		}
		return f(cmd, args)
	}
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "transom",
		Short: "A transparent intercepting proxy",
		Long: `transom takes connections that were meant for somebody else, learns where they
were meant to go, decrypts TLS with its own authority, shows what they carry,
and carries them on.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       buildVersion(),
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(badOption)
	root.SetVersionTemplate("transom {{.Version}}\n")
	root.SetHelpCommand(helpCommand(root))
	root.AddCommand(gatewayCommand(), runCommand(), listenCommand(), flowsCommand(), steerCommand(), doctorCommand(), cleanupCommand(), demoCommand(), caCommand(), versionCommand(), manCommand(), helperCommand())
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		if c.Name() == "completion" {
			c.Args = noArguments
			c.RunE = func(*cobra.Command, []string) error {
				return usagef("for which shell? known are: bash, fish, powershell, zsh")
			}
		}
	}
	completeValues(root)
	return root
}

// noArguments refuses positional arguments in our own words.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		if cmd.HasSubCommands() {
			return usagef("there is no command %q", args[0])
		}
		return usagef("unexpected argument %q", args[0])
	}
	return nil
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "transom", buildVersion())
			return err
		}),
	}
}

// buildVersion is what the build said, or else what Go knows.
func buildVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
