package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"transom/internal/testnet"
	"transom/platform/trust"
)

// TestTrustCommands has a browser's database trust us, and not any more, and holds
// what is said on the way.
func TestTrustCommands(t *testing.T) {
	_, err := exec.LookPath("certutil")
	testnet.Need(t, err == nil, "certutil")
	home := ownHome(t)
	db := filepath.Join(home, ".pki/nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "certutil", "-N", "-d", "sql:"+db, "--empty-password").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, step := range []struct {
		args string
		code int
		want string // of stdout
	}{
		{"check", 1, "no"},
		{"trust -n", 0, "-A -n transom-"},
		{"check", 1, "no"},
		{"trust", 0, "-A -n transom-"},
		{"trust", 0, "nothing to do"},
		{"check", 0, "yes, by transom ca trust"},
		{"untrust", 0, "-D -n transom-"},
		{"untrust", 0, "nothing of ours"},
		{"trust --json", 0, `"done":true,"trusted":true,"ours":true}`},
		{"check --json", 0, `"trusted":true,"ours":true}`},
		{"untrust --json", 0, `"done":true,"trusted":false,"ours":false}`},
		{"untrust --json -n", 0, `"steps":[],"takes_root":false,"done":false}`},
	} {
		var out, errs bytes.Buffer
		args := append([]string{"ca"}, strings.Fields(step.args+" --store nss")...)
		code := run(t.Context(), args, nil, &out, &errs)
		if code != step.code || !strings.Contains(out.String(), step.want) || !strings.Contains(out.String(), db) {
			t.Errorf("%s: exit %d, want %d, and %q in\n%s%s", args, code, step.code, step.want, &out, &errs)
		}
		if strings.Contains(step.args, "--json") {
			for line := range strings.Lines(out.String()) {
				if !json.Valid([]byte(line)) || !strings.HasPrefix(line, `{"type":`) {
					t.Errorf("%s prints %q", args, line)
				}
			}
		}
	}
	if out := certificates(t, db); strings.Contains(out, "transom-") {
		t.Errorf("it is there still: %s", out)
	}
}

// ownHome gives the test a home, and nobody who called sudo.
func ownHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, name := range []string{"SUDO_UID", "DOAS_USER", "PKEXEC_UID"} {
		t.Setenv(name, "")
	}
	return home
}

func certificates(t *testing.T, db string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "certutil", "-L", "-d", "sql:"+db).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

// TestTrustNowhere: a kind of store that this machine hasn't got is not passed over.
func TestTrustNowhere(t *testing.T) {
	ownHome(t)
	for _, command := range []string{"trust", "untrust", "check"} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"ca", command, "--store", "nss"}, nil, &out, &errs)
		if code != exitFailed || !strings.Contains(errs.String(), `no store of the kind "nss" was found here`) {
			t.Errorf("%s: exit %d, %s%s", command, code, &out, &errs)
		}
	}
}

// A fakeStore takes steps, and doesn't trust.
type fakeStore struct{ steps []trust.Step }

func (fakeStore) Kind() string                                  { return "java" }
func (fakeStore) Place() string                                 { return "/roots" }
func (fakeStore) Check(context.Context) (trust.State, error)    { return trust.State{}, nil }
func (s fakeStore) Trust(context.Context) ([]trust.Step, error) { return s.steps, nil }
func (fakeStore) Untrust(context.Context) ([]trust.Step, error) { return nil, nil }

// TestTrustFollows: a store that follows another, which was not changed, is not done.
func TestTrustFollows(t *testing.T) {
	for _, wanted := range []bool{true, false} {
		to := &trusting{}
		changes := []change{{store: fakeStore{}}}
		to.do(t.Context(), changes, wanted)
		var out bytes.Buffer
		if err := writeChanges(&out, changes, true); err != nil {
			t.Fatal(err)
		}
		if said := `"done":` + fmt.Sprint(!wanted); !strings.Contains(out.String(), said) {
			t.Errorf("wanted %v: %s has no %s", wanted, &out, said)
		}
		err := to.outcome(nil, changes)
		if (err != nil) != wanted || wanted && !strings.Contains(err.Error(), "--store system") {
			t.Errorf("wanted %v: %v", wanted, err)
		}
		if other := errors.New("full"); wanted {
			if err := to.outcome(nil, append(changes, change{store: fakeStore{}, err: other})); err == nil || err.Error() != "java: /roots: full" {
				t.Errorf("beside another failure it says %v", err)
			}
		}
	}
}

// TestTrustTakesRoot: a list says what takes root to whom is not root.
func TestTrustTakesRoot(t *testing.T) {
	changes := []change{{store: fakeStore{}, steps: []trust.Step{{Write: "/roots/a"}}}}
	var out bytes.Buffer
	if err := tellPlan(&out, changes, true, ""); err != nil {
		t.Fatal(err)
	}
	user := os.Geteuid() != 0
	if strings.Contains(out.String(), "write /roots/a (takes root)") != user || (len(rootsKinds(changes)) == 1) != user {
		t.Errorf("it says\n%s", &out)
	}
}
