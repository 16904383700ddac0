package trust

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// profiles are where browsers keep a database for each profile, below the home:
// Firefox and those made of it, as packages, snaps and flatpaks.
var profiles = [...]string{
	".mozilla/firefox/*",
	".config/mozilla/firefox/*",
	"snap/firefox/common/.mozilla/firefox/*",
	".var/app/org.mozilla.firefox/.mozilla/firefox/*",
	".var/app/org.mozilla.firefox/config/mozilla/firefox/*",
	".librewolf/*",
	".var/app/io.gitlab.librewolf-community/.librewolf/*",
	".thunderbird/*",
	"snap/thunderbird/common/.thunderbird/*",
	".var/app/org.mozilla.Thunderbird/.thunderbird/*",
	"Library/Application Support/Firefox/Profiles/*",
}

// shared are the databases that Chromium, those made of it, and Electron use. The
// second is that of Chromium 146 and newer, where the first is not there.
var shared = [...]string{
	".pki/nssdb",
	".local/share/pki/nssdb",
	"snap/*/current/.pki/nssdb",
	"snap/*/current/.local/share/pki/nssdb",
	".var/app/*/.pki/nssdb",
	".var/app/*/data/pki/nssdb",
}

// databases finds the person's NSS databases.
func (m *Machine) databases() []string { return append(m.found(profiles[:]), m.found(shared[:])...) }

// found returns the directories with a database that match patterns below the home,
// each once.
func (m *Machine) found(patterns []string) []string {
	var dirs []string
	if m.Home == "" {
		return nil
	}
	for _, pattern := range patterns {
		for _, file := range m.glob(filepath.Join(m.below(pattern), "cert9.db")) {
			if dir := filepath.Dir(m.file(file)); dir != "." && !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
}

// A database is one NSS database. It is the person's: certutil works on it as they,
// whoever we are.
type database struct {
	*Machine
	cert *x509.Certificate
	dir  string
}

func (d *database) Kind() string  { return Kinds[3] }
func (d *database) Place() string { return d.dir }

// certutil returns a command of NSS's own program.
func (d *database) certutil(args ...string) (Command, error) {
	program := d.program("certutil")
	if program == "" {
		return Command{}, fmt.Errorf("certutil is missing: install the package %s", d.pick("libnss3-tools", "nss-tools", "mozilla-nss-tools", "nss"))
	}
	return Command{Args: append([]string{program, "-d", "sql:" + d.dir}, args...), Own: true}, nil
}

func (d *database) ask(ctx context.Context, args ...string) ([]byte, error) {
	c, err := d.certutil(args...)
	if err != nil {
		return nil, err
	}
	return d.Run(ctx, c)
}

// Check looks at the certificate of our name, and at all that are trusted for
// servers: a certificate has one name, that of whoever put it there first.
func (d *database) Check(ctx context.Context) (State, error) {
	list, err := d.ask(ctx, "-L")
	if err != nil {
		return State{}, err
	}
	for _, e := range entries(list) {
		if !e.trusted && e.name != Label(d.cert) {
			continue
		}
		bundle, err := d.ask(ctx, "-L", "-n", e.name, "-a")
		if err != nil {
			return State{}, err
		}
		if holds(bundle, d.cert) {
			return State{Trusted: e.trusted, Ours: e.name == Label(d.cert)}, nil
		}
	}
	return State{}, nil
}

func (d *database) Trust(ctx context.Context) ([]Step, error) {
	state, err := d.Check(ctx)
	if err != nil || state.Trusted {
		return nil, err
	}
	c, err := d.certutil("-A", "-n", Label(d.cert), "-t", "C,,", "-a")
	c.Stdin = encode(d.cert)
	return []Step{{Run: c}}, err
}

func (d *database) Untrust(ctx context.Context) ([]Step, error) {
	state, err := d.Check(ctx)
	if err != nil || !state.Ours {
		return nil, err
	}
	c, err := d.certutil("-D", "-n", Label(d.cert))
	return []Step{{Run: c}}, err
}

// An entry is a line of certutil -L.
type entry struct {
	name    string
	trusted bool // as an authority for servers
}

// entries reads what certutil -L prints: after two lines of headings, a name and
// three lists of letters.
func entries(list []byte) []entry {
	var all []entry
	for line := range bytes.Lines(list) {
		line := strings.TrimSpace(string(line))
		at := strings.LastIndexByte(line, ' ')
		if at < 0 {
			continue
		}
		name, flags := strings.TrimSpace(line[:at]), line[at+1:]
		if strings.Count(flags, ",") != 2 || strings.Trim(flags, ",pPcCTuwg") != "" {
			continue
		}
		server, _, _ := strings.Cut(flags, ",")
		all = append(all, entry{name, strings.Contains(server, "C")})
	}
	return all
}

// pick returns the word for this machine's distribution.
func (m *Machine) pick(debian, fedora, suse, arch string) string {
	id := m.distribution()
	switch {
	case strings.Contains(id, "suse"):
		return suse
	case strings.Contains(id, "arch"):
		return arch
	case strings.Contains(id, "fedora"), strings.Contains(id, "rhel"), strings.Contains(id, "alpine"):
		return fedora
	}
	return debian
}

// distribution is what os-release says it is, and is like.
func (m *Machine) distribution() string {
	var id strings.Builder
	for line := range bytes.Lines(m.read("/etc/os-release")) {
		key, value, _ := strings.Cut(strings.TrimSpace(string(line)), "=")
		if key == "ID" || key == "ID_LIKE" {
			id.WriteString(strings.Trim(value, `"'`) + " ")
		}
	}
	return id.String()
}
