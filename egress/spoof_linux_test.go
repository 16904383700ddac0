package egress_test

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"transom/egress"
	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/nft"
)

func TestMain(m *testing.M) { labtest.Main(m) }

var marks = platform.DefaultMarks()

// divert has answers to addresses that are not the gateway's come to it where it
// has a socket for them; and tproxy, clients' connections to port 80 as well.
func divert(t *testing.T, gw *lab.Host, tproxy bool) {
	t.Helper()
	ours := []nft.Stmt{nft.L4Proto(nft.TCP), nft.SocketTransparent(), nft.SetMark(marks.In, marks.Mask)}
	chain := func(name string, priority int, r ...nft.Rule) nft.Chain {
		return nft.Chain{Name: name, Type: "filter", Hook: nft.Prerouting, Priority: priority, Rules: r}
	}
	x := &nft.Table{Family: nft.Inet, Name: "test", Owned: true, Chains: []nft.Chain{
		chain("clients", -301, append(nft.Rule{nft.IIFName("lan0")}, append(ours, nft.Notrack(), nft.Accept())...)),
		chain("servers", -151, append(nft.Rule{}, append(ours, nft.Accept())...)),
	}}
	if tproxy {
		x.Chains = append(x.Chains, chain("capture", -300, nft.Rule{nft.Mark(marks.In, marks.Mask), nft.Accept()}, nft.Rule{
			nft.IIFName("lan0"), nft.DPort(nft.TCP, 80), nft.NotLocal(), nft.TProxy(netip.MustParseAddrPort("[::]:8080")), nft.SetMark(marks.In, marks.Mask), nft.Notrack(),
		}))
	}
	labtest.Rules(t, gw, x)
	if err := gw.Divert(marks.In, marks.Mask, 100); err != nil {
		t.Fatal(err)
	}
}

// A router is a real gateway that dials.
type router struct {
	*testing.T
	*lab.Net
	host platform.Host
	d    *egress.Direct
	log  testnet.Log
	seen chan string // what each connection came from, as the server saw it
}

func newRouter(t *testing.T, source string) *router {
	t.Helper()
	r := &router{T: t, Net: labtest.Gateway(t), seen: make(chan string, 64)}
	log := slog.New(slog.NewTextHandler(&r.log, nil))
	var err error
	if r.host, err = r.Gateway.Platform(log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.host.Close() })
	r.d = &egress.Direct{Host: r.host, Timeout: 10 * time.Second, Mark: marks.Upstream, Spoof: spoof(t, source), Own: r.host, Log: log}
	r.echo()
	return r
}

// echo serves port 80: it sends back what it gets, and ends when its peer does.
func (r *router) echo() {
	r.Helper()
	l, err := r.Server.Listen(r.Context(), netip.MustParseAddrPort("[::]:80"))
	if err != nil {
		r.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.seen <- c.RemoteAddr().String()
			wg.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c) // until the peer ends it, in whichever way
			})
		}
	})
	r.Cleanup(func() { l.Close(); wg.Wait() })
}

// dial opens a connection for a client, and returns it with the address that the
// server sees.
func (r *router) dial(from, to string) (net.Conn, netip.AddrPort) {
	r.Helper()
	c, err := r.d.Dial(r.Context(), egress.Target{Network: "tcp", Addr: netip.MustParseAddrPort(to), Client: netip.MustParseAddrPort(from)})
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { c.Close() })
	if _, err := c.Write([]byte("x")); err != nil {
		r.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		r.Fatal(err)
	}
	seen := netip.MustParseAddrPort(<-r.seen)
	seen = netip.AddrPortFrom(seen.Addr().Unmap(), seen.Port())
	if local := c.LocalAddr().(*net.TCPAddr).AddrPort(); local != seen {
		r.Errorf("the server sees %s, and we have %s", seen, local)
	}
	return c, seen
}

const (
	server4 = lab.ServerAddr4 + ":80"
	server6 = "[" + lab.ServerAddr6 + "]:80"
	phone4  = lab.ClientAddr4 + ":5000"
	phone6  = "[" + lab.ClientAddr6 + "]:5000"
)

// TestServerSees the source that was asked for.
func TestServerSees(t *testing.T) {
	for name, tt := range map[string]struct{ source, client, server, addr string }{
		"none":     {"none", phone4, server4, lab.WANAddr4},
		"ip":       {"ip", phone4, server4, lab.ClientAddr4},
		"ip-v6":    {"ip", phone6, server6, lab.ClientAddr6},
		"port":     {"ip+port", phone4, server4, lab.ClientAddr4},
		"port-v6":  {"ip+port", phone6, server6, lab.ClientAddr6},
		"fixed":    {"198.51.100.9", phone4, server4, "198.51.100.9"},
		"fixed-v6": {"2001:db8::9", phone6, server6, "2001:db8::9"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, tt.source)
			divert(t, r.Gateway, false)
			_, seen := r.dial(tt.client, tt.server)
			if seen.Addr() != netip.MustParseAddr(tt.addr) || (seen.Port() == 5000) != (tt.source == "ip+port") {
				t.Errorf("the server sees %s", seen)
			}
		})
	}
}

// fin ends a connection first, and in order: the kernel keeps its ends in mind.
func fin(c net.Conn) {
	_ = c.(*net.TCPConn).CloseWrite() // reading tells
	_, _ = io.Copy(io.Discard, c)
	c.Close()
}

// rst leaves nothing to keep in mind.
func rst(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// TestPortComesAgain: a client's port that is still known from its last
// connection is taken again if the kernel lets us have it, which depends on how
// that one ended, and on TCP timestamps. If not another one is.
func TestPortComesAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		client, server string
		timestamps     string
		end            func(net.Conn)
		same           bool
	}{
		"fin":                {phone4, server4, "1", fin, true},
		"fin-v6":             {phone6, server6, "1", fin, true},
		"no-timestamps":      {phone4, server4, "0", fin, false},
		"no-timestamps-v6":   {phone6, server6, "0", fin, false},
		"rst":                {phone4, server4, "0", rst, true},
		"rst-v6":             {phone6, server6, "0", rst, true},
		"not-ended-at-all":   {phone4, server4, "1", func(net.Conn) {}, false},
		"listener-on-all":    {lab.ClientAddr4 + ":8080", server4, "1", rst, false},
		"listener-on-all-v6": {"[" + lab.ClientAddr6 + "]:8080", server6, "1", rst, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRouter(t, "ip+port")
			divert(t, r.Gateway, false)
			if err := r.Server.Sysctl("net.ipv4.tcp_timestamps", tt.timestamps); err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "listener") {
				l, err := r.host.Listen(t.Context(), platform.Socket{Bind: netip.MustParseAddrPort("[::]:8080"), Transparent: true})
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
			}
			client := netip.MustParseAddrPort(tt.client)
			for i := range 4 {
				c, seen := r.dial(tt.client, tt.server)
				if seen.Addr() != client.Addr() {
					t.Fatalf("connection %d comes from %s", i, seen)
				}
				if first := i == 0 && !strings.HasPrefix(name, "listener"); (seen.Port() == client.Port()) != (tt.same || first) {
					t.Errorf("connection %d comes from %s", i, seen)
				}
				tt.end(c)
			}
			if r.log.String() != "" {
				t.Errorf("log: %s", &r.log)
			}
		})
	}
}

// TestNoWayBackInFact: without rules that divert them answers go to the client,
// which knows nothing of it.
func TestNoWayBackInFact(t *testing.T) {
	for name, addrs := range map[string][2]string{"v4": {phone4, server4}, "v6": {phone6, server6}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it waits
			r := newRouter(t, "ip+port")
			for i := range 3 {
				_, seen := r.dial(addrs[0], addrs[1])
				if !r.host.Own(seen.Addr()) {
					t.Errorf("connection %d comes from %s", i, seen)
				}
			}
			if n := strings.Count(r.log.String(), "level=WARN"); n != 1 {
				t.Errorf("log: %s", &r.log)
			}
		})
	}
}
