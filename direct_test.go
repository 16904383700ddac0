package transom_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom"
	"transom/capture"
	"transom/exchange"
	"transom/flow"
	"transom/internal/testnet"
	"transom/policy"
)

// dialProxy opens a connection that its client made to the proxy itself.
func (w *world) dialProxy() *testnet.Conn {
	return w.dial(proxyAddr, func(c *capture.Conn) { c.Direct = true })
}

// withPage has requests to the proxy itself answered by "landing".
func withPage(p *transom.Proxy) {
	p.Direct = exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		return exchange.Text(200, "landing"), nil
	})
}

// TestProxiedToItself asks the proxy for itself, by every address it has and
// by a name. It must not connect to itself.
func TestProxiedToItself(t *testing.T) {
	for _, at := range []string{
		"192.168.1.1:8080", "203.0.113.1:8080", "[2001:db8::1]:8080", "[::ffff:192.168.1.1]:8080",
		"127.0.0.1:8080", "127.9.9.9:8080", "[::1]:8080", "0.0.0.0:8080", "[::]:8080",
		"gateway.test:8080", "GATEWAY.test:8080", "six.test:8080", "both.test:8080",
	} {
		t.Run(at, func(t *testing.T) {
			inWorld(t, withPage, func(w *world) {
				own4, own6 := proxyAddr.Addr(), netip.MustParseAddr("2001:db8::1")
				w.host.SetOwn(own4, netip.MustParseAddr("203.0.113.1"), own6)
				w.net.Name("gateway.test", own4)
				w.net.Name("GATEWAY.test", own4)
				w.net.Name("six.test", own6)
				w.net.Name("both.test", own6, own4)
				for _, begin := range []string{"CONNECT " + at, "CONNECT " + at, "GET http://" + at + "/"} {
					c := w.dialProxy()
					w.say(c, begin+" HTTP/1.1\r\nHost: "+at+"\r\nConnection: close\r\n\r\n")
					want := "HTTP/1.1 403 "
					if strings.HasPrefix(begin, "GET") {
						want = "HTTP/1.1 200 "
					}
					if got, err := w.hearEnd(c); !strings.HasPrefix(got, want) || err != nil {
						t.Errorf("%s: read %q, %v", begin, got, err)
					}
				}
				if n := w.net.Targets(); len(n) != 0 {
					t.Errorf("dialled %v", n)
				}
				if n := len(w.flows("http")); n != 3 {
					t.Errorf("%d flows of 3 requests", n)
				}
			})
		})
	}
}

// TestProxiedHost: the target says which host is meant, whatever Host says, and
// whether or not there is one (RFC 9112, section 3.2.2).
func TestProxiedHost(t *testing.T) {
	for name, c := range map[string]struct{ request, want string }{
		"none-in-1-0": {
			"GET http://shop.test/a HTTP/1.0\r\nX: y\r\n\r\n",
			"GET /a HTTP/1.0\r\nHost: shop.test\r\nX: y\r\n\r\n",
		},
		"in-1-0": {
			"GET http://shop.test/a HTTP/1.0\r\nX: y\r\nhost: shop.test\r\n\r\n",
			"GET /a HTTP/1.0\r\nX: y\r\nhost: shop.test\r\n\r\n",
		},
		"other-in-1-0": {
			"GET http://shop.test/a HTTP/1.0\r\nX: y\r\nHost: other.test\r\n\r\n",
			"GET /a HTTP/1.0\r\nX: y\r\nHost: shop.test\r\n\r\n",
		},
		"other-in-1-1": {
			"GET http://shop.test:80/a HTTP/1.1\r\nHost: other.test\r\n\r\n",
			"GET /a HTTP/1.1\r\nHost: shop.test:80\r\n\r\n",
		},
		"options-of-the-server": {
			"OPTIONS http://shop.test HTTP/1.1\r\nHost: shop.test\r\n\r\n",
			"OPTIONS * HTTP/1.1\r\nHost: shop.test\r\n\r\n",
		},
		"options-of-a-page": {
			"OPTIONS http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n",
			"OPTIONS / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
		},
		"none-in-1-1": {
			"GET http://shop.test?q HTTP/1.1\r\n\r\n",
			"GET /?q HTTP/1.1\r\nHost: shop.test\r\n\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, withPage, func(w *world) {
				var o origin
				w.net.Name("shop.test", serverAddr.Addr())
				w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer("HTTP/1.0 204 No\r\n\r\n")(c) })
				conn := w.dialProxy()
				w.say(conn, c.request)
				w.hear(conn, "HTTP/1.0 204 No\r\n\r\n")
				if got, err := w.hearEnd(conn); got != "" || err != nil {
					t.Errorf("after the answer the client read %q, %v", got, err)
				}
				if heads := o.heads(); len(heads) != 1 || heads[0] != c.want {
					t.Errorf("the server saw %q, want %q", heads, c.want)
				}
				if d := w.only("http").Detail.(*flow.HTTP); !strings.HasPrefix(d.Request.Authority, "shop.test") {
					t.Errorf("recorded for %q", d.Request.Authority)
				}
			})
		})
	}
	t.Run("not-absolute-in-1-0", func(t *testing.T) { // that is for us, whatever Host says
		inWorld(t, withPage, func(w *world) {
			for _, host := range []string{"", "Host: shop.test\r\n"} {
				c := w.dialProxy()
				w.say(c, "GET /a HTTP/1.0\r\n"+host+"\r\n")
				if got, err := w.hearEnd(c); !strings.HasSuffix(got, "landing") || err != nil {
					t.Errorf("read %q, %v", got, err)
				}
			}
		})
	})
	t.Run("connect-in-1-0", func(t *testing.T) {
		inWorld(t, withPage, func(w *world) {
			w.net.Name("shop.test", serverAddr.Addr())
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) { w.hear(r, "\x00hello"); w.say(c, "bye") })
			c := w.dialProxy()
			w.say(c, "CONNECT shop.test:80 HTTP/1.0\r\n\r\n")
			w.hear(c, "HTTP/1.1 200 Connection established\r\n\r\n")
			w.say(c, "\x00hello")
			if got, err := w.hearEnd(c); got != "bye" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
		})
	})
}

// A decision is a policy that treats one host, by name or address, as it says.
type decision struct {
	host string
	v    policy.Verdict
}

func (d decision) Decide(c *flow.Conn) policy.Verdict {
	if c.Host == d.host || c.Dst.Addr().String() == d.host {
		return d.v
	}
	return policy.Verdict{}
}

// TestProxiedDecisions: policy decides on requests in absolute form one by one,
// and on tunnels.
func TestProxiedDecisions(t *testing.T) {
	pattern := func(text string) []*policy.Pattern {
		p, err := policy.CompilePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		return []*policy.Pattern{p}
	}
	const answer = "HTTP/1.1 204 No\r\n\r\n"
	with := func(p policy.Policy) func(*transom.Proxy) {
		return func(x *transom.Proxy) { withPage(x); x.Policy = p }
	}
	start := func(w *world) *origin {
		o := new(origin)
		w.net.Name("a.test", serverAddr.Addr())
		w.net.Name("b.test", serverAddr.Addr())
		w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer(answer)(c) })
		return o
	}
	get := func(host string) string { return "GET http://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }
	for name, c := range map[string]struct {
		policy   policy.Policy
		recorded int // of a.test, b.test, a.test
	}{
		"ignore-hosts":         {&policy.Hosts{Ignore: pattern(`^b\.test:80$`)}, 2},
		"ignore-hosts-address": {&policy.Hosts{Ignore: pattern(`^203\.0\.113\.7:80$`)}, 3}, // nobody said it
		"allow-hosts":          {&policy.Hosts{Allow: pattern(`^b\.test:80$`)}, 1},
		"tcp-hosts":            {&policy.Hosts{TCP: pattern(`^b\.test$`)}, 3}, // it is rewritten, so it is read
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, with(c.policy), func(w *world) {
				o := start(w)
				conn := w.dialProxy()
				for _, host := range []string{"a.test", "b.test", "a.test"} {
					w.say(conn, get(host))
					w.hear(conn, answer)
				}
				conn.Close()
				if n := len(w.flows("http")); n != c.recorded || len(o.heads()) != 3 {
					t.Errorf("%d requests recorded, %d arrived; want %d and 3", n, len(o.heads()), c.recorded)
				}
			})
		})
	}
	for name, request := range map[string]string{
		"block":         get("b.test"),
		"block-connect": "CONNECT b.test:80 HTTP/1.1\r\nHost: b.test:80\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			no := decision{"b.test", policy.Verdict{Action: policy.Block, Reason: "by rule: no b"}}
			inWorld(t, with(no), func(w *world) {
				o := start(w)
				c := w.dialProxy()
				w.say(c, get("a.test"))
				w.hear(c, answer)
				w.say(c, request)
				if got, err := w.hearEnd(c); got != "" || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("read %q, %v; want a reset", got, err)
				}
				if len(o.heads()) != 1 || len(w.net.Targets()) != 1 {
					t.Errorf("%d requests on %d connections arrived, want 1", len(o.heads()), len(w.net.Targets()))
				}
				end := w.only("conn").Detail.(*flow.Connection)
				if end.Action != "block" || end.Reason != "blocked: by rule: no b" {
					t.Errorf("recorded %+v", end)
				}
			})
		})
	}
	t.Run("tunnel", func(t *testing.T) {
		inWorld(t, with(&policy.Hosts{Ignore: pattern(`^b\.test:80$`)}), func(w *world) {
			o := start(w)
			c := w.dialProxy()
			w.say(c, "CONNECT b.test:80 HTTP/1.1\r\nHost: b.test:80\r\n\r\n")
			w.hear(c, "HTTP/1.1 200 Connection established\r\n\r\n")
			w.say(c, untidy)
			w.hear(c, answer)
			c.Close()
			if n := len(w.flows("http")); n != 0 || len(o.heads()) != 1 {
				t.Errorf("%d requests recorded, %d arrived; want 0 and 1", n, len(o.heads()))
			}
		})
	})
}

// TestProxiedServerCloses while the client is idle: the next request gets a
// connection of its own. If it was on its way by then, nobody knows whether it
// may be sent again but the client, who is told as the server told us.
func TestProxiedServerCloses(t *testing.T) {
	const (
		request = "GET http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n"
		answer  = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	)
	for name, after := range map[string]time.Duration{"soon": 10 * time.Millisecond, "late": 5 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, withPage, func(w *world) {
				w.net.Name("shop.test", serverAddr.Addr())
				w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
					readHead(r)
					w.say(c, answer)
					time.Sleep(after) // fake time
				})
				c := w.dialProxy()
				for range 3 {
					w.say(c, request)
					w.hear(c, answer)
					time.Sleep(after + 10*time.Second) // fake time
				}
				c.Close()
				if n := len(w.net.Targets()); n != 3 {
					t.Errorf("%d connections for 3 requests", n)
				}
				if n := len(w.flows("http")); n != 3 {
					t.Errorf("%d flows", n)
				}
			})
		})
	}
	for name, how := range map[string]struct {
		end  func(c *testnet.Conn)
		want error
	}{
		"closes-when-asked": {func(*testnet.Conn) {}, nil},
		"resets-when-asked": {func(c *testnet.Conn) { c.SetLinger(0) }, syscall.ECONNRESET},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, withPage, func(w *world) {
				asked := 0
				w.net.Name("shop.test", serverAddr.Addr())
				w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
					readHead(r)
					asked++
					w.say(c, answer)
					if _, err := readHead(r); err == nil {
						asked++
					}
					how.end(c)
				})
				c := w.dialProxy()
				w.say(c, request)
				w.hear(c, answer)
				w.say(c, request)
				if got, err := w.hearEnd(c); got != "" || !errors.Is(err, how.want) {
					t.Errorf("read %q, %v; want %v", got, err, how.want)
				}
				if synctest.Wait(); asked != 2 {
					t.Errorf("the server was asked %d times, want 2", asked)
				}
			})
		})
	}
	t.Run("closes-at-first", func(t *testing.T) { // a connection of its own that gives nothing
		inWorld(t, withPage, func(w *world) {
			w.net.Name("shop.test", serverAddr.Addr())
			w.serve(serverAddr, func(_ *testnet.Conn, r *bufio.Reader) { readHead(r) })
			c := w.dialProxy()
			w.say(c, request)
			got, _ := w.hearEnd(c)
			if !strings.HasPrefix(got, "HTTP/1.1 502 ") {
				t.Errorf("read %q", got)
			}
			w.toldOf(w.only("http"), got, "EOF")
		})
	})
}

// TestProxiedClientErrs: what is the client's fault is not the server's.
func TestProxiedClientErrs(t *testing.T) {
	inWorld(t, withPage, func(w *world) {
		w.net.Name("shop.test", serverAddr.Addr())
		w.serve(serverAddr, func(_ *testnet.Conn, r *bufio.Reader) { io.Copy(io.Discard, r) })
		c := w.dialProxy()
		w.say(c, "POST http://shop.test/ HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
		if got, _ := w.hearEnd(c); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("read %q", got)
		}
		if f := w.only("http"); f.State != flow.Failed || !strings.Contains(f.Err, "chunk size") {
			t.Errorf("recorded %+v", f)
		}
	})
}
