package ca_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"transom/ca"
)

func TestRoots(t *testing.T) {
	a := newAuthority(t, ca.Options{ECDSA: true})
	file := export(t, a, ca.PEM)
	path := filepath.Join(t.TempDir(), "roots.pem")
	write := func(data string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# a comment\n" + string(file.Data))
	pool, err := ca.Roots(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Root().Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Error("a certificate of the file is not trusted:", err)
	}
	for what, data := range map[string]string{
		"has no certificate": "not PEM",
		"certificate 1":      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	} {
		write(data)
		if _, err := ca.Roots(path); err == nil || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: %v", data, err)
		}
	}
	if _, err := ca.Roots(path + ".none"); err == nil {
		t.Error("a file that is not there is no error")
	}
}
