package trust

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// surveyed is a machine with a program of each kind.
var surveyed = map[string]string{
	"/usr/sbin/update-ca-certificates": "program", "/usr/local/share/ca-certificates/": "", "/etc/ssl/certs/ca-certificates.crt": "bundle",
	"/usr/bin/curl": "program", "/usr/bin/wget": "program", "/usr/bin/git": "program", "/usr/bin/openssl": "program", "/usr/bin/python3": "program",
	"/usr/lib/python3/dist-packages/pip/_vendor/certifi/cacert.pem": "bundle", "/usr/local/lib/python3.11/dist-packages/certifi/cacert.pem": "bundle",
	"/usr/bin/node": "program", "/usr/bin/certutil": "program", "/usr/bin/keytool": "program",
	"/usr/lib/jvm/java-21/lib/security/cacerts": "keystore", "/home/ann/.jdks/22/lib/security/cacerts": "keystore", "/home/ann/.jdks/22/bin/keytool": "program",
	"/usr/bin/firefox": "link firefox-esr", "/usr/bin/firefox-esr": "program", "/home/ann/.mozilla/firefox/a.default/cert9.db": "database",
	"/usr/bin/chromium": "program", "/home/ann/company.pem": "bundle",
}

// TestSurvey holds what is said of programs to golden files: before and after the
// stores trust us, and with variables of the person's.
func TestSurvey(t *testing.T) {
	ours := testCert(t, "ours")
	survey := func(w *world) string {
		var out strings.Builder
		for _, p := range w.Programs(t.Context(), ours, "/home/ann/ca.pem") {
			fmt.Fprintf(&out, "%s (%s) %v\n  %s\n  %s\n", p.Name, p.Path, p.Trusts, p.By, p.Mend)
		}
		return out.String()
	}
	w := newWorld(t, surveyed)
	compare(t, "survey/nobody.txt", survey(w))
	for _, command := range w.ran {
		if strings.Contains(command, "-A") || !strings.Contains(command, "certutil") {
			t.Errorf("it ran %s", command)
		}
	}
	for _, s := range w.Stores(ours) {
		steps, err := s.Trust(t.Context())
		if err == nil {
			err = w.Do(t.Context(), steps)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	compare(t, "survey/stores.txt", survey(w))
	w.env["CURL_CA_BUNDLE"], w.env["SSL_CERT_FILE"], w.env["NODE_EXTRA_CA_CERTS"] = "/home/ann/company.pem", "/etc/ssl/certs/ca-certificates.crt", "/home/ann/ca.pem"
	for name, data := range map[string][]byte{
		"/home/ann/ca.pem":                      encode(ours),
		"/etc/chromium/policies/managed/x.json": object(map[string][]string{"CACertificates": {base64DER(ours)}}),
	} {
		if err := os.MkdirAll(filepath.Dir(w.at(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.at(name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, "survey/variables.txt", survey(w))
}
