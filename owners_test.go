package transom_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transom"
	"transom/flow"
	"transom/internal/testnet"
)

// A registry knows the program of every client, after a while.
type registry struct {
	after time.Duration // negative is never
	gone  bool          // nobody has the socket any more
	away  bool          // clients are elsewhere

	mu    sync.Mutex
	asked []string
}

var program = &flow.Process{PID: 4711, Name: "curl", UID: 1000, User: "alice"}

func (r *registry) Here(netip.Addr) bool { return !r.away }

func (r *registry) Ask(network string, client, dst netip.AddrPort, to func(*flow.Process)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, network+" "+client.String()+" "+dst.String())
	p := program
	if r.gone {
		p = nil
	}
	switch {
	case r.after > 0:
		time.AfterFunc(r.after, func() { to(p) })
	case r.after == 0:
		to(p)
	}
}

// TestOwners has one request made by a client whose program is known sooner or later. The
// traffic is over at once.
func TestOwners(t *testing.T) {
	for name, tc := range map[string]struct {
		*registry
		start, end bool          // whether these have the program
		published  time.Duration // when the last of it is
	}{
		"at-once":  {&registry{}, true, true, 0},
		"late":     {&registry{after: time.Second / 10}, false, true, time.Second / 10},
		"too-late": {&registry{after: 2 * time.Second}, false, false, time.Second},
		"never":    {&registry{after: -1}, false, false, time.Second},
		"gone":     {&registry{after: time.Second / 10, gone: true}, false, false, time.Second / 10},
		"away":     {&registry{away: true}, false, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(p *transom.Proxy) { p.Owners = tc.registry }, func(w *world) {
				news := w.proxy.Watch(t.Context())
				w.net.Handle(serverAddr, func(c *testnet.Conn) { new(origin).answer("HTTP/1.1 204 No\r\n\r\n")(c) })
				began := time.Now()
				c := w.dial(serverAddr)
				w.say(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
				c.Close()
				synctest.Wait()
				if waited := time.Since(began); waited != 0 {
					t.Errorf("the client has waited for %v", waited)
				}
				w.end()
				if waited := time.Since(began); waited != tc.published {
					t.Errorf("all was published after %v, want %v", waited, tc.published)
				}
				w.proxy.Close()
				var got []string
				for f := range news {
					word := f.Type() + " " + map[bool]string{true: "open", false: "done"}[f.State == flow.Open]
					if f.Conn.Process == program {
						word += " " + f.Conn.Process.Name
					}
					got = append(got, word)
				}
				curl := map[bool]string{true: " curl"}
				want := []string{"http open" + curl[tc.start], "http done" + curl[tc.end], "conn done" + curl[tc.end]}
				if len(got) == 2 { // the first was not looked at before it was replaced
					want = want[1:]
				}
				if !slices.Equal(got, want) {
					t.Errorf("%q, want %q", got, want)
				}
				if f := w.only("http"); (f.Conn.Process == program) != tc.end {
					t.Errorf("kept: %+v", f.Conn.Process)
				}
				asked := []string{"tcp " + clientAddr.String() + " " + serverAddr.String()}
				if !tc.away && !slices.Equal(tc.asked, asked) || tc.away && len(tc.asked) > 0 {
					t.Errorf("asked %q", tc.asked)
				}
			})
		})
	}
}

// TestOwnersOfManyRequests has more flows end than may wait.
func TestOwnersOfManyRequests(t *testing.T) {
	const requests = 1000
	r := &registry{after: time.Second / 2}
	inWorld(t, func(p *transom.Proxy) { p.Owners = r }, func(w *world) {
		w.net.Handle(serverAddr, func(c *testnet.Conn) { new(origin).answer("HTTP/1.1 204 No\r\n\r\n")(c) })
		c := w.dial(serverAddr)
		for i := range 2 * requests {
			if i == requests {
				time.Sleep(time.Second)
			}
			w.say(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
		}
		c.Close()
		known := 0
		for _, f := range w.flows("http") {
			if f.State != flow.Done {
				t.Fatalf("%+v", f)
			}
			if f.Conn.Process == program {
				known++
			}
		}
		if known <= requests || known > requests+100 {
			t.Errorf("%d of %d flows have the program", known, 2*requests)
		}
		if f := w.only("conn"); f.Conn.Process != program {
			t.Errorf("%+v", f.Conn)
		}
	})
}

// TestOwnersOfDatagrams asks for the client of a UDP conversation.
func TestOwnersOfDatagrams(t *testing.T) {
	r := new(registry)
	inWorld(t, func(p *transom.Proxy) { p.Owners = r }, func(w *world) {
		w.net.HandleUDP(udpServer, echoUDP)
		c := w.src.InjectUDP(clientAddr, udpServer)
		w.say(c, "a")
		w.hear(c, "re: a")
		c.Close()
		time.Sleep(time.Hour)
		if f := w.only("udp"); f.Conn.Process != program {
			t.Errorf("%+v", f.Conn)
		}
		if want := "udp " + clientAddr.String() + " " + udpServer.String(); !slices.Equal(r.asked, []string{want}) {
			t.Errorf("asked %q", r.asked)
		}
	})
}

// TestOwnersOfTunnel asks once for a client that has the proxy open a tunnel: with what
// it is connected to the proxy, and for all within.
func TestOwnersOfTunnel(t *testing.T) {
	servers := newPKI(t)
	r := &registry{after: time.Second / 2}
	inWorld(t, func(p *transom.Proxy) { p.Owners, p.UpstreamRoots = r, servers.roots }, func(w *world) {
		w.net.Name("shop.test", secureAddr.Addr())
		w.serveTLS(secureAddr, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}}, "HTTP/1.1 204 No\r\n\r\n")
		c := w.dialProxy()
		w.say(c, "CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n")
		if head, _ := readHead(bufio.NewReader(io.LimitReader(c, 39))); !strings.HasPrefix(head, "HTTP/1.1 200 ") {
			t.Fatalf("read %q", head)
		}
		s := tls.Client(c, &tls.Config{ServerName: "shop.test", RootCAs: w.roots})
		w.say(s, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
		w.hear(s, "HTTP/1.1 204 No\r\n\r\n")
		s.Close()
		time.Sleep(time.Second)
		for _, kind := range []string{"http", "conn"} {
			for _, f := range w.flows(kind) {
				if f.Conn.Process != program {
					t.Errorf("%s: %+v", kind, f.Conn)
				}
			}
		}
		if want := "tcp " + clientAddr.String() + " " + proxyAddr.String(); !slices.Equal(r.asked, []string{want}) {
			t.Errorf("asked %q", r.asked)
		}
	})
}
