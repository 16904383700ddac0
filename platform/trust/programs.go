package trust

import (
	"context"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// A Program is one of this machine's, or what some of them have in common, and
// whether it trusts the certificate.
type Program struct {
	Name   string
	Path   string
	Trusts bool
	By     string // what it goes by
	Mend   string // if it doesn't: the command, or the variable, that makes it
}

// A survey asks about programs. It asks each store once.
type survey struct {
	*Machine
	ctx    context.Context
	cert   *x509.Certificate
	named  string // where the certificate is, for variables to name
	bundle string // the system's roots in one file, "" if there is none
	system Program
	list   []Program
}

// Programs looks for programs that the person can start, and says of each whether
// it trusts cert: by what it goes by, not by starting it. file is where the
// certificate is for the person to name.
func (m *Machine) Programs(ctx context.Context, cert *x509.Certificate, file string) []Program {
	s := &survey{Machine: m, ctx: ctx, cert: cert, named: file}
	stores := m.Stores(cert)
	s.system = s.of(stores[0], "sudo transom ca trust --store "+stores[0].Kind())
	if system, ok := stores[0].(*systemStore); ok {
		s.bundle = system.bundle
	}
	s.bundled()
	s.pythons()
	s.node()
	s.javas()
	for _, f := range firefoxes {
		s.browser(f.program, profiles[:], nil)
	}
	for _, c := range chromiums {
		s.browser(c.program, shared[:], []string{c.policies})
	}
	return s.list
}

// of is what programs make of a store that they go by.
func (s *survey) of(store Store, mend string) Program {
	state, err := store.Check(s.ctx)
	switch {
	case err != nil:
		return Program{By: err.Error(), Mend: mend}
	case state.Trusted:
		return Program{Trusts: true, By: s.bundleName(store)}
	}
	return Program{By: s.bundleName(store), Mend: mend}
}

func (s *survey) bundleName(store Store) string {
	if system, ok := store.(*systemStore); ok {
		return system.bundle
	}
	return store.Place()
}

// add lists a program, if there is one by that name, and it isn't another's.
func (s *survey) add(name string, p Program) {
	p.Path = s.program(name)
	if p.Path == "" || slices.ContainsFunc(s.list, func(q Program) bool { return s.real(q.Path) == s.real(p.Path) && q.By == p.By }) {
		return
	}
	if p.Name == "" {
		p.Name = name
	}
	s.list = append(s.list, p)
}

// asking are programs that go by the system's roots, unless one of these variables
// names another file.
var asking = [...]struct {
	name      string
	variables []string
}{
	{"curl", []string{"CURL_CA_BUNDLE", "SSL_CERT_FILE"}},
	{"wget", nil},
	{"git", []string{"GIT_SSL_CAINFO"}},
	{"openssl", []string{"SSL_CERT_FILE"}},
	{"go", []string{"SSL_CERT_FILE"}},
	{"ruby", []string{"SSL_CERT_FILE"}},
	{"php", []string{"SSL_CERT_FILE"}},
	{"python3", []string{"SSL_CERT_FILE"}},
}

func (s *survey) bundled() {
	for _, a := range asking {
		s.add(a.name, s.by(s.system, a.variables...))
	}
}

// by is what a program makes of the first of the variables that is set, or else of
// what it would go by without.
func (s *survey) by(otherwise Program, variables ...string) Program {
	for _, name := range variables {
		value := s.env(name)
		if value == "" {
			continue
		}
		p := Program{Trusts: s.inFile(value), By: name + "=" + value}
		switch {
		case p.Trusts:
		case s.file(value) != "" && s.file(value) == s.file(s.bundle):
			p.Mend = s.system.Mend
		default:
			p.Mend = "transom ca export >> " + quote([]string{value})
		}
		return p
	}
	return otherwise
}

// inFile reports whether a file or directory of certificates has ours.
func (s *survey) inFile(path string) bool {
	if s.dir(path) == "" {
		return holds(s.read(path), s.cert)
	}
	for _, name := range s.glob(filepath.Join(path, "*.[0-9]")) {
		if holds(s.read(name), s.cert) {
			return true
		}
	}
	return false
}

// pythons lists what packages of the Python in use go by.
func (s *survey) pythons() {
	for _, path := range s.pythonFiles() {
		p := Program{Trusts: s.inFile(path), By: path}
		at := slices.IndexFunc(pythonBundles[:], func(b pythonBundle) bool { return strings.HasSuffix(path, "/"+b.path) })
		if at < 0 || strings.Contains(path, "google-cloud-sdk/") {
			continue
		}
		bundle := pythonBundles[at]
		if !p.Trusts {
			p.Mend = s.naming(bundle.variable)
		}
		p = s.by(p, bundle.variable)
		p.Name = bundle.name
		s.add("python3", p)
	}
}

// naming is the command that has a variable name a file with all roots.
func (s *survey) naming(variable string) string {
	switch set := "export " + variable + "=" + s.bundle; {
	case s.bundle == "":
		return "transom ca export >> the file"
	case !s.system.Trusts:
		return s.system.Mend + " && " + set
	default:
		return set
	}
}

func (s *survey) node() {
	p := Program{By: "its own roots", Mend: "export NODE_EXTRA_CA_CERTS=" + quote([]string{s.named})}
	options := s.env("NODE_OPTIONS")
	switch {
	case s.env("NODE_EXTRA_CA_CERTS") != "" && s.inFile(s.env("NODE_EXTRA_CA_CERTS")):
		p = Program{Trusts: true, By: "NODE_EXTRA_CA_CERTS=" + s.env("NODE_EXTRA_CA_CERTS")}
	case strings.Contains(options, "--use-openssl-ca"):
		p = s.by(s.system, "SSL_CERT_FILE")
	case strings.Contains(options, "--use-system-ca") && s.system.Trusts:
		p = s.system
	}
	s.add("node", p)
}

func (s *survey) javas() {
	for _, j := range s.jdks() {
		store := &javaStore{s.Machine, s.cert, j}
		mend := "sudo transom ca trust --store java"
		switch {
		case j.fromSystem():
			mend = s.system.Mend
		case s.owns(j.cacerts):
			mend = "transom ca trust --store java"
		}
		roots, err := s.roots(j)
		p := Program{Name: "java", Path: j.home, By: j.cacerts, Mend: mend}
		if err != nil {
			p.By = err.Error()
		}
		for _, r := range roots {
			if r.is(store.cert) {
				p.Trusts, p.Mend = true, ""
			}
		}
		s.list = append(s.list, p)
	}
}

// browser lists the browser of a name: it trusts us if a policy of the
// administrator's says so, or the database of each of its profiles.
func (s *survey) browser(name string, patterns, policies []string) {
	p := Program{By: "no NSS database yet", Mend: "start it once, then: transom ca trust --store nss"}
	dirs := s.found(patterns)
	switch {
	case slices.ContainsFunc(policies, s.policy):
		p = Program{Trusts: true, By: "a policy in " + policies[0]}
	case s.p11kitNSS():
		p = s.system
	case len(dirs) > 0:
		for _, dir := range dirs {
			if p = s.of(&database{s.Machine, s.cert, dir}, "transom ca trust --store nss"); !p.Trusts {
				break
			}
		}
	}
	s.add(name, p)
}

// policy reports whether a policy of Chromium's names the certificate.
func (s *survey) policy(dir string) bool {
	ours := base64DER(s.cert)
	for _, path := range s.glob(filepath.Join(dir, "*.json")) {
		if strings.Contains(string(s.read(path)), fmt.Sprintf("%q", ours)) {
			return true
		}
	}
	return false
}

// nssRoots is where NSS has its own roots, or a link to p11-kit's module, which
// has the system's.
var nssRoots = [...]string{"/usr/lib64/libnssckbi.so", "/usr/lib/libnssckbi.so", "/usr/lib/x86_64-linux-gnu/nss/libnssckbi.so", "/usr/lib/x86_64-linux-gnu/libnssckbi.so"}

// p11kitNSS reports whether NSS asks the system, as on Fedora and Arch.
func (s *survey) p11kitNSS() bool {
	return slices.ContainsFunc(nssRoots[:], func(path string) bool { return filepath.Base(s.real(path)) == "p11-kit-trust.so" })
}
