package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"transom/internal/testnet"
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
		{"untrust --json -n", 0, `"steps":[],"done":false}`},
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
