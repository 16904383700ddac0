package pf

import (
	"errors"
	"syscall"
	"testing"
)

func TestPrinted(t *testing.T) {
	for _, tt := range []struct {
		system string
		root   bool
		want   string
	}{
		{"darwin", true, "/sbin/pfctl -s state"},
		{"darwin", false, "sudo -n /sbin/pfctl -s state"},
		{"freebsd", false, "sudo -n /sbin/pfctl -s state"},
		{"openbsd", true, "/sbin/pfctl -s state"},
		{"openbsd", false, ""},
	} {
		got := ""
		if s := printed(tt.system, tt.root); s != nil {
			got = s.String()
		}
		if got != tt.want {
			t.Errorf("%s, root %v: %q, want %q", tt.system, tt.root, got, tt.want)
		}
	}
}

// TestReady: a device that could not be opened is said to be so at once, and fails
// each question with the same words.
func TestReady(t *testing.T) {
	l, _ := LayoutOf("freebsd")
	table := &Table{Device: failing{syscall.EACCES}, Layout: l}
	if err := table.Ready(); !errors.Is(err, syscall.EACCES) {
		t.Errorf("%v", err)
	}
	if _, err := table.Original(ap("192.0.2.1:1"), ap("127.0.0.1:8080")); !errors.Is(err, syscall.EACCES) {
		t.Errorf("%v", err)
	}
	// FreeBSD has no /dev/pf before pf is loaded: then nobody has redirected anything.
	table.Device = failing{syscall.ENOENT}
	if _, err := table.Original(ap("192.0.2.1:1"), ap("127.0.0.1:8080")); !errors.Is(err, ErrNoState) {
		t.Errorf("%v", err)
	}
	if err := table.Close(); err != nil {
		t.Error(err)
	}
	if err := (&Table{Device: &kernel{}}).Ready(); err != nil {
		t.Error(err)
	}
}
