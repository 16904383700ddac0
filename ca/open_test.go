package ca_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"transom/ca"
)

func testKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func keyPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pemOf("PRIVATE KEY", der)
}

// mitmproxyName is CN=mitmproxy, O=mitmproxy in this order, as UTF-8.
var mitmproxyName = []byte("\x30\x28" +
	"\x31\x12\x30\x10\x06\x03\x55\x04\x03\x0c\x09mitmproxy" +
	"\x31\x12\x30\x10\x06\x03\x55\x04\x0a\x0c\x09mitmproxy")

// rootFor returns a self-signed authority's certificate, as mitmproxy makes
// them, after change has had its way.
func rootFor(t testing.TB, key crypto.Signer, change func(*x509.Certificate)) []byte {
	t.Helper()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		RawSubject:   mitmproxyName,
		NotBefore:    noon.AddDate(0, 0, -2), NotAfter: noon.AddDate(10, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

var atNoon = ca.Options{Now: clock(noon), ECDSA: true, Host: "den"}

func open(t testing.TB, dir string, o ca.Options) *ca.Authority {
	t.Helper()
	a, err := ca.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// tree lists dir: names, modes, times and contents.
func tree(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		var data []byte
		if !d.IsDir() {
			if data, err = os.ReadFile(p); err != nil {
				return err
			}
		}
		fmt.Fprintf(&b, "%s %v %v %x\n", p, info.Mode(), info.ModTime(), data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestOpenMakesOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "ca")
	first := open(t, dir, atNoon)
	for path, want := range map[string]fs.FileMode{
		filepath.Dir(dir): 0o700, dir: 0o700,
		filepath.Join(dir, "transom-ca.pem"): 0o600, filepath.Join(dir, "transom-ca-cert.pem"): 0o644,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got&^want != 0 || got&0o600 != want&0o600 {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
	}
	before := tree(t, dir)
	again := open(t, dir, atNoon)
	if !first.Root().Equal(again.Root()) {
		t.Error("opened again, it is another authority")
	}
	if tree(t, dir) != before {
		t.Error("opening it again changed the directory")
	}
	cert, err := os.ReadFile(filepath.Join(dir, "transom-ca-cert.pem"))
	if err != nil || !bytes.Equal(cert, export(t, again, ca.PEM).Data) {
		t.Errorf("the certificate's file holds something else (%v)", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("files: %v, %v", entries, err)
	}
	if got := again.Info().Path; got != filepath.Join(dir, "transom-ca.pem") {
		t.Errorf("path is %s", got)
	}
	if err := os.Remove(filepath.Join(dir, "transom-ca-cert.pem")); err != nil {
		t.Fatal(err)
	}
	open(t, dir, atNoon)
	if tree := tree(t, dir); !strings.Contains(tree, "transom-ca-cert.pem") {
		t.Error("a certificate that was removed is not put back")
	}
}

func TestOpenDefaultKey(t *testing.T) {
	if got := open(t, t.TempDir(), ca.Options{}).Info().Key; got != "RSA 2048" {
		t.Errorf("the key is %s", got)
	}
}

func TestOpenAtTheSameTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	var wg sync.WaitGroup
	got := make([]*ca.Authority, 32)
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = ca.Open(dir, atNoon); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, a := range got {
		if !a.Root().Equal(got[0].Root()) {
			t.Fatal("there are two authorities")
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("files: %v, %v", entries, err)
	}
}

// TestOpenInProcesses has the test binary itself opened by several processes.
func TestOpenInProcesses(t *testing.T) {
	if dir := os.Getenv("TRANSOM_TEST_OPEN"); dir != "" {
		fmt.Printf("serial %s\n", open(t, dir, atNoon).Info().Serial)
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "ca")
	outs := make([]string, 4)
	var wg sync.WaitGroup
	for i := range outs {
		wg.Go(func() {
			cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestOpenInProcesses$")
			cmd.Env = append(os.Environ(), "TRANSOM_TEST_OPEN="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			outs[i], _, _ = strings.Cut(string(out), "\n")
		})
	}
	wg.Wait()
	if slices.Sort(outs); len(slices.Compact(outs)) != 1 {
		t.Errorf("there are several authorities: %q", outs)
	}
}

// mitmproxyDir lays out a directory as mitmproxy does.
func mitmproxyDir(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der := rootFor(t, key, nil)
	keyText := pemOf("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	certText := pemOf("CERTIFICATE", der)
	dir := t.TempDir()
	for name, data := range map[string][]byte{
		"mitmproxy-ca.pem":      append(keyText, certText...),
		"mitmproxy-ca-cert.pem": certText,
		"mitmproxy-ca-cert.cer": certText,
		"mitmproxy-ca-cert.p12": []byte("not read"),
		"mitmproxy-dhparam.pem": []byte("not read"),
	} {
		write(t, filepath.Join(dir, name), data, 0o644) // readable, and none of our business
	}
	return dir
}

func TestOpenMitmproxy(t *testing.T) {
	dir := mitmproxyDir(t)
	before := tree(t, dir)
	a := open(t, dir, atNoon)
	c := issue(t, a, ca.Leaf{Name: "a.example"})
	verifyChain(t, a, c.Leaf)
	issue(t, a, ca.Leaf{Name: "a.example", RSA: true})
	if c.PrivateKey.(*ecdsa.PrivateKey).Public() == a.Root().PublicKey {
		t.Error("the leaf has the authority's key")
	}
	if got := export(t, a, ca.DER).Name; got != "mitmproxy-ca-cert.cer" {
		t.Errorf("exported as %s", got)
	}
	if got := export(t, a, ca.Android).Name; got != "c8750f0d.0" {
		t.Errorf("Android's name is %s", got)
	}
	if got := a.Info(); got.Name != "mitmproxy" || got.Key != "RSA 2048" || got.Path != filepath.Join(dir, "mitmproxy-ca.pem") {
		t.Errorf("info is %+v", got)
	}
	if after := tree(t, dir); after != before {
		t.Errorf("the directory changed from\n%s\nto\n%s", before, after)
	}
}

func verifyChain(t *testing.T, a *ca.Authority, leaf *x509.Certificate) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(a.Root())
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: noon}); err != nil {
		t.Error(err)
	}
}

func TestParseForms(t *testing.T) {
	ec := testKey(t)
	ecDER, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	big, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := pemOf("CERTIFICATE", rootFor(t, ec, nil))
	tests := []struct {
		name, key string
		data      []byte
	}{
		{"sec1", "ECDSA P-256", append(pemOf("EC PRIVATE KEY", ecDER), cert...)},
		{"certificate-first", "ECDSA P-256", append(cert, keyPEM(t, ec)...)},
		{"text-between", "ECDSA P-256", append(append([]byte("key:\n"), keyPEM(t, ec)...), append([]byte("\r\ncert:\n"), cert...)...)},
		{"ed25519", "Ed25519", append(keyPEM(t, ed), pemOf("CERTIFICATE", rootFor(t, ed, nil))...)},
		{"p-384", "ECDSA P-384", append(keyPEM(t, big), pemOf("CERTIFICATE", rootFor(t, big, nil))...)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a, err := ca.Parse(tt.data, atNoon)
			if err != nil {
				t.Fatal(err)
			}
			verifyChain(t, a, issue(t, a, ca.Leaf{Name: "a.example"}).Leaf)
			if got := a.Info().Key; got != tt.key {
				t.Errorf("the key is %s", got)
			}
		})
	}
}

func TestParseIntermediate(t *testing.T) {
	rootKey, key := testKey(t), testKey(t)
	rootDER := rootFor(t, rootKey, nil)
	root, err := x509.ParseCertificate(rootDER)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "sub"},
		NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, root, key.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	a, err := ca.Parse(slices.Concat(keyPEM(t, key), pemOf("CERTIFICATE", rootDER), pemOf("CERTIFICATE", der)), atNoon)
	if err != nil {
		t.Fatal(err)
	}
	chain := issue(t, a, ca.Leaf{Name: "a.example"}).Certificate
	if len(chain) != 3 || !bytes.Equal(chain[1], der) || !bytes.Equal(chain[2], rootDER) {
		t.Error("the chain is not leaf, intermediate, root")
	}
	if a.Info().SelfSigned || a.Info().Name != "sub" {
		t.Errorf("info is %+v", a.Info())
	}
}

func TestOpenRefuses(t *testing.T) {
	key := testKey(t)
	keyText := keyPEM(t, key)
	cert := func(change func(*x509.Certificate)) []byte {
		return pemOf("CERTIFICATE", rootFor(t, key, change))
	}
	good := cert(nil)
	small, err := os.ReadFile("testdata/rsa512.pem")
	if err != nil {
		t.Fatal(err)
	}
	const own, copied = "transom-ca.pem", "transom-ca-cert.pem"
	type file struct {
		data []byte
		mode fs.FileMode
	}
	private := func(parts ...[]byte) file { return file{slices.Concat(parts...), 0o600} }
	tests := []struct {
		name  string
		files map[string]file
		dir   fs.FileMode
		want  []string // in the error: what, and what to do
	}{
		{"readable", map[string]file{own: {slices.Concat(keyText, good), 0o644}}, 0o700, []string{own, "chmod 600"}},
		{"writable-directory", map[string]file{own: private(keyText, good)}, 0o777, []string{"chmod go-w"}},
		{"empty", map[string]file{own: private()}, 0o700, []string{own, "no private key"}},
		{"no-certificate", map[string]file{own: private(keyText)}, 0o700, []string{own, "no certificate"}},
		{"no-key", map[string]file{own: private(good)}, 0o700, []string{own, "no private key"}},
		{"two-keys", map[string]file{own: private(keyText, keyText, good)}, 0o700, []string{"two private keys"}},
		{"encrypted", map[string]file{own: private(pemOf("ENCRYPTED PRIVATE KEY", []byte("x")), good)}, 0o700, []string{"is encrypted", "openssl pkey"}},
		{"encrypted-old-style", map[string]file{own: private(pem.EncodeToMemory(&pem.Block{
			Type: "RSA PRIVATE KEY", Bytes: []byte("x"),
			Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-128-CBC,00"},
		}), good)}, 0o700, []string{"is encrypted"}},
		{"damaged-key", map[string]file{own: private(pemOf("PRIVATE KEY", []byte("x")), good)}, 0o700, []string{"key is damaged", "restore"}},
		{"damaged-certificate", map[string]file{own: private(keyText, pemOf("CERTIFICATE", []byte("x")))}, 0o700, []string{"certificate 1 is damaged"}},
		{"dsa", map[string]file{own: private(pemOf("DSA PRIVATE KEY", []byte("x")), good)}, 0o700, []string{"DSA PRIVATE KEY"}},
		{"other-key", map[string]file{own: private(keyPEM(t, testKey(t)), good)}, 0o700, []string{"does not belong"}},
		{"small-rsa", map[string]file{own: private(small)}, 0o700, []string{"512 bits"}},
		{"expired", map[string]file{own: private(keyText, cert(func(c *x509.Certificate) { c.NotAfter = noon.AddDate(0, 0, -1) }))}, 0o700, []string{"expired on 2031-03-03", "move its files away"}},
		{"not-yet", map[string]file{own: private(keyText, cert(func(c *x509.Certificate) { c.NotBefore = noon.AddDate(0, 0, 1) }))}, 0o700, []string{"set the clock"}},
		{"no-authority", map[string]file{own: private(keyText, cert(func(c *x509.Certificate) { c.IsCA = false }))}, 0o700, []string{"not an authority"}},
		{"may-not-sign", map[string]file{own: private(keyText, cert(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign }))}, 0o700, []string{"keyCertSign"}},
		{"lost-key", map[string]file{copied: {good, 0o644}}, 0o700, []string{"private key is missing", copied, "restore"}},
		{"lost-mitmproxy-key", map[string]file{"mitmproxy-ca-cert.pem": {good, 0o644}}, 0o700, []string{"private key is missing", "mitmproxy-ca-cert.pem"}},
		{"other-copy", map[string]file{own: private(keyText, good), copied: {cert(nil), 0o644}}, 0o700, []string{copied, "another certificate"}},
		{"mitmproxy-damaged", map[string]file{"mitmproxy-ca.pem": private([]byte("junk"))}, 0o700, []string{"mitmproxy-ca.pem", "no private key"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ca")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, tt.dir); err != nil {
				t.Fatal(err)
			}
			for name, f := range tt.files {
				write(t, filepath.Join(dir, name), f.data, f.mode)
			}
			before := tree(t, dir)
			_, err := ca.Open(dir, atNoon)
			if err == nil {
				t.Fatal("it was opened")
			}
			for _, want := range append(tt.want, dir) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v\ndoes not say %q", err, want)
				}
			}
			if tree(t, dir) != before {
				t.Error("the directory was changed")
			}
		})
	}
}

// TestOpenOddPlaces: what is wrong with a place is said with the place, and not with
// what we tried there.
func TestOpenOddPlaces(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("file"), nil, 0o600)
	for _, sub := range []string{"key", "link"} {
		if err := os.Mkdir(at(sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(at("key/transom-ca.pem"), 0o700), os.Symlink(at("nothing"), at("nowhere")),
		os.Symlink(at("nothing"), at("link/transom-ca.pem"))); err != nil {
		t.Fatal(err)
	}
	for place, want := range map[string]string{
		at("file"):     "certificate authority " + at("file/transom-ca.pem") + ": that is in no directory: name one with --ca-dir",
		at("file/sub"): "certificate authority " + at("file/sub/transom-ca.pem") + ": that is in no directory: name one with --ca-dir",
		at("key"):      "certificate authority " + at("key/transom-ca.pem") + ": it is not a file: move it away",
		at("link"):     "certificate authority " + at("link/transom-ca.pem") + ": it is a link that leads nowhere: remove it",
		at("nowhere"):  "make a certificate authority in " + at("nowhere") + ": make the directory " + at("nowhere") + ": it is a link that leads nowhere: remove it",
		"/proc/none/x": "make a certificate authority in /proc/none/x: make the directory /proc/none: none can be made there: use another (--ca-dir)",
	} {
		if _, err := os.Stat("/proc/self"); err != nil && strings.HasPrefix(place, "/proc") {
			continue
		}
		if _, err := ca.Open(place, atNoon); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
	owned := filepath.Join(t.TempDir(), "x", "y")
	o := atNoon
	o.Owner = &ca.Owner{UID: os.Getuid(), GID: os.Getgid()}
	open(t, owned, o)
}

func FuzzParse(f *testing.F) {
	key := testKey(f)
	cert := pemOf("CERTIFICATE", rootFor(f, key, nil))
	f.Add(append(keyPEM(f, key), cert...))
	f.Add(append(cert, cert...))
	f.Add(pemOf("ENCRYPTED PRIVATE KEY", []byte{1}))
	f.Add(pemOf("RSA PRIVATE KEY", []byte{0x30, 0}))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ca.Parse(data, atNoon)
		if (a == nil) == (err == nil) {
			t.Fatalf("neither an authority nor an error: %v, %v", a, err)
		}
		if err != nil {
			return
		}
		list, _ := ca.Formats()
		for _, format := range list {
			if _, err := a.Export(format); err != nil {
				t.Logf("%s: %v", format, err)
			}
		}
		if _, err := a.Issue(t.Context(), ca.Leaf{Name: "a.example"}); err != nil {
			t.Log(err)
		}
	})
}
