package doctor_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumented holds docs/doctor.md to the findings that there are.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	id := regexp.MustCompile(`(?:ID: |f\.ID[^=]* = |ok\(|unseen\()"([a-z-]+)"`)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		for _, m := range id.FindAllStringSubmatch(string(text), -1) {
			used[m[1]] = true
		}
	}
	if len(used) < 20 {
		t.Errorf("only %v are used", used)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| .* \\| .*\\|$").FindAllStringSubmatch(string(page), -1) {
		listed[m[1]] = true
	}
	for one := range used {
		if !listed[one] {
			t.Errorf("docs/doctor.md does not list %q", one)
		}
	}
	for one := range listed {
		if !used[one] {
			t.Errorf("docs/doctor.md lists %q, which is never found", one)
		}
	}
}
