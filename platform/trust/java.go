package trust

import (
	"context"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// storePassword is what JDKs protect their public roots with.
const storePassword = "changeit"

// jdkHomes are where JDKs are found, besides JAVA_HOME and the java that PATH finds;
// those with a tilde are below the home.
var jdkHomes = [...]string{
	"/usr/lib/jvm/*", "/usr/lib64/jvm/*", "/usr/java/*", "/opt/java/*", "/opt/jdk*",
	"/Library/Java/JavaVirtualMachines/*/Contents/Home",
	"~/.sdkman/candidates/java/*", "~/.jdks/*", "~/.gradle/jdks/*", "~/.local/share/mise/installs/java/*", "~/.asdf/installs/java/*",
}

// madeOfSystem are where distributions keep a file for Java that they make
// of the system's roots: who trusts us there, trusts us here.
var madeOfSystem = [...]string{
	"/etc/ssl/certs/java/", "/etc/pki/ca-trust/extracted/", "/var/lib/ca-certificates/", "/etc/ca-certificates/extracted/", "/etc/pki/java/",
}

// A jdk is an installation of Java, by its home and its roots.
type jdk struct{ home, cacerts string }

// jdks finds those on this machine, each file with roots once.
func (m *Machine) jdks() []jdk {
	homes := []string{m.env("JAVA_HOME")}
	if java := m.program("java"); java != "" {
		homes = append(homes, filepath.Dir(filepath.Dir(m.real(java))))
	}
	for _, pattern := range jdkHomes {
		if rest, own := strings.CutPrefix(pattern, "~/"); own {
			if pattern = m.below(rest); pattern == "" {
				continue
			}
		}
		homes = append(homes, m.glob(pattern)...)
	}
	var found []jdk
	for _, home := range homes {
		if !filepath.IsAbs(home) {
			continue
		}
		for _, below := range []string{"lib/security/cacerts", "jre/lib/security/cacerts"} {
			file := m.file(filepath.Join(home, below))
			if file != "" && !slices.ContainsFunc(found, func(j jdk) bool { return j.cacerts == file }) {
				found = append(found, jdk{home, file})
			}
		}
	}
	return found
}

// fromSystem reports whether the JDK's roots are made of the system's.
func (j jdk) fromSystem() bool {
	return slices.ContainsFunc(madeOfSystem[:], func(dir string) bool { return strings.HasPrefix(j.cacerts, dir) })
}

// javaStores finds the JDKs with roots of their own, where the system or the person
// keeps such: root changes nothing in a directory that JAVA_HOME happens to name.
// Debian's common file is among them, for what is to be removed from it.
func (m *Machine) javaStores() []jdk {
	return slices.DeleteFunc(m.jdks(), func(j jdk) bool {
		switch {
		case j.ofDebian():
			return false
		case j.fromSystem():
			return true
		}
		return !m.owns(j.cacerts) && !ofSystem(j.cacerts)
	})
}

// ofDebian reports whether the roots are the file that Debian makes of the
// system's for all its JDKs. It adds what is new there, and forgets to remove what is
// gone.
func (j jdk) ofDebian() bool { return j.cacerts == "/etc/ssl/certs/java/cacerts" }

// alias is what our certificate is called there.
func (j *javaStore) alias() string {
	if j.ofDebian() {
		return "debian:" + Label(j.cert) + ".pem"
	}
	return Label(j.cert)
}

// ofSystem reports whether a path is where root alone installs.
func ofSystem(path string) bool {
	return slices.ContainsFunc([]string{"/usr/", "/opt/", "/Library/"}, func(dir string) bool { return strings.HasPrefix(path, dir) })
}

// A javaStore is the roots of one JDK.
type javaStore struct {
	*Machine
	cert *x509.Certificate
	jdk
}

func (j *javaStore) Kind() string { return Kinds[2] }

func (j *javaStore) Place() string {
	if j.ofDebian() {
		return j.cacerts + " (follows the system's)"
	}
	return j.cacerts
}

// Check reads the file by itself. Java is asked for what can't be read: the name
// that a certificate has in a PKCS#12 store.
func (j *javaStore) Check(ctx context.Context) (State, error) {
	roots, err := j.roots(j.jdk)
	if err != nil {
		return State{}, err
	}
	var state State
	nameless := false
	for _, r := range roots {
		if r.is(j.cert) {
			state.Trusted = true
			state.Ours = state.Ours || r.alias == j.alias()
			nameless = nameless || r.alias == ""
		}
	}
	if nameless {
		state.Ours = j.hasOurs(ctx)
	}
	return state, nil
}

// hasOurs asks whether there is the certificate by our name.
func (j *javaStore) hasOurs(ctx context.Context) bool {
	c, err := j.keytool("-exportcert", "-rfc", "-alias", j.alias())
	if err != nil {
		return false
	}
	out, err := j.Run(ctx, c)
	return err == nil && holds(out, j.cert)
}

// roots reads a JDK's roots.
func (m *Machine) roots(j jdk) ([]javaRoot, error) {
	roots, err := readKeystore(m.read(j.cacerts), storePassword)
	if err != nil {
		return nil, fmt.Errorf("read Java's roots in %s: %w", j.cacerts, err)
	}
	return roots, nil
}

// keytool returns a command of Java's own program. Root runs none of a person's.
func (j *javaStore) keytool(args ...string) (Command, error) {
	own := j.owns(j.cacerts)
	program := j.tool("keytool")
	if beside := filepath.Join(j.home, "bin/keytool"); (own || strings.HasPrefix(j.jdk.home, "/usr/") || program == "") && j.file(beside) != "" {
		program = beside
	}
	if program == "" {
		return Command{}, fmt.Errorf("keytool is missing beside %s: install a JRE", j.cacerts)
	}
	args = append([]string{program}, append(args, "-keystore", j.cacerts, "-storepass", storePassword)...)
	return Command{Args: args, Own: own}, nil
}

func (j *javaStore) Trust(ctx context.Context) ([]Step, error) {
	if j.ofDebian() {
		return nil, nil // it follows the system's
	}
	state, err := j.Check(ctx)
	if err != nil || state.Trusted {
		return nil, err
	}
	c, err := j.keytool("-importcert", "-noprompt", "-alias", j.alias())
	c.Stdin = encode(j.cert)
	return []Step{{Run: c}}, err
}

func (j *javaStore) Untrust(ctx context.Context) ([]Step, error) {
	state, err := j.Check(ctx)
	if err != nil || !state.Ours {
		return nil, err
	}
	c, err := j.keytool("-delete", "-alias", j.alias())
	return []Step{{Run: c}}, err
}
