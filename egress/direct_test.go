package egress_test

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom/egress"
	"transom/internal/testnet"
)

var (
	first  = netip.MustParseAddrPort("203.0.113.1:80")
	second = netip.MustParseAddrPort("[2001:db8::2]:80")
)

func named(port uint16) egress.Target {
	return egress.Target{Network: "tcp", Host: "shop.test", Addr: netip.AddrPortFrom(netip.Addr{}, port)}
}

func inNet(t *testing.T, f func(t *testing.T, n *testnet.Net, h *testnet.Host, d *egress.Direct)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := testnet.NewNet()
		defer n.Close()
		n.Name("shop.test", first.Addr(), second.Addr())
		h := &testnet.Host{Net: n}
		f(t, n, h, &egress.Direct{Host: h, Resolver: n, Timeout: 10 * time.Second})
	})
}

func TestNamesTryAllTheirAddresses(t *testing.T) {
	inNet(t, func(t *testing.T, n *testnet.Net, h *testnet.Host, d *egress.Direct) {
		n.Handle(second, func(*testnet.Conn) {})
		c, err := d.Dial(t.Context(), named(80))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if got, want := h.Calls(), []string{"dial 203.0.113.1:80", "dial [2001:db8::2]:80"}; !slices.Equal(got, want) {
			t.Errorf("the host was asked %q, want %q", got, want)
		}
	})
}

// TestSlowAddressLeavesTimeForTheNext: one that hangs gets its share only.
func TestSlowAddressLeavesTimeForTheNext(t *testing.T) {
	inNet(t, func(t *testing.T, n *testnet.Net, _ *testnet.Host, d *egress.Direct) {
		n.BlackHole(first)
		n.Handle(second, func(*testnet.Conn) {})
		start := time.Now()
		c, err := d.Dial(t.Context(), named(80))
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if took := time.Since(start); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestErrorsKeepTheirErrno(t *testing.T) {
	inNet(t, func(t *testing.T, n *testnet.Net, _ *testnet.Host, d *egress.Direct) {
		n.Fail(first, syscall.EHOSTUNREACH)
		for _, target := range []egress.Target{{Network: "tcp", Addr: first}, named(80)} {
			if _, err := d.Dial(t.Context(), target); !errors.Is(err, syscall.EHOSTUNREACH) {
				t.Errorf("%+v: %v", target, err)
			}
		}
		n.BlackHole(first)
		if _, err := d.Dial(t.Context(), egress.Target{Network: "tcp", Addr: first}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a black hole: %v", err)
		}
		if _, err := d.Dial(t.Context(), egress.Target{Network: "tcp", Host: "nowhere.test"}); err == nil {
			t.Error("a name without address was dialled")
		}
	})
}

// TestRefuse: an address that must not be dialled is not, by whatever name.
func TestRefuse(t *testing.T) {
	inNet(t, func(t *testing.T, n *testnet.Net, h *testnet.Host, d *egress.Direct) {
		no := errors.New("that is us")
		d.Refuse = func(netip.AddrPort) error { return no }
		for _, target := range []egress.Target{{Network: "tcp", Addr: first}, named(80), {Network: "tcp", Host: "203.0.113.1", Addr: netip.AddrPortFrom(netip.Addr{}, 80)}} {
			if _, err := d.Dial(t.Context(), target); !errors.Is(err, no) {
				t.Errorf("%+v: %v", target, err)
			}
		}
		if calls := h.Calls(); len(calls) != 0 {
			t.Errorf("the host was asked %q", calls)
		}
	})
}

func TestSource(t *testing.T) {
	inNet(t, func(t *testing.T, n *testnet.Net, h *testnet.Host, d *egress.Direct) {
		n.Handle(first, func(*testnet.Conn) {})
		d.Mark = 7
		c, err := d.Dial(t.Context(), egress.Target{Network: "tcp", Addr: first, From: netip.MustParseAddrPort("192.168.1.2:5000")})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		if got := h.Calls(); len(got) != 1 || got[0] != "dial 203.0.113.1:80 from 192.168.1.2:5000 transparent mark 7" {
			t.Errorf("the host was asked %q", got)
		}
	})
}

// TestLinkLocalIsNotMarked: firewalls let the mark pass, and what has it is kept from
// such addresses.
func TestLinkLocalIsNotMarked(t *testing.T) {
	inNet(t, func(t *testing.T, n *testnet.Net, h *testnet.Host, d *egress.Direct) {
		d.Mark, d.Spoof = 7, spoof(t, "ip+port")
		near := []string{"169.254.169.254:80", "[fe80::1%lan0]:80"}
		for _, server := range near {
			a := netip.MustParseAddrPort(server)
			n.Handle(a, func(*testnet.Conn) {})
			c, err := d.Dial(t.Context(), egress.Target{Network: "tcp", Addr: a, Client: client})
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		if got := h.Calls(); len(got) != 2 || got[0] != "dial "+near[0] || got[1] != "dial "+near[1] {
			t.Errorf("the host was asked %q", got)
		}
	})
}
