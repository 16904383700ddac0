package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestCompleteValues asks as the shells' scripts do.
func TestCompleteValues(t *testing.T) {
	for _, c := range []struct {
		line string
		want []string // among what is offered; the last line is the directive
	}{
		{"gateway --method ", []string{"auto", "tproxy", "redirect", ":4"}},
		{"gateway --spoof-source ", []string{"none", "ip", "ip+port", ":4"}},
		{"gateway --interface ", []string{"lo", ":4"}},
		{"steer show -f ", []string{"nft", "ipfw", ":4"}},
		{"flows export --format ", []string{"har", "curl", ":4"}},
		{"flows show --view ", []string{"auto", "json", ":4"}},
		{"flows list --sort ", []string{"size", ":4"}},
		{"gateway --ports ", []string{":4"}},
		{"listen --hardump ", []string{":0"}}, // a file: the shell knows these
	} {
		t.Run(c.line, func(t *testing.T) {
			var out, errs bytes.Buffer
			args := append([]string{"__complete"}, strings.Split(c.line, " ")...)
			if code := run(t.Context(), args, nil, &out, &errs); code != 0 {
				t.Fatalf("exit %d: %s", code, errs.String())
			}
			got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			for _, want := range c.want {
				if !slices.Contains(got, want) {
					t.Errorf("%q is not among %q", want, got)
				}
			}
			if slices.Contains(got, "ADDRESS") {
				t.Errorf("a placeholder is among %q", got)
			}
		})
	}
}
