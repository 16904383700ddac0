package tlsterm_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"transom/internal/proto/tlsterm"
)

func TestVersions(t *testing.T) {
	const v10, v11, v12, v13 = tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12, tls.VersionTLS13
	cases := []struct {
		client, server [2]uint16
		want           uint16 // 0: the client is refused for its version
	}{
		{[2]uint16{v12, v13}, [2]uint16{v12, v13}, v13},
		{[2]uint16{v12, v13}, [2]uint16{v12, v12}, v12},
		{[2]uint16{v10, v13}, [2]uint16{v10, v11}, v11},
		{[2]uint16{v10, v13}, [2]uint16{v10, v10}, v10},
		{[2]uint16{v10, v12}, [2]uint16{v12, v13}, v12},
		{[2]uint16{v10, v10}, [2]uint16{v10, v13}, v10},
		{[2]uint16{v11, v11}, [2]uint16{v10, v13}, v11},
		{[2]uint16{v13, v13}, [2]uint16{v12, v13}, v13},
		{[2]uint16{v13, v13}, [2]uint16{v12, v12}, 0},
		{[2]uint16{v12, v13}, [2]uint16{v10, v11}, 0},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%x-%x-to-%x-%x", c.client[0], c.client[1], c.server[0], c.server[1]), func(t *testing.T) {
			w := newWorld(t)
			w.client.MinVersion, w.client.MaxVersion = c.client[0], c.client[1]
			w.server.MinVersion, w.server.MaxVersion = c.server[0], c.server[1]
			r := w.run(t)
			if c.want == 0 {
				wantAlert(t, r.clientErr, tlsterm.ProtocolVersion)
				return
			}
			r.ok(t)
			if r.client.Version != c.want || r.up.Version != c.want || r.down.Version != c.want {
				t.Errorf("client %x, legs %x and %x; want %x", r.client.Version, r.down.Version, r.up.Version, c.want)
			}
		})
	}
}

// ok fails the test unless both handshakes went well and bytes pass.
func (r *result) ok(t testing.TB) {
	t.Helper()
	if r.clientErr != nil || r.upErr != nil || r.downErr != nil {
		t.Fatalf("client %v, server leg %v, client leg %v", r.clientErr, r.upErr, r.downErr)
	}
	for _, pair := range []struct {
		from io.Writer
		to   io.Reader
	}{{r.clientConn, r.downConn}, {r.downConn, r.clientConn}, {r.upConn, r.serverConn}, {r.serverConn, r.upConn}} {
		var got [4]byte
		if _, err := pair.from.Write([]byte("ping")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(pair.to, got[:]); err != nil || string(got[:]) != "ping" {
			t.Fatalf("read %q, %v", got, err)
		}
	}
}

func wantAlert(t testing.TB, err error, want tlsterm.Alert) {
	t.Helper()
	if a, remote, ok := tlsterm.AlertOf(err); !ok || !remote || a != want {
		t.Errorf("got %v, want the alert %s", err, want)
	}
}

func TestALPN(t *testing.T) {
	both := []string{"h2", "http/1.1"}
	cases := map[string]struct {
		client, server []string
		want           string
		alert          tlsterm.Alert
	}{
		"follows-server":           {both, both, "http/1.1", 0},
		"server-without":           {both, nil, "", 0},
		"client-without":           {nil, both, "", 0},
		"only-h2":                  {[]string{"h2"}, both, "h2", 0},
		"not-http":                 {[]string{"mqtt"}, []string{"mqtt"}, "mqtt", 0},
		"not-http-beside-http":     {[]string{"h2", "acme-tls/1"}, []string{"acme-tls/1"}, "acme-tls/1", 0},
		"client-prefers-http10":    {[]string{"http/1.0", "http/1.1"}, []string{"http/1.1"}, "http/1.1", 0},
		"no-overlap":               {[]string{"mqtt"}, []string{"http/1.1"}, "", tlsterm.NoApplicationProtocol},
		"server-only-h2":           {both, []string{"h2-only"}, "", tlsterm.NoApplicationProtocol},
		"client-only-h2-not-there": {[]string{"h2"}, []string{"http/1.1"}, "", tlsterm.NoApplicationProtocol},
	}
	for name, c := range cases {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+"/"+tls.VersionName(version), func(t *testing.T) {
				w := newWorld(t)
				w.client.NextProtos, w.server.NextProtos, w.server.MaxVersion = c.client, c.server, version
				r := w.run(t)
				if c.alert != 0 {
					wantAlert(t, r.clientErr, c.alert)
					return
				}
				r.ok(t)
				if got := r.client.NegotiatedProtocol; got != c.want || r.up.Protocol != c.want || r.down.Protocol != c.want {
					t.Errorf("client %q, legs %q and %q; want %q", got, r.down.Protocol, r.up.Protocol, c.want)
				}
			})
		}
	}
}

func TestOffer(t *testing.T) {
	cases := []struct{ client, want string }{
		{"", ""},
		{"h2 http/1.1", "http/1.1"},
		{"h2 http/1.1 http/1.0 http/0.9", "http/1.1 http/1.0"},
		{"h2", "h2"},
		{"h3 h3-29 h2 spdy/3", "h3 h3-29 h2 spdy/3"},
		{"\n\n h2 mqtt", "\n\n mqtt"},
		{"h2c imap", "imap"},
	}
	for _, c := range cases {
		split := func(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }) }
		if got := tlsterm.Offer(split(c.client), "http/1.1", "http/1.0"); !slices.Equal(got, split(c.want)) {
			t.Errorf("Offer(%q) = %q, want %q", c.client, got, c.want)
		}
	}
}

func TestCertificateFollows(t *testing.T) {
	w := newWorld(t)
	cert := selfSigned(t, "shop.example", "www.shop.example")
	w.server.Certificates, w.roots = []tls.Certificate{cert}, poolOf(cert.Leaf)
	r := w.run(t)
	r.ok(t)
	leaf := r.client.PeerCertificates[0]
	if !slices.Contains(leaf.DNSNames, "www.shop.example") {
		t.Errorf("leaf for %q, want the server's names too", leaf.DNSNames)
	}
	if r.up.VerifyErr != "" || !bytes.Equal(r.up.Chain[0], cert.Certificate[0]) {
		t.Errorf("server leg: %q, %d certificates", r.up.VerifyErr, len(r.up.Chain))
	}
	if r.up.ServerName != "shop.example" || r.up.JA4 == "" || r.up.Hello == nil || r.up.Group == 0 || r.up.CipherSuite == 0 {
		t.Errorf("server leg is not described: %+v", r.up)
	}
	if r.down.ServerName != "shop.example" || r.down.JA4 == "" || r.down.Hello == nil || r.down.Chain != nil {
		t.Errorf("client leg is not described: %+v", r.down)
	}
}

func TestRSAOnlyClient(t *testing.T) {
	cases := map[string]func(c *tls.Config){
		"static-rsa": func(c *tls.Config) { c.CipherSuites = []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA} },
		"ecdhe-rsa":  func(c *tls.Config) { c.CipherSuites = []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} },
		"3des":       func(c *tls.Config) { c.CipherSuites = []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA} },
		"no-p256":    func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP384} },
		"tls10": func(c *tls.Config) {
			c.MinVersion, c.MaxVersion, c.CipherSuites = tls.VersionTLS10, tls.VersionTLS10, []uint16{tls.TLS_RSA_WITH_AES_256_CBC_SHA}
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.client.MaxVersion = tls.VersionTLS12
			change(w.client)
			w.server.MinVersion = tls.VersionTLS10
			r := w.run(t) // the server has an ECDSA certificate only
			r.ok(t)
			if _, ok := r.client.PeerCertificates[0].PublicKey.(*rsa.PublicKey); !ok {
				t.Errorf("leaf with a %T", r.client.PeerCertificates[0].PublicKey)
			}
		})
	}
}

func TestNoServerName(t *testing.T) {
	w := newWorld(t)
	w.client.ServerName = serverAddr.Addr().String() // crypto/tls sends no address
	r := w.run(t)
	r.ok(t)
	if r.down.ServerName != "" || r.up.ServerName != "" {
		t.Errorf("names %q and %q sent", r.down.ServerName, r.up.ServerName)
	}
	if r.up.VerifyErr != "" {
		t.Errorf("chain did not verify: %s", r.up.VerifyErr)
	}
}

func TestVerification(t *testing.T) {
	cases := map[string]struct {
		change func(w *world)
		want   string
	}{
		"unknown-authority": {func(w *world) { w.roots = poolOf() }, "unknown authority"},
		"wrong-name": {func(w *world) {
			cert := selfSigned(t, "other.example")
			w.server.Certificates, w.roots = []tls.Certificate{cert}, poolOf(cert.Leaf)
		}, "not shop.example"},
		"no-name-unknown-authority": {func(w *world) {
			w.client.ServerName, w.roots = serverAddr.Addr().String(), poolOf()
		}, "unknown authority"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.change(w)
			r := w.run(t)
			r.ok(t) // the handshakes go well all the same
			if !strings.Contains(r.up.VerifyErr, c.want) {
				t.Errorf("VerifyErr %q, want %q in it", r.up.VerifyErr, c.want)
			}
		})
	}
	t.Run("mirrored", func(t *testing.T) {
		w := newWorld(t)
		w.roots, w.mirror = poolOf(), true
		r := w.run(t)
		var unknown x509.UnknownAuthorityError
		if !errors.As(r.clientErr, &unknown) {
			t.Errorf("client: %v, want an unknown authority", r.clientErr)
		}
		if got := tlsterm.Reason(r.downErr); !strings.HasPrefix(got, "client refused our certificate (") {
			t.Errorf("reason %q", got)
		}
	})
}

func TestClientCertificateIsNoted(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := newWorld(t)
		w.server.ClientAuth, w.server.MaxVersion = tls.RequestClientCert, version
		r := w.run(t)
		r.ok(t)
		if !r.up.WantsCert {
			t.Errorf("%s: the server's wish is not noted", tls.VersionName(version))
		}
	}
	w := newWorld(t)
	r := w.run(t)
	if r.ok(t); r.up.WantsCert {
		t.Error("a wish is noted that was none")
	}
	w.server.ClientAuth, w.server.MaxVersion = tls.RequireAnyClientCert, tls.VersionTLS12
	if got := tlsterm.Reason(w.run(t).upErr); !strings.Contains(got, "server requires a client certificate") {
		t.Errorf("reason %q", got)
	}
}

func TestPostQuantumOnlyIfAsked(t *testing.T) {
	w := newWorld(t)
	w.client.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP256}
	r := w.run(t)
	r.ok(t)
	if tls.CurveID(r.up.Group) != tls.X25519 || len(r.up.Hello) > 1000 {
		t.Errorf("group %v, hello of %d bytes", tls.CurveID(r.up.Group), len(r.up.Hello))
	}
	w.client.CurvePreferences = nil
	r = w.run(t)
	if r.ok(t); tls.CurveID(r.up.Group) != tls.X25519MLKEM768 || tls.CurveID(r.down.Group) != tls.X25519MLKEM768 {
		t.Errorf("groups %v and %v", tls.CurveID(r.up.Group), tls.CurveID(r.down.Group))
	}
}

// failing is a key log on a full disk.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestKeyLog(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			var ours, client, server bytes.Buffer
			w := newWorld(t)
			w.keys, w.client.KeyLogWriter, w.server.KeyLogWriter, w.server.MaxVersion = &ours, &client, &server, version
			w.run(t).ok(t)
			lines := func(b *bytes.Buffer) []string { return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") }
			for _, line := range append(lines(&client), lines(&server)...) {
				if !slices.Contains(lines(&ours), line) {
					t.Errorf("%q is not logged", line)
				}
			}
			if n := len(lines(&ours)); n != len(lines(&client))+len(lines(&server)) {
				t.Errorf("%d lines logged", n)
			}
			w.keys = failing{}
			w.run(t).ok(t)
		})
	}
}
