package nettest_test

import (
	"os"
	"strings"
	"testing"
)

// pythonTwice visits twice with the session of the first visit.
const pythonTwice = `
import socket, ssl, sys
context, session = ssl.create_default_context(cafile=sys.argv[1]), None
for _ in range(2):
    with context.wrap_socket(socket.create_connection(('10.9.0.2', 443), 60), server_hostname='shop.example', session=session) as c:
        c.sendall(b'GET / HTTP/1.0\r\n\r\n')
        while c.recv(65536): pass
        session = c.session
        print(c.session_reused)
`

// TestResumption has stock programs resume their sessions with a stock nginx.
// Both legs have to be resumed then, if the server allows it.
func TestResumption(t *testing.T) {
	need(t, "curl", "openssl", "python3", "nginx", "iptables")
	for name, server := range map[string]struct {
		directives   string
		client, legs bool // what is resumed: the client's leg, both
	}{
		"tickets": {"ssl_protocols TLSv1.2 TLSv1.3;", true, true},
		// A server's tickets come too late in TLS 1.3 for us to hold ours back.
		"none":          {"ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets off; ssl_session_cache off;", true, false},
		"tickets-tls12": {"ssl_protocols TLSv1.2;", true, true},
		"none-tls12":    {"ssl_protocols TLSv1.2; ssl_session_tickets off; ssl_session_cache off;", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.nginx(server.directives)
			w.redirect("80,443")
			p := w.transom("--json")
			ca := w.trusted()
			tls12 := strings.HasSuffix(name, "tls12")

			// Before TLS 1.3, curl resumes by session IDs only, which crypto/tls does
			// not know.
			w.must(w.Client, "curl", "-sS", "--http1.1", "--cacert", ca, "-H", "Connection: close", "https://10.9.0.2/", "https://10.9.0.2/")
			w.wantResumed(p, "curl", 2, server.client && !tls12, server.legs && !tls12)

			want := "False\nFalse\n"
			if server.client {
				want = "False\nTrue\n"
			}
			if got := w.must(w.Client, "python3", "-c", pythonTwice, ca); got != want {
				t.Errorf("python printed %q, want %q", got, want)
			}
			w.wantResumed(p, "python", 4, server.client, server.legs)

			session := w.path("session")
			w.sClient(ca, "-sess_out", session)
			if _, err := os.Stat(session); err != nil && !server.client {
				return // it was given none
			}
			if got := w.sClient(ca, "-sess_in", session); strings.Contains(got, "Reused, TLS") != server.client {
				t.Errorf("s_client printed\n%s", got)
			}
			w.wantResumed(p, "s_client", 6, server.client, server.legs)
		})
	}
}

// sClient has openssl s_client ask for the page.
func (w *world) sClient(ca string, args ...string) string {
	w.t.Helper()
	cmd := w.command(w.Client, "openssl", append([]string{
		"s_client", "-ign_eof", "-verify_return_error", "-CAfile", ca, "-servername", "shop.example", "-connect", "10.9.0.2:443",
	}, args...)...)
	cmd.Stdin = strings.NewReader(bare)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "<title>shop</title>") {
		w.t.Errorf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// wantResumed looks at the last two of n records.
func (w *world) wantResumed(p *transom, who string, n int, client, server bool) {
	w.t.Helper()
	rs := p.await(n, of("http"))
	for i, want := range [][2]bool{{}, {client, server}} {
		if l := rs[n-2+i].TLS; l.Client.Resumed != want[0] || l.Server.Resumed != want[1] {
			w.t.Errorf("%s, visit %d: recorded as resumed %v and %v, want %v", who, i+1, l.Client.Resumed, l.Server.Resumed, want)
		}
	}
}

// TestReconnect has s_client make its five connections more.
func TestReconnect(t *testing.T) {
	need(t, "openssl", "nginx", "iptables")
	w := newWorld(t)
	w.nginx()
	w.redirect("443")
	p := w.transom("--json", "--flow-detail", "2")
	got := w.must(w.Client, "openssl", "s_client", "-reconnect", "-tls1_2", "-verify_return_error", "-CAfile", w.trusted(),
		"-servername", "shop.example", "-connect", "10.9.0.2:443")
	if n := strings.Count(got, "Reused, TLSv1.2"); n != 5 {
		t.Errorf("%d of 5 resumed:\n%s", n, got)
	}
	resumed := func(r record) bool { return r.TLS != nil && r.TLS.Client.Resumed && r.TLS.Server.Resumed }
	p.await(5, resumed)
}

// TestEarlyData has a client that was at the server before, without us, and now
// sends early data.
func TestEarlyData(t *testing.T) {
	need(t, "openssl", "nginx", "iptables")
	w := newWorld(t)
	w.nginx("ssl_protocols TLSv1.3; ssl_early_data on;")
	early := w.write("early", bare)
	session := w.path("session")
	w.sClient(w.authority.file, "-sess_out", session)
	if got := w.sClient(w.authority.file, "-sess_in", session, "-early_data", early); !strings.Contains(got, "Early data was accepted") {
		t.Fatalf("without us:\n%s", got)
	}
	w.sClient(w.authority.file, "-sess_out", session)
	w.redirect("443")
	p := w.transom("--json", "--keylog", w.path("keys"))
	for i := range 2 {
		got := w.sClient(w.trusted(), "-sess_in", session, "-early_data", early)
		if !strings.Contains(got, "Early data was rejected") || !strings.Contains(got, "New, TLSv1.3") {
			t.Errorf("visit %d:\n%s", i, got)
		}
	}
	for _, r := range p.await(2, of("http")) {
		if r.Response.Status != 200 || r.TLS.Client.Version != "TLS 1.3" || !strings.HasSuffix(r.Request.URL, "/") {
			t.Errorf("recorded %+v", r)
		}
	}
	if n := strings.Count(w.read(w.path("keys")), "\n"); n < 16 {
		t.Errorf("%d secrets logged", n)
	}
}
