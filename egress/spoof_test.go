package egress_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"transom/egress"
	"transom/internal/testnet"
	"transom/platform"
)

var (
	client  = netip.MustParseAddrPort("192.168.1.2:5000")
	client6 = netip.MustParseAddrPort("[fd01::2]:5000")
	other   = netip.MustParseAddrPort("198.51.100.7:80")
	anyPort = netip.AddrPortFrom(client.Addr(), 0)
)

func spoof(t *testing.T, text string) *egress.Spoof {
	t.Helper()
	s, err := egress.ParseSpoof(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A gateway dials for captured clients.
type gateway struct {
	*testing.T
	*testnet.Net
	host *testnet.Host
	d    *egress.Direct
	log  bytes.Buffer
}

// onGateway runs f in fake time, with servers that answer.
func onGateway(t *testing.T, source string, f func(g *gateway)) {
	t.Helper()
	inNet(t, func(t *testing.T, n *testnet.Net, h *testnet.Host, d *egress.Direct) {
		for _, s := range []netip.AddrPort{first, second, other} {
			n.Handle(s, func(*testnet.Conn) {})
		}
		g := &gateway{T: t, Net: n, host: h, d: d}
		d.Spoof, d.Own = spoof(t, source), h
		d.Log = slog.New(slog.NewTextHandler(&g.log, nil))
		f(g)
	})
}

// dial returns where the connection came from, or how it failed, and how long
// that took.
func (g *gateway) dial(from, to netip.AddrPort) (string, time.Duration) {
	g.Helper()
	start := time.Now()
	c, err := g.d.Dial(g.Context(), egress.Target{Network: "tcp", Addr: to, Client: from})
	took := time.Since(start)
	if err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) {
			return errno.Error(), took
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = context.DeadlineExceeded
		}
		return err.Error(), took
	}
	defer c.Close()
	return c.LocalAddr().(*net.TCPAddr).AddrPort().Addr().String(), took
}

// want dials, and says what is not as it should be.
func (g *gateway) want(from, to netip.AddrPort, source string, took time.Duration) {
	g.Helper()
	if got, d := g.dial(from, to); got != source || d != took {
		g.Errorf("%s to %s: from %s after %v, want %s after %v", from, to, got, d, source, took)
	}
}

// logged counts lines at a level.
func (g *gateway) logged(level slog.Level) int {
	return strings.Count(g.log.String(), "level="+level.String()+" ")
}

const (
	hosts  = "192.0.2.1" // what testnet dials from
	theirs = "192.168.1.2"
	pause  = 1200 * time.Millisecond
)

func TestParseSpoof(t *testing.T) {
	for text, want := range map[string]egress.SpoofMode{
		"none": egress.SpoofNone, "ip": egress.SpoofIP, "ip+port": egress.SpoofIPPort,
		"203.0.113.9": egress.SpoofFixed, "2001:db8::9": egress.SpoofFixed, "10.0.0.1": egress.SpoofFixed,
	} {
		s, err := egress.ParseSpoof(text)
		if err != nil || s.Mode() != want || s.String() != text || s.Addr().IsValid() != (want == egress.SpoofFixed) {
			t.Errorf("%q: %v, %v", text, s, err)
		}
	}
	if s := spoof(t, "::ffff:203.0.113.9"); s.String() != "203.0.113.9" {
		t.Errorf("a mapped address is %s", s)
	}
	for _, text := range []string{
		"", "IP", "ip+", "port", "fixed", "client", "203.0.113.9:80", "203.0.113.0/24", "shop.test",
		"0.0.0.0", "::", "127.0.0.1", "::1", "224.0.0.1", "ff02::1", "255.255.255.255", "169.254.1.1", "fe80::1", "2001:db8::1%eth0",
	} {
		if s, err := egress.ParseSpoof(text); err == nil {
			t.Errorf("%q is %s", text, s)
		}
	}
	var none *egress.Spoof
	if none.Mode() != egress.SpoofNone || none.Addr().IsValid() || none.String() != "none" {
		t.Errorf("no Spoof is %s", none)
	}
}

func FuzzParseSpoof(f *testing.F) {
	for _, text := range []string{"none", "ip", "ip+port", "203.0.113.9", "::ffff:1.2.3.4", "2001:db8::9", "fe80::1%0", "0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := egress.ParseSpoof(text)
		if err != nil {
			return
		}
		again, err := egress.ParseSpoof(s.String())
		if err != nil || again.Mode() != s.Mode() || again.Addr() != s.Addr() {
			t.Errorf("%q is %s, and that %v, %v", text, s, again, err)
		}
	})
}

// TestSpoofed: what the host is asked for, by mode and family.
func TestSpoofed(t *testing.T) {
	for _, tt := range []struct {
		source     string
		client, to netip.AddrPort
		want       string
	}{
		{"none", client, first, "dial 203.0.113.1:80"},
		{"ip", client, first, "dial 203.0.113.1:80 from 192.168.1.2:0 transparent required"},
		{"ip+port", client, first, "dial 203.0.113.1:80 from 192.168.1.2:5000 transparent required"},
		{"ip+port", client6, second, "dial [2001:db8::2]:80 from [fd01::2]:5000 transparent required"},
		{"ip+port", netip.MustParseAddrPort("[::ffff:192.168.1.2]:5000"), first, "dial 203.0.113.1:80 from 192.168.1.2:5000 transparent required"},
		{"203.0.113.9", client, first, "dial 203.0.113.1:80 from 203.0.113.9:0 transparent required"},
		{"2001:db8::9", client6, second, "dial [2001:db8::2]:80 from [2001:db8::9]:0 transparent required"},
	} {
		onGateway(t, tt.source, func(g *gateway) {
			for _, mark := range []uint32{0, 7} {
				g.d.Mark = mark
				g.dial(tt.client, tt.to)
			}
			if got := g.host.Calls(); !slices.Equal(got, []string{tt.want, tt.want + " mark 7"}) {
				g.Errorf("%s: the host was asked %q, want %q", tt.source, got, tt.want)
			}
			if g.log.Len() > 0 {
				g.Errorf("log: %s", &g.log)
			}
		})
	}
}

// TestNotSpoofed: whose address is not assumed.
func TestNotSpoofed(t *testing.T) {
	server := func(a string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(a), 80) }
	for name, tt := range map[string]struct{ client, to netip.AddrPort }{
		"nobody":          {netip.AddrPort{}, first},
		"loopback":        {netip.MustParseAddrPort("127.0.0.1:5000"), first},
		"this-host":       {netip.MustParseAddrPort("192.168.1.1:5000"), first},
		"link-local":      {netip.MustParseAddrPort("[fe80::2%lan0]:5000"), second},
		"other-family":    {client6, first},
		"other-family-4":  {client, second},
		"to-this-host":    {client, server("192.168.1.1")},
		"to-loopback":     {client, server("127.0.0.1")},
		"to-itself":       {client, server("192.168.1.2")},
		"to-it-mapped":    {client, server("::ffff:192.168.1.2")},
		"unspecified":     {netip.MustParseAddrPort("0.0.0.0:5000"), first},
		"multicast":       {netip.MustParseAddrPort("224.0.0.5:5000"), first},
		"loopback-mapped": {netip.MustParseAddrPort("[::ffff:127.0.0.1]:5000"), first},
	} {
		onGateway(t, "ip+port", func(g *gateway) {
			g.host.SetOwn(netip.MustParseAddr("192.168.1.1"))
			g.dial(tt.client, tt.to)
			if got, want := g.host.Calls(), []string{"dial " + tt.to.String()}; !slices.Equal(got, want) {
				g.Errorf("%s: the host was asked %q, want %q", name, got, want)
			}
		})
	}
}

// TestFixedSourceSaysWhatItLeavesOut once.
func TestFixedSourceSaysWhatItLeavesOut(t *testing.T) {
	for source, tt := range map[string]struct {
		client, to netip.AddrPort
		lacks      string
	}{
		"203.0.113.9": {client6, second, "IPv6"},
		"2001:db8::9": {client, first, "IPv4"},
	} {
		onGateway(t, source, func(g *gateway) {
			for range 3 {
				g.dial(tt.client, tt.to)
			}
			if g.logged(slog.LevelWarn) != 1 || !strings.Contains(g.log.String(), "connections to "+tt.lacks+" servers") {
				g.Errorf("log: %s", &g.log)
			}
		})
	}
}

// TestOff: it still says what it was, and does nothing.
func TestOff(t *testing.T) {
	for _, mode := range []string{"none", "ip+port", "203.0.113.9"} {
		onGateway(t, mode, func(g *gateway) {
			g.d.Spoof.Off()
			g.want(client, first, hosts, 0)
			if got := g.d.Spoof.String(); got != mode {
				g.Errorf("%s is %s", mode, got)
			}
		})
	}
}

// TestExplicitSource: who asks for one gets it, and no other.
func TestExplicitSource(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		g.FailFrom(client6, syscall.EADDRINUSE)
		_, err := g.d.Dial(g.Context(), egress.Target{Network: "tcp", Addr: second, Client: client, From: client6})
		if !errors.Is(err, syscall.EADDRINUSE) {
			g.Error(err)
		}
		if got := g.host.Calls(); !slices.Equal(got, []string{"dial [2001:db8::2]:80 from [fd01::2]:5000 transparent"}) {
			g.Errorf("the host was asked %q", got)
		}
	})
}

// TestLadder: what this host can't have is done without, at once, and held
// against nobody.
func TestLadder(t *testing.T) {
	for name, tt := range map[string]struct {
		port, address syscall.Errno // what is wrong with them
		want          string
		steps         int
	}{
		"port-in-use":       {syscall.EADDRINUSE, 0, theirs, 2},
		"pair-in-time-wait": {syscall.EADDRNOTAVAIL, 0, theirs, 2},
		"port-of-its-own":   {syscall.EINVAL, 0, theirs, 2},
		"no-port-left":      {syscall.EADDRINUSE, syscall.EADDRNOTAVAIL, hosts, 3},
		"no-descriptor":     {syscall.EADDRINUSE, syscall.ENOBUFS, hosts, 3},
	} {
		onGateway(t, "ip+port", func(g *gateway) {
			g.FailFrom(client, tt.port)
			if tt.address != 0 {
				g.FailFrom(anyPort, tt.address)
			}
			for range 5 {
				g.want(client, first, tt.want, 0)
			}
			if n := len(g.host.Calls()); n != 5*tt.steps {
				g.Errorf("%s: %d dials: %q", name, n, g.host.Calls())
			}
			if g.log.Len() > 0 {
				g.Errorf("%s: log: %s", name, &g.log)
			}
		})
	}
}

// TestPrivilegedPort: a port below 1024 may be forbidden, and no router has said
// so.
func TestPrivilegedPort(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		ntp := netip.AddrPortFrom(client.Addr(), 123)
		g.FailFrom(ntp, syscall.EACCES)
		g.want(ntp, first, theirs, 0)
		g.FailFrom(client, syscall.EACCES) // this one did
		g.want(client, first, hosts, 0)
		want := []string{
			"dial 203.0.113.1:80 from 192.168.1.2:123 transparent required", "dial 203.0.113.1:80 from 192.168.1.2:0 transparent required",
			"dial 203.0.113.1:80 from 192.168.1.2:5000 transparent required", "dial 203.0.113.1:80",
		}
		if got := g.host.Calls(); !slices.Equal(got, want) {
			g.Errorf("the host was asked %q, want %q", got, want)
		}
	})
}

// TestLadderIsLogged for who debugs.
func TestLadderIsLogged(t *testing.T) {
	onGateway(t, "ip+port", func(g *gateway) {
		g.d.Log = slog.New(slog.NewTextHandler(&g.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		g.FailFrom(client, syscall.EADDRINUSE)
		g.FailFrom(anyPort, syscall.EADDRNOTAVAIL)
		g.want(client, first, hosts, 0)
		if g.logged(slog.LevelDebug) != 2 || !strings.Contains(g.log.String(), "address already in use") || !strings.Contains(g.log.String(), "cannot assign requested address") {
			g.Errorf("log: %s", &g.log)
		}
	})
}

// TestNoneAllocatesNothing: nor does whose address is not assumed.
func TestNoneAllocatesNothing(t *testing.T) {
	mine := netip.MustParseAddrPort("127.0.0.1:5000")
	for name, tt := range map[string]struct {
		spoof  *egress.Spoof
		client netip.AddrPort
	}{"without": {nil, client}, "none": {spoof(t, "none"), client}, "loopback": {spoof(t, "ip+port"), mine}} {
		d := &egress.Direct{Host: nowhere{}, Spoof: tt.spoof}
		target := egress.Target{Network: "tcp", Addr: first, Client: tt.client}
		if n := testing.AllocsPerRun(100, func() { _, _ = d.Dial(t.Context(), target) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// nowhere is where nothing can be dialled.
type nowhere struct{ platform.Sockets }

func (nowhere) Dial(context.Context, platform.Socket, netip.AddrPort) (net.Conn, error) {
	return nil, syscall.ENETUNREACH
}

func ExampleParseSpoof() {
	s, err := egress.ParseSpoof("ip+port")
	fmt.Println(s, s.Mode() == egress.SpoofIPPort, err)
	_, err = egress.ParseSpoof("127.0.0.1")
	fmt.Println(err)
	// Output:
	// ip+port true <nil>
	// 127.0.0.1 is no source: connections can't come from such an address
}
