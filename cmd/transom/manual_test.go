package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestManual holds what is written of every command, docs/reference.md and the man
// pages, to the code that it is generated from.
func TestManual(t *testing.T) {
	var pages []string
	reference := bytes.NewBufferString("# Every command and option\n\nGenerated from the program; `transom COMMAND --help` says the same.\n")
	for _, cmd := range documented(rootCommand()) {
		refer(reference, cmd)
		name := pageName(cmd) + ".1"
		page := manPage(cmd)
		written(t, filepath.Join("../../packaging/man", name), page)
		renders(t, name, page)
		pages = append(pages, name)
	}
	written(t, "../../docs/reference.md", reference.String())
	there, err := os.ReadDir("../../packaging/man")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range there {
		if !slices.Contains(pages, f.Name()) {
			t.Errorf("packaging/man/%s is about no command", f.Name())
		}
	}
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

// refer writes a section about a command.
func refer(w *bytes.Buffer, cmd *cobra.Command) {
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	w.WriteString("\n## " + cmd.CommandPath() + "\n\n" + text + "\n")
	if cmd.Runnable() {
		w.WriteString("\n```text\n" + cmd.UseLine() + "\n```\n")
	}
	if cmd.Example != "" {
		w.WriteString("\n```sh\n" + strings.ReplaceAll("\n"+cmd.Example, "\n  ", "\n")[1:] + "\n```\n")
	}
	if flags := cmd.NonInheritedFlags(); flags.HasAvailableFlags() {
		w.WriteString("\n```text\n" + flags.FlagUsages() + "```\n")
	}
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

// renders fails t if a page asks for what man(7) does not have, or if groff, where
// it is installed, has something to say about it.
func renders(t *testing.T, name, page string) {
	t.Helper()
	for i, line := range strings.Split(page, "\n") {
		macro, _, _ := strings.Cut(line, " ")
		if strings.HasPrefix(line, ".") && !slices.Contains([]string{".TH", ".SH", ".TP", ".PP", ".nf", ".fi"}, macro) || strings.HasPrefix(line, "'") {
			t.Errorf("packaging/man/%s:%d: %q is no request", name, i+1, line)
		}
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		return
	}
	cmd := exec.Command(groff, "-man", "-Tutf8", "-ww", "-z")
	cmd.Stdin = strings.NewReader(page)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("packaging/man/%s: groff: %v\n%s", name, err, out)
	}
}

// roff escapes what roff would take for its own.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// written compares a file with what it has to be.
func written(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./cmd/transom -run TestManual -update writes it", err)
	}
	if d := cmp.Diff(want, string(b)); d != "" {
		t.Errorf("%s (-want +got); go test ./cmd/transom -run TestManual -update writes it:\n%s", path, d)
	}
}
