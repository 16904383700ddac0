package testnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom/capture"
	"transom/egress"
	"transom/internal/testnet"
	"transom/platform"
)

func target(a netip.AddrPort) egress.Target { return egress.Target{Network: "tcp", Addr: a} }

func TestNetServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testnet.NewNet()
		defer n.Close()
		n.Handle(server, func(c *testnet.Conn) {
			io.Copy(c, c)
			c.CloseWrite()
		})
		to := target(server)
		to.From = phone
		c, err := n.Dial(t.Context(), to)
		check(t, err)
		defer c.Close()
		if got := c.LocalAddr().String(); got != phone.String() {
			t.Errorf("dialled from %s, want %s", got, phone)
		}
		send(t, c, "echo")
		check(t, c.(*testnet.Conn).CloseWrite())
		wantAll(t, c, "echo", nil)
		if got := n.Targets(); !slices.Equal(got, []egress.Target{to}) {
			t.Errorf("targets %v, want %v", got, to)
		}
	})
}

func TestNetGivesEverySourceAPort(t *testing.T) {
	n := testnet.NewNet()
	defer n.Close()
	for _, to := range []string{"203.0.113.7:80", "[2001:db8::7]:80"} {
		addr := netip.MustParseAddrPort(to)
		n.Handle(addr, func(*testnet.Conn) {})
		a, err := n.Dial(t.Context(), target(addr))
		check(t, err)
		b, err := n.Dial(t.Context(), target(addr))
		check(t, err)
		if a.LocalAddr().String() == b.LocalAddr().String() {
			t.Errorf("two connections to %s from %s", to, a.LocalAddr())
		}
		if a.LocalAddr().(*net.TCPAddr).AddrPort().Addr().Is4() != addr.Addr().Is4() {
			t.Errorf("%s was dialled from %s", to, a.LocalAddr())
		}
	}
}

// TestNetRunsAnHTTPServer shows that the servers of the standard library run on
// a Listener, in fake time.
func TestNetRunsAnHTTPServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testnet.NewNet()
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "hello "+r.URL.Path)
		})}
		l := n.Listen(server)
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return n.Dial(ctx, target(server))
		}}
		resp, err := (&http.Client{Transport: tr}).Get("http://shop.example/cart")
		check(t, err)
		body, err := io.ReadAll(resp.Body)
		check(t, err)
		if string(body) != "hello /cart" {
			t.Errorf("body %q", body)
		}
		tr.CloseIdleConnections()
		check(t, srv.Close())
		wantErr(t, <-served, http.ErrServerClosed)
		_, err = n.Dial(t.Context(), target(server))
		wantErr(t, err, syscall.ECONNREFUSED)
	})
}

func TestNetFates(t *testing.T) {
	gaveUp := errors.New("gave up")
	cases := []struct {
		name string
		fate func(n *testnet.Net)
		want error
		took time.Duration
	}{
		{"nobody-listens", func(*testnet.Net) {}, syscall.ECONNREFUSED, 0},
		{"unreachable", func(n *testnet.Net) { n.Fail(server, syscall.EHOSTUNREACH) }, syscall.EHOSTUNREACH, 0},
		{"unreachable-on-every-port", func(n *testnet.Net) {
			n.Fail(netip.AddrPortFrom(server.Addr(), 0), syscall.ENETUNREACH)
		}, syscall.ENETUNREACH, 0},
		{"late", func(n *testnet.Net) {
			n.Handle(server, func(*testnet.Conn) {})
			n.Delay(server, 3*time.Second)
		}, nil, 3 * time.Second},
		{"late-refusal", func(n *testnet.Net) { n.Delay(server, time.Second) }, syscall.ECONNREFUSED, time.Second},
		{"too-late", func(n *testnet.Net) { n.Delay(server, time.Hour) }, gaveUp, time.Minute},
		{"black-hole", func(n *testnet.Net) { n.BlackHole(server) }, gaveUp, time.Minute},
		{"port-in-use", func(n *testnet.Net) { n.FailFrom(phone, syscall.EADDRINUSE) }, syscall.EADDRINUSE, 0},
		{"no-way-back", func(n *testnet.Net) { n.BlackHoleFrom(netip.AddrPortFrom(phone.Addr(), 0)) }, gaveUp, time.Minute},
		{"long-way", func(n *testnet.Net) {
			n.DelayFrom(phone, time.Second)
			n.Delay(server, time.Second)
		}, syscall.ECONNREFUSED, 2 * time.Second},
		{"somebody-else", func(n *testnet.Net) {
			n.BlackHoleFrom(netip.AddrPortFrom(phone.Addr(), phone.Port()+1))
		}, syscall.ECONNREFUSED, 0},
		{"mended", func(n *testnet.Net) {
			n.BlackHoleFrom(phone)
			n.BlackHole(server)
			n.Mend(phone)
			n.Mend(server)
		}, syscall.ECONNREFUSED, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := testnet.NewNet()
				defer n.Close()
				c.fate(n)
				ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, gaveUp)
				defer cancel()
				start := time.Now()
				to := target(server)
				to.From = phone
				conn, err := n.Dial(ctx, to)
				if !errors.Is(err, c.want) {
					t.Errorf("error %v, want %v", err, c.want)
				}
				if err == nil {
					conn.Close()
				}
				if d := time.Since(start); d != c.took {
					t.Errorf("took %v, want %v", d, c.took)
				}
			})
		})
	}
}

func TestNetNames(t *testing.T) {
	n := testnet.NewNet()
	defer n.Close()
	dead, v6 := netip.MustParseAddr("203.0.113.99"), netip.MustParseAddr("2001:db8::7")
	n.Name("shop.example", dead, v6)
	n.Handle(netip.AddrPortFrom(v6, 80), func(*testnet.Conn) {})
	port80 := netip.AddrPortFrom(netip.Addr{}, 80)
	c, err := n.Dial(t.Context(), egress.Target{Host: "shop.example", Addr: port80})
	check(t, err)
	if got := c.RemoteAddr().String(); got != "[2001:db8::7]:80" {
		t.Errorf("reached %s, want the address that listens", got)
	}
	_, err = n.Dial(t.Context(), egress.Target{Host: "nowhere.example", Addr: port80})
	var dns *net.DNSError
	if !errors.As(err, &dns) || !dns.IsNotFound {
		t.Errorf("error %v, want a DNS error that says not found", err)
	}
	for network, want := range map[string]netip.Addr{"ip4": dead, "ip6": v6} {
		got, err := n.LookupNetIP(t.Context(), network, "shop.example")
		check(t, err)
		if !slices.Equal(got, []netip.Addr{want}) {
			t.Errorf("%s addresses %v, want %v", network, got, want)
		}
	}
}

func TestNetCloseEndsHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testnet.NewNet()
		n.Handle(server, func(c *testnet.Conn) { io.Copy(io.Discard, c) })
		c, err := n.Dial(t.Context(), target(server))
		check(t, err)
		n.Close()
		wantAll(t, c, "", nil)
		_, err = n.Dial(t.Context(), target(server))
		wantErr(t, err, syscall.ECONNREFUSED)
	})
}

func TestListenerCloseResetsWhatWaits(t *testing.T) {
	n := testnet.NewNet()
	defer n.Close()
	l := n.Listen(server)
	c, err := n.Dial(t.Context(), target(server))
	check(t, err)
	check(t, l.Close())
	wantAll(t, c, "", syscall.ECONNRESET)
	_, err = l.Accept()
	wantErr(t, err, net.ErrClosed)
	check(t, l.Close())
}

func TestSourceInjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours := netip.MustParseAddrPort("10.0.0.1:8080")
		s := testnet.NewSource(ours)
		src, err := s.Open(t.Context(), capture.Env{})
		check(t, err)
		why := errors.New("no entry")
		theirs := s.Inject(phone, server, func(cc *capture.Conn) { cc.Err = why })
		cc, err := src.Accept(t.Context())
		check(t, err)
		if cc.Info.Client != phone || cc.Info.Dst != server || cc.Info.Local != ours || cc.Info.ID.IsZero() {
			t.Errorf("info %+v", cc.Info)
		}
		if !errors.Is(cc.Err, why) {
			t.Errorf("error %v was not set", cc.Err)
		}
		if cc.LocalAddr().String() != ours.String() || theirs.RemoteAddr().String() != server.String() {
			t.Errorf("accepted at %s, dialled to %s", cc.LocalAddr(), theirs.RemoteAddr())
		}
		check(t, cc.Close())
		wantAll(t, theirs, "", nil)
	})
}

func TestSourceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := testnet.NewSource(server)
		ctx, cancel := context.WithCancelCause(t.Context())
		stopped := errors.New("stopped")
		errs := make(chan error)
		go func() { _, err := s.Accept(ctx); errs <- err }()
		synctest.Wait()
		cancel(stopped)
		wantErr(t, <-errs, stopped)

		go func() { _, err := s.Accept(t.Context()); errs <- err }()
		synctest.Wait()
		check(t, s.Close())
		wantErr(t, <-errs, net.ErrClosed)
		wantAll(t, s.Inject(phone, server), "", syscall.ECONNRESET)
	})
}

func TestSourceCloseResetsWhatWaits(t *testing.T) {
	s := testnet.NewSource(server)
	c := s.Inject(phone, server)
	check(t, s.Close())
	wantAll(t, c, "", syscall.ECONNRESET)
}

func TestHostWritesDownItsCalls(t *testing.T) {
	n := testnet.NewNet()
	defer n.Close()
	n.Handle(server, func(*testnet.Conn) {})
	denied := errors.New("not permitted")
	h := &testnet.Host{Net: n, Denied: denied}

	any := netip.MustParseAddrPort("[::]:8080")
	l, err := h.Listen(t.Context(), platform.Socket{Bind: any, Transparent: true})
	check(t, err)
	defer l.Close()
	if l.Transparent || !errors.Is(l.Denied, denied) {
		t.Errorf("listener transparent %v, denied %v", l.Transparent, l.Denied)
	}
	_, err = h.Listen(t.Context(), platform.Socket{Bind: any, Transparent: true, Require: true})
	wantErr(t, err, denied)

	c, err := h.Dial(t.Context(), platform.Socket{Bind: phone, Mark: 7}, server)
	check(t, err)
	if got := c.LocalAddr().String(); got != phone.String() {
		t.Errorf("dialled from %s, want %s", got, phone)
	}
	check(t, h.Close())
	want := []string{
		"listen [::]:8080 transparent",
		"listen [::]:8080 transparent required",
		"dial 203.0.113.7:443 from 10.0.0.2:50000 mark 7",
		"close",
	}
	if got := h.Calls(); !slices.Equal(got, want) {
		t.Errorf("calls\n%q\nwant\n%q", got, want)
	}
}

func TestHostAnswers(t *testing.T) {
	h := new(testnet.Host)
	h.SetOwn(netip.MustParseAddr("10.0.0.1"))
	for a, want := range map[string]bool{
		"127.0.0.1": true, "::1": true, "10.0.0.1": true, "::ffff:10.0.0.1": true, "10.0.0.2": false,
	} {
		if got := h.Own(netip.MustParseAddr(a)); got != want {
			t.Errorf("Own(%s) = %v, want %v", a, got, want)
		}
	}
	c, _ := testnet.Pipe(phone, server)
	_, _, err := h.OriginalDst(t.Context(), c)
	wantErr(t, err, platform.ErrDirect)
	h.Original = func(net.Conn) (netip.AddrPort, string, error) { return server, "redirect", nil }
	dst, via, err := h.OriginalDst(t.Context(), c)
	check(t, err)
	if dst != server || via != "redirect" {
		t.Errorf("original destination %s by %s", dst, via)
	}
	_, err = h.Dial(t.Context(), platform.Socket{}, server)
	wantErr(t, err, syscall.ECONNREFUSED)
	h.ListenErr = syscall.EADDRINUSE
	_, err = h.Listen(t.Context(), platform.Socket{Bind: server})
	wantErr(t, err, syscall.EADDRINUSE)
}
