package trust

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// A family is how a distribution keeps the system's roots: administrators put
// files into a directory, and a program makes of them what programs read.
type family struct {
	name    string
	anchors string // the directory
	ext     string // what its files are called
	program string // what makes the rest
	args    []string
	bundle  string // one of the files it makes: all roots in PEM form
}

// families are in the order in which they are looked for: SUSE's program has
// Debian's name. A family is that of the machine if it has program and anchors.
var families = [...]family{
	{"Arch", "/etc/ca-certificates/trust-source/anchors", ".crt", "update-ca-trust", nil, "/etc/ca-certificates/extracted/tls-ca-bundle.pem"},
	{"Fedora and RHEL", "/etc/pki/ca-trust/source/anchors", ".crt", "update-ca-trust", []string{"extract"}, "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"},
	{"SUSE", "/etc/pki/trust/anchors", ".crt", "update-ca-certificates", nil, "/var/lib/ca-certificates/ca-bundle.pem"},
	{"Debian and Alpine", "/usr/local/share/ca-certificates", ".crt", "update-ca-certificates", nil, "/etc/ssl/certs/ca-certificates.crt"},
}

// system finds the store of the machine's distribution.
func (m *Machine) system(cert *x509.Certificate) Store {
	for _, f := range families {
		program := m.tool(f.program)
		if program == "" || m.dir(f.anchors) == "" {
			continue
		}
		return &systemStore{m, cert, f, program}
	}
	if program := m.tool("trust"); program != "" {
		return &p11kit{m, cert, program}
	}
	return noSystem{}
}

// A systemStore is the system's roots, kept as one of the families does.
type systemStore struct {
	*Machine
	cert *x509.Certificate
	family
	update string
}

func (s *systemStore) Kind() string  { return Kinds[0] }
func (s *systemStore) Place() string { return s.anchors }

// anchor is the file that is ours.
func (s *systemStore) anchor() string {
	return filepath.Join(s.anchors, Label(s.cert)+s.ext)
}

func (s *systemStore) Check(context.Context) (State, error) {
	bundle := s.read(s.bundle)
	if bundle == nil {
		return State{}, fmt.Errorf("can't read %s: run %s, or install the package ca-certificates", s.bundle, s.family.program)
	}
	return State{Trusted: holds(bundle, s.cert), Ours: holds(s.read(s.anchor()), s.cert)}, nil
}

func (s *systemStore) Trust(ctx context.Context) ([]Step, error) {
	// Where there is no bundle yet the program makes it.
	if state, err := s.Check(ctx); err == nil && state.Trusted {
		return nil, nil
	}
	return []Step{{Write: s.anchor(), Data: encode(s.cert)}, s.updating()}, nil
}

func (s *systemStore) Untrust(context.Context) ([]Step, error) {
	if !holds(s.read(s.anchor()), s.cert) {
		return nil, nil
	}
	steps := []Step{{Remove: s.anchor()}}
	links := s.links()
	for _, link := range links {
		steps = append(steps, Step{Remove: link})
	}
	steps = append(steps, s.updating())
	if openssl := s.tool("openssl"); len(links) > 0 && openssl != "" {
		steps = append(steps, Step{Run: Command{Args: []string{openssl, "rehash", certsDir}}})
	}
	return steps, nil
}

// certsDir is where OpenSSL looks on Debian.
const certsDir = "/etc/ssl/certs"

// links are those that Debian's program makes to our file and does not remove with
// it: one by its name, and one by the hash of its subject to that. If another of that
// hash is left, it has to move up.
func (s *systemStore) links() []string {
	name := Label(s.cert) + ".pem"
	if s.real(filepath.Join(certsDir, name)) != s.anchor() {
		return nil
	}
	links := []string{filepath.Join(certsDir, name)}
	for _, link := range s.glob(certsDir + "/*.[0-9]") {
		if to, err := os.Readlink(s.at(link)); err == nil && to == name {
			links = append(links, link)
		}
	}
	return links
}

// Stale lists the files by which this machine's system trusts other authorities of
// transom's than cert.
func (m *Machine) Stale(cert *x509.Certificate) []string {
	s, ok := m.system(cert).(*systemStore)
	if !ok {
		return nil
	}
	return slices.DeleteFunc(s.glob(s.anchors+"/transom-*"+s.ext), func(path string) bool { return path == s.anchor() })
}

func (s *systemStore) updating() Step {
	return Step{Run: Command{Args: append([]string{s.update}, s.args...)}}
}

// A p11kit is the system's roots where no family is known and p11-kit's own
// program can add to them.
type p11kit struct {
	*Machine
	cert    *x509.Certificate
	program string
}

func (p *p11kit) Kind() string  { return Kinds[0] }
func (p *p11kit) Place() string { return "p11-kit (trust anchor)" }

// Check asks for the anchors. It can't say who put them there; what trust anchor
// removes is the certificate, whoever did.
func (p *p11kit) Check(ctx context.Context) (State, error) {
	// What it extracts it renames to its target, which can't be a pipe.
	out, err := p.Run(ctx, Command{Args: []string{p.program, "dump", "--filter=ca-anchors"}, Own: true})
	if err != nil {
		return State{}, err
	}
	return State{Trusted: holds(out, p.cert), Ours: holds(p.read(p.kept()), p.cert)}, nil
}

// kept is a copy of what was added, by which it is removed again.
func (p *p11kit) kept() string { return "/etc/transom/" + Label(p.cert) + ".crt" }

func (p *p11kit) Trust(ctx context.Context) ([]Step, error) {
	state, err := p.Check(ctx)
	if err != nil || state.Trusted {
		return nil, err
	}
	return []Step{
		{Write: p.kept(), Data: encode(p.cert)},
		{Run: Command{Args: []string{p.program, "anchor", "--store", p.kept()}}},
	}, nil
}

func (p *p11kit) Untrust(ctx context.Context) ([]Step, error) {
	if !holds(p.read(p.kept()), p.cert) {
		return nil, nil
	}
	return []Step{
		{Run: Command{Args: []string{p.program, "anchor", "--remove", p.kept()}}},
		{Remove: p.kept()},
	}, nil
}

// errNoSystem is what there is to say of a system that keeps roots in a way that is
// not known here.
var errNoSystem = errors.New("no update-ca-certificates, update-ca-trust or trust here: install the package ca-certificates; " +
	"on NixOS name the certificate in security.pki.certificateFiles")

// A noSystem stands for the system's store where none is known.
type noSystem struct{}

func (noSystem) Kind() string                            { return Kinds[0] }
func (noSystem) Place() string                           { return "the system's roots" }
func (noSystem) Check(context.Context) (State, error)    { return State{}, errNoSystem }
func (noSystem) Trust(context.Context) ([]Step, error)   { return nil, errNoSystem }
func (noSystem) Untrust(context.Context) ([]Step, error) { return nil, nil }
