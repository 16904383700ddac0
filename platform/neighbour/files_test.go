package neighbour

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestFiles: what a Watch reads are files and directories of their own, and none that has
// other people's things in it.
func TestFiles(t *testing.T) {
	for _, path := range Files(Sources{Leases: true, Hosts: true}) {
		if info, err := os.Stat(path); err != nil {
			t.Error(err)
		} else if info.IsDir() && slices.Contains([]string{"/", "/tmp", "/etc", "/var", "/var/lib", "/var/db", "/run"}, path) {
			t.Errorf("all of %s is read", path)
		}
	}
	if got := Files(Sources{MDNS: true, DNS: true}); len(got) > 0 {
		t.Errorf("%q is read", got)
	}
}

// TestPlaces: patterns are right, and absolute.
func TestPlaces(t *testing.T) {
	for _, p := range slices.Concat(places, hostFiles) {
		if _, err := filepath.Match(p.pattern, "x"); err != nil || !filepath.IsAbs(p.pattern) || p.format == nil {
			t.Errorf("%s: %v", p.pattern, err)
		}
	}
}
