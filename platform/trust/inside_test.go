package trust

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"transom/ca"
)

// insides are machines as programs inside find them, besides those of machines.
var insides = map[string]struct {
	files map[string]string
	env   map[string]string
}{
	"debian": {map[string]string{
		"/etc/ssl/certs/ca-certificates.crt": "bundle", "/etc/ssl/certs/a1b2c3d4.0": "bundle", "/usr/lib/ssl/cert.pem": "link /etc/ssl/certs/ca-certificates.crt",
		"/usr/lib/jvm/java-17/lib/security/cacerts": "link /etc/ssl/certs/java/cacerts", "/etc/ssl/certs/java/cacerts": "keystore",
		"/usr/bin/python3": "link python3.11", "/usr/bin/python3.11": "program",
		"/usr/local/lib/python3.11/dist-packages/certifi/cacert.pem": "bundle", "/usr/lib/python3/dist-packages/botocore/cacert.pem": "bundle",
		"/home/ann/.local/lib/python3.11/site-packages/pip/_vendor/certifi/cacert.pem": "bundle",
		"/home/ann/venv/lib/python3.11/site-packages/certifi/cacert.pem":               "bundle",
		"/usr/bin/chromium": "program", "/usr/bin/firefox": "link ../lib/firefox-esr/firefox-esr", "/usr/lib/firefox-esr/firefox-esr": "program",
		"/usr/lib/firefox-esr/distribution/policies.json":  `{"policies":{"DisableTelemetry":true,"Certificates":{"Install":["company.pem"]}}}`,
		"/home/ann/.mozilla/firefox/x.default/cert9.db":    "database",
		"/home/ann/.mozilla/firefox/busy/cert9.db":         "database",
		"/home/ann/.mozilla/firefox/busy/cert9.db-journal": "half a transaction",
		"/etc/chromium/": "",
	}, map[string]string{"VIRTUAL_ENV": "/home/ann/venv"}},
	"set-by-the-person": {map[string]string{
		"/etc/ssl/certs/ca-certificates.crt": "bundle", "/home/ann/company.pem": "bundle", "/home/ann/company/a1b2c3d4.0": "bundle",
		"/home/ann/trust.jks": "keystore",
	}, map[string]string{
		"SSL_CERT_FILE": "/home/ann/company.pem", "SSL_CERT_DIR": "/home/ann/company:/home/ann/nothing", "REQUESTS_CA_BUNDLE": "/home/ann/company",
		"GIT_SSL_CAINFO": "company.pem", "NODE_EXTRA_CA_CERTS": "/home/ann/company.pem", "CURL_CA_BUNDLE": "/home/ann/gone.pem",
		"JAVA_TOOL_OPTIONS": "-Xmx1g -Djavax.net.ssl.trustStore=/home/ann/trust.jks -Djavax.net.ssl.trustStorePassword=secret", "NODE_USE_SYSTEM_CA": "0",
	}},
	"fedora": {map[string]string{
		"/etc/pki/ca-trust/source/anchors/": "", "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": "bundle",
		"/etc/pki/tls/certs/ca-bundle.crt": "link /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/pki/tls/cert.pem": "link certs/ca-bundle.crt",
		"/etc/ssl/certs": "link ../pki/tls/certs", "/etc/pki/ca-trust/extracted/pem/directory-hash/a1b2c3d4.0": "bundle",
		"/etc/pki/ca-trust/extracted/java/cacerts": "keystore", "/usr/lib/jvm/jre/lib/security/cacerts": "link /etc/pki/ca-trust/extracted/java/cacerts",
		"/usr/bin/google-chrome": "link /opt/google/chrome/google-chrome", "/opt/google/chrome/google-chrome": "program",
		"/etc/opt/chrome/policies/managed/company.json": `{"CACertificates":["AAAA"],"HomepageLocation":"https://company.example/"}`,
	}, nil},
	"suse": {map[string]string{
		"/etc/pki/trust/anchors/": "", "/var/lib/ca-certificates/ca-bundle.pem": "bundle", "/etc/ssl/ca-bundle.pem": "link /var/lib/ca-certificates/ca-bundle.pem",
		"/var/lib/ca-certificates/pem/a1b2c3d4.0": "bundle", "/etc/ssl/certs": "link /var/lib/ca-certificates/pem",
	}, nil},
	"arch": {map[string]string{
		"/etc/ca-certificates/trust-source/anchors/": "", "/etc/ca-certificates/extracted/tls-ca-bundle.pem": "bundle",
		"/etc/ssl/certs/ca-certificates.crt": "link ../../ca-certificates/extracted/tls-ca-bundle.pem", "/etc/ssl/cert.pem": "link ../ca-certificates/extracted/tls-ca-bundle.pem",
		"/etc/ca-certificates/extracted/cadir/a1b2c3d4.0": "bundle",
	}, nil},
	"alpine": {map[string]string{
		"/etc/ssl/certs/ca-certificates.crt": "bundle", "/etc/ssl/cert.pem": "link certs/ca-certificates.crt", "/etc/ssl/certs/a1b2c3d4.0": "bundle",
	}, nil},
	"ubuntu-with-snaps": {map[string]string{
		"/etc/ssl/certs/ca-certificates.crt": "bundle", "/usr/bin/firefox": "program", "/snap/bin/chromium": "link /usr/bin/snap", "/usr/bin/snap": "program",
	}, map[string]string{"PATH": "/usr/bin:/snap/bin"}},
	"scratch": {map[string]string{"/bin/busybox": "program"}, nil},
}

// TestInside holds what is laid over on each kind of machine to golden files.
func TestInside(t *testing.T) {
	for name, in := range insides {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, in.files)
			for k, v := range in.env {
				w.env[k] = v
			}
			if name == "ubuntu-with-snaps" {
				script := "#!/bin/sh\nexec /snap/bin/firefox \"$@\"\n"
				if err := os.WriteFile(w.at("/usr/bin/firefox"), []byte(script), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			o, err := Inside(w.Machine, testCert(t, "ours"), "/run/transom")
			if err != nil {
				t.Fatal(err)
			}
			if len(w.ran) > 0 {
				t.Errorf("it ran %q", w.ran)
			}
			compare(t, filepath.Join("inside", name+".txt"), describe(t, o))
		})
	}
}

// describe writes an Overlay for a person, with what is in its files.
func describe(t *testing.T, o Overlay) string {
	var out strings.Builder
	for _, e := range o.Env {
		fmt.Fprintln(&out, e)
	}
	for _, f := range o.Files {
		fmt.Fprintf(&out, "\n%s (new %v, private %v)\n", f.Path, f.New, f.Private)
		ours, other := testCert(t, "ours"), testCert(t, "other")
		roots, err := readKeystore(f.Data, storePassword)
		switch {
		case err == nil:
			for _, r := range roots {
				fmt.Fprintf(&out, "  keystore: %s ours %v other %v\n", r.alias, r.is(ours), r.is(other))
			}
		case json.Valid(f.Data):
			out.Write(bytes.ReplaceAll(f.Data, []byte(base64DER(ours)), []byte("OURS")))
		default:
			fmt.Fprintf(&out, "  ours %v other %v\n", holds(f.Data, ours), holds(f.Data, other))
		}
	}
	for _, m := range o.Missed {
		fmt.Fprintf(&out, "\nmissed: %s\n", m)
	}
	return out.String()
}

// TestTrusted: who trusts us already has nothing laid over its files.
func TestTrusted(t *testing.T) {
	ours := testCert(t, "ours")
	hash, err := ca.SubjectHash(ours)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, map[string]string{
		"/etc/ssl/certs/ca-certificates.crt": string(encode(ours)), "/etc/ssl/certs/" + hash + ".0": "bundle", "/etc/ssl/certs/" + hash + ".1": string(encode(ours)),
	})
	o, err := Inside(w.Machine, ours, "/run/transom")
	if err != nil || len(o.Files) != 1 || o.Files[0].Path != "/run/transom/transom-ca.pem" {
		t.Errorf("%v, %v", o.Files, err)
	}
}

// TestSameSubject: another of the same name keeps its place in OpenSSL's directory.
func TestSameSubject(t *testing.T) {
	ours := testCert(t, "ours")
	hash, err := ca.SubjectHash(ours)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, map[string]string{"/etc/ssl/certs/" + hash + ".0": "bundle"})
	o, err := Inside(w.Machine, ours, "/run/transom")
	if err != nil || len(o.Files) != 2 || o.Files[0].Path != "/etc/ssl/certs/"+hash+".1" || !o.Files[0].New {
		t.Errorf("%v, %v", o.Files, err)
	}
}

// TestLinks: links that lead nowhere, in circles or out of the root are not followed.
func TestLinks(t *testing.T) {
	w := newWorld(t, map[string]string{
		"/a": "link /b", "/b": "link a", "/gone": "link /nothing", "/d/up": "link ../../../../../../../etc/passwd", "/etc/passwd": "of the test",
		"/abs": "link /d/../etc/./passwd",
	})
	for path, want := range map[string]string{"/a": "", "/gone": "", "/nothing": "", "/d/up": "/etc/passwd", "/abs": "/etc/passwd", "/d": "", "relative": ""} {
		if got := w.file(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if got := string(w.read("/d/up")); got != "of the test" {
		t.Errorf("read %q", got)
	}
}
