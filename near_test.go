package transom_test

import (
	"net/netip"
	"strings"
	"testing"

	"transom/capture"
	"transom/flow"
	"transom/internal/testnet"
)

// TestOnlyThisHostReachesItself: who uses the proxy from another machine does
// not get at what trusts this one; a program on it does.
func TestOnlyThisHostReachesItself(t *testing.T) {
	direct := func(c *capture.Conn) { c.Direct = true }
	local := netip.MustParseAddrPort("127.0.0.1:9999")
	for _, tc := range []struct{ name, line, client string }{
		{"loopback", "GET http://127.0.0.1:9999/ HTTP/1.1", "192.168.1.2:50000"},
		{"loopback-6", "GET http://[::1]:9999/ HTTP/1.1", "192.168.1.2:50000"},
		{"mapped", "GET http://[::ffff:127.0.0.1]:9999/ HTTP/1.1", "192.168.1.2:50000"},
		{"name", "GET http://rebound.test:9999/ HTTP/1.1", "192.168.1.2:50000"},
		{"unspecified", "GET http://0.0.0.0:9999/ HTTP/1.1", "192.168.1.2:50000"},
		{"link-local", "GET http://169.254.169.254/ HTTP/1.1", "192.168.1.2:50000"},
		{"link-local-6", "GET http://[fe80::1]:9999/ HTTP/1.1", "[fd00::2]:50000"},
		{"tunnel", "CONNECT localhost:9999 HTTP/1.1", "192.168.1.2:50000"},
		{"from-here", "GET http://127.0.0.1:9999/ HTTP/1.1", "127.0.0.1:50000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				var o origin
				w.net.Name("rebound.test", local.Addr())
				w.net.Name("localhost", local.Addr())
				w.net.Handle(local, func(c *testnet.Conn) { o.answer("HTTP/1.1 204 No\r\n\r\n")(c) })
				c := w.src.Inject(netip.MustParseAddrPort(tc.client), proxyAddr, direct)
				w.say(c, tc.line+"\r\nHost: a\r\nConnection: close\r\n\r\n")
				if tc.name == "from-here" {
					w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
					c.Close()
					return
				}
				if got, _ := w.hearEnd(c); !strings.HasPrefix(got, "HTTP/1.1 403 ") || !strings.Contains(got, "not on it") {
					t.Errorf("read %q", got)
				}
				if n := len(w.net.Targets()); n != 0 {
					t.Errorf("%d connections were made", n)
				}
				if h := w.only("http").Detail.(*flow.HTTP); h.Response.Status != 403 {
					t.Errorf("recorded %+v", h.Response)
				}
			})
		})
	}
}
