package transom_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"transom"
	"transom/flow"
)

// TestServerThatRequiresACertificate: by TLS 1.3 it says so only after our
// handshake with it; the client is told nevertheless as it would have been.
func TestServerThatRequiresACertificate(t *testing.T) {
	const get, no = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", "HTTP/1.1 204 No\r\n\r\n"
	for name, c := range map[string]struct {
		on    transom.TLSFailure
		auth  tls.ClientAuthType
		check func(t *testing.T, w *world, c *tls.Conn)
	}{
		"mirror": {transom.Mirror, tls.RequireAnyClientCert, func(t *testing.T, w *world, c *tls.Conn) {
			if err := c.Handshake(); err == nil || !strings.Contains(err.Error(), "certificate required") {
				t.Errorf("the client's handshake: %v", err)
			}
			c.NetConn().Close()
			end := w.only("tls").Detail.(*flow.Connection)
			if !strings.HasPrefix(end.Reason, "server requires a client certificate") || end.Server != flow.Alert {
				t.Errorf("recorded %+v", end)
			}
		}},
		"502": {transom.BadGateway, tls.RequireAnyClientCert, func(t *testing.T, w *world, c *tls.Conn) {
			w.say(c, get)
			if got, _ := w.hearEnd(c); !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "client certificate") {
				t.Errorf("read %q", got)
			}
		}},
		"pass": {transom.PassThrough, tls.RequireAnyClientCert, func(t *testing.T, w *world, c *tls.Conn) {
			w.say(c, get)
			w.hear(c, no)
			c.Close()
			if end := w.only("tls").Detail.(*flow.Connection); !strings.HasPrefix(end.Reason, "passed undecrypted: server requires a client certificate") {
				t.Errorf("recorded %+v", end)
			}
		}},
		"only-asks": {transom.Mirror, tls.RequestClientCert, func(t *testing.T, w *world, c *tls.Conn) {
			began := time.Now()
			w.say(c, get)
			w.hear(c, no)
			c.Close()
			if took := time.Since(began); took > time.Second { // of fake time
				t.Errorf("it took %v", took)
			}
			w.only("http")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			servers := newPKI(t)
			leaf := servers.leaf(t, "shop.test")
			inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots, p.OnTLSFailure = servers.roots, c.on }, func(w *world) {
				w.serveTLS(secureAddr, &tls.Config{
					Certificates: []tls.Certificate{leaf}, ClientAuth: c.auth, MinVersion: tls.VersionTLS13,
				}, no)
				roots := w.roots
				if c.on == transom.PassThrough {
					roots = servers.roots
				}
				c.check(t, w, tls.Client(w.dial(secureAddr), &tls.Config{
					ServerName: "shop.test", RootCAs: roots, Certificates: []tls.Certificate{leaf},
				}))
			})
		})
	}
}
