package transom_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom"
	"transom/ca"
	"transom/capture"
	"transom/exchange"
	"transom/flow"
	"transom/internal/testnet"
	"transom/policy"
)

// untidy is a request no library would send: its bytes must arrive as they are.
const untidy = "GET /a?b HTTP/1.1\r\nhOsT:shop.test\r\nX-b:  2 \r\nx-A: 1\r\nX-b: 3\r\n\r\n"

func TestRequestLeavesByteForByte(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var o origin
		const response = "HTTP/1.1 200 Fine\r\ncontent-LENGTH: 5\r\nX:y\r\n\r\nhello"
		w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer(response)(c) })
		c := w.dial(serverAddr)
		for range 3 {
			w.say(c, untidy)
			w.hear(c, response)
		}
		c.Close()
		for _, f := range w.flows("http") {
			d := f.Detail.(*flow.HTTP)
			if f.State != flow.Done || d.Response.Status != 200 || d.Request.Authority != "shop.test" || w.body(d.ResponseBody) != "hello" {
				t.Errorf("recorded %+v %+v", f, d)
			}
		}
		heads := o.heads()
		if len(heads) != 3 || heads[0] != untidy {
			t.Errorf("the server saw %q", heads)
		}
		end := w.only("conn").Detail.(*flow.Connection)
		if end.Flows != 3 || end.Reason != "" || end.Client != flow.FIN {
			t.Errorf("the connection's record is %+v", end)
		}
	})
}

func TestChunkedBodiesKeepTheirFraming(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		const request = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n03;x=\"y\"\r\nabc\r\n0\r\nTrail: er\r\n\r\n"
		const response = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n005\r\nhello\r\n000;last\r\nA: b\r\n\r\n"
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			w.hear(r, request)
			w.say(c, response)
		})
		c := w.dial(serverAddr)
		w.say(c, request)
		if got, _ := w.hearEnd(c); got != response {
			t.Errorf("the client saw %q", got)
		}
		c.Close()
		d := w.only("http").Detail.(*flow.HTTP)
		if w.body(d.RequestBody) != "abc" || w.body(d.ResponseBody) != "hello" ||
			d.RequestTrailer.Get("trail") != "er" || d.ResponseTrailer.Get("a") != "b" {
			t.Errorf("recorded %+v", d)
		}
	})
}

// TestServerThatSpeaksFirst: a greeting must not wait for a timer.
func TestServerThatSpeaksFirst(t *testing.T) {
	for name, c := range map[string]struct{ greeting, request, answer string }{
		"smtp": {"220 mail.test\r\n", "EHLO me\r\n", "250 hello\r\n"},
		"ssh":  {"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0-x\r\n", "\x00\x00\x04\x0c\x09\x14"},
		"mysql": {
			"\x1b\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00abcdefgh\x00\xff\xf7\xff",
			"\x20\x00\x00\x01\x05\xae\xff\x01\x00\x00\x00\x01\xff", // asks for TLS
			"\x16\x03\x03",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.serve(serverAddr, func(conn *testnet.Conn, r *bufio.Reader) {
					w.say(conn, c.greeting)
					w.hear(r, c.request)
					w.say(conn, c.answer)
				})
				start := time.Now()
				conn := w.dial(serverAddr)
				w.hear(conn, c.greeting)
				w.say(conn, c.request)
				w.hear(conn, c.answer)
				if took := time.Since(start); took != 0 {
					t.Errorf("the greeting took %v", took)
				}
				conn.Close()
				d := w.only("tcp").Detail.(*flow.Messages)
				if d.Count != [2]int64{1, 2} || d.Bytes != [2]int64{int64(len(c.request)), int64(len(c.greeting) + len(c.answer))} {
					t.Errorf("recorded %+v", d)
				}
			})
		})
	}
}

// TestSilence: nobody is hung by a client that says nothing, nor does it become
// something else by saying nothing for a while.
func TestSilence(t *testing.T) {
	inWorld(t, func(p *transom.Proxy) { p.Timeouts.Idle = time.Hour }, func(w *world) {
		var o origin
		w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer("HTTP/1.1 204 No\r\n\r\n")(c) })
		c := w.dial(serverAddr)
		time.Sleep(30 * time.Minute) // fake time
		w.say(c, untidy)
		w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
		silent := w.src.Inject(netip.MustParseAddrPort("192.168.1.3:50000"), serverAddr)
		if _, err := w.hearEnd(silent); err != nil {
			t.Error("a silent client's end:", err)
		}
		c.Close()
		w.only("http")
	})
}

func TestAmbiguousBeginning(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			w.hear(r, "GE")
			w.say(c, "what?")
		})
		c := w.dial(serverAddr)
		w.say(c, "GE")
		w.hear(c, "what?")
		c.Close()
		w.only("tcp")
	})
}

func TestOneByteSegments(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var o origin
		w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer("HTTP/1.1 204 No\r\n\r\n")(c) })
		c := w.dial(serverAddr)
		for i := range untidy {
			w.say(c, untidy[i:i+1])
			time.Sleep(200 * time.Millisecond) // fake time, within the pause that an ambiguous start may make
		}
		w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
		c.Close()
		if heads := o.heads(); len(heads) != 1 || heads[0] != untidy {
			t.Errorf("the server saw %q", heads)
		}
	})
}

// TestServerFailures: what the server does to us, the client sees.
func TestServerFailures(t *testing.T) {
	for name, c := range map[string]struct {
		errno syscall.Errno
		want  flow.Close
	}{
		"refused":     {syscall.ECONNREFUSED, flow.Refused},
		"unreachable": {syscall.EHOSTUNREACH, flow.Unreachable},
		"black-hole":  {0, flow.Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				if c.errno != 0 {
					w.net.Fail(serverAddr, c.errno)
				} else {
					w.net.BlackHole(serverAddr)
				}
				conn := w.dial(serverAddr)
				w.say(conn, untidy)
				if got, err := w.hearEnd(conn); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("the client read %q, %v; want a reset", got, err)
				}
				end := w.only("conn").Detail.(*flow.Connection)
				if end.Server != c.want || end.Reason == "" {
					t.Errorf("recorded %+v", end)
				}
			})
		})
	}
}

func TestEndingsTravel(t *testing.T) {
	reset := func(c *testnet.Conn) { c.SetLinger(0); c.Close() }
	t.Run("server-reset", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) { readHead(r); reset(c) })
			c := w.dial(serverAddr)
			w.say(c, untidy)
			if _, err := w.hearEnd(c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the client's end: %v", err)
			}
			if f := w.only("http"); f.State != flow.Failed || f.Err == "" {
				t.Errorf("recorded %+v", f)
			}
		})
	})
	t.Run("server-closes-without-answer", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) { readHead(r) })
			c := w.dial(serverAddr)
			w.say(c, untidy)
			if got, err := w.hearEnd(c); got != "" || err != nil {
				t.Errorf("the client read %q, %v; want a FIN", got, err)
			}
		})
	})
	t.Run("idle-server-closes", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
				readHead(r)
				w.say(c, "HTTP/1.1 204 No\r\n\r\n")
				time.Sleep(5 * time.Second) // fake time
			})
			c := w.dial(serverAddr)
			w.say(c, untidy)
			w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
			start := time.Now()
			if _, err := w.hearEnd(c); err != nil || time.Since(start) != 5*time.Second {
				t.Errorf("ended with %v after %v; want a FIN after 5s", err, time.Since(start))
			}
		})
	})
	t.Run("idle-server-speaks", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			const late = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
				readHead(r)
				w.say(c, "HTTP/1.1 204 No\r\n\r\n")
				time.Sleep(5 * time.Second) // fake time
				w.say(c, late)
			})
			c := w.dial(serverAddr)
			w.say(c, untidy)
			w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
			if got, err := w.hearEnd(c); got != late || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
		})
	})
	t.Run("half-close", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			var o origin
			w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(c) })
			c := w.dial(serverAddr)
			w.say(c, untidy)
			c.CloseWrite()
			if got, err := w.hearEnd(c); !strings.HasSuffix(got, "ok") || err != nil {
				t.Errorf("after its FIN the client read %q, %v", got, err)
			}
		})
	})
	t.Run("client-reset", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			gone := make(chan error, 1)
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
				readHead(r)
				_, err := r.ReadByte()
				gone <- err
			})
			c := w.dial(serverAddr)
			w.say(c, untidy)
			time.Sleep(time.Second) // fake time: the exchange is under way
			reset(c)
			if err := <-gone; err == nil {
				t.Error("the server heard more")
			}
		})
	})
	t.Run("raw-reset", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			gone := make(chan error, 1)
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
				w.say(c, "hi")
				_, err := r.ReadByte()
				gone <- err
			})
			c := w.dial(serverAddr)
			w.hear(c, "hi")
			reset(c)
			if err := <-gone; !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the server saw %v, want a reset", err)
			}
			if end := w.only("conn").Detail.(*flow.Connection); end.Client != flow.RST {
				t.Errorf("recorded %+v", end)
			}
		})
	})
	t.Run("raw-half-close", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
				w.say(c, "hi")
				all, _ := io.ReadAll(r)
				w.say(c, "got "+string(all))
			})
			c := w.dial(serverAddr)
			w.hear(c, "hi")
			w.say(c, "bytes")
			c.CloseWrite()
			if got, err := w.hearEnd(c); got != "got bytes" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
		})
	})
}

func TestSmugglingIsRefused(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			if head, err := readHead(r); err == nil {
				t.Errorf("the server saw %q", head)
			}
		})
		c := w.dial(serverAddr)
		w.say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		if got, _ := w.hearEnd(c); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("the client read %q", got)
		}
		f := w.only("http")
		if f.State != flow.Failed || !strings.Contains(f.Err, "ontent-Length") {
			t.Errorf("recorded state %v, %q", f.State, f.Err)
		}
	})
}

func TestMalformedResponse(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			readHead(r)
			w.say(c, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx")
		})
		c := w.dial(serverAddr)
		w.say(c, untidy)
		got, _ := w.hearEnd(c)
		if !strings.HasPrefix(got, "HTTP/1.1 502 ") {
			t.Errorf("the client read %q", got)
		}
		w.toldOf(w.only("http"), got, "Content-Length")
	})
}

// TestDecisions: policy is asked at accept, at the hello, and at each request.
func TestDecisions(t *testing.T) {
	ignore := func(pattern string) func(*transom.Proxy) {
		return func(p *transom.Proxy) {
			re, err := policy.CompilePattern(pattern)
			if err != nil {
				t.Fatal(err)
			}
			p.Policy = &policy.Hosts{Ignore: []*policy.Pattern{re}}
		}
	}
	t.Run("accept", func(t *testing.T) {
		inWorld(t, ignore(`^203\.0\.113\.7:80$`), func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
				w.hear(r, "\x00not\r\nhttp")
				w.say(c, "bye")
			})
			c := w.dial(serverAddr)
			w.say(c, "\x00not\r\nhttp")
			if got, _ := w.hearEnd(c); got != "bye" {
				t.Errorf("read %q", got)
			}
			c.Close()
			end := w.only("conn").Detail.(*flow.Connection)
			if end.Action != "pass" || !strings.Contains(end.Reason, "ignore-hosts") || end.Bytes != [2]int64{10, 3} {
				t.Errorf("recorded %+v", end)
			}
			if n := len(w.flows("tcp")) + len(w.flows("http")); n != 0 {
				t.Errorf("%d flows of an ignored connection", n)
			}
		})
	})
	t.Run("hello", func(t *testing.T) {
		inWorld(t, ignore(`^bank\.test:443$`), func(w *world) {
			servers := newPKI(t)
			w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "bank.test")}}, "HTTP/1.1 204 No\r\n\r\n")
			c := tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "bank.test", RootCAs: servers.roots})
			w.say(c, "GET / HTTP/1.1\r\nHost: bank.test\r\n\r\n")
			w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
			c.Close()
			f := w.only("tls")
			if f.Conn.Name() != "bank.test" || !strings.Contains(f.Detail.(*flow.Connection).Reason, "ignore-hosts") {
				t.Errorf("recorded %+v %+v", f, f.Detail)
			}
		})
	})
	t.Run("request", func(t *testing.T) {
		inWorld(t, ignore(`^b\.test:80$`), func(w *world) {
			var o origin
			w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer("HTTP/1.1 204 No\r\n\r\n")(c) })
			c := w.dial(serverAddr)
			for _, host := range []string{"a.test", "b.test", "a.test"} {
				w.say(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n")
				w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
			}
			c.Close()
			if n := len(w.flows("http")); n != 1 || len(o.heads()) != 3 {
				t.Errorf("%d requests recorded, %d arrived; want 1 and 3", n, len(o.heads()))
			}
		})
	})
}

// TestOtherDecisions: --allow-hosts and --tcp-hosts are asked at the same times.
func TestOtherDecisions(t *testing.T) {
	pattern := func(text string) []*policy.Pattern {
		p, err := policy.CompilePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		return []*policy.Pattern{p}
	}
	const answer = "HTTP/1.1 204 No\r\n\r\n"
	servers := newPKI(t)
	for name, c := range map[string]struct {
		hosts       policy.Hosts
		tls         bool
		flow        string // type of the only one
		fromServers bool   // the certificate was theirs
	}{
		"tcp-at-accept":    {hosts: policy.Hosts{TCP: pattern(`^203\.0\.113\.7$`)}, flow: "tcp"},
		"tcp-at-hello":     {hosts: policy.Hosts{TCP: pattern(`^shop\.test$`)}, tls: true, flow: "tcp"},
		"tcp-at-request":   {hosts: policy.Hosts{TCP: pattern(`^shop\.test$`)}, flow: "tcp"},
		"allow-at-hello":   {hosts: policy.Hosts{Allow: pattern(`^bank\.test:`)}, tls: true, flow: "tls", fromServers: true},
		"allow-at-request": {hosts: policy.Hosts{Allow: pattern(`^bank\.test:`)}, flow: "conn"},
		"allowed-by-name":  {hosts: policy.Hosts{Allow: pattern(`^shop\.test:443$`)}, tls: true, flow: "http"},
		"allowed-by-host":  {hosts: policy.Hosts{Allow: pattern(`^shop\.test:80$`)}, flow: "http"},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(p *transom.Proxy) { p.Policy, p.UpstreamRoots = &c.hosts, servers.roots }, func(w *world) {
				var o origin
				var conn net.Conn
				if c.tls {
					w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}}, answer)
					roots := w.roots
					if c.fromServers {
						roots = servers.roots
					}
					conn = tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "shop.test", RootCAs: roots})
				} else {
					w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer(answer)(c) })
					conn = w.dial(serverAddr)
				}
				for range 2 {
					w.say(conn, untidy)
					w.hear(conn, answer)
				}
				conn.Close()
				got := map[string]int{}
				for _, kind := range []string{"http", "tcp", "tls", "conn"} {
					if n := len(w.flows(kind)); n > 0 && (kind != "conn" || c.flow == "conn") {
						got[kind] = n
					}
				}
				want := map[string]int{c.flow: 1}
				if c.flow == "http" {
					want = map[string]int{"http": 2}
				}
				if !maps.Equal(got, want) {
					t.Errorf("recorded %v, want %v", got, want)
				}
			})
		})
	}
}

func TestHTTPS(t *testing.T) {
	servers := newPKI(t)
	inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }, func(w *world) {
		w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test", "www.shop.test")}, NextProtos: []string{"http/1.1"}},
			"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		c := tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "shop.test", RootCAs: w.roots, NextProtos: []string{"h2", "http/1.1"}})
		w.say(c, "GET /cart HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		w.hear(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		leaf := c.ConnectionState().PeerCertificates[0]
		if err := leaf.VerifyHostname("www.shop.test"); err != nil {
			t.Error("the leaf does not follow the server's:", err)
		}
		if p := c.ConnectionState().NegotiatedProtocol; p != "http/1.1" {
			t.Errorf("ALPN %q", p)
		}
		c.Close()
		f := w.only("http")
		d := f.Detail.(*flow.HTTP)
		if d.Request.Scheme != "https" || f.Conn.TLS() == nil || f.Conn.TLS().Version != tls.VersionTLS13 || f.Conn.TLS().Protocol != "http/1.1" {
			t.Errorf("client's leg: %+v", f.Conn.TLS())
		}
		if leg := f.Conn.Server; leg == nil || leg.To != secureAddr || leg.TLS == nil || leg.TLS.VerifyErr != "" || len(leg.TLS.Chain) == 0 {
			t.Errorf("server's leg: %+v", leg)
		}
	})
}

func TestServerFirstInsideTLS(t *testing.T) {
	for _, auth := range []tls.ClientAuthType{tls.NoClientCert, tls.RequestClientCert} {
		t.Run(auth.String(), func(t *testing.T) {
			servers := newPKI(t)
			inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }, func(w *world) {
				w.net.Handle(secureAddr, func(c *testnet.Conn) {
					s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "imap.test")}, ClientAuth: auth})
					w.say(s, "* OK ready\r\n")
					io.Copy(io.Discard, s)
					s.Close()
				})
				c := tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "imap.test", RootCAs: w.roots})
				w.hear(c, "* OK ready\r\n")
				c.Close()
				if d := w.only("tcp").Detail.(*flow.Messages); d.Bytes[1] != 12 {
					t.Errorf("recorded %+v", d)
				}
			})
		})
	}
}

func TestUnverifiedServer(t *testing.T) {
	for name, c := range map[string]struct {
		on    transom.TLSFailure
		check func(t *testing.T, w *world, real *pki)
	}{
		"mirror": {transom.Mirror, func(t *testing.T, w *world, _ *pki) {
			c := tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "shop.test", RootCAs: w.roots})
			if err := c.Handshake(); err == nil {
				t.Error("the client trusts what does not verify")
			}
			c.NetConn().Close()
			f := w.only("tls")
			if f.Conn.Server.TLS.VerifyErr == "" {
				t.Errorf("the server's leg does not say what is wrong: %+v", f.Conn.Server.TLS)
			}
			reason := f.Detail.(*flow.Connection).Reason
			for _, want := range []string{"server's certificate does not verify (x509: ", "client was shown an untrusted one", "client refused our certificate"} {
				if !strings.Contains(reason, want) {
					t.Errorf("the reason is %q, without %q", reason, want)
				}
			}
		}},
		"502": {transom.BadGateway, func(t *testing.T, w *world, _ *pki) {
			c := tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "shop.test", RootCAs: w.roots})
			w.say(c, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
			if got, _ := w.hearEnd(c); !strings.HasPrefix(got, "HTTP/1.1 502 ") || !strings.Contains(got, "authority") {
				t.Errorf("read %q", got)
			}
		}},
		"pass": {transom.PassThrough, func(t *testing.T, w *world, real *pki) {
			c := tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "shop.test", RootCAs: real.roots})
			w.say(c, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
			w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
			c.Close()
			w.only("tls")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			real, other := newPKI(t), newPKI(t)
			inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots, p.OnTLSFailure = other.roots, c.on }, func(w *world) {
				w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{real.leaf(t, "shop.test")}}, "HTTP/1.1 204 No\r\n\r\n")
				c.check(t, w, real)
			})
		})
	}
}

// TestAlertsTravelInKind: no overlap in ALPN is the alert that says so.
func TestAlertsTravelInKind(t *testing.T) {
	servers := newPKI(t)
	inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }, func(w *world) {
		w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}, NextProtos: []string{"other"}}, "")
		c := tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "shop.test", RootCAs: w.roots, NextProtos: []string{"http/1.1"}})
		if err := c.Handshake(); err == nil || !strings.Contains(err.Error(), "no application protocol") {
			t.Errorf("the client's handshake: %v", err)
		}
		c.NetConn().Close()
		if f := w.only("tls"); !strings.Contains(f.Detail.(*flow.Connection).Reason, "no_application_protocol") {
			t.Errorf("recorded %+v", f.Detail)
		}
	})
}

func TestClientRefusesOurCertificate(t *testing.T) {
	for name, version := range map[string]uint16{"tls12": tls.VersionTLS12, "tls13": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			servers := newPKI(t)
			inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }, func(w *world) {
				w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}}, "")
				c := tls.Client(w.dial(secureAddr), &tls.Config{ServerName: "shop.test", RootCAs: servers.roots, MaxVersion: version})
				if err := c.Handshake(); err == nil {
					t.Fatal("the client trusts our authority")
				}
				c.NetConn().Close()
				f := w.only("tls")
				if r := f.Detail.(*flow.Connection).Reason; !strings.Contains(r, "client refused our certificate") {
					t.Errorf("reason %q", r)
				}
			})
		})
	}
}

func TestDirectConnections(t *testing.T) {
	landing := func(p *transom.Proxy) {
		p.Direct = exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return exchange.Text(200, "landing"), nil
		})
	}
	direct := func(c *capture.Conn) { c.Direct = true }
	t.Run("landing", func(t *testing.T) {
		inWorld(t, landing, func(w *world) {
			for _, dst := range []netip.AddrPort{proxyAddr, netip.MustParseAddrPort("127.0.0.1:8080"), netip.MustParseAddrPort("[::1]:8080")} {
				c := w.dial(dst)
				w.say(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
				if got, _ := w.hearEnd(c); !strings.HasSuffix(got, "landing") {
					t.Errorf("read %q", got)
				}
			}
			if n := len(w.net.Targets()); n != 0 {
				t.Errorf("%d connections were made", n)
			}
		})
	})
	t.Run("spare", func(t *testing.T) {
		inWorld(t, landing, func(w *world) {
			for _, end := range []func(c *testnet.Conn){
				func(c *testnet.Conn) { c.Close() },
				func(c *testnet.Conn) { c.SetLinger(0); c.Close() },
				func(c *testnet.Conn) { w.hearEnd(c) }, // until it is silent for too long
			} {
				end(w.dial(proxyAddr, direct))
			}
			for _, f := range w.flows("conn") {
				if d := f.Detail.(*flow.Connection); f.State != flow.Done || d.Reason != "" || d.Client == flow.NotClosed {
					t.Errorf("recorded %+v", d)
				}
			}
		})
	})
	t.Run("shared-peer", func(t *testing.T) {
		inWorld(t, landing, func(w *world) {
			c := w.src.Inject(netip.MustParseAddrPort("100.127.0.9:4000"), proxyAddr, direct)
			w.say(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if got, _ := w.hearEnd(c); !strings.HasSuffix(got, "landing") {
				t.Errorf("read %q", got)
			}
		})
	})
	t.Run("public-peer", func(t *testing.T) {
		inWorld(t, landing, func(w *world) {
			c := w.src.Inject(netip.MustParseAddrPort("198.51.100.9:4000"), proxyAddr, direct)
			if _, err := w.hearEnd(c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("ended with %v, want a reset", err)
			}
			if end := w.only("conn").Detail.(*flow.Connection); !strings.Contains(end.Reason, "public") {
				t.Errorf("recorded %+v", end)
			}
		})
	})
	t.Run("absolute-form", func(t *testing.T) {
		inWorld(t, landing, func(w *world) {
			var o origin
			w.net.Name("shop.test", serverAddr.Addr())
			w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer("HTTP/1.1 204 No\r\n\r\n")(c) })
			c := w.dial(proxyAddr, direct)
			for range 2 {
				w.say(c, "GET http://shop.test/a HTTP/1.1\r\nHost: shop.test\r\nProxy-Connection: keep-alive\r\n\r\n")
				w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
			}
			c.Close()
			if heads := o.heads(); len(heads) != 2 || heads[0] != "GET /a HTTP/1.1\r\nHost: shop.test\r\n\r\n" {
				t.Errorf("the server saw %q", heads)
			}
			if n := len(w.flows("http")); n != 2 {
				t.Errorf("%d flows", n)
			}
		})
	})
	t.Run("connect", func(t *testing.T) {
		servers := newPKI(t)
		inWorld(t, func(p *transom.Proxy) { landing(p); p.UpstreamRoots = servers.roots }, func(w *world) {
			w.net.Name("shop.test", secureAddr.Addr())
			w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}}, "HTTP/1.1 204 No\r\n\r\n")
			c := w.dial(proxyAddr, direct)
			w.say(c, "CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n")
			if head, _ := readHead(bufio.NewReader(io.LimitReader(c, 39))); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
				t.Fatalf("read %q", head)
			}
			s := tls.Client(c, &tls.Config{ServerName: "shop.test", RootCAs: w.roots})
			w.say(s, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
			w.hear(s, "HTTP/1.1 204 No\r\n\r\n")
			s.Close()
			if f := w.only("http"); f.Conn.Via != "connect" || f.Conn.Host != "shop.test" {
				t.Errorf("recorded %+v", f.Conn)
			}
		})
	})
	t.Run("name-of-ours", func(t *testing.T) {
		inWorld(t, landing, func(w *world) {
			w.net.Name("gateway.test", proxyAddr.Addr())
			c := w.dial(proxyAddr, direct)
			w.say(c, "GET http://gateway.test:8080/ HTTP/1.1\r\nHost: gateway.test:8080\r\n\r\n")
			w.hear(c, "HTTP/1.1 200")
			c.Close()
		})
	})
	t.Run("unreachable", func(t *testing.T) {
		inWorld(t, landing, func(w *world) {
			c := w.dial(proxyAddr, direct)
			w.say(c, "GET http://203.0.113.9/ HTTP/1.1\r\nHost: a\r\n\r\n")
			got, _ := w.hearEnd(c)
			if !strings.HasPrefix(got, "HTTP/1.1 502 ") {
				t.Errorf("read %q", got)
			}
			f := w.only("http")
			w.toldOf(f, got, "refused")
			if r := f.Detail.(*flow.HTTP).Response; r == nil || r.Status != 502 || f.State != flow.Failed || f.Conn.Dst.String() != "203.0.113.9:80" {
				t.Errorf("recorded %+v, %+v", r, f.Conn)
			}
		})
	})
}

// TestLoopThroughTheRedirector: rules that catch our own traffic must not make
// us dial ourselves for ever.
func TestLoopThroughTheRedirector(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.Handle(serverAddr, func(c *testnet.Conn) {
			peer := c.RemoteAddr().(*net.TCPAddr).AddrPort()
			back := w.src.Inject(peer, serverAddr)
			go func() { io.Copy(back, c); back.CloseWrite() }()
			io.Copy(c, back)
		})
		c := w.dial(serverAddr)
		w.say(c, untidy)
		w.hearEnd(c)
		synctest.Wait()
		if n := len(w.net.Targets()); n > 2 {
			t.Errorf("%d connections were made to the same place", n)
		}
		loops := 0
		for _, f := range w.flows("conn") {
			if strings.Contains(f.Detail.(*flow.Connection).Reason, "loop") {
				loops++
			}
		}
		if loops == 0 {
			t.Error("no record says that it is a loop")
		}
	})
}

func TestUnknownDestination(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c := w.dial(netip.AddrPort{}, func(c *capture.Conn) { c.Err = errors.New("getsockopt: no such thing") })
		if _, err := w.hearEnd(c); err == nil {
			t.Log("ended with a FIN")
		}
		if end := w.only("conn").Detail.(*flow.Connection); !strings.Contains(end.Reason, "destination unknown") {
			t.Errorf("recorded %+v", end)
		}
		if n := strings.Count(w.logged.String(), "meant to go"); n != 1 {
			t.Errorf("%d log lines: %s", n, w.logged)
		}
	})
}

func TestShutdown(t *testing.T) {
	t.Run("drains", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
				if _, err := readHead(r); err != nil {
					return
				}
				time.Sleep(5 * time.Second) // fake time
				w.say(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				r.ReadByte()
			})
			busy, idle := w.dial(serverAddr), w.src.Inject(netip.MustParseAddrPort("192.168.1.3:50000"), serverAddr)
			w.say(busy, untidy)
			synctest.Wait()
			w.stop()
			synctest.Wait()
			if _, err := w.src.Inject(clientAddr, serverAddr).Read(make([]byte, 1)); err == nil {
				t.Error("a new connection was served while draining")
			}
			if got, err := w.hearEnd(busy); !strings.HasSuffix(got, "ok") || err != nil {
				t.Errorf("the exchange under way got %q, %v", got, err)
			}
			w.hearEnd(idle)
		})
	})
	t.Run("grace-ends", func(t *testing.T) {
		inWorld(t, func(p *transom.Proxy) { p.Timeouts.Grace = 3 * time.Second }, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) { w.say(c, "hi"); r.ReadByte() })
			c := w.dial(serverAddr)
			w.hear(c, "hi")
			start := time.Now()
			w.stop()
			<-w.ended
			w.ended <- nil
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("it took %v", took)
			}
			if _, err := w.hearEnd(c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("cut off with %v, want a reset", err)
			}
			if !strings.Contains(w.logged.String(), "connections=1") {
				t.Errorf("logged %s", w.logged)
			}
		})
	})
	t.Run("response-without-length", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
				readHead(r)
				w.say(c, "HTTP/1.0 200 OK\r\n\r\nhalf")
				r.ReadByte()
			})
			c := w.dial(serverAddr)
			w.say(c, untidy)
			w.hear(c, "HTTP/1.0 200 OK\r\n\r\nhalf")
			w.stop()
			if _, err := w.hearEnd(c); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("cut off with %v, want a reset", err)
			}
			if f := w.only("http"); f.State != flow.Failed {
				t.Errorf("recorded %+v", f)
			}
		})
	})
	t.Run("silent", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) { r.ReadByte() })
			c := w.dial(serverAddr)
			synctest.Wait()
			w.stop()
			if _, err := w.hearEnd(c); err != nil {
				t.Errorf("ended with %v, want a FIN", err)
			}
			if f := w.only("conn"); f.State != flow.Done || !strings.Contains(f.Detail.(*flow.Connection).Reason, "stopped") {
				t.Errorf("recorded %+v", f.Detail)
			}
		})
	})
	t.Run("end-at-once", func(t *testing.T) {
		inWorld(t, nil, func(w *world) {
			w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) { w.say(c, "hi"); r.ReadByte() })
			c := w.dial(serverAddr)
			w.hear(c, "hi")
			start := time.Now()
			w.stop()
			w.proxy.End()
			<-w.ended
			w.ended <- nil
			if took := time.Since(start); took != 0 {
				t.Errorf("it took %v", took)
			}
		})
	})
}

// TestRunThatIsOverBeforeItBegins listens for nobody, and is in order.
func TestRunThatIsOverBeforeItBegins(t *testing.T) {
	for _, when := range []string{"before", "while-opening"} {
		t.Run(when, func(t *testing.T) {
			authority, err := ca.New(ca.Options{ECDSA: true, Host: "test"})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			opened := false
			c := opening(func(ctx context.Context) error { opened = true; cancel(); return ctx.Err() })
			p := &transom.Proxy{
				Captures: []capture.Capture{c}, Host: &testnet.Host{},
				Settings:  transom.Settings{Issuer: authority},
				Listening: func([]net.Addr) error { t.Error("it listened"); return nil },
			}
			if when == "before" {
				cancel()
			}
			if err := p.Run(ctx); err != nil {
				t.Error("run:", err)
			}
			if opened != (when == "while-opening") {
				t.Errorf("opened: %t", opened)
			}
		})
	}
}

// An opening is a capture that fails to open.
type opening func(ctx context.Context) error

func (o opening) Open(ctx context.Context, _ capture.Env) (capture.Source, error) { return nil, o(ctx) }

func (o opening) String() string { return "opening" }

// serveTLS answers each request inside TLS with response.
func (w *world) serveTLS(addr netip.AddrPort, config *tls.Config, response string) {
	w.net.Handle(addr, func(c *testnet.Conn) {
		s := tls.Server(c, config)
		defer s.Close()
		new(origin).answer(response)(s)
	})
}
