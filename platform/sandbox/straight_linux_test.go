package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"transom/platform/sandbox"
)

// TestOpenStraight leaves what lies behind links as it is.
func TestOpenStraight(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.Mkdir(at("etc"), 0o700), os.WriteFile(at("etc/passwd"), []byte("root"), 0o600), os.WriteFile(at("plain"), []byte("old"), 0o600),
		os.Symlink(at("etc/passwd"), at("link")), os.Symlink(at("etc"), at("way")), os.Symlink(at("none"), at("dangling")),
		os.Link(at("etc/passwd"), at("name")),
	); err != nil {
		t.Fatal(err)
	}
	const cut = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	for _, name := range []string{"link", "way/passwd", "way/new", "dangling", "name"} {
		if f, err := sandbox.OpenStraight(at(name), cut, 0o600); err == nil {
			f.Close()
			t.Errorf("%s: it was opened", name)
		}
	}
	for _, name := range []string{"plain", "new"} {
		f, err := sandbox.OpenStraight(at(name), cut, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("x"); err != nil {
			t.Error(err)
		}
		f.Close()
		if b, err := os.ReadFile(at(name)); string(b) != "x" || err != nil {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
	if b, err := os.ReadFile(at("etc/passwd")); string(b) != "root" || err != nil {
		t.Errorf("behind the links: %q, %v", b, err)
	}
	for _, name := range []string{"none", "etc/new"} {
		if _, err := os.Lstat(at(name)); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}
