package view_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"transom/app/view"
)

const (
	answered = "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x04shop\x07example\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01"
	ioed     = `42/chat,7["said",{"a":1}]` + "\x1e2\x1e" + `0{"sid":"x","upgrades":[]}` + "\x1e" + `451-["file",{"_placeholder":true,"num":0}]`
	asked    = `{"operationName":"Q","query":"query Q($a:Int!){user(id:$a){name ...F @include(if:true)}} fragment F on User{age}","variables":{"a":1}}`
)

func TestMore(t *testing.T) {
	golden(t, []specimen{
		{name: "dns", about: view.About{Type: "application/dns-message"}, body: answered},
		{name: "dns-that-is-none", about: view.About{Type: "application/dns-message"}, body: "\x12\x34\x81"},
		{name: "socket.io", about: view.About{Type: "text/plain; charset=UTF-8"}, body: ioed},
		{name: "graphql", about: view.About{Type: "application/json"}, body: asked},
		{name: "graphql-batch", about: view.About{Type: "application/json"}, body: "[" + asked + `,{"query":"{a}"}]`},
		{name: "graphql-that-breaks", about: view.About{Type: "application/json"}, body: `{"query":"{a"}`},
		{name: "graphql-too-deep", about: view.About{Type: "application/graphql"}, body: strings.Repeat("{a", 300) + strings.Repeat("}", 300)},
		{name: "graphql-in-an-answer", about: view.About{Type: "application/json", Response: true}, body: `{"query":"{a}"}`},
		{name: "certificate-that-is-a-key", body: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"},
		{name: "certificate-that-breaks", body: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\nmore\n"},
	})
}

func certificate(t testing.TB) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "shop.example"}, DNSNames: []string{"shop.example", "*.shop.example"},
		NotBefore: time.Unix(1e9, 0), NotAfter: time.Unix(2e9, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, &tmpl, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestCertificates(t *testing.T) {
	der := certificate(t)
	for _, s := range []specimen{
		{name: "der", about: view.About{Type: "application/pkix-cert"}, body: string(der)},
		{name: "pem", body: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))},
	} {
		t.Run(s.name, func(t *testing.T) {
			got := shown(t, t.Context(), s)
			for _, want := range []string{"[certificate]", "subject: CN=shop.example", "serial: 7", "names: shop.example, *.shop.example", "valid: 2001-09-09T01:46:40Z to 2033-05-18T03:33:20Z", "key: Ed25519"} {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in\n%s", want, got)
				}
			}
		})
	}
}

func FuzzDNS(f *testing.F) { fuzz(f, "dns", view.About{}, answered) }

func FuzzSocketIO(f *testing.F) { fuzz(f, "socket.io", view.About{}, ioed, "45", "4") }

func FuzzGraphQL(f *testing.F) {
	fuzz(f, "graphql", view.About{Type: "application/json"}, asked, "{a(b:[{c:1}])}", "fragment F on A{b}", "[]", "{}")
}

func FuzzCertificates(f *testing.F) {
	fuzz(f, "certificate", view.About{}, string(certificate(f)), "-----BEGIN A-----\nAAAA\n-----END A-----\n")
}

func BenchmarkSocketIO(b *testing.B) { bench(b, specimen{view: "socket.io", body: ioed + "\x1e"}) }
