package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func manCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "man [COMMAND...]",
		Short: "Write manual pages",
		Long: `man writes the manual page of a command, as man(7) has it, or all pages into a
directory. "make install" has put them where man looks for them already.`,
		Example: `  transom man gateway | man -l -
  transom man --dir ~/.local/share/man/man1`,
	}
	cmd.Flags().StringVar(&dir, "dir", "", "write the pages of all commands to files in `DIR`")
	cmd.RunE = running(func(cmd *cobra.Command, args []string) error {
		if dir != "" {
			return manPages(cmd, dir, args)
		}
		about, rest, err := cmd.Root().Find(args)
		if err != nil || len(rest) > 0 || !slices.Contains(documented(cmd.Root()), about) {
			return usagef("there is no command %q", strings.Join(args, " "))
		}
		_, err = cmd.OutOrStdout().Write([]byte(manPage(about)))
		return err
	})
	return cmd
}

// manPages writes all pages into a directory that may not be there yet.
func manPages(cmd *cobra.Command, dir string, args []string) error {
	if len(args) > 0 {
		return usagef("--dir is for the pages of all commands: leave %q out", strings.Join(args, " "))
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range documented(cmd.Root()) {
		if err := os.WriteFile(filepath.Join(dir, pageName(c)+".1"), []byte(manPage(c)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// documented are the commands that a person uses, each before its subcommands.
func documented(cmd *cobra.Command) []*cobra.Command {
	cmd.InitDefaultHelpFlag()
	cmd.DisableAutoGenTag = true
	all := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, documented(c)...)
		}
	}
	return all
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage writes of a command what man(7) wants of it. What stands indented in a
// text, as examples and lists do, stays in its lines.
func manPage(cmd *cobra.Command) string {
	var w bytes.Buffer
	fmt.Fprintf(&w, ".TH %s 1 \"\" transom transom\n", roff(strings.ToUpper(pageName(cmd))))
	fmt.Fprintf(&w, ".SH NAME\n%s \\- %s\n", roff(pageName(cmd)), roff(cmd.Short))
	fmt.Fprintf(&w, ".SH SYNOPSIS\n%s\n", roff(cmd.UseLine()))
	if cmd.Long != "" {
		fmt.Fprintf(&w, ".SH DESCRIPTION\n%s", roffText(cmd.Long))
	}
	if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
		w.WriteString(".SH OPTIONS\n")
		flags.VisitAll(func(f *pflag.Flag) {
			if !f.Hidden {
				w.WriteString(roffOption(f))
			}
		})
	}
	if cmd.Example != "" {
		fmt.Fprintf(&w, ".SH EXAMPLES\n%s", roffText(cmd.Example))
	}
	var also []string
	for _, c := range append([]*cobra.Command{cmd.Parent()}, cmd.Commands()...) {
		if c != nil && (c == cmd.Parent() || c.IsAvailableCommand()) {
			also = append(also, roff(pageName(c))+"(1)")
		}
	}
	if len(also) > 0 {
		fmt.Fprintf(&w, ".SH SEE ALSO\n%s\n", strings.Join(also, ", "))
	}
	return w.String()
}

func roffOption(f *pflag.Flag) string {
	value, usage := pflag.UnquoteUsage(f)
	name := `\fB\-\-` + roff(f.Name) + `\fR`
	if f.Shorthand != "" {
		name = `\fB\-` + f.Shorthand + `\fR, ` + name
	}
	if value != "" {
		name += ` \fI` + roff(value) + `\fR`
	}
	switch f.DefValue {
	case "", "false", "[]", "0":
	default:
		usage += " (default " + f.DefValue + ")"
	}
	return ".TP\n" + name + "\n" + roff(usage) + "\n"
}

// roffText writes paragraphs.
func roffText(text string) string {
	var w strings.Builder
	asItIs := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, "  "); indented != asItIs && line != "" {
			asItIs = indented
			w.WriteString(map[bool]string{true: ".nf\n", false: ".fi\n"}[asItIs])
		}
		if line == "" && !asItIs {
			line = ".PP"
		} else {
			line = roff(line)
		}
		w.WriteString(line + "\n")
	}
	if asItIs {
		w.WriteString(".fi\n")
	}
	return w.String()
}

// roff escapes what roff would take for its own.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
