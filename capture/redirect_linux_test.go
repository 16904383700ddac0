package capture_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"transom/capture"
	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform/lab"
	"transom/platform/nft"
)

func TestMain(m *testing.M) { labtest.Main(m) }

// rules puts a gateway's rules in force.
type rules func(t *testing.T, gw *lab.Host)

func table(tables ...*nft.Table) rules {
	return func(t *testing.T, gw *lab.Host) {
		t.Helper()
		labtest.Rules(t, gw, tables...)
	}
}

// redirect is the usual table.
func redirect() rules { return table(nft.Redirection("test", "lan0", []uint16{80, 443}, 8080)) }

// redirectAll redirects connections to the gateway itself as well.
func redirectAll() rules {
	return table(chain("nat", -110, nft.Rule{nft.IIFName("lan0"), nft.DPort(nft.TCP, 80), nft.Redirect(8080)}))
}

func chain(typ string, priority int, r ...nft.Rule) *nft.Table {
	return &nft.Table{Family: nft.Inet, Name: "test", Owned: true, Chains: []nft.Chain{
		{Name: "pre", Type: typ, Hook: nft.Prerouting, Priority: priority, Rules: r},
	}}
}

// tproxy gives port 80 to the transparent listener. Without one nft's tproxy
// lets the packet go on to where it was meant to go.
func tproxy(conntrack bool) rules {
	return func(t *testing.T, gw *lab.Host) {
		t.Helper()
		tables := []*nft.Table{chain("filter", -150, nft.Rule{
			nft.IIFName("lan0"), nft.DPort(nft.TCP, 80), nft.TProxy(netip.MustParseAddrPort("[::]:8080")), nft.SetMark(0x10, 0x70),
		})}
		if conntrack { // a chain of type nat makes the namespace track connections
			tables = append(tables, &nft.Table{Family: nft.Inet, Name: "nat", Chains: []nft.Chain{
				{Name: "post", Type: "nat", Hook: nft.Postrouting, Priority: 100},
			}})
		}
		if err := gw.Divert(0x10, 0x70, 100); err != nil {
			t.Fatal(err)
		}
		table(tables...)(t, gw)
	}
}

func program(name string, args ...string) rules {
	return func(t *testing.T, gw *lab.Host) {
		t.Helper()
		path, err := exec.LookPath(name)
		testnet.Need(t, err == nil, "the "+name+" program")
		if out, err := gw.Command(t.Context(), path, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v: %s", name, args, err, out)
		}
	}
}

func byNft(t *testing.T, gw *lab.Host) {
	t.Helper()
	path, err := exec.LookPath("nft")
	testnet.Need(t, err == nil, "the nft program")
	text := nft.Redirection("test", "lan0", []uint16{80}, 8080)
	text.Owned = false // nft's own end would end it
	cmd := gw.Command(t.Context(), path, "-f", "-")
	cmd.Stdin = strings.NewReader(text.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
}

func iptables(name string) rules {
	return program(name, "-t", "nat", "-A", "PREROUTING", "-i", "lan0", "-p", "tcp", "--dport", "80", "-j", "REDIRECT", "--to-ports", "8080")
}

func none(*testing.T, *lab.Host) {}

// open starts a capture on the gateway.
func open(t *testing.T, gw *lab.Host, r capture.Redirect, log *slog.Logger) capture.Source {
	t.Helper()
	h, err := gw.Platform(log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := r.Open(t.Context(), capture.Env{Host: h, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

const (
	dual   = "[::]:8080"
	only4  = "0.0.0.0:8080"
	lan4   = lab.LANAddr4
	lan6   = lab.LANAddr6
	server = lab.ServerAddr4 + ":80"
)

var server6 = netip.AddrPortFrom(netip.MustParseAddr(lab.ServerAddr6), 80).String()

// TestDestination is the truth table of original destinations: rules, listener
// and client, and what is to be learned.
func TestDestination(t *testing.T) {
	tests := map[string]struct {
		rules  rules
		listen string
		dial   string
		mptcp  bool
		via    string // "direct", "redirect", "tproxy"
	}{
		"direct-without-conntrack-v4":      {rules: none, listen: only4, dial: lan4 + ":8080", via: "direct"},
		"direct-without-conntrack-v6":      {rules: none, listen: dual, dial: "[" + lan6 + "]:8080", via: "direct"},
		"direct-without-conntrack-dual":    {rules: none, listen: dual, dial: lan4 + ":8080", via: "direct"},
		"direct-with-conntrack-v4":         {rules: redirect(), listen: only4, dial: lan4 + ":8080", via: "direct"},
		"direct-with-conntrack-v6":         {rules: redirect(), listen: dual, dial: "[" + lan6 + "]:8080", via: "direct"},
		"direct-with-conntrack-dual":       {rules: redirect(), listen: dual, dial: lan4 + ":8080", via: "direct"},
		"direct-to-the-other-interface":    {rules: redirect(), listen: dual, dial: lab.WANAddr4 + ":8080", via: "direct"},
		"direct-to-the-other-interface-v6": {rules: redirect(), listen: dual, dial: "[" + lab.WANAddr6 + "]:8080", via: "direct"},
		"redirected-v4":                    {rules: redirect(), listen: only4, dial: server, via: "redirect"},
		"redirected-v6":                    {rules: redirect(), listen: dual, dial: server6, via: "redirect"},
		"redirected-v6-only":               {rules: redirect(), listen: "[" + lan6 + "]:8080", dial: server6, via: "redirect"},
		"redirected-dual":                  {rules: redirect(), listen: dual, dial: server, via: "redirect"},
		"redirected-to-own-port-80":        {rules: redirectAll(), listen: dual, dial: lan4 + ":80", via: "redirect"},
		"redirected-to-own-port-80-v6":     {rules: redirectAll(), listen: dual, dial: "[" + lan6 + "]:80", via: "redirect"},
		"redirected-mptcp-client":          {rules: redirect(), listen: dual, dial: server, mptcp: true, via: "redirect"},
		"redirected-mptcp-client-v6":       {rules: redirect(), listen: dual, dial: server6, mptcp: true, via: "redirect"},
		"redirected-by-nft":                {rules: byNft, listen: dual, dial: server, via: "redirect"},
		"redirected-by-nft-v6":             {rules: byNft, listen: dual, dial: server6, via: "redirect"},
		"redirected-by-iptables":           {rules: iptables("iptables"), listen: dual, dial: server, via: "redirect"},
		"redirected-by-ip6tables":          {rules: iptables("ip6tables"), listen: dual, dial: server6, via: "redirect"},
		"tproxy-without-conntrack-v4":      {rules: tproxy(false), listen: only4, dial: server, via: "tproxy"},
		"tproxy-without-conntrack-v6":      {rules: tproxy(false), listen: dual, dial: server6, via: "tproxy"},
		"tproxy-without-conntrack-dual":    {rules: tproxy(false), listen: dual, dial: server, via: "tproxy"},
		"tproxy-with-conntrack-v4":         {rules: tproxy(true), listen: only4, dial: server, via: "tproxy"},
		"tproxy-with-conntrack-v6":         {rules: tproxy(true), listen: dual, dial: server6, via: "tproxy"},
		"tproxy-with-conntrack-dual":       {rules: tproxy(true), listen: dual, dial: server, via: "tproxy"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			n := labtest.Gateway(t)
			tt.rules(t, n.Gateway)
			s := open(t, n.Gateway, capture.Redirect{Listen: netip.MustParseAddrPort(tt.listen)}, nil)
			d := &net.Dialer{}
			d.SetMultipathTCP(tt.mptcp)
			c, err := n.Client.DialWith(t.Context(), d, netip.MustParseAddrPort(tt.dial))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			got, err := s.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			i := got.Info
			if got.Err != nil || i.Via != tt.via || got.Direct != (tt.via == "direct") {
				t.Errorf("via %q, direct %v, error %v; want %q", i.Via, got.Direct, got.Err, tt.via)
			}
			if want := netip.MustParseAddrPort(tt.dial); i.Dst != want {
				t.Errorf("destination %v, want %v", i.Dst, want)
			}
			if want := netip.MustParseAddrPort(c.LocalAddr().String()); i.Client != want {
				t.Errorf("client %v, want %v", i.Client, want)
			}
			if i.Local.Addr().Is4In6() || !i.Local.IsValid() || i.Network != "tcp" || i.ID.IsZero() || i.Start.IsZero() {
				t.Errorf("incomplete: %+v", i)
			}
		})
	}
}

func TestLinkLocalClientKeepsItsZone(t *testing.T) {
	n := labtest.Gateway(t)
	s := open(t, n.Gateway, capture.Redirect{Listen: netip.MustParseAddrPort(dual)}, nil)
	a := linkLocal(t, n.Gateway, "lan0")
	c, err := n.Client.Dial(t.Context(), netip.AddrPortFrom(a.WithZone("eth0"), 8080))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if !got.Direct || got.Info.Dst.Addr().WithZone("") != a || got.Info.Client.Addr().Zone() == "" {
		t.Errorf("direct %v, client %v, destination %v, error %v", got.Direct, got.Info.Client, got.Info.Dst, got.Err)
	}
}

// linkLocal finds the link-local address of an interface.
func linkLocal(t *testing.T, h *lab.Host, iface string) (out netip.Addr) {
	t.Helper()
	if err := h.Do(func() error {
		i, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		addrs, err := i.Addrs()
		if err != nil {
			return err
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsLinkLocalUnicast() {
				out = p.Addr()
			}
		}
		return nil
	}); err != nil || !out.IsValid() {
		t.Fatalf("link-local address of %s: %v, %v", iface, out, err)
	}
	return out
}

// TestTproxyWithoutTransparentListener shows what becomes of the clients of a
// listener without IP_TRANSPARENT: nothing reaches it. They get to the server,
// which refuses them here.
func TestTproxyWithoutTransparentListener(t *testing.T) {
	n := labtest.Gateway(t)
	tproxy(false)(t, n.Gateway)
	l, err := n.Gateway.Listen(t.Context(), netip.MustParseAddrPort(dual))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, a := range []string{server, server6} {
		if c, err := n.Client.Dial(t.Context(), netip.MustParseAddrPort(a)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial %s: %v, %v; want it refused", a, c, err)
		}
	}
}

func TestNewAddressIsOwnAtOnce(t *testing.T) {
	n := labtest.Gateway(t)
	h, err := n.Gateway.Platform(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for _, p := range []string{"192.168.1.77/24", "fd01::77/64"} {
		p := netip.MustParsePrefix(p)
		if h.Own(p.Addr()) {
			t.Fatalf("%s is own before it is there", p)
		}
		if err := n.Gateway.AddAddr("lan0", p); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return h.Own(p.Addr()) }, "%s is own once it was added", p)
		if err := n.Gateway.DelAddr("lan0", p); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() bool { return !h.Own(p.Addr()) }, "%s is not own once it was removed", p)
	}
}

// eventually waits for what other threads bring about.
func eventually(t *testing.T, ok func() bool, format string, args ...any) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	late := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("not true: "+format, args...)
		}
	}
}

func TestWithoutIPv6(t *testing.T) {
	n := labtest.Gateway(t)
	if n.Gateway.IPv6() {
		for _, key := range []string{"net.ipv6.conf.all.disable_ipv6", "net.ipv6.conf.default.disable_ipv6"} {
			if err := n.Gateway.Sysctl(key, "1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	redirect()(t, n.Gateway)
	s := open(t, n.Gateway, capture.Redirect{Listen: netip.MustParseAddrPort(dual)}, nil)
	c, err := n.Client.Dial(t.Context(), netip.MustParseAddrPort(server))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := s.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if got.Info.Dst != netip.MustParseAddrPort(server) {
		t.Errorf("destination %v, error %v", got.Info.Dst, got.Err)
	}
}

// TestRest finds what has connected and was not accepted, and does not wait for more.
func TestRest(t *testing.T) {
	h, err := labtest.New(t).Host("h")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, h, capture.Redirect{}, nil)
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddrPort(s.Addr().String()).Port())
	for range 3 {
		c, err := h.Dial(t.Context(), addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for _, tt := range []struct{ most, want int }{{2, 2}, {10, 1}, {10, 0}} {
		got := s.Rest(tt.most)
		for _, c := range got {
			c.Close()
		}
		if len(got) != tt.want {
			t.Errorf("%d of %d, want %d", len(got), tt.most, tt.want)
		}
	}
}

func TestAcceptEnds(t *testing.T) {
	h, err := labtest.New(t).Host("h")
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, h, capture.Redirect{}, nil)

	why := errors.New("because")
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	for range 3 {
		go func() {
			_, err := s.Accept(ctx)
			ended <- err
		}()
	}
	cancel(why)
	for range 3 {
		if err := <-ended; err != why {
			t.Errorf("Accept with a context that ends: %v", err)
		}
	}

	// It accepts again, and accepted connections outlive it.
	addr := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddrPort(s.Addr().String()).Port())
	client, err := h.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	live, cancelLive := context.WithCancel(t.Context())
	defer cancelLive()
	c, err := s.Accept(live)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		_, err := s.Accept(t.Context())
		ended <- err
	}()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := <-ended; err != net.ErrClosed {
		t.Errorf("Accept of a closed source: %v", err)
	}
	go client.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Errorf("an accepted connection after Close: %v", err)
	}
}

func TestAcceptWaitsForDescriptors(t *testing.T) {
	h, err := labtest.New(t).Host("h")
	if err != nil {
		t.Fatal(err)
	}
	var log testnet.Log
	s := open(t, h, capture.Redirect{}, slog.New(slog.NewTextHandler(&log, nil)))
	client, err := h.Dial(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), netip.MustParseAddrPort(s.Addr().String()).Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Error(err)
		}
	}
	defer restore()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	type accepted struct {
		c   *capture.Conn
		err error
	}
	got := make(chan accepted)
	go func() {
		c, err := s.Accept(t.Context())
		got <- accepted{c, err}
	}()
	eventually(t, func() bool { return strings.Count(log.String(), "ulimit -n") > 0 }, "the operator is told")
	restore()
	a := <-got
	if a.err != nil {
		t.Fatal(a.err)
	}
	a.c.Close()
	if n, m := strings.Count(log.String(), "cannot accept"), strings.Count(log.String(), "accepting connections again"); n != 1 || m != 1 {
		t.Errorf("told of the failure %d times and of its end %d times; want once each", n, m)
	}
}

func TestOpenSaysWhere(t *testing.T) {
	h, err := labtest.New(t).Host("h")
	if err != nil {
		t.Fatal(err)
	}
	var log testnet.Log
	r := capture.Redirect{Listen: netip.MustParseAddrPort("127.0.0.1:8080"), RequireTransparent: true}
	s := open(t, h, r, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if strings.Count(log.String(), "listen=127.0.0.1:8080") != 1 || strings.Count(log.String(), "tproxy=true") != 1 {
		t.Errorf("log: %s", log.String())
	}
	p, err := h.Platform(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	r = capture.Redirect{Listen: netip.MustParseAddrPort("192.0.2.1:8080")}
	if _, err := r.Open(t.Context(), capture.Env{Host: p}); err == nil || !strings.Contains(err.Error(), "no interface of this host has the address 192.0.2.1") {
		t.Errorf("a capture on an address of somebody else: %v", err)
	}
	r = capture.Redirect{Listen: netip.MustParseAddrPort("127.0.0.1:8080"), RequireTransparent: true}
	if _, err := r.Open(t.Context(), capture.Env{Host: p}); !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "127.0.0.1:8080") {
		t.Errorf("a second capture on %s: %v", s.Addr(), err)
	}
}

func TestString(t *testing.T) {
	for want, r := range map[string]capture.Redirect{
		"transparent@0":              {},
		"transparent@8080":           {Listen: netip.MustParseAddrPort("[::]:8080")},
		"transparent@127.0.0.1:8080": {Listen: netip.MustParseAddrPort("127.0.0.1:8080")},
		"tproxy@[::1]:8080":          {Listen: netip.MustParseAddrPort("[::1]:8080"), RequireTransparent: true},
	} {
		if got := fmt.Sprint(r); got != want {
			t.Errorf("%#v is %q, want %q", r, got, want)
		}
	}
}
