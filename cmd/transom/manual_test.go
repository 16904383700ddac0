package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
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
