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

// TestSymptoms holds docs/troubleshooting.md to the findings: each is met there by what
// somebody sees, and none is named that is not in docs/doctor.md, which TestDocumented
// holds to the code.
func TestSymptoms(t *testing.T) {
	doctor, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| .* \\| .*\\|$").FindAllStringSubmatch(string(doctor), -1) {
		listed[m[1]] = true
	}
	named := map[string]bool{}
	beside := regexp.MustCompile("\\((`[a-z-]+`(?:, `[a-z-]+`)*)\\)")
	for i, line := range strings.Split(string(page), "\n") {
		for _, m := range beside.FindAllStringSubmatch(line, -1) {
			for id := range strings.SplitSeq(m[1], ", ") {
				id = strings.Trim(id, "`")
				named[id] = true
				if !listed[id] {
					t.Errorf("docs/troubleshooting.md:%d: there is no finding %q", i+1, id)
				}
			}
		}
	}
	for id := range listed {
		if !named[id] {
			t.Errorf("docs/troubleshooting.md says nothing of what one sees of the finding %q", id)
		}
	}
}
