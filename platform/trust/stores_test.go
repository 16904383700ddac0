package trust

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// machines are what distributions look like, as far as their roots go.
var machines = map[string]map[string]string{
	"debian": {
		"/usr/sbin/update-ca-certificates": "program", "/usr/local/share/ca-certificates/": "", "/etc/ssl/certs/ca-certificates.crt": "bundle",
		"/usr/bin/certutil": "program", "/usr/bin/keytool": "program", "/usr/bin/openssl": "program",
		"/etc/ca-certificates/update.d/jks-keystore":           "program",
		"/home/ann/.mozilla/firefox/a1b2.default-esr/cert9.db": "database", "/home/ann/.pki/nssdb/cert9.db": "database",
		"/usr/lib/jvm/java-17/lib/security/cacerts": "link /etc/ssl/certs/java/cacerts", "/etc/ssl/certs/java/cacerts": "keystore",
		"/home/ann/.sdkman/candidates/java/21/lib/security/cacerts": "keystore", "/home/ann/.sdkman/candidates/java/21/bin/keytool": "program",
	},
	"ubuntu-with-snaps": {
		"/usr/sbin/update-ca-certificates": "program", "/usr/local/share/ca-certificates/": "", "/etc/ssl/certs/ca-certificates.crt": "bundle",
		"/home/ann/snap/firefox/common/.mozilla/firefox/x.default/cert9.db": "database", "/home/ann/snap/chromium/current/.pki/nssdb/cert9.db": "database",
		"/etc/os-release": "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n",
	},
	"fedora": {
		"/usr/bin/update-ca-trust": "program", "/etc/pki/ca-trust/source/anchors/": "", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": "bundle",
		"/home/ann/.config/mozilla/firefox/x.default/cert9.db": "database", "/home/ann/.local/share/pki/nssdb/cert9.db": "database",
		"/etc/os-release":                  "ID=fedora\n",
		"/opt/jdk-21/lib/security/cacerts": "keystore", "/opt/jdk-21/bin/keytool": "program",
	},
	"suse": {
		"/usr/sbin/update-ca-certificates": "program", "/etc/pki/trust/anchors/": "", "/var/lib/ca-certificates/ca-bundle.pem": "bundle",
		"/usr/local/share/ca-certificates/":             "",
		"/home/ann/.mozilla/firefox/x.default/cert9.db": "database", "/etc/os-release": "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
	},
	"arch": {
		"/usr/bin/update-ca-trust": "program", "/usr/bin/trust": "program", "/etc/ca-certificates/trust-source/anchors/": "",
		"/etc/ca-certificates/extracted/tls-ca-bundle.pem": "bundle", "/etc/os-release": "ID=arch\n",
		"/home/ann/.var/app/org.mozilla.firefox/.mozilla/firefox/x.default/cert9.db": "database",
	},
	"alpine": {
		"/usr/sbin/update-ca-certificates": "program", "/usr/local/share/ca-certificates/": "", "/etc/ssl/certs/ca-certificates.crt": "bundle",
		"/etc/ssl/cert.pem": "link certs/ca-certificates.crt",
	},
	"p11-kit":   {"/usr/bin/trust": "program"},
	"scratch":   {"/bin/busybox": "program"},
	"no-bundle": {"/usr/sbin/update-ca-certificates": "program", "/usr/local/share/ca-certificates/": ""},
	"mac": {
		"/usr/bin/security": "program", "/Library/Keychains/System.keychain": "keychain",
		"/Library/Java/JavaVirtualMachines/temurin/Contents/Home/lib/security/cacerts": "keystore",
		"/Library/Java/JavaVirtualMachines/temurin/Contents/Home/bin/keytool":          "program",
	},
}

// TestStores has each kind of machine trust a certificate, twice, and not trust it
// any more, twice, and holds what happens to golden files.
func TestStores(t *testing.T) {
	for name, files := range machines {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, files)
			w.Darwin = name == "mac"
			var out strings.Builder
			stores := w.Stores(testCert(t, "ours"))
			for _, do := range []string{"check", "trust", "trust", "untrust", "untrust"} {
				fmt.Fprintf(&out, "%s\n", do)
				for _, s := range stores {
					fmt.Fprintf(&out, "  %s %s\n", s.Kind(), s.Place())
					w.change(&out, s, do)
				}
			}
			compare(t, filepath.Join("stores", name+".txt"), out.String())
		})
	}
}

// TestForeign: what somebody else put into a store is trusted, and stays.
func TestForeign(t *testing.T) {
	ours := testCert(t, "ours")
	w := newWorld(t, machines["debian"])
	if err := os.WriteFile(w.at("/usr/local/share/ca-certificates/company.crt"), encode(ours), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := w.update(); err != nil {
		t.Fatal(err)
	}
	w.nss["/home/ann/.pki/nssdb"]["Company Root"] = string(encode(ours))
	jks := writeJKS([]javaRoot{{"company", ours}}, storePassword)
	if err := os.WriteFile(w.at("/home/ann/.sdkman/candidates/java/21/lib/security/cacerts"), jks, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, s := range w.Stores(ours) {
		if strings.Contains(s.Place(), "firefox") || strings.Contains(s.Place(), "follows") {
			continue
		}
		state, err := s.Check(t.Context())
		if err != nil || !state.Trusted || state.Ours {
			t.Errorf("%s: %+v, %v", s.Place(), state, err)
		}
		for name, steps := range map[string]func() ([]Step, error){
			"trust":   func() ([]Step, error) { return s.Trust(t.Context()) },
			"untrust": func() ([]Step, error) { return s.Untrust(t.Context()) },
		} {
			if steps, err := steps(); err != nil || len(steps) > 0 {
				t.Errorf("%s: to %s takes %v, %v", s.Place(), name, steps, err)
			}
		}
	}
}

// change does something to a store, and writes what that took and what came of it.
func (w *world) change(out *strings.Builder, s Store, do string) {
	var steps []Step
	var err error
	switch do {
	case "trust":
		steps, err = s.Trust(w.t.Context())
	case "untrust":
		steps, err = s.Untrust(w.t.Context())
	}
	for _, step := range steps {
		who := "root"
		if step.Own() {
			who = "ann"
		}
		fmt.Fprintf(out, "    %s: %s\n", who, step)
	}
	if err == nil {
		err = w.Do(w.t.Context(), steps)
	}
	if err != nil {
		fmt.Fprintf(out, "    failed: %v\n", err)
	}
	state, err := s.Check(w.t.Context())
	if err != nil {
		fmt.Fprintf(out, "    not known: %v\n", err)
		return
	}
	fmt.Fprintf(out, "    trusted %v, ours %v\n", state.Trusted, state.Ours)
}

func compare(t *testing.T, name, got string) {
	t.Helper()
	name = filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); d != "" {
		t.Errorf("%s (-want +got); go test ./platform/trust -update if it is meant:\n%s", name, d)
	}
}
