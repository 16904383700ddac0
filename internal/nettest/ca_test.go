package nettest_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestMitmproxyCA has the proxy sign with an authority that mitmproxy made.
func TestMitmproxyCA(t *testing.T) {
	need(t, "curl")
	w := newWorld(t)
	w.serve(shopping)
	w.redirect("80,443")
	dir := w.path(".mitmproxy")
	cert := w.mitmproxy(dir)
	before := tree(t, dir)

	w.transom("--ca-dir", dir)
	got, stderr, err := w.curl(filepath.Join(dir, "mitmproxy-ca-cert.pem"), "https://shop.example/")
	if want := "GET shop.example/ with 0 bytes"; err != nil || got != want {
		t.Errorf("got %q, %v\n%s", got, err, stderr)
	}
	if exported := w.must(w.Gateway, "transom", "ca", "export", "--ca-dir", dir); exported != cert {
		t.Errorf("exported\n%s\nwant\n%s", exported, cert)
	}
	w.must(w.Gateway, "transom", "ca", "show", "--ca-dir", dir)
	after := tree(t, dir)
	for name, content := range after {
		if before[name] != content {
			t.Errorf("%s has changed, or is new", name)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files, %d before", len(after), len(before))
	}
}

// mitmproxy makes the files that mitmproxy keeps in its directory, and returns
// the certificate.
func (w *world) mitmproxy(dir string) string {
	w.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		w.t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1732400000), Subject: pkix.Name{CommonName: "mitmproxy", Organization: []string{"mitmproxy"}},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		w.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	cert := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	both := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})) + cert
	w.write(".mitmproxy/mitmproxy-ca.pem", both)
	w.write(".mitmproxy/mitmproxy-ca-cert.pem", cert)
	w.write(".mitmproxy/mitmproxy-ca-cert.cer", cert)
	w.write(".mitmproxy/mitmproxy-ca-cert.p12", "not looked at")
	w.write(".mitmproxy/mitmproxy-ca.p12", "not looked at")
	w.write(".mitmproxy/mitmproxy-dhparam.pem", "not looked at")
	w.write(".mitmproxy/config.yaml", "ssl_insecure: true\n")
	if err := os.Chmod(filepath.Join(dir, "mitmproxy-ca.pem"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return cert
}

// tree returns what is in the files of dir, with their modes and times.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		files[path] = info.Mode().String() + info.ModTime().String() + string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
