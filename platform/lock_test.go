package platform_test

import (
	"errors"
	"os"
	"testing"

	"transom/platform"
)

func TestLockFile(t *testing.T) {
	name := t.TempDir() + "/lock"
	take := func() (*os.File, error) {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f, platform.LockFile(f)
	}
	first, err := take()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := take(); !errors.Is(err, platform.ErrLocked) {
		t.Errorf("a second lock: %v", err)
	}
	look, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	if is, err := platform.FileLocked(look); !is || err != nil {
		t.Errorf("is it locked: %v, %v", is, err)
	}
	first.Close()
	if is, err := platform.FileLocked(look); is || err != nil {
		t.Errorf("is it still locked: %v, %v", is, err)
	}
	if _, err := take(); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}
