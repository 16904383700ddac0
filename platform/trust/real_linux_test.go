package trust_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"transom/ca"
	"transom/internal/testnet"
	"transom/platform/trust"
)

// privateVariable is set in a process that may do with its file system what it likes.
const privateVariable = "TRANSOM_TEST_PRIVATE"

// namespaces are those in which we may mount.
func namespaces() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		Pdeathsig:   syscall.SIGKILL,
	}
}

// profile is Firefox's, below the home.
const profile = ".mozilla/firefox/test.default"

// newDatabase makes an empty NSS database.
func newDatabase(t *testing.T, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("certutil", "-N", "-d", "sql:"+dir, "--empty-password").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// privately runs a test in namespaces of its own, and reports whether this is there.
func privately(t *testing.T) bool {
	t.Helper()
	if os.Getenv(privateVariable) != "" {
		return true
	}
	testnet.Need(t, exec.Command("unshare", "-Urm", "true").Run() == nil, "user and mount namespaces")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), privateVariable+"=1")
	cmd.SysProcAttr = namespaces()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// changeable hides directories behind copies.
func changeable(t *testing.T, dirs ...string) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		keep := t.TempDir()
		if out, err := exec.Command("cp", "-a", "--no-preserve=ownership", dir+"/.", keep).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %v: %s", dir, err, out)
		}
		if err := unix.Mount(keep, dir, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDebian changes the roots of a real Debian, in copies of its directories.
func TestDebian(t *testing.T) {
	_, err := os.Stat("/etc/debian_version")
	testnet.Need(t, err == nil, "Debian")
	if !privately(t) {
		return
	}
	changeable(t, "/etc/ssl/certs", "/usr/local/share/ca-certificates", "/etc/ca-certificates/update.d")
	hooks, err := filepath.Glob("/etc/ca-certificates/update.d/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, hook := range hooks { // they change what is elsewhere
		if err := os.Remove(hook); err != nil {
			t.Fatal(err)
		}
	}
	a, err := ca.New(ca.Options{ECDSA: true})
	if err != nil {
		t.Fatal(err)
	}
	link := func() bool {
		hashed, err := a.Export(ca.Hashed)
		if err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat("/etc/ssl/certs/" + hashed.Name)
		return err == nil
	}
	before := listing(t, "/etc/ssl/certs")
	m := &trust.Machine{Run: trust.Runs(nil)}
	cycle(t, m, m.Stores(a.Root())[0], func() {
		if !link() {
			t.Error("OpenSSL's directory hasn't got it")
		}
	})
	if after := listing(t, "/etc/ssl/certs"); after != before || link() {
		t.Errorf("not as it was:\n%s\nwas\n%s", after, before)
	}
}

// TestNSS changes real databases.
func TestNSS(t *testing.T) {
	_, err := exec.LookPath("certutil")
	testnet.Need(t, err == nil, "certutil")
	home := t.TempDir()
	for _, dir := range []string{profile, ".pki/nssdb", ".mozilla/firefox/no profile"} {
		newDatabase(t, filepath.Join(home, dir))
	}
	a, err := ca.New(ca.Options{ECDSA: true})
	if err != nil {
		t.Fatal(err)
	}
	m := &trust.Machine{Home: home, Run: trust.Runs(nil)}
	found := 0
	for _, s := range m.Stores(a.Root()) {
		if s.Kind() == "nss" {
			found++
			cycle(t, m, s, func() {})
		}
	}
	if found != 3 {
		t.Errorf("%d databases found", found)
	}
}

// TestJava changes the roots of a JDK in a home.
func TestJava(t *testing.T) {
	keytool, err := exec.LookPath("keytool")
	testnet.Need(t, err == nil, "keytool")
	home := t.TempDir()
	jdk := filepath.Join(home, ".jdks/test")
	for _, dir := range []string{"bin", "lib/security"} {
		if err := os.MkdirAll(filepath.Join(jdk, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(keytool, filepath.Join(jdk, "bin/keytool")); err != nil {
		t.Fatal(err)
	}
	a, err := ca.New(ca.Options{ECDSA: true})
	if err != nil {
		t.Fatal(err)
	}
	other, err := ca.New(ca.Options{ECDSA: true})
	if err != nil {
		t.Fatal(err)
	}
	p12, err := other.Export(ca.PKCS12)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(jdk, "lib/security/cacerts"), p12.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	m := &trust.Machine{Home: home, Run: trust.Runs(nil)}
	for _, s := range m.Stores(a.Root()) {
		if strings.HasPrefix(s.Place(), home) {
			cycle(t, m, s, func() {})
			return
		}
	}
	t.Error("the JDK was not found")
}

// cycle has a store trust the certificate and not any more, each twice.
func cycle(t *testing.T, m *trust.Machine, s trust.Store, trusted func()) {
	t.Helper()
	expect := func(want trust.State) {
		t.Helper()
		if got, err := s.Check(t.Context()); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", s.Place(), got, err, want)
		}
	}
	do := func(steps []trust.Step, err error) int {
		t.Helper()
		if err == nil {
			err = m.Do(t.Context(), steps)
		}
		if err != nil {
			t.Fatalf("%s: %v", s.Place(), err)
		}
		return len(steps)
	}
	expect(trust.State{})
	if do(s.Untrust(t.Context())) != 0 {
		t.Errorf("%s: there is something to remove", s.Place())
	}
	do(s.Trust(t.Context()))
	expect(trust.State{Trusted: true, Ours: true})
	trusted()
	if do(s.Trust(t.Context())) != 0 {
		t.Errorf("%s: there is something to do again", s.Place())
	}
	do(s.Untrust(t.Context()))
	expect(trust.State{})
	if do(s.Untrust(t.Context())) != 0 {
		t.Errorf("%s: there is something to remove again", s.Place())
	}
}

// listing is the names in a directory.
func listing(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, "\n")
}
