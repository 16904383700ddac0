package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testCert reads a certificate of testdata: "ours" is an authority of ours, "other" a
// root that a machine trusts anyhow.
func testCert(t testing.TB, name string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".pem"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// A world is a machine made of files in a directory of the test's, and of programs
// that do what the real ones do.
type world struct {
	*Machine
	t   testing.TB
	nss map[string]map[string]string // of each database, certificates in PEM by name
	env map[string]string
	ran []string
}

// newWorld makes a machine. A file's content says what it is: "program", "link PATH",
// "bundle" and "keystore" of the other root, "database", or itself.
func newWorld(t testing.TB, files map[string]string) *world {
	w := &world{t: t, nss: map[string]map[string]string{}, env: map[string]string{"PATH": "/usr/bin"}}
	w.Machine = &Machine{Root: t.TempDir(), Home: "/home/ann", Env: func(name string) string { return w.env[name] }, Run: w.run}
	for path, what := range files {
		name := w.at(path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case strings.HasSuffix(path, "/"):
			err = os.MkdirAll(name, 0o755)
		case what == "program":
			err = os.WriteFile(name, nil, 0o755)
		case strings.HasPrefix(what, "link "):
			err = os.Symlink(what[5:], name)
		case what == "bundle":
			err = os.WriteFile(name, encode(testCert(t, "other")), 0o644)
		case what == "keystore":
			err = os.WriteFile(name, writeJKS([]javaRoot{{"other", testCert(t, "other")}}, storePassword), 0o644)
		case what == "database":
			w.nss[filepath.Dir(path)] = map[string]string{"other": string(encode(testCert(t, "other")))}
			err = os.WriteFile(name, []byte("SQLite format 3"), 0o600)
		default:
			err = os.WriteFile(name, []byte(what), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// run is the programs.
func (w *world) run(_ context.Context, c Command) ([]byte, error) {
	w.ran = append(w.ran, quote(c.Args))
	args := c.Args[1:]
	switch filepath.Base(c.Args[0]) {
	case "update-ca-certificates", "update-ca-trust":
		return nil, w.update()
	case "trust":
		return w.p11kit(args)
	case "certutil":
		return w.certutil(args, c.Stdin)
	case "keytool":
		return w.keytool(args, c.Stdin)
	case "security":
		return w.security(args)
	case "openssl":
		return nil, nil
	}
	return nil, fmt.Errorf("no program %s", c.Args[0])
}

// update makes the bundle of the machine's family.
func (w *world) update() error {
	for _, f := range families {
		if w.file(f.bundle) == "" {
			continue
		}
		all := encode(testCert(w.t, "other"))
		for _, path := range w.glob(f.anchors + "/*") {
			all = append(all, w.read(path)...)
		}
		if err := os.WriteFile(w.at(f.bundle), all, 0o644); err != nil {
			return err
		}
		if w.file("/etc/ca-certificates/update.d/jks-keystore") != "" {
			return w.debian()
		}
		return nil
	}
	return errors.New("no bundle")
}

// debian does what Debian's program does besides for an authority of ours: it makes
// links to it, and Java's roots.
func (w *world) debian() error {
	ours := testCert(w.t, "ours")
	anchor := "/usr/local/share/ca-certificates/" + Label(ours) + ".crt"
	if w.file(anchor) == "" {
		return nil
	}
	return errors.Join(
		os.Symlink(anchor, w.at("/etc/ssl/certs/"+Label(ours)+".pem")),
		os.Symlink(Label(ours)+".pem", w.at("/etc/ssl/certs/0a1b2c3d.1")),
		os.WriteFile(w.at("/etc/ssl/certs/java/cacerts"), writeJKS([]javaRoot{{"debian:" + Label(ours) + ".pem", ours}}, storePassword), 0o644),
	)
}

// p11kit keeps what it stores beside its own.
func (w *world) p11kit(args []string) ([]byte, error) {
	const kept = "/anchors.pem"
	switch {
	case args[0] == "dump":
		return append([]byte("# pkcs11:id=%D2;type=cert\n[p11-kit-object-v1]\nlabel: \"other\"\ntrusted: true\n"+string(encode(testCert(w.t, "other")))+"\n"), w.read(kept)...), nil
	case slices.Contains(args, "--store"):
		return nil, os.WriteFile(w.at(kept), w.read(args[len(args)-1]), 0o644)
	}
	return nil, os.Remove(w.at(kept))
}

// certutil prints as the real one does, blanks and all.
func (w *world) certutil(args []string, stdin []byte) ([]byte, error) {
	db := w.nss[strings.TrimPrefix(args[1], "sql:")]
	name := ""
	if at := slices.Index(args, "-n"); at > 0 {
		name = args[at+1]
	}
	switch {
	case args[2] == "-A":
		db[name] = string(stdin)
	case args[2] == "-D":
		delete(db, name)
	case name != "":
		return []byte(db[name]), nil
	default:
		out := "\nCertificate Nickname                                         Trust Attributes\n" +
			"                                                             SSL,S/MIME,JAR/XPI\n\n"
		for _, name := range slices.Sorted(mapKeys(db)) {
			out += fmt.Sprintf("%-60s %-5s\n", name, "C,,  ")
		}
		return []byte(out), nil
	}
	return nil, nil
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// keytool changes a keystore.
func (w *world) keytool(args []string, stdin []byte) ([]byte, error) {
	path, alias := args[slices.Index(args, "-keystore")+1], args[slices.Index(args, "-alias")+1]
	roots, err := readKeystore(w.read(path), storePassword)
	if err != nil {
		return nil, err
	}
	roots = slices.DeleteFunc(roots, func(r javaRoot) bool { return r.alias == alias })
	if args[0] == "-importcert" {
		block, _ := pem.Decode(stdin)
		roots = append(roots, javaRoot{alias, &x509.Certificate{Raw: block.Bytes}})
	}
	return nil, os.WriteFile(w.at(path), writeJKS(roots, storePassword), 0o644)
}

// security is the Mac's. Its keychain is a file with hashes.
func (w *world) security(args []string) ([]byte, error) {
	const kept = "/keychain"
	hash := (&keychain{w.Machine, testCert(w.t, "ours")}).hash()
	switch args[0] {
	case "add-trusted-cert":
		return nil, os.WriteFile(w.at(kept), []byte("SHA-1 hash: "+hash+"\n"), 0o644)
	case "delete-certificate":
		return nil, os.Remove(w.at(kept))
	case "find-certificate":
		return w.read(kept), nil
	case "verify-cert":
		if !bytes.Contains(w.read(kept), []byte(hash)) {
			return nil, errors.New("not trusted")
		}
	}
	return nil, nil
}
