package tlsterm_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"transom/ca"
	"transom/flow"
	"transom/internal/proto/tlsterm"
	"transom/internal/testnet"
)

// resuming returns a world whose client keeps tickets, and whose proxy does.
func resuming(t testing.TB, version uint16) *world {
	w := newWorld(t)
	w.client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	w.client.MinVersion, w.client.MaxVersion = version, version
	w.all = tlsterm.NewSessions(tlsterm.SessionsOptions{})
	return w
}

// resumed runs the client once and fails the test unless all goes well and the
// legs are resumed or not, as said.
func (w *world) resumed(t testing.TB, up, down bool) *result {
	t.Helper()
	r := w.run(t)
	r.ok(t)
	if r.up.Resumed != up || r.down.Resumed != down || r.client.DidResume != down {
		t.Errorf("resumed with the server %v, with the client %v; want %v, %v", r.up.Resumed, r.down.Resumed, up, down)
	}
	return r
}

func bothVersions(t *testing.T, f func(t *testing.T, version uint16)) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) { f(t, v) })
	}
}

func TestResume(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		w := resuming(t, version)
		full := w.resumed(t, false, false)
		for range 3 {
			r := w.resumed(t, true, true)
			if len(r.up.Chain) != 1 || string(r.up.Chain[0]) != string(full.up.Chain[0]) || r.up.VerifyErr != "" {
				t.Errorf("server leg has %d certificates, %q", len(r.up.Chain), r.up.VerifyErr)
			}
			if r.upConn.PeerCertificate() == nil || r.up.Version != version || r.up.CipherSuite == 0 || r.up.JA4 == "" {
				t.Errorf("server leg is not described: %+v", r.up)
			}
		}
	})
}

// TestServerGivesTicketsOnce has one that gives no new ticket when it resumes,
// as OpenSSL's may: what the client could use again is used again.
func TestServerGivesTicketsOnce(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		w := resuming(t, version)
		given := w.server
		given.SetSessionTicketKeys([][32]byte{{1}})
		w.server = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cfg := given.Clone()
			cfg.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
				state, err := given.DecryptTicket(ticket, cs)
				cfg.SessionTicketsDisabled = state != nil // from here on: asked before a ticket is made
				return state, err
			}
			return cfg, nil
		}}
		w.resumed(t, false, false)
		for range 4 {
			w.resumed(t, true, true)
		}
	})
}

// TestResumeVerifiesAgain has a server that is not trusted any more.
func TestResumeVerifiesAgain(t *testing.T) {
	w := resuming(t, tls.VersionTLS13)
	w.resumed(t, false, false)
	w.roots, w.mirror = poolOf(), true
	r := w.run(t)
	if r.up.VerifyErr == "" || r.clientErr == nil || r.client.DidResume {
		t.Errorf("server leg %q, client %v", r.up.VerifyErr, r.clientErr)
	}
}

func TestResumeFollowsTheClient(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		w := resuming(t, version)
		w.resumed(t, false, false)
		cache := w.client.ClientSessionCache
		w.client.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		w.resumed(t, false, false) // another program at the same address
		w.client.ClientSessionCache = nil
		if r := w.resumed(t, false, false); strings.Contains(string(r.up.Hello), "\x00\x23\x00\x00") {
			t.Error("a ticket is asked for that the client did not ask for")
		}
		w.client.ClientSessionCache = cache
		w.resumed(t, true, true)
	})
}

func TestResumeIsPerClient(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		w := resuming(t, version)
		w.resumed(t, false, false)
		w.from = netip.MustParseAddrPort("192.0.2.11:50000")
		w.resumed(t, false, true) // it may have moved, and may be another with a copy
	})
}

// TestResumeOnlyWhatIsTheSame changes something between two connections: the
// second must come out as it would have without the first.
func TestResumeOnlyWhatIsTheSame(t *testing.T) {
	other := func(t *testing.T, w *world) tls.Certificate {
		cert := selfSigned(t, "shop.example", "new.example")
		w.roots.AddCert(cert.Leaf)
		return cert
	}
	cases := map[string]struct {
		change func(t *testing.T, w *world)
		check  func(r *result) bool
	}{
		"version": {
			func(_ *testing.T, w *world) {
				w.client.MinVersion, w.server.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
			},
			func(r *result) bool { return r.client.Version == tls.VersionTLS12 },
		},
		"protocol": {
			func(_ *testing.T, w *world) { w.server.NextProtos = []string{"http/1.0"} },
			func(r *result) bool { return r.client.NegotiatedProtocol == "http/1.0" },
		},
		"no-protocol": {
			func(_ *testing.T, w *world) { w.server.NextProtos = nil },
			func(r *result) bool { return r.client.NegotiatedProtocol == "" },
		},
		"certificate": {
			func(t *testing.T, w *world) {
				w.server = &tls.Config{Certificates: []tls.Certificate{other(t, w)}, NextProtos: w.server.NextProtos}
			},
			func(r *result) bool { return len(r.client.PeerCertificates[0].DNSNames) == 2 },
		},
		"server": {
			func(_ *testing.T, w *world) { w.to = netip.MustParseAddrPort("198.51.100.8:443") },
			func(*result) bool { return true },
		},
		"name": {
			func(t *testing.T, w *world) {
				w.server.Certificates = []tls.Certificate{other(t, w)}
				w.client.ServerName = "new.example"
				w.client.ClientSessionCache = anyName{w.client.ClientSessionCache}
			},
			func(*result) bool { return true },
		},
		"authority": {
			func(t *testing.T, w *world) {
				a, err := ca.New(ca.Options{ECDSA: true, Host: "test"})
				if err != nil {
					t.Fatal(err)
				}
				w.issuer, w.client.RootCAs = a, poolOf(ours().Root(), a.Root())
			},
			func(r *result) bool { return r.client.VerifiedChains[0][1].PublicKeyAlgorithm.String() == "ECDSA" },
		},
	}
	for name, c := range cases {
		bothVersions(t, func(t *testing.T, version uint16) {
			t.Run(name, func(t *testing.T) {
				w := resuming(t, version)
				w.client.ClientSessionCache = anyName{w.client.ClientSessionCache}
				w.client.NextProtos, w.server.NextProtos = []string{"http/1.1", "http/1.0"}, []string{"http/1.1"}
				w.resumed(t, false, false)
				c.change(t, w)
				r := w.run(t)
				r.ok(t)
				if r.down.Resumed && !(name == "version" && version == tls.VersionTLS12) {
					t.Error("the client was resumed")
				}
				if !c.check(r) {
					t.Errorf("client has %+v", r.client)
				}
			})
		})
	}
}

// anyName is the cache of a client that tries its ticket everywhere.
type anyName struct{ tls.ClientSessionCache }

func (a anyName) Get(string) (*tls.ClientSessionState, bool) { return a.ClientSessionCache.Get("any") }

func (a anyName) Put(_ string, state *tls.ClientSessionState) { a.ClientSessionCache.Put("any", state) }

func TestServerWithoutTickets(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		w := resuming(t, version)
		w.server.SessionTicketsDisabled = true
		w.resumed(t, false, false)
		w.resumed(t, false, version == tls.VersionTLS13) // we learn too late that it gives none
	})
}

// TestServerForgets has a server that lost the keys of its tickets.
func TestServerForgets(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		w := resuming(t, version)
		w.resumed(t, false, false)
		w.server = &tls.Config{Certificates: w.server.Certificates}
		w.resumed(t, false, true)
		w.resumed(t, true, true)
	})
}

// TestServerBreaksOff has one that can't stand the offer to resume. The next
// connection must not make it.
func TestServerBreaksOff(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		w := resuming(t, version)
		w.resumed(t, false, false)
		us, server := testnet.Pipe(clientAddr, serverAddr)
		client, down := testnet.Pipe(clientAddr, serverAddr)
		var wg sync.WaitGroup
		wg.Go(func() { tls.Client(client, w.client).Handshake() })
		wg.Go(func() { peek(t, server); server.Close() })
		_, hello := peek(t, down)
		line := w.all.Of(clientAddr.Addr(), serverAddr.String(), hello)
		_, _, err := tlsterm.Connect(t.Context(), us, hello, tlsterm.ConnectOptions{Roots: w.roots, Lineage: line})
		if !tlsterm.WasResuming(err) {
			t.Errorf("the error does not say that it was resuming: %v", err)
		}
		us, again := testnet.Pipe(clientAddr, serverAddr)
		wg.Go(func() {
			if _, hello := peek(t, again); len(hello.Tickets()) > 0 {
				t.Error("it offers to resume again")
			}
			again.Close()
		})
		_, _, err = tlsterm.Connect(t.Context(), us, hello, tlsterm.ConnectOptions{Roots: w.roots, Lineage: line})
		if err == nil || tlsterm.WasResuming(err) {
			t.Errorf("the second error says that it was resuming: %v", err)
		}
		down.Close()
		us.Close()
		wg.Wait()
		client.Close()
	})
}

// TestTicketKeysRotate has the clock of the proxy run ahead.
func TestTicketKeysRotate(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		w := resuming(t, version)
		now := time.Now()
		w.all = tlsterm.NewSessions(tlsterm.SessionsOptions{Now: func() time.Time { return now }})
		w.resumed(t, false, false)
		first := w.client.ClientSessionCache
		w.client.ClientSessionCache = &keeping{ClientSessionCache: first}
		now = now.Add(25 * time.Hour)
		w.resumed(t, true, true) // by yesterday's key
		w.client.ClientSessionCache = first
		now = now.Add(6 * 24 * time.Hour)
		w.resumed(t, false, false) // by a key that is gone
		w.resumed(t, true, true)
	})
}

// keeping is a cache whose owner does not take new tickets.
type keeping struct{ tls.ClientSessionCache }

func (*keeping) Put(string, *tls.ClientSessionState) {}

// TestSessionsAreBounded visits many servers in a proxy with room for few.
func TestSessionsAreBounded(t *testing.T) {
	w := resuming(t, tls.VersionTLS13)
	w.all = tlsterm.NewSessions(tlsterm.SessionsOptions{MaxBytes: 8 << 10})
	caches := make([]tls.ClientSessionCache, 10)
	visit := func(i int) *result {
		w.to = netip.AddrPortFrom(serverAddr.Addr(), uint16(1000+i))
		w.client.ClientSessionCache = caches[i]
		r := w.run(t)
		r.ok(t)
		return r
	}
	for i := range caches {
		caches[i] = tls.NewLRUClientSessionCache(1)
		visit(i)
	}
	if r := visit(len(caches) - 1); !r.up.Resumed || !r.down.Resumed {
		t.Error("the last one is gone")
	}
	if r := visit(0); r.up.Resumed || !r.down.Resumed {
		t.Error("the first one is still there")
	}
}

// TestSilentClientThatResumed has not been shown our certificate, so that its
// silence says nothing of that.
func TestSilentClientThatResumed(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		w := resuming(t, version)
		w.resumed(t, false, false)
		r := w.run(t)
		r.clientConn.Close()
		if _, err := r.downConn.Read(make([]byte, 1)); err == nil || r.downConn.Refused() != "" {
			t.Errorf("refused: %q (%v)", r.downConn.Refused(), err)
		}
	})
}

// TestServerLegIsOfTheHelloWeSent compares the record with what the server gets.
func TestServerLegIsOfTheHelloWeSent(t *testing.T) {
	bothVersions(t, func(t *testing.T, version uint16) {
		w := resuming(t, version)
		var got flow.TLS
		w.serverRaw = func(c *testnet.Conn) {
			stream, hello := peek(t, c)
			got = hello.TLS
			s := tls.Server(&pushedBack{c, stream}, w.server)
			s.Write([]byte("x")) // with the tickets
		}
		for i := range 2 {
			r := w.run(t)
			if r.upErr != nil || r.clientErr != nil {
				t.Fatal(r.upErr, r.clientErr)
			}
			io.ReadFull(r.upConn, make([]byte, 1))
			r.downConn.Write([]byte("x"))
			io.ReadFull(r.clientConn, make([]byte, 1))
			up := r.up
			if !bytes.Equal(up.Hello, got.Hello) || up.JA3 != got.JA3 || up.JA4 != got.JA4 || up.JA3 == "" || up.JA4 == "" {
				t.Errorf("recorded %s %s, the server got %s %s", up.JA3, up.JA4, got.JA3, got.JA4)
			}
			if up.Resumed != (i > 0) {
				t.Errorf("visit %d: resumed %v", i, up.Resumed)
			}
		}
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
