package trust_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"transom/ca"
	"transom/internal/testnet"
	"transom/platform/trust"
)

// A site is an HTTPS server on loopback whose certificate is signed by an authority
// that nobody knows.
type site struct {
	authority *ca.Authority
	url       string

	mu      sync.Mutex
	seen    map[string]bool // paths that were asked for
	refused func()          // called when a client doesn't trust the server
}

// newSite serves until the test ends.
func newSite(t *testing.T) *site {
	t.Helper()
	a, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := &site{authority: a, url: "https://localhost:" + port, seen: map[string]bool{}, refused: func() {}}
	server := &http.Server{
		Handler: s,
		TLSConfig: &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return a.Issue(context.WithoutCancel(h.Context()), ca.Leaf{Name: "localhost"})
		}},
		ErrorLog: log.New(s, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ServeTLS(l, "", "") // until it is closed
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return s
}

// ServeHTTP welcomes everybody; who asks for a repository gets an empty one.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.seen[r.URL.Path] = true
	s.mu.Unlock()
	if strings.HasSuffix(r.URL.Path, "/info/refs") {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		fmt.Fprint(w, "001e# service=git-upload-pack\n00000000")
		return
	}
	fmt.Fprintln(w, "<!doctype html><p>welcome")
}

// Write takes a line of the server's log, which is about one client.
func (s *site) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte("remote error: tls: ")) {
		s.mu.Lock()
		refused := s.refused
		s.mu.Unlock()
		refused()
	}
	return len(line), nil
}

// whenRefused has f called from now on when a client doesn't trust the server.
func (s *site) whenRefused(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = f
}

// saw reports whether a path was asked for since it was last asked about.
func (s *site) saw(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen[path]
	delete(s.seen, path)
	return seen
}

// A visitor is a program that fetches a page, and fails if it doesn't trust the
// server. URL is its page's, HOME its home and SELF this test's program.
type visitor struct {
	name  string
	needs []string
	args  []string
}

const (
	fetchPython   = "import sys,urllib.request;urllib.request.urlopen(sys.argv[1]).read()"
	fetchRequests = "import sys,requests;requests.get(sys.argv[1])"
	fetchNode     = "require('https').get(process.argv[1],r=>r.resume()).on('error',()=>process.exit(1))"
	fetchFetch    = "fetch(process.argv[1]).catch(()=>process.exit(1))"
	fetchRuby     = "require 'net/http';Net::HTTP.get(URI(ARGV[0]))"
	fetchPHP      = "exit(file_get_contents($argv[1])===false?1:0);"
	fetchJava     = "class Fetch{public static void main(String[] a)throws Exception{new java.net.URL(a[0]).openStream().read();}}"
)

var visitors = []visitor{
	{"curl", []string{"curl"}, []string{"curl", "-sSf", "-o", "/dev/null", "URL"}},
	{"wget", []string{"wget"}, []string{"wget", "-q", "-t", "1", "-O", "/dev/null", "URL"}},
	{"git", []string{"git"}, []string{"git", "ls-remote", "URL"}},
	{"openssl", []string{"openssl"}, []string{"sh", "-c", `exec openssl s_client -connect "${0#https://}" -verify_return_error -brief </dev/null`, "HOST"}},
	{"python-urllib", []string{"/usr/bin/python3"}, []string{"/usr/bin/python3", "-c", fetchPython, "URL"}},
	{"python-requests", []string{"/usr/bin/python3"}, []string{"/usr/bin/python3", "-c", fetchRequests, "URL"}},
	{"python-certifi", []string{"/usr/bin/python3"}, []string{"VENV/bin/python", "-c", fetchRequests, "URL"}},
	{"node-https", []string{"node"}, []string{"node", "-e", fetchNode, "URL"}},
	{"node-fetch", []string{"node"}, []string{"node", "-e", fetchFetch, "URL"}},
	{"ruby", []string{"ruby"}, []string{"ruby", "-e", fetchRuby, "URL"}},
	{"php", []string{"php"}, []string{"php", "-r", fetchPHP, "URL"}},
	{"java", []string{"java", "javac"}, []string{"java", "HOME/Fetch.java", "URL"}},
	{"go", nil, []string{"SELF"}},
	{"chromium", []string{"chromium"}, []string{
		"chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--user-data-dir=HOME/chromium", "--timeout=120000", "--dump-dom", "URL",
	}},
	{"firefox", []string{"firefox-esr", "certutil"}, []string{"firefox-esr", "--headless", "--profile", "HOME/" + profile, "--screenshot", "HOME/page.png", "URL"}},
}

// TestPrograms has real programs visit a server, with what Inside says and
// without. By which half of it they come to trust is logged.
func TestPrograms(t *testing.T) {
	testnet.Need(t, exec.Command("unshare", "-Urm", "true").Run() == nil, "user and mount namespaces")
	s := newSite(t)
	for _, v := range visitors {
		t.Run(v.name, func(t *testing.T) {
			for _, need := range v.needs {
				_, err := exec.LookPath(need)
				testnet.Need(t, err == nil, need)
			}
			got := map[string]bool{}
			for _, by := range []string{"nothing", "files", "variables", "both"} {
				got[by] = s.visited(t, v, by)
			}
			t.Logf("trusts by %v", got)
			if got["nothing"] {
				t.Error("it trusts the server without us: this test shows nothing")
			}
			if !got["both"] {
				t.Error("it doesn't trust the server")
			}
		})
	}
}

// newHome is a home with what the visitors find there.
func newHome(t *testing.T, v visitor) string {
	t.Helper()
	home := t.TempDir()
	if v.name == "firefox" {
		newDatabase(t, filepath.Join(home, profile))
	}
	if err := os.WriteFile(filepath.Join(home, "Fetch.java"), []byte(fetchJava), 0o600); err != nil {
		t.Fatal(err)
	}
	if v.name == "python-certifi" {
		venv(t, filepath.Join(home, "venv"))
	}
	return home
}

// venv makes an environment of Python's with a certifi that has a bundle of its own,
// as one from PyPI has. Debian's asks for the system's.
func venv(t *testing.T, dir string) {
	t.Helper()
	out, err := exec.Command("/usr/bin/python3", "-m", "venv", "--without-pip", "--system-site-packages", dir).CombinedOutput()
	testnet.Need(t, err == nil, "python3-venv: "+string(out))
	sites, err := filepath.Glob(filepath.Join(dir, "lib/python*/site-packages"))
	if err != nil || len(sites) == 0 {
		t.Fatalf("no site-packages in %s: %v", dir, err)
	}
	certifi := filepath.Join(sites[0], "certifi")
	a, err := ca.New(ca.Options{ECDSA: true})
	if err != nil {
		t.Fatal(err)
	}
	pem, err := a.Export(ca.PEM)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(certifi, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"cacert.pem":  pem.Data,
		"__init__.py": []byte("import os\n__version__ = '0'\ndef where(): return os.path.join(os.path.dirname(__file__), 'cacert.pem')\n"),
	} {
		if err := os.WriteFile(filepath.Join(certifi, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// visited has the visitor fetch a page of its own with a part of what Inside says, and
// reports whether it did.
func (s *site) visited(t *testing.T, v visitor, by string) bool {
	t.Helper()
	home := newHome(t, v)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	page := "/" + v.name
	words := strings.NewReplacer("URL", s.url+page, "HOST", s.url, "HOME", home, "VENV", filepath.Join(home, "venv"), "SELF", self)
	var args []string
	for _, a := range v.args {
		args = append(args, words.Replace(a))
	}
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "LC_ALL=C", "VIRTUAL_ENV=" + filepath.Join(home, "venv"), fetchVariable + "=" + s.url + page}
	cmd := inside(t, s.overlay(t, home, env, by), env, args...)
	var out testnet.Log
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if v.name == "firefox" { // it would show why, and wait for somebody to look
		s.whenRefused(func() { _ = cmd.Process.Kill() })
		defer s.whenRefused(func() {})
	}
	err = cmd.Wait()
	s.unharmed(t, home)
	if v.name == "openssl" { // it fetches nothing
		return err == nil
	}
	if seen := s.saw(page) || s.saw(page+"/info/refs"); !seen {
		t.Logf("by %s: %v: %.300s", by, err, out.String())
		return false
	}
	return true
}

// overlay is a part of what Inside says.
func (s *site) overlay(t *testing.T, home string, env []string, by string) trust.Overlay {
	t.Helper()
	m := &trust.Machine{Home: home, Env: func(name string) string {
		for _, e := range env {
			if value, ok := strings.CutPrefix(e, name+"="); ok {
				return value
			}
		}
		return ""
	}}
	if by == "variables" {
		m.Root = t.TempDir() // a machine without files: the variables are all that is left
	}
	o, err := trust.Inside(m, s.authority.Root(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	switch by {
	case "nothing":
		return trust.Overlay{}
	case "database":
		newDatabase(t, filepath.Join(home, ".pki/nssdb"))
		m.Run = trust.Runs(nil)
		o = trust.Overlay{}
		if err := o.Databases(t.Context(), m, s.authority.Root(), t.TempDir()); err != nil {
			t.Fatal(err)
		}
	case "files":
		o.Env = nil
	}
	return o
}

// unharmed checks that the profile that Firefox was started with trusts nobody more
// than before.
func (s *site) unharmed(t *testing.T, home string) {
	t.Helper()
	db, err := os.ReadFile(filepath.Join(home, profile, "cert9.db"))
	if err == nil && bytes.Contains(db, s.authority.Root().Raw) {
		t.Error("the certificate stays in Firefox's profile")
	}
}

// TestChromiumByDatabase has Chromium trust us by its database alone: where a policy
// is not read, as by Electron.
func TestChromiumByDatabase(t *testing.T) {
	testnet.Need(t, exec.Command("unshare", "-Urm", "true").Run() == nil, "user and mount namespaces")
	for _, need := range []string{"chromium", "certutil"} {
		_, err := exec.LookPath(need)
		testnet.Need(t, err == nil, need)
	}
	s := newSite(t)
	at := slices.IndexFunc(visitors, func(v visitor) bool { return v.name == "chromium" })
	if !s.visited(t, visitors[at], "database") {
		t.Error("it doesn't trust the server")
	}
}

// TestDatabases lays over a common database a copy that has the certificate, and over
// a profile none.
func TestDatabases(t *testing.T) {
	_, err := exec.LookPath("certutil")
	testnet.Need(t, err == nil, "certutil")
	home := t.TempDir()
	newDatabase(t, filepath.Join(home, profile))
	newDatabase(t, filepath.Join(home, ".pki/nssdb"))
	busy := filepath.Join(home, "snap/chromium/current/.pki/nssdb")
	newDatabase(t, busy)
	if err := os.WriteFile(filepath.Join(busy, "cert9.db-journal"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := ca.New(ca.Options{ECDSA: true})
	if err != nil {
		t.Fatal(err)
	}
	m := &trust.Machine{Home: home, Run: trust.Runs(nil)}
	db := filepath.Join(home, ".pki/nssdb/cert9.db")
	o := trust.Overlay{Files: []trust.File{{Path: "/a"}, {Path: db}, {Path: "/z"}}}
	if err := o.Databases(t.Context(), m, a.Root(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if len(o.Missed) != 1 || !strings.Contains(o.Missed[0], busy) {
		t.Errorf("missed are %q", o.Missed)
	}
	var paths []string
	for _, f := range o.Files {
		paths = append(paths, f.Path)
	}
	if want := []string{"/a", db, filepath.Join(home, ".pki/nssdb/key4.db"), "/z"}; !slices.Equal(paths, want) {
		t.Fatalf("files are %q, want %q", paths, want)
	}
	real, err := os.ReadFile(db)
	if err != nil || bytes.Contains(real, a.Root().Raw) || !bytes.Contains(o.Files[1].Data, a.Root().Raw) || !o.Files[1].Private || o.Files[1].New {
		t.Error("the person's has it, or the copy hasn't")
	}
}
