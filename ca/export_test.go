package ca_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"encoding/xml"
	"io"
	"math/big"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"transom/ca"
	"transom/internal/testnet"
)

func export(t testing.TB, a *ca.Authority, f ca.Format) ca.File {
	t.Helper()
	file, err := a.Export(f)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func TestExport(t *testing.T) {
	a := newAuthority(t, ca.Options{})
	fromPEM := func(t *testing.T, data []byte) []byte {
		b, rest := pem.Decode(data)
		if b == nil || b.Type != "CERTIFICATE" || len(rest) > 0 {
			t.Fatalf("not one certificate in PEM:\n%s", data)
		}
		return b.Bytes
	}
	fromP12 := func(t *testing.T, data []byte) []byte {
		certs, err := pkcs12.DecodeTrustStore(data, ca.Password)
		if err != nil || len(certs) != 1 {
			t.Fatalf("%d certificates, %v", len(certs), err)
		}
		return certs[0].Raw
	}
	tests := []struct {
		format     ca.Format
		name, mime string
		cert       func(*testing.T, []byte) []byte
	}{
		{ca.PEM, `^transom-ca-cert\.pem$`, "application/x-x509-ca-cert", fromPEM},
		{ca.DER, `^transom-ca-cert\.cer$`, "application/x-x509-ca-cert", func(_ *testing.T, p []byte) []byte { return p }},
		{ca.PKCS12, `^transom-ca-cert\.p12$`, "application/x-pkcs12", fromP12},
		{ca.PKCS12Legacy, `^transom-ca-cert-legacy\.p12$`, "application/x-pkcs12", fromP12},
		{ca.MobileConfig, `^transom-ca-cert\.mobileconfig$`, "application/x-apple-aspen-config", func(t *testing.T, data []byte) []byte {
			return plist(t, data)["com.apple.security.root"]
		}},
		{ca.Android, `^[0-9a-f]{8}\.0$`, "application/octet-stream", fromPEM},
		{ca.Hashed, `^[0-9a-f]{8}\.0$`, "application/octet-stream", fromPEM},
	}
	for _, tt := range tests {
		t.Run(string(tt.format), func(t *testing.T) {
			f := export(t, a, tt.format)
			if !regexp.MustCompile(tt.name).MatchString(f.Name) || f.Type != tt.mime {
				t.Errorf("called %s, of type %s", f.Name, f.Type)
			}
			if !bytes.Equal(tt.cert(t, f.Data), a.Root().Raw) {
				t.Error("it is not the authority's certificate")
			}
			if bytes.Contains(f.Data, []byte("PRIVATE")) {
				t.Error("there is a key in it")
			}
			if got, err := ca.ParseFormat(strings.ToUpper(string(tt.format))); err != nil || got != tt.format {
				t.Errorf("parsed as %q, %v", got, err)
			}
		})
	}
	if list, uses := ca.Formats(); len(list) != len(tests) || len(uses) != len(tests) {
		t.Errorf("formats are %q", list)
	}
	if _, err := ca.ParseFormat("jks"); err == nil || !strings.Contains(err.Error(), "mobileconfig") {
		t.Errorf("an unknown format says %v", err)
	}
	if _, err := a.Export("jks"); err == nil {
		t.Error("exported in an unknown format")
	}
	if f, err := ca.ParseFormat("crt"); f != ca.DER || err != nil {
		t.Errorf("crt is %q, %v", f, err)
	}
}

// plist checks that data is a property list, and returns the <data> of each
// payload by the payload's type. Identifiers must differ.
func plist(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	seen := map[string]bool{}
	var key, element string
	var content []byte
	for d := xml.NewDecoder(bytes.NewReader(data)); ; {
		tok, err := d.Token()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, data)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			element = tok.Name.Local
		case xml.EndElement:
			element = ""
		case xml.CharData:
			switch text := string(tok); {
			case element == "key":
				key = text
			case element == "data":
				if content, err = base64.StdEncoding.DecodeString(text); err != nil {
					t.Fatal(err)
				}
			case element == "string" && key == "PayloadType":
				out[text] = content
			case element == "string" && key == "PayloadUUID":
				if seen[text] || !regexp.MustCompile(`^[0-9A-F]{8}-[0-9A-F]{4}-8[0-9A-F]{3}-[89AB][0-9A-F]{3}-[0-9A-F]{12}$`).MatchString(text) {
					t.Errorf("identifier %s", text)
				}
				seen[text] = true
			}
		}
	}
}

func TestMobileConfigIsStable(t *testing.T) {
	a, b := newAuthority(t, ca.Options{}), newAuthority(t, ca.Options{})
	if !bytes.Equal(export(t, a, ca.MobileConfig).Data, export(t, a, ca.MobileConfig).Data) {
		t.Error("two exports differ")
	}
	ids := regexp.MustCompile(`transom\.ca\.[0-9A-F-]+`)
	for _, id := range ids.FindAllString(string(export(t, a, ca.MobileConfig).Data), -1) {
		if strings.Contains(string(export(t, b, ca.MobileConfig).Data), id) {
			t.Errorf("two authorities share the identifier %s", id)
		}
	}
}

// withSubject returns an authority whose subject is the given DER.
func withSubject(t *testing.T, subject []byte) *ca.Authority {
	t.Helper()
	key := testKey(t)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), RawSubject: subject,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a, err := ca.Parse(append(pemOf("CERTIFICATE", der), keyPEM(t, key)...), ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// subjects are names whose canonical form is not what is written.
func subjects(t *testing.T) map[string][]byte {
	attr := func(oid string, tag int, text string) []byte {
		var id asn1.ObjectIdentifier
		for _, p := range strings.Split(oid, ".") {
			n, _ := new(big.Int).SetString(p, 10)
			id = append(id, int(n.Int64()))
		}
		return marshal(t, struct {
			ID asn1.ObjectIdentifier
			V  asn1.RawValue
		}{id, asn1.RawValue{Tag: tag, Bytes: []byte(text)}})
	}
	name := func(sets ...[]byte) []byte {
		var all []byte
		for _, s := range sets {
			all = append(all, marshal(t, asn1.RawValue{Tag: asn1.TagSet, IsCompound: true, Bytes: s})...)
		}
		return marshal(t, asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: all})
	}
	const cn, org, country = "2.5.4.3", "2.5.4.10", "2.5.4.6"
	return map[string][]byte{
		"plain":   marshal(t, pkix.Name{CommonName: "mitmproxy", Organization: []string{"mitmproxy"}}.ToRDNSequence()),
		"case":    name(attr(country, asn1.TagPrintableString, "DE"), attr(cn, asn1.TagUTF8String, "My Root CA")),
		"spaces":  name(attr(cn, asn1.TagUTF8String, "  Two   Words\t here ")),
		"unicode": name(attr(cn, asn1.TagUTF8String, "Ünser ÇA")),
		"bmp":     name(attr(cn, asn1.TagBMPString, "\x00A\x00\xdc\x20\xac")),
		"latin-1": name(attr(org, asn1.TagT61String, "K\xf6ln GmbH")),
		"two-in-one": name(append(attr(cn, asn1.TagUTF8String, "B"),
			attr(org, asn1.TagUTF8String, "A")...)),
	}
}

func TestHashNames(t *testing.T) {
	// What openssl x509 -subject_hash_old and -subject_hash say.
	golden := map[string][2]string{
		"plain":      {"037aaf60", "91de8b8f"},
		"case":       {"55750bce", "c05119e0"},
		"spaces":     {"eff57e07", "6ac50bdc"},
		"unicode":    {"d0f976b2", "b5d9b450"},
		"bmp":        {"cb3a177d", "1e9d73cd"},
		"latin-1":    {"3e38e6f1", "38174526"},
		"two-in-one": {"bb7683b4", "40a68d2b"},
	}
	for name, subject := range subjects(t) {
		t.Run(name, func(t *testing.T) {
			a := withSubject(t, subject)
			for i, f := range []ca.Format{ca.Android, ca.Hashed} {
				if got := export(t, a, f).Name; got != golden[name][i]+".0" {
					t.Errorf("%s file is called %s, want %s.0", f, got, golden[name][i])
				}
			}
		})
	}
}

func TestHashNamesAsOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	testnet.Need(t, err == nil, "the program openssl")
	for name, subject := range subjects(t) {
		t.Run(name, func(t *testing.T) {
			a := withSubject(t, subject)
			file := filepath.Join(t.TempDir(), "ca.pem")
			write(t, file, export(t, a, ca.PEM).Data, 0o600)
			for format, flag := range map[ca.Format]string{ca.Android: "-subject_hash_old", ca.Hashed: "-subject_hash"} {
				out, err := exec.Command(openssl, "x509", "-noout", flag, "-in", file).CombinedOutput()
				if err != nil {
					t.Fatalf("openssl: %v\n%s", err, out)
				}
				if got, want := export(t, a, format).Name, strings.TrimSpace(string(out))+".0"; got != want {
					t.Errorf("%s file is called %s, openssl says %s", format, got, want)
				}
			}
		})
	}
}

func TestPKCS12ReadByOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	testnet.Need(t, err == nil, "the program openssl")
	a := newAuthority(t, ca.Options{})
	for _, f := range []ca.Format{ca.PKCS12, ca.PKCS12Legacy} {
		file := filepath.Join(t.TempDir(), "ca.p12")
		write(t, file, export(t, a, f).Data, 0o600)
		out, err := exec.Command(openssl, "pkcs12", "-nokeys", "-passin", "pass:"+ca.Password, "-in", file).CombinedOutput()
		if err != nil || !bytes.Contains(out, export(t, a, ca.PEM).Data) {
			t.Errorf("%s: %v\n%s", f, err, out)
		}
	}
}
