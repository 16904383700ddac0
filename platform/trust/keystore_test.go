package trust

import (
	"bytes"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"transom/internal/testnet"
)

func TestKeystoreForms(t *testing.T) {
	ours, other := testCert(t, "ours"), testCert(t, "other")
	certs := []*x509.Certificate{ours, other}
	forms := map[string][]byte{"jks": writeJKS([]javaRoot{{"a", ours}, {"", other}}, storePassword)}
	for name, f := range map[string]struct {
		*pkcs12.Encoder
		password string
	}{"pkcs12": {pkcs12.Modern2023, storePassword}, "pkcs12-legacy": {pkcs12.LegacyDES, storePassword}, "pkcs12-open": {pkcs12.Passwordless, ""}} {
		data, err := f.EncodeTrustStore(certs, f.password)
		if err != nil {
			t.Fatal(err)
		}
		forms[name] = data
	}
	for name, data := range forms {
		roots, err := readKeystore(data, storePassword)
		if err != nil || len(roots) != 2 || !roots[0].is(ours) || !roots[1].is(other) {
			t.Errorf("%s: %v, %v", name, roots, err)
		}
		for n := range len(data) - 20 { // JKS ends with a digest that nobody looks at
			if _, err := readKeystore(data[:n], storePassword); err == nil {
				t.Errorf("%s: its first %d bytes are a keystore, too", name, n)
			}
		}
	}
}

// TestKeytool has Java read what we write, and us what Java writes.
func TestKeytool(t *testing.T) {
	_, err := exec.LookPath("keytool")
	testnet.Need(t, err == nil, "keytool")
	ours := testCert(t, "ours")
	name := filepath.Join(t.TempDir(), "cacerts")
	if err := os.WriteFile(name, writeJKS([]javaRoot{{"first", testCert(t, "other")}}, storePassword), 0o600); err != nil {
		t.Fatal(err)
	}
	add := exec.CommandContext(t.Context(), "keytool", "-importcert", "-noprompt", "-alias", Label(ours), "-keystore", name, "-storepass", storePassword)
	add.Stdin = bytes.NewReader(encode(ours))
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	list, err := exec.CommandContext(t.Context(), "keytool", "-list", "-keystore", name, "-storepass", storePassword).CombinedOutput()
	if err != nil || !strings.Contains(string(list), "first") || !strings.Contains(string(list), Label(ours)) {
		t.Errorf("%v: %s", err, list)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	roots, err := readKeystore(data, storePassword)
	if err != nil || len(roots) != 2 {
		t.Errorf("%v, %v", roots, err)
	}
}

func FuzzKeystore(f *testing.F) {
	f.Add(writeJKS([]javaRoot{{"a", testCert(f, "ours")}}, "x"))
	f.Add([]byte("\xfe\xed\xfe\xed\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x01\x00\x01k\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01p\x00\x00\x00\x01\x00\x00\x00\x01c"))
	f.Add([]byte("\x30\x03\x02\x01\x03"))
	f.Fuzz(func(t *testing.T, data []byte) {
		roots, err := readKeystore(data, storePassword)
		if err != nil || !bytes.HasPrefix(data, jksMagic[:]) {
			return
		}
		again, err := readKeystore(writeJKS(roots, ""), "")
		if err != nil || len(again) != len(roots) {
			t.Fatalf("%d roots, written and read again %d, %v", len(roots), len(again), err)
		}
		for i := range roots {
			if !roots[i].is(again[i].cert) {
				t.Errorf("root %d has changed", i)
			}
		}
	})
}

func FuzzEntries(f *testing.F) {
	f.Add([]byte("\nCertificate Nickname          Trust Attributes\n      SSL,S/MIME,JAR/XPI\n\nA root, of us   C,,  \nx CT,C,C\n"))
	f.Fuzz(func(t *testing.T, list []byte) {
		for _, e := range entries(list) {
			if strings.TrimSpace(e.name) != e.name || strings.Contains(e.name, "\n") {
				t.Errorf("%q is no name", e.name)
			}
		}
	})
}

func TestEntries(t *testing.T) {
	got := entries([]byte("\nCertificate Nickname                                         Trust Attributes\n" +
		"                                                             SSL,S/MIME,JAR/XPI\n\nA root, of us        CT,c,C\nan intermediate      ,,\nmine u,u,u\n"))
	want := []entry{{"A root, of us", true}, {"an intermediate", false}, {"mine", false}}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("%v, want %v", got, want)
	}
}
