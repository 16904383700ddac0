package sandbox_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"transom/platform/sandbox"
)

// TestAsUser looks at what files are made and opened as.
func TestAsUser(t *testing.T) {
	needRoot(t)
	u := nobody(t)
	dir := passable(t)
	own := filepath.Join(dir, "own")
	secret := filepath.Join(dir, "secret")
	link := filepath.Join(own, "link")
	if err := errors.Join(os.Mkdir(own, 0o700), os.WriteFile(secret, []byte("x"), 0o600), os.Chown(own, u.UID, u.GID), os.Symlink(secret, link)); err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(own, "made")
	err := sandbox.AsUser(u, func() error {
		if err := os.WriteFile(made, nil, 0o600); err != nil {
			return err
		}
		for name, f := range map[string]func() error{
			"read-by-link":   func() error { _, err := os.ReadFile(link); return err },
			"write-by-link":  func() error { return os.WriteFile(link, nil, 0o600) },
			"read-secret":    func() error { _, err := os.ReadFile(secret); return err },
			"make-elsewhere": func() error { return os.Mkdir(filepath.Join(dir, "x"), 0o700) },
			"give-away":      func() error { return os.Chown(made, 0, 0) },
			"change-mode":    func() error { return os.Chmod(secret, 0o666) },
		} {
			if err := f(); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s: %v", name, err)
			}
		}
		return io.ErrNoProgress
	})
	if err != io.ErrNoProgress {
		t.Fatal(err)
	}
	info, err := os.Stat(made)
	if err != nil {
		t.Fatal(err)
	}
	if st := info.Sys().(*syscall.Stat_t); int(st.Uid) != u.UID || int(st.Gid) != u.GID {
		t.Errorf("made by %d:%d", st.Uid, st.Gid)
	}
	// And we are as before, on whichever thread.
	dismiss := crowd()
	defer dismiss()
	for _, thread := range threads() {
		if thread["Uid"] != "0 0 0 0" || thread["CapEff"] != thread["CapPrm"] {
			t.Errorf("thread %s has uids %s and capabilities %s of %s", thread["Pid"], thread["Uid"], thread["CapEff"], thread["CapPrm"])
		}
	}
}

func TestAsUserWhoIsNotThere(t *testing.T) {
	cmd := child("as")
	asLonelyRoot(t, cmd)
	got := run[outcomes](t, cmd)
	if got["nobody"] == "" || got["nobody"] == ran {
		t.Errorf("as nobody: %q", got["nobody"])
	}
	if got["self"] != ran {
		t.Errorf("as who we are: %q", got["self"])
	}
}

const ran = "it ran"

// as is root of a namespace that has nobody else.
func as() any {
	f := func() error { return errors.New(ran) }
	u := must(sandbox.Lookup("nobody"))
	return try(map[string]func() error{
		"nobody": func() error { return sandbox.AsUser(u, f) },
		"self":   func() error { return sandbox.AsUser(sandbox.Self(), f) },
	})
}

func TestAsUserHandsOnHowItEnds(t *testing.T) {
	self := sandbox.Self()
	func() {
		defer func() {
			if r := recover(); r != "oops" {
				t.Errorf("a panic: %v", r)
			}
		}()
		sandbox.AsUser(self, func() error { panic("oops") })
	}()
	ended := make(chan bool)
	go func() {
		returned := false
		defer func() { ended <- !returned }()
		sandbox.AsUser(self, func() error { runtime.Goexit(); return nil })
		returned = true
	}()
	if !<-ended {
		t.Error("a Goexit does not end the caller")
	}
}

// keepAfterAs changes all threads at once behind AsUser, whose thread may not have
// ended: it must not disagree with the others.
func keepAfterAs() any {
	u := must(sandbox.Lookup("nobody"))
	held := must(sandbox.Held()).Caps()
	busy := make(chan bool)
	defer close(busy)
	for range 4 {
		go func() {
			for {
				select {
				case <-busy:
					return
				default:
					runtime.Gosched()
				}
			}
		}()
	}
	for range 100 {
		must(0, sandbox.AsUser(u, func() error { return nil }))
		must(0, sandbox.Keep(held...))
	}
	return "done"
}

func TestKeepAfterAsUser(t *testing.T) {
	needRoot(t)
	if got := run[string](t, child("as-keep")); got != "done" {
		t.Errorf("%q", got)
	}
}
