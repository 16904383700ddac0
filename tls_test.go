package transom_test

import (
	"crypto/tls"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/net/http2"

	"transom"
	"transom/flow"
	"transom/internal/proto/sniff"
	"transom/internal/testnet"
)

const noContent = "HTTP/1.1 204 No\r\n\r\n"

// visit makes one request over a connection of its own and returns whether the
// client resumed, and the record.
func (w *world) visit(config *tls.Config) (resumed bool, f *flow.Flow) {
	w.t.Helper()
	fresh := w.fresh("http")
	c := tls.Client(w.dial(secureAddr), config)
	w.say(c, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
	w.hear(c, noContent)
	c.Close()
	return c.ConnectionState().DidResume, fresh()
}

// fresh returns a function for the one record of a type that came since.
func (w *world) fresh(kind string) func() *flow.Flow {
	w.t.Helper()
	before := w.flows(kind)
	return func() *flow.Flow {
		w.t.Helper()
		var fresh []*flow.Flow
		for _, f := range w.flows(kind) {
			if !slices.ContainsFunc(before, func(b *flow.Flow) bool { return b.ID == f.ID }) {
				fresh = append(fresh, f)
			}
		}
		if len(fresh) != 1 {
			w.t.Fatalf("%d new %s records, want 1", len(fresh), kind)
		}
		return fresh[0]
	}
}

func TestResumption(t *testing.T) {
	servers := newPKI(t)
	trust := func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }
	inWorld(t, trust, func(w *world) {
		w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}}, noContent)
		client := &tls.Config{ServerName: "shop.test", RootCAs: w.roots, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for i := range 3 {
			resumed, f := w.visit(client)
			down, up := f.Conn.TLS(), f.Conn.Server.TLS
			if want := i > 0; resumed != want || down.Resumed != want || up.Resumed != want {
				t.Errorf("visit %d: client resumed %v, record %v and %v", i, resumed, down.Resumed, up.Resumed)
			}
			if len(up.Chain) == 0 || up.VerifyErr != "" {
				t.Errorf("visit %d: %d certificates, %q", i, len(up.Chain), up.VerifyErr)
			}
		}
	})
}

// TestServerThatCannotResume ends connections whose hello offers to.
func TestServerThatCannotResume(t *testing.T) {
	servers := newPKI(t)
	ends := map[string]func(c *testnet.Conn){
		"alert": func(c *testnet.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 51}); c.Close() },
		"fin":   func(c *testnet.Conn) { c.Close() },
		"reset": func(c *testnet.Conn) { c.SetLinger(0); c.Close() },
	}
	trust := func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inWorld(t, trust, func(w *world) {
				config := &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}}
				var offers atomic.Int32
				w.net.Handle(secureAddr, func(c *testnet.Conn) {
					p := make([]byte, sniff.Max)
					n, _ := c.Read(p)
					if r := sniff.Stream(p[:n]); r.Complete && len(r.Hello.Tickets()) > 0 {
						offers.Add(1)
						end(c)
						return
					}
					s := tls.Server(&pushedBack{c, p[:n]}, config)
					(&origin{}).answer(noContent)(s)
				})
				client := &tls.Config{ServerName: "shop.test", RootCAs: w.roots, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
				w.visit(client)
				resumed, f := w.visit(client)
				if !resumed || offers.Load() != 1 || f.Conn.Server.TLS.Resumed {
					t.Errorf("client resumed %v, server was offered it %d times", resumed, offers.Load())
				}
			})
		})
	}
	t.Run("and-is-gone-then", func(t *testing.T) {
		inWorld(t, trust, func(w *world) {
			w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}}, noContent)
			client := &tls.Config{ServerName: "shop.test", RootCAs: w.roots, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
			w.visit(client)
			w.net.Handle(secureAddr, func(c *testnet.Conn) {
				w.net.Fail(secureAddr, syscall.ECONNREFUSED)
				io.ReadFull(c, make([]byte, 9))
				c.Close()
			})
			fresh := w.fresh("tls")
			c := tls.Client(w.dial(secureAddr), client)
			if err := c.Handshake(); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client got %v, want a reset", err)
			}
			c.Close()
			d := fresh().Detail.(*flow.Connection)
			if d.Server != flow.Refused || d.Reason != "server refused the connection" {
				t.Errorf("recorded %+v", d)
			}
		})
	})
}

// pushedBack is a conn of which something was read already.
type pushedBack struct {
	*testnet.Conn
	read []byte
}

func (p *pushedBack) Read(b []byte) (int, error) {
	if len(p.read) > 0 {
		n := copy(b, p.read)
		p.read = p.read[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// TestUnknownProtocol has client and server agree by ALPN on a name that we
// don't know. What it is shows in what is said.
func TestUnknownProtocol(t *testing.T) {
	servers := newPKI(t)
	for name, c := range map[string]struct{ asked, answered, found, reason string }{
		"http/2":   {http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "\x00\x00\x00\x04\x00\x00\x00\x00\x00", "h2", ""},
		"http/1.1": {"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n", noContent, "http/1.1", ""},
		"other":    {"\x00\x01hello", "\x00\x02world", "", "the protocol grpc-exp is not parsed"},
		"silent":   {"", "welcome", "", "the protocol grpc-exp is not parsed"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }, func(w *world) {
				done := make(chan []string, 1)
				w.net.Handle(secureAddr, func(c2 *testnet.Conn) {
					var offered []string
					s := tls.Server(c2, &tls.Config{
						Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}, NextProtos: []string{"grpc-exp"},
						GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
							offered = h.SupportedProtos
							return nil, nil
						},
					})
					w.hear(s, c.asked)
					w.say(s, c.answered)
					io.Copy(io.Discard, s)
					done <- offered
				})
				client := tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "shop.test", RootCAs: w.roots, NextProtos: []string{"grpc-exp", "h2"}})
				w.say(client, c.asked)
				w.hear(client, c.answered)
				client.Close()
				if offered := <-done; !slices.Equal(offered, []string{"grpc-exp", "h2"}) {
					t.Errorf("the server was offered %q", offered)
				}
				f := w.only("conn")
				if got, d := f.Conn.Last().Proto, f.Detail.(*flow.Connection); got != c.found || d.Reason != c.reason {
					t.Errorf("found %q, recorded %q", got, d.Reason)
				}
			})
		})
	}
}
