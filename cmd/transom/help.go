package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// helpCommand is --help, said before the command.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND...]",
		Short: "Say what a command does and which options it has",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("there is no command %q", strings.Join(args, " "))
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// maxColumns is how long lines of help may be, to be read with ease.
const maxColumns = 100

// columnsOf is how wide the terminal is that w is, 0 if it is none.
func columnsOf(w io.Writer) int {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// usageWithin returns what prints how a command is used. Where there are columns, each
// option has its text below it; else it is behind it, in one line.
func usageWithin(columns int) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		var b strings.Builder
		b.WriteString("Usage:\n")
		if cmd.Runnable() {
			b.WriteString("  " + cmd.UseLine() + "\n")
		}
		if cmd.HasAvailableSubCommands() {
			b.WriteString("  " + cmd.CommandPath() + " [command]\n")
		}
		if cmd.HasExample() {
			b.WriteString("\nExamples:\n" + cmd.Example + "\n")
		}
		if cmd.HasAvailableSubCommands() {
			b.WriteString("\nAvailable Commands:\n")
			for _, sub := range cmd.Commands() {
				if sub.IsAvailableCommand() || sub.Name() == "help" {
					fmt.Fprintf(&b, "  %-*s %s\n", sub.NamePadding(), sub.Name(), sub.Short)
				}
			}
		}
		if cmd.HasAvailableLocalFlags() {
			b.WriteString("\nFlags:\n" + options(cmd.LocalFlags(), columns))
		}
		if cmd.HasAvailableSubCommands() {
			b.WriteString("\nUse \"" + cmd.CommandPath() + " [command] --help\" for more information about a command.\n")
		}
		_, err := io.WriteString(cmd.OutOrStderr(), b.String())
		return err
	}
}

// options describes options.
func options(fl *pflag.FlagSet, columns int) string {
	if columns <= 0 {
		return fl.FlagUsages()
	}
	const indent = 10
	var b strings.Builder
	fl.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		short := "    "
		if f.Shorthand != "" {
			short = "-" + f.Shorthand + ", "
		}
		b.WriteString(strings.TrimRight("  "+short+"--"+f.Name+" "+value, " ") + "\n")
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" {
			text += " (default " + f.DefValue + ")"
		}
		for _, line := range wrapped(text, max(min(columns, maxColumns)-indent, 20)) {
			b.WriteString(strings.Repeat(" ", indent) + line + "\n")
		}
	})
	return b.String()
}

// wrapped breaks text into lines of at most width characters, and of one word at least.
func wrapped(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len([]rune(line))+1+len([]rune(word)) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
