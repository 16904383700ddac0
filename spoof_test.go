package transom_test

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"transom"
	"transom/app/export"
	"transom/capture"
	"transom/egress"
	"transom/internal/proto/sniff"
	"transom/internal/testnet"
)

// spoofing has servers see the clients' addresses and ports.
func spoofing(t *testing.T, more ...func(*transom.Proxy)) func(*transom.Proxy) {
	t.Helper()
	s, err := egress.ParseSpoof("ip+port")
	if err != nil {
		t.Fatal(err)
	}
	return func(p *transom.Proxy) {
		p.Spoof, p.Mark = s, 0x30
		for _, change := range more {
			change(p)
		}
	}
}

// dials are the calls that dialled.
func (w *world) dials() []string {
	return slices.DeleteFunc(w.host.Calls(), func(c string) bool { return !strings.HasPrefix(c, "dial ") })
}

// TestServerSeesTheClient: by its address and port, and the record says so. That
// the two connections have the same ends then is no sign of a loop.
func TestServerSeesTheClient(t *testing.T) {
	inWorld(t, spoofing(t), func(w *world) {
		var seen atomic.Value
		w.net.Handle(serverAddr, func(c *testnet.Conn) {
			seen.Store(c.RemoteAddr().String())
			(&origin{}).answer(noContent)(c)
		})
		for range 3 { // and the port may come again
			c := w.dial(serverAddr)
			w.say(c, untidy)
			w.hear(c, noContent)
			c.Close()
			if got := seen.Load(); got != clientAddr.String() {
				t.Errorf("the server sees %s", got)
			}
		}
		for _, f := range w.flows("http") {
			var line struct {
				Client struct{ Addr string }
				Server struct{ From string }
			}
			if err := json.Unmarshal(export.AppendJSON(nil, f, export.End), &line); err != nil {
				t.Fatal(err)
			}
			if line.Client.Addr != clientAddr.String() || line.Server.From != clientAddr.String() {
				t.Errorf("recorded %+v", line)
			}
		}
		if strings.Contains(w.logged.String(), "came back") {
			t.Errorf("log: %s", w.logged)
		}
	})
}

// TestServerSeesThisHost where the client's address does not do, and the record
// says so.
func TestServerSeesThisHost(t *testing.T) {
	inWorld(t, spoofing(t), func(w *world) {
		w.net.BlackHoleFrom(netip.AddrPortFrom(clientAddr.Addr(), 0))
		w.net.Handle(serverAddr, func(c *testnet.Conn) { (&origin{}).answer(noContent)(c) })
		for range 3 {
			c := w.dial(serverAddr)
			w.say(c, untidy)
			w.hear(c, noContent)
			c.Close()
		}
		for _, f := range w.flows("http") {
			if from := f.Conn.Server.From.Addr(); !w.host.Own(from) {
				t.Errorf("recorded as from %s", from)
			}
		}
		if n := strings.Count(w.logged.String(), "level=WARN"); n != 1 || !strings.Contains(w.logged.String(), "192.168.1.0/24") {
			t.Errorf("log: %s", w.logged)
		}
	})
}

// TestEveryDialIsForTheClient: also those that come after one has failed.
func TestEveryDialIsForTheClient(t *testing.T) {
	servers := newPKI(t)
	want := func(t *testing.T, w *world, n int) {
		t.Helper()
		dials := w.dials()
		for _, d := range dials {
			if d != "dial 203.0.113.7:443 from 192.168.1.2:50000 transparent required mark 48" {
				t.Errorf("the host was asked: %s", d)
			}
		}
		if len(dials) != n {
			t.Errorf("%d dials, want %d", len(dials), n)
		}
	}
	t.Run("after-failed-tls", func(t *testing.T) {
		pass := func(p *transom.Proxy) { p.OnTLSFailure = transom.PassThrough }
		inWorld(t, spoofing(t, pass), func(w *world) {
			w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}}, noContent)
			c := tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "shop.test", RootCAs: servers.roots})
			w.say(c, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
			w.hear(c, noContent)
			c.Close()
			want(t, w, 2)
		})
	})
	t.Run("after-resuming-failed", func(t *testing.T) {
		trust := func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }
		inWorld(t, spoofing(t, trust), func(w *world) {
			config := &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}}
			w.net.Handle(secureAddr, func(c *testnet.Conn) {
				p := make([]byte, sniff.Max)
				n, _ := c.Read(p)
				if r := sniff.Stream(p[:n]); r.Complete && len(r.Hello.Tickets()) > 0 {
					c.Close()
					return
				}
				(&origin{}).answer(noContent)(tls.Server(&pushedBack{c, p[:n]}, config))
			})
			client := &tls.Config{ServerName: "shop.test", RootCAs: w.roots, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			w.visit(client)
			w.visit(client)
			want(t, w, 3)
		})
	})
}

// TestClientsOfAProxyStayBehindIt: who chose us as its proxy expects our
// address.
func TestClientsOfAProxyStayBehindIt(t *testing.T) {
	for _, begin := range []string{"GET http://203.0.113.7/ HTTP/1.1", "CONNECT 203.0.113.7:80 HTTP/1.1"} {
		inWorld(t, spoofing(t), func(w *world) {
			w.net.Handle(serverAddr, func(c *testnet.Conn) { (&origin{}).answer(noContent)(c) })
			c := w.src.Inject(clientAddr, proxyAddr, func(c *capture.Conn) { c.Direct = true })
			w.say(c, begin+"\r\nHost: 203.0.113.7\r\n\r\n")
			if strings.HasPrefix(begin, "CONNECT") {
				w.hear(c, "HTTP/1.1 200 ")
				w.say(c, untidy)
			}
			buf := make([]byte, 512)
			if _, err := io.ReadAtLeast(c, buf, 5); err != nil {
				t.Error(err)
			}
			c.Close()
			w.flows("conn")
			if got := w.dials(); !slices.Equal(got, []string{"dial 203.0.113.7:80 mark 48"}) {
				t.Errorf("%s: the host was asked %q", begin, got)
			}
		})
	}
}

// TestTunnelThroughAnothersProxy keeps the connection that it began on, which is
// the client's.
func TestTunnelThroughAnothersProxy(t *testing.T) {
	inWorld(t, spoofing(t), func(w *world) {
		w.net.Handle(serverAddr, func(c *testnet.Conn) {
			o := &origin{}
			o.answer("HTTP/1.1 200 Go\r\n\r\n")(c)
		})
		c := w.dial(serverAddr)
		w.say(c, "CONNECT shop.test:80 HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		w.hear(c, "HTTP/1.1 200 Go\r\n\r\n")
		w.say(c, untidy)
		w.hear(c, "HTTP/1.1 200 Go\r\n\r\n")
		c.Close()
		if got := w.dials(); !slices.Equal(got, []string{"dial 203.0.113.7:80 from 192.168.1.2:50000 transparent required mark 48"}) {
			t.Errorf("the host was asked %q", got)
		}
		for _, f := range w.flows("http") {
			if f.Conn.Server.From != clientAddr {
				t.Errorf("recorded as from %s", f.Conn.Server.From)
			}
		}
	})
}

// TestReloadRemembers what was seen of the networks: it is of the Spoof.
func TestReloadRemembers(t *testing.T) {
	inWorld(t, spoofing(t), func(w *world) {
		w.net.BlackHoleFrom(netip.AddrPortFrom(clientAddr.Addr(), 0))
		w.net.Handle(serverAddr, func(c *testnet.Conn) { (&origin{}).answer(noContent)(c) })
		visit := func() {
			c := w.dial(serverAddr)
			w.say(c, untidy)
			w.hear(c, noContent)
			c.Close()
		}
		visit()
		visit()
		if err := w.proxy.Reload(w.proxy.Settings); err != nil {
			t.Fatal(err)
		}
		before := len(w.dials())
		visit()
		if got := w.dials()[before:]; !slices.Equal(got, []string{"dial 203.0.113.7:80 mark 48"}) {
			t.Errorf("the host was asked %q", got)
		}
	})
}
