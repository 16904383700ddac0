package steer_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/nft"
)

// serve answers each connection to a port of the host with who it is from and
// who it came to, until t ends.
func serve(t testing.TB, h *lab.Host, port uint16) {
	t.Helper()
	l, err := h.Listen(t.Context(), netip.AddrPortFrom(netip.IPv6Unspecified(), port))
	if err != nil {
		t.Fatal(err)
	}
	accept(t, l, func(c net.Conn) {
		fmt.Fprintf(c, "from %s to %s", plain(c.RemoteAddr()), plain(c.LocalAddr()))
	})
}

// accept runs f for each connection, and closes it.
func accept(t testing.TB, l net.Listener, f func(c net.Conn)) {
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				defer context.AfterFunc(t.Context(), func() { c.Close() })() // or who lost the other side waits for ever
				f(c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
}

// plain writes an address without the form of a dual-stack socket.
func plain(a net.Addr) string {
	p := netip.MustParseAddrPort(a.String())
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()).String()
}

// listenFor opens the listener that a steering brings connections to, on a host
// that is closed when t ends.
func listenFor(t testing.TB, h *lab.Host, s platform.Steering) (platform.Host, *platform.Listener) {
	t.Helper()
	p, err := h.Platform(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	l, err := p.Listen(t.Context(), platform.Socket{
		Bind: netip.AddrPortFrom(netip.IPv6Unspecified(), s.Port), Transparent: true, Require: true, Mark: s.Marks.OrDefault().Client,
	})
	if err != nil {
		t.Fatal(err)
	}
	return p, l
}

// proxy carries connections to where they were meant to go, and says "by us, "
// before what the server says. If spoof, the server sees the client's address
// and port.
func proxy(t testing.TB, h *lab.Host, s platform.Steering) {
	t.Helper()
	p, l := listenFor(t, h, s)
	m := s.Marks.OrDefault()
	accept(t, l, func(c net.Conn) {
		dst, via, err := p.OriginalDst(context.Background(), c)
		if err != nil {
			fmt.Fprintf(c, "by us, %v", err)
			return
		}
		up := platform.Socket{Mark: m.Upstream, Require: true}
		client := netip.MustParseAddrPort(plain(c.RemoteAddr()))
		if s.Spoof && !p.Own(client.Addr()) { // our own port is taken, by our own program
			up.Transparent, up.Bind = true, client
		}
		server, err := p.Dial(context.Background(), up, dst)
		if err != nil {
			fmt.Fprintf(c, "by us (%s), %v", via, err)
			return
		}
		defer server.Close()
		fmt.Fprint(c, "by us, ")
		io.Copy(c, server)
	})
}

// within bounds each visit that has to succeed, or be refused.
const within = time.Minute

// visit returns what is said on a connection, and the client's own address.
func visit(t testing.TB, from *lab.Host, to string) (said, client string, err error) {
	t.Helper()
	return visitWithin(t, within, from, to)
}

func visitWithin(t testing.TB, within time.Duration, from *lab.Host, to string) (said, client string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	c, err := from.Dial(ctx, netip.MustParseAddrPort(to))
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(within))
	b, err := io.ReadAll(c)
	return string(b), c.LocalAddr().String(), err
}

// expect visits and compares; "CLIENT" stands for the client's address.
func expect(t testing.TB, from *lab.Host, to, want string) {
	t.Helper()
	said, client, err := visit(t, from, to)
	if err != nil {
		t.Errorf("%s: %v", to, err)
		return
	}
	want = strings.ReplaceAll(want, "CLIENT", client)
	if !strings.HasPrefix(said, want) {
		t.Errorf("%s: %q, want %q", to, said, want)
	}
}

// at is a server's address with a port.
func at(addr string, port uint16) string {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port).String()
}

// firewall adds a table to a host, which stays.
func firewall(t testing.TB, h *lab.Host, table *nft.Table) {
	t.Helper()
	var c *nft.Conn
	if err := h.Do(func() (err error) {
		c, err = nft.Dial()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var b nft.Batch
	b.Replace(table)
	if err := c.Commit(&b); err != nil {
		t.Fatal(err)
	}
}

// strict drops what it does not know, at each hook.
func strict() *nft.Table {
	known := nft.Rule{nft.CTState(nft.Established | nft.Related), nft.Accept()}
	invalid := nft.Rule{nft.CTState(nft.Invalid), nft.Drop()}
	icmp := nft.Rule{nft.L4Proto(1), nft.Accept()}
	icmp6 := nft.Rule{nft.L4Proto(58), nft.Accept()}
	lo := nft.Rule{nft.IIFName("lo"), nft.Accept()}
	return &nft.Table{Family: nft.Inet, Name: "strict", Chains: []nft.Chain{
		{Name: "in", Type: "filter", Hook: nft.Input, Drop: true, Rules: []nft.Rule{invalid, known, icmp, icmp6, lo, {nft.DPort(nft.TCP, 80, 22), nft.DAddrType(nft.AddrLocal), nft.Accept()}}},
		{Name: "forward", Type: "filter", Hook: nft.Forward, Drop: true, Rules: []nft.Rule{invalid, known, {nft.IIFName("lan0", "br0"), nft.Accept()}}},
		{Name: "out", Type: "filter", Hook: nft.Output, Drop: true, Rules: []nft.Rule{invalid, known, icmp, icmp6, {nft.OIFName("lo"), nft.Accept()}, {nft.CTState(nft.New), nft.Accept()}}},
	}}
}

// masquerade hides clients behind the gateway.
func masquerade() *nft.Table {
	return &nft.Table{Family: nft.Inet, Name: "hide", Chains: []nft.Chain{
		{Name: "post", Type: "nat", Hook: nft.Postrouting, Priority: 100, Rules: []nft.Rule{{nft.OIFName("wan0"), nft.Masquerade()}}},
	}}
}

// surroundings are what a gateway may be like.
func surroundings() map[string]func(t testing.TB, h *lab.Host) {
	sysctls := func(list ...string) func(testing.TB, *lab.Host) {
		return func(t testing.TB, h *lab.Host) {
			for _, s := range list {
				key, value, _ := strings.Cut(s, "=")
				if err := h.Sysctl(key, value); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return map[string]func(testing.TB, *lab.Host){
		"plain":       func(testing.TB, *lab.Host) {},
		"strict":      func(t testing.TB, h *lab.Host) { firewall(t, h, strict()) },
		"masquerade":  func(t testing.TB, h *lab.Host) { firewall(t, h, masquerade()) },
		"strict-hide": func(t testing.TB, h *lab.Host) { firewall(t, h, strict()); firewall(t, h, masquerade()) },
		"rp-filter":   sysctls("net.ipv4.conf.all.rp_filter=1", "net.ipv4.conf.all.src_valid_mark=1"),
		"not-a-router": sysctls("net.ipv4.ip_forward=0", "net.ipv6.conf.all.forwarding=0",
			"net.ipv4.conf.all.rp_filter=2", "net.ipv4.conf.all.src_valid_mark=1"),
	}
}

// TestTraffic has clients behind gateways of all sorts.
func TestTraffic(t *testing.T) {
	for name, surround := range surroundings() {
		for how, s := range map[string]platform.Steering{
			"tproxy":           usual(platform.TPROXY),
			"tproxy-plain":     {Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}, Ports: web()},
			"redirect":         {Method: platform.Redirect, Port: 8080, Interfaces: []string{"lan0"}, Ports: web()},
			"redirect-spoofed": usual(platform.Redirect),
			"with-local":       {Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}, Ports: web(), Spoof: true, Local: true},
		} {
			t.Run(name+"-"+how, func(t *testing.T) {
				n := labtest.Gateway(t)
				surround(t, n.Gateway)
				before := state(t, n.Gateway)
				for _, port := range []uint16{80, 8443, 8080} {
					serve(t, n.Server, port)
				}
				serve(t, n.Gateway, 80)
				proxy(t, n.Gateway, s)
				k := open(t, n.Gateway)
				apply(t, k, s)
				hidden := strings.Contains(name, "hide") || name == "masquerade"
				traffic(t, n, s, hidden)
				apply(t, k, platform.Steering{})
				same(t, n.Gateway, before)
			})
		}
	}
}

func traffic(t *testing.T, n *lab.Net, s platform.Steering, hidden bool) {
	for _, a := range []struct{ server, wan, lan string }{
		{lab.ServerAddr4, lab.WANAddr4, lab.LANAddr4}, {lab.ServerAddr6, lab.WANAddr6, lab.LANAddr6},
	} {
		gateway := "from " + strings.TrimSuffix(at(a.wan, 0), "0")
		client, direct, own := gateway, "from CLIENT", "from CLIENT"
		if s.Spoof && !hidden {
			client = "from CLIENT"
		}
		if hidden {
			// The gateway's own program, too, gets another port from conntrack if it
			// took one that a client was hidden behind just now.
			direct, own = gateway, gateway
		}
		for range 20 {
			expect(t, n.Client, at(a.server, 80), "by us, "+client)
		}
		expect(t, n.Client, at(a.server, 8443), direct)
		expect(t, n.Client, at(a.server, s.Port), direct) // of the listener's number, and not for it
		expect(t, n.Client, at(a.lan, 80), "from CLIENT to "+at(a.lan, 80))
		if s.Local {
			expect(t, n.Gateway, at(a.server, 80), "by us, "+gateway)
			expect(t, n.Gateway, at(a.server, 8443), own)
			expect(t, n.Gateway, at(a.lan, 80), "from CLIENT to "+at(a.lan, 80))
		} else {
			expect(t, n.Gateway, at(a.server, 80), own)
		}
	}
}
