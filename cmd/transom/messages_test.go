package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSymptomsAreSaid looks whether the messages by which docs/troubleshooting.md is
// searched are still in the program's texts.
func TestSymptomsAreSaid(t *testing.T) {
	texts := sources(t)
	messages := 0
	for _, s := range snippets(t) {
		if s.page != "docs/troubleshooting.md" || !s.span || len(strings.Fields(s.text)) < 3 {
			continue
		}
		first, _, _ := strings.Cut(s.text, " ")
		if strings.HasPrefix(first, "-") || slices.Contains([]string{"transom", "sudo", "env", "systemctl", "journalctl"}, first) {
			continue // what is typed
		}
		messages++
		if !strings.Contains(texts, s.text) {
			t.Errorf("%s: %q is not among what transom says", s.at(0), s.text)
		}
	}
	if messages < 15 {
		t.Errorf("%d messages: they are not found any more", messages)
	}
}

// sources are the texts of the program, and of the system's errors that it wraps.
func sources(t *testing.T) string {
	t.Helper()
	all := []byte("address already in use")
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil || d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(path)
		all = append(all, b...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}
