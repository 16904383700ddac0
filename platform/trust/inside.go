package trust

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"transom/ca"
)

// An Overlay is what makes programs trust a certificate without a change of the
// machine: it holds for those that see these files and have these variables.
type Overlay struct {
	// Env are variables to set, as NAME=value, sorted.
	Env []string
	// Files are laid over the machine's, sorted by path. Paths have no
	// symbolic link in them. One that is there is hidden by ours; one that
	// isn't has to be made to appear, with its directories, below Dir or below
	// the nearest directory that there is.
	Files []File
	// Missed says what will not trust us, and why, for a person.
	Missed []string
}

// A File is one file of an Overlay. It belongs to the person. Who changes it inside
// changes what lies over the machine's file.
type File struct {
	Path    string
	Data    []byte
	Private bool // for the person alone: mode 0600, else 0644
	New     bool // the machine has no such file
}

// bundles are where programs look for all roots in one file, in the order in which one
// is chosen for the variables.
var bundles = [...]string{
	"/etc/ssl/certs/ca-certificates.crt", // Debian, Alpine, Arch, Gentoo, NixOS
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/pki/tls/certs/ca-bundle.crt", // Fedora, RHEL
	"/etc/pki/tls/cert.pem",
	"/etc/pki/ca-trust/extracted/openssl/ca-bundle.trust.crt",
	"/etc/ssl/ca-bundle.pem", // SUSE
	"/var/lib/ca-certificates/ca-bundle.pem",
	"/etc/ca-certificates/extracted/tls-ca-bundle.pem", // Arch
	"/etc/ssl/certs/ca-bundle.crt",
	"/etc/ssl/cert.pem", // Alpine, and OpenSSL's own default on Debian
	"/usr/lib/ssl/cert.pem",
	"/usr/local/ssl/cert.pem",
	"/usr/local/etc/openssl/cert.pem",
	"/usr/local/share/certs/ca-root-nss.crt",
	"/opt/homebrew/etc/openssl@3/cert.pem",
	"/home/linuxbrew/.linuxbrew/etc/openssl@3/cert.pem",
	"/home/linuxbrew/.linuxbrew/etc/ca-certificates/cert.pem",
}

// hashed are directories in which OpenSSL finds a root by a hash of its name.
var hashed = [...]string{
	"/etc/ssl/certs",
	"/etc/pki/tls/certs",
	"/etc/pki/ca-trust/extracted/pem/directory-hash",
	"/var/lib/ca-certificates/openssl",
	"/var/lib/ca-certificates/pem",
	"/etc/ca-certificates/extracted/cadir",
	"/usr/local/ssl/certs",
}

// anchors are directories that p11-kit reads by itself, for GnuTLS and NSS of those
// distributions.
var anchors = [...]string{
	"/etc/pki/ca-trust/source/anchors",
	"/etc/pki/trust/anchors",
	"/etc/ca-certificates/trust-source/anchors",
}

// Inside says what makes programs trust cert that are started with its variables
// and see its files. It reads, and does no more; what it finds decides, so that the same
// machine yields the same. dir is where files go that have no place of their own: a
// directory that the programs see, and nobody else has.
func Inside(m *Machine, cert *x509.Certificate, dir string) (Overlay, error) {
	hash, err := ca.SubjectHash(cert)
	if err != nil {
		return Overlay{}, err
	}
	o := &overlay{Machine: m, cert: cert, dir: dir, hash: hash, files: map[string]File{}, env: map[string]string{}}
	o.make(o.ours(), encode(cert))
	o.system()
	o.pythons()
	o.javas()
	o.browsers()
	o.variables()
	return o.done(), nil
}

// An overlay is an Overlay while it is put together.
type overlay struct {
	*Machine
	cert   *x509.Certificate
	dir    string
	hash   string
	files  map[string]File
	env    map[string]string
	missed []string
}

// ours is the file with our certificate alone.
func (o *overlay) ours() string { return filepath.Join(o.dir, "transom-ca.pem") }

func (o *overlay) miss(format string, a ...any) {
	o.missed = append(o.missed, fmt.Sprintf(format, a...))
}

// make has a file that the machine lacks.
func (o *overlay) make(path string, data []byte) {
	o.files[path] = File{Path: path, Data: data, New: true}
}

// bundle lays a bundle with ours over the one at path, and reports whether there is
// one, or was before.
func (o *overlay) bundle(path string) bool {
	real := o.file(path)
	if real == "" {
		return false
	}
	if _, done := o.files[real]; done {
		return true
	}
	data := o.read(real)
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		return false
	}
	if !holds(data, o.cert) {
		o.files[real] = File{Path: real, Data: with(data, o.cert)}
	}
	return true
}

// with returns a bundle with cert at its end, in memory of its own.
func with(bundle []byte, cert *x509.Certificate) []byte {
	if holds(bundle, cert) {
		return bytes.Clone(bundle)
	}
	out := make([]byte, 0, len(bundle)+4096)
	out = append(out, bundle...)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	return append(out, encode(cert)...)
}

// directory adds ours to a directory of OpenSSL's, after those with the same name.
func (o *overlay) directory(path string) bool {
	dir := o.Machine.dir(path)
	if dir == "" || len(o.glob(filepath.Join(dir, "*.0"))) == 0 {
		return false
	}
	for n := range 100 {
		name := filepath.Join(dir, fmt.Sprintf("%s.%d", o.hash, n))
		switch there := o.read(name); {
		case there == nil && o.real(name) == "":
			o.make(name, encode(o.cert))
			return true
		case holds(there, o.cert):
			return true
		}
	}
	return false
}

// system covers what the system's libraries read.
func (o *overlay) system() {
	for _, path := range bundles {
		o.bundle(path)
	}
	for _, path := range hashed {
		o.directory(path)
	}
	for _, path := range anchors {
		if dir := o.Machine.dir(path); dir != "" {
			o.make(filepath.Join(dir, Label(o.cert)+".crt"), encode(o.cert))
		}
	}
}

// javas lays a trust store over each JDK's, the system's among them.
func (o *overlay) javas() {
	for _, j := range o.jdks() {
		o.keystore(j.cacerts, storePassword)
	}
	for _, options := range []string{"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "MAVEN_OPTS", "GRADLE_OPTS"} {
		path, password := "", storePassword
		for _, word := range strings.Fields(o.Machine.env(options)) {
			word = strings.Trim(word, `"'`)
			if value, ok := strings.CutPrefix(word, "-Djavax.net.ssl.trustStore="); ok {
				path = value
			}
			if value, ok := strings.CutPrefix(word, "-Djavax.net.ssl.trustStorePassword="); ok {
				password = value
			}
		}
		if path != "" {
			o.keystore(path, password)
		}
	}
}

// keystore lays a trust store with ours over the one at path.
func (o *overlay) keystore(path, password string) {
	real := o.file(path)
	if real == "" {
		return
	}
	if _, done := o.files[real]; done {
		return
	}
	roots, err := readKeystore(o.read(real), password)
	if err != nil {
		o.miss("Java with %s: %v", path, err)
		return
	}
	if slices.ContainsFunc(roots, func(r javaRoot) bool { return r.is(o.cert) }) {
		return
	}
	o.files[real] = File{Path: real, Data: writeJKS(append(roots, javaRoot{Label(o.cert), o.cert}), password)}
}

// done returns what was put together, in order.
func (o *overlay) done() Overlay {
	var out Overlay
	for _, name := range slices.Sorted(maps.Keys(o.env)) {
		out.Env = append(out.Env, name+"="+o.env[name])
	}
	for _, path := range slices.Sorted(maps.Keys(o.files)) {
		out.Files = append(out.Files, o.files[path])
	}
	out.Missed = o.missed
	return out
}
