package nettest_test

import (
	"crypto/tls"
	"strings"
	"testing"
)

// TestUpstreamTLSFailure has curl ask a server whose certificate nobody trusts,
// and one that speaks no TLS.
func TestUpstreamTLSFailure(t *testing.T) {
	need(t, "curl")
	for name, tc := range map[string]struct {
		how    []string
		args   []string // of curl
		code   int      // of curl
		body   string   // some of it
		kind   string   // of the record
		reason string
	}{
		"mirror":          {how: nil, code: 60, kind: "tls", reason: "certificate does not verify"},
		"mirror-insecure": {how: nil, args: []string{"-k"}, body: "GET shop.example/", kind: "http"},
		"502": {
			how: []string{"--on-upstream-tls-failure", "502"}, args: []string{"-w", "%{http_code}"}, body: "502", kind: "http",
		},
		"pass":          {how: []string{"--on-upstream-tls-failure", "pass"}, code: 60, kind: "tls", reason: "does not verify"},
		"pass-insecure": {how: []string{"--on-upstream-tls-failure", "pass"}, args: []string{"-k"}, body: "GET shop.example/", kind: "tls", reason: "does not verify"},
		"ssl-insecure":  {how: []string{"-k"}, body: "GET shop.example/", kind: "http"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			stranger := newAuthority(t, w.path("stranger.pem"))
			w.serveOn(tls.NewListener(w.listen(443), &tls.Config{
				Certificates: []tls.Certificate{stranger.issue()}, NextProtos: []string{"http/1.1"},
			}), shopping)
			w.redirect("80,443")
			p := w.transom(append([]string{"--json", "--flow-detail", "2"}, tc.how...)...)
			got, stderr, err := w.curl(w.trusted(), append(tc.args, "https://shop.example/")...)
			if exitCode(err) != tc.code || !strings.Contains(got, tc.body) {
				t.Errorf("curl ended with %d, printed %q, want %d and %q\n%s", exitCode(err), got, tc.code, tc.body, stderr)
			}
			r := p.await(1, func(record) bool { return true })[0]
			if r.Type != tc.kind || !strings.Contains(r.Reason, tc.reason) {
				t.Errorf("recorded %+v", r)
			}
			if r.Action != "pass" && name != "ssl-insecure" && (r.TLS == nil || r.TLS.Server == nil || r.TLS.Server.VerifyError == "") {
				t.Errorf("the record does not say that the certificate did not verify: %+v", r)
			}
		})
	}
}

// TestDistrust has a client that does not know the authority.
func TestDistrust(t *testing.T) {
	need(t, "curl", "openssl", "python3", "node")
	const refused, left = "client refused our certificate", "client closed during the handshake"
	for name, tc := range map[string]struct {
		how    []string
		reason string // some say why, some just leave
	}{
		"curl":    {[]string{"curl", "-sS", "https://10.9.0.2/"}, refused},
		"openssl": {[]string{"openssl", "s_client", "-brief", "-verify_return_error", "-connect", "10.9.0.2:443"}, refused},
		"python":  {[]string{"python3", "-c", "import http.client\nhttp.client.HTTPSConnection('10.9.0.2').request('GET', '/')"}, refused},
		"node":    {[]string{"node", "-e", "fetch('https://10.9.0.2/').catch(() => process.exit(1))"}, left},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve(shopping)
			w.redirect("80,443")
			p := w.transom("--json")
			if stdout, stderr, err := w.try(w.Client, tc.how[0], tc.how[1:]...); err == nil {
				t.Errorf("it trusts the proxy:\n%s%s", stdout, stderr)
			}
			r := p.await(1, func(record) bool { return true })[0]
			if r.Type != "tls" || !strings.HasPrefix(r.Reason, tc.reason) {
				t.Errorf("recorded %+v", r)
			}
			p.stop()
			if n := len(p.records()); n != 1 {
				t.Errorf("%d records, want 1", n)
			}
		})
	}
}

// TestServerWantsCertificate has curl ask openssl's server, by TLS 1.3, that
// can't do without a certificate of its client, and one that can.
func TestServerWantsCertificate(t *testing.T) {
	need(t, "curl", "openssl")
	for name, tc := range map[string]struct {
		args   []string // of the server
		how    []string
		code   int // of curl; 98 says that a certificate is missing
		body   string
		kind   string
		reason string
	}{
		"required":     {[]string{"-Verify", "1", "-verify_return_error"}, nil, 98, "", "tls", "server requires a client certificate"},
		"required-502": {[]string{"-Verify", "1", "-verify_return_error"}, []string{"--on-upstream-tls-failure", "502"}, 0, "client certificate", "http", ""},
		"asked-for":    {[]string{"-verify", "1"}, nil, 0, "s_server", "http", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.authority.files(w.path("cert"), w.path("key"))
			cmd := w.command(w.Server, "openssl", append([]string{
				"s_server", "-accept", "443", "-cert", w.path("cert"), "-key", w.path("key"), "-www", "-tls1_3",
			}, tc.args...)...)
			log := newOutput()
			cmd.Stdout, cmd.Stderr = log, log
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			log.wait(t, func(s string) bool { return strings.Contains(s, "ACCEPT") })
			w.redirect("443")
			p := w.transom(append([]string{"--json"}, tc.how...)...)
			got, stderr, err := w.curl(w.trusted(), "https://shop.example/")
			if code := exitCode(err); code != tc.code || !strings.Contains(got, tc.body) {
				t.Errorf("curl ended with %d, printed %q, want %d and %q\n%s", code, got, tc.code, tc.body, stderr)
			}
			r := p.await(1, func(record) bool { return true })[0]
			if r.Type != tc.kind || !strings.Contains(r.Reason, tc.reason) {
				t.Errorf("recorded %+v", r)
			}
		})
	}
}
