package ca_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"transom/ca"
)

// TestOpenDenied: a directory that is not there has no owner yet.
func TestOpenDenied(t *testing.T) {
	dir, err := os.MkdirTemp("", "denied") // where others may look, unlike in t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // who may write everywhere
		runtime.LockOSThread() // for good
		if err := unix.Setfsuid(65534); err != nil {
			t.Fatal(err)
		}
	}
	place := filepath.Join(dir, "x", "y")
	want := "make a certificate authority in " + place + ": make the directory " + filepath.Join(dir, "x") + ": permission denied to make one there: use another (--ca-dir)"
	if _, err := ca.Open(place, atNoon); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
}
