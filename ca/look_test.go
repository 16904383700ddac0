package ca_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"transom/ca"
)

func TestLook(t *testing.T) {
	later := func() time.Time { return time.Now().AddDate(30, 0, 0) }
	earlier := func() time.Time { return time.Now().AddDate(-3, 0, 0) }
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, dir, key, cert string)
		now   func() time.Time
		want  ca.Fault
	}{
		{name: "good"},
		{name: "exposed", spoil: func(t *testing.T, _, key, _ string) { do(t, os.Chmod(key, 0o644)) }, want: ca.Exposed},
		{name: "replaceable", spoil: func(t *testing.T, dir, _, _ string) { do(t, os.Chmod(dir, 0o777)) }, want: ca.Replaceable},
		{name: "keyless", spoil: func(t *testing.T, _, key, _ string) { do(t, os.Remove(key)) }, want: ca.Keyless},
		{name: "damaged", spoil: func(t *testing.T, _, key, _ string) { do(t, os.WriteFile(key, []byte("?"), 0o600)) }, want: ca.Damaged},
		{name: "expired", now: later, want: ca.Damaged},
		{name: "clock", now: earlier, want: ca.Early},
		{name: "mixed", spoil: func(t *testing.T, _, _, cert string) {
			other := t.TempDir()
			_, err := ca.Open(other, ca.Options{ECDSA: true})
			do(t, err)
			b, err := os.ReadFile(filepath.Join(other, "transom-ca-cert.pem"))
			do(t, err)
			do(t, os.WriteFile(cert, b, 0o644))
		}, want: ca.Mixed},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ca")
			_, err := ca.Open(dir, ca.Options{ECDSA: true})
			do(t, err)
			if c.spoil != nil {
				c.spoil(t, dir, filepath.Join(dir, "transom-ca.pem"), filepath.Join(dir, "transom-ca-cert.pem"))
			}
			a, trouble := ca.Look(dir, ca.Options{Now: c.now})
			switch {
			case c.want == 0 && (a == nil || trouble != nil):
				t.Errorf("%v, %v", a, trouble)
			case c.want != 0 && (a != nil || trouble == nil || trouble.Fault != c.want || trouble.Err == nil):
				t.Errorf("%v, %+v; want fault %d", a, trouble, c.want)
			}
		})
	}
}

func TestLookMakesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ca")
	if a, trouble := ca.Look(dir, ca.Options{}); a != nil || trouble != nil {
		t.Errorf("%v, %v of nothing", a, trouble)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("there is a directory now: %v", err)
	}
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
