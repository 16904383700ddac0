package steer_test

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"transom/internal/testnet"
	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/nft"
)

// bridge puts an interface of a host behind a bridge, which takes over its
// addresses.
func bridge(t testing.TB, h *lab.Host, name, port string, addrs ...netip.Prefix) {
	t.Helper()
	if err := h.Do(func() error {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
		if err := netlink.LinkAdd(br); err != nil {
			return err
		}
		l, err := netlink.LinkByName(port)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetMaster(l, br); err != nil {
			return err
		}
		return netlink.LinkSetUp(br)
	}); err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if err := h.DelAddr(port, a); err != nil {
			t.Fatal(err)
		}
		if err := h.AddAddr(name, a); err != nil {
			t.Fatal(err)
		}
	}
}

// filtered says whether what bridges carry passes the rules of IP.
func filtered(t testing.TB, h *lab.Host, v4, v6 string) {
	t.Helper()
	var err error
	if err := h.Do(func() error {
		_, err = os.Stat("/proc/sys/net/bridge")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	testnet.Need(t, err == nil, "the module br_netfilter, in this network namespace")
	for key, value := range map[string]string{"iptables": v4, "ip6tables": v6} {
		if err := h.Sysctl("net.bridge.bridge-nf-call-"+key, value); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBridges has clients, and servers, behind bridges whose packets pass the
// rules of IP before they are received.
func TestBridges(t *testing.T) {
	for name, s := range map[string]platform.Steering{
		"tproxy":           usual(platform.TPROXY),
		"tproxy-plain":     {Method: platform.TPROXY, Port: 8080, Interfaces: []string{"br-lan"}, Ports: web()},
		"redirect":         {Method: platform.Redirect, Port: 8080, Interfaces: []string{"br-lan"}, Ports: web()},
		"redirect-spoofed": usual(platform.Redirect),
	} {
		for _, on := range [][2]string{{"0", "0"}, {"1", "1"}, {"1", "0"}, {"0", "1"}} {
			t.Run(name+"-"+on[0]+on[1], func(t *testing.T) {
				n := labtest.Gateway(t)
				bridge(t, n.Gateway, "br-lan", "lan0", prefixes(lab.LANAddr4+"/24", lab.LANAddr6+"/64")...)
				bridge(t, n.Gateway, "br-wan", "wan0", prefixes(lab.WANAddr4+"/24", lab.WANAddr6+"/64")...)
				filtered(t, n.Gateway, on[0], on[1])
				s := s
				s.Interfaces = []string{"br-lan"}
				for _, port := range []uint16{80, 8443, 8080} {
					serve(t, n.Server, port)
				}
				serve(t, n.Gateway, 80)
				proxy(t, n.Gateway, s)
				k := open(t, n.Gateway)
				apply(t, k, s)
				want := "by us, from CLIENT"
				if !s.Spoof {
					want = "by us, from " + strings.TrimSuffix(at(lab.WANAddr4, 0), "0")
				}
				for range 3 {
					expect(t, n.Client, at(lab.ServerAddr4, 80), want)
					expect(t, n.Client, at(lab.ServerAddr6, 80), strings.Replace(want, lab.WANAddr4+":", "["+lab.WANAddr6+"]:", 1))
				}
				expect(t, n.Client, at(lab.ServerAddr4, 8443), "from CLIENT")
				expect(t, n.Client, at(lab.ServerAddr6, 8443), "from CLIENT")
				expect(t, n.Client, at(lab.LANAddr4, 80), "from CLIENT to "+at(lab.LANAddr4, 80))
			})
		}
	}
}

// TestIPTablesBridges refuses what would lose connections, by a setting for all
// bridges or for one, before anything is changed; and says it when the setting
// comes later, and lets new connections go direct. By REDIRECT it works.
func TestIPTablesBridges(t *testing.T) {
	byIPTables(t, func(w *router, x *steered) {
		bridge(t, w.Gateway, "br-lan", "lan0", prefixes(lab.LANAddr4+"/24", lab.LANAddr6+"/64")...)
		filtered(t, w.Gateway, "0", "0")
		w.services()
		s := usual(platform.TPROXY)
		s.Interfaces = []string{"br-lan"}
		said := newLines()
		x.do(func() (err error) {
			x.IPTables, err = x.open(said.log())
			return err
		})
		defer x.do(x.Close)
		x.do(func() error { return x.Check(t.Context(), s) })
		before := w.state()
		for set, want := range map[string]string{
			"sysctl -qw net.bridge.bridge-nf-call-iptables=V":         "sysctl -w net.bridge.bridge-nf-call-iptables=0, or",
			"sysctl -qw net.bridge.bridge-nf-call-ip6tables=V":        "sysctl -w net.bridge.bridge-nf-call-ip6tables=0, or",
			"ip link set br-lan type bridge nf_call_iptables V":       "ip link set br-lan type bridge nf_call_iptables 0, or",
			"ip link set br-lan type bridge nf_call_ip6tables V":      "ip link set br-lan type bridge nf_call_ip6tables 0, or",
			"sysctl -qw net.bridge.bridge-nf-call-{ip,ip6}tables=V #": "bridge-nf-call-iptables=0 && sysctl -w net.bridge.bridge-nf-call-ip6tables=0, or",
		} {
			w.run("/bin/bash", "-c", strings.ReplaceAll(set, "V", "1"))
			var err error
			x.do(func() error {
				err = x.Check(t.Context(), s)
				return nil
			})
			if !errors.Is(err, platform.ErrUnsupported) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v, want that it says %q", set, err, want)
			}
			w.run("/bin/bash", "-c", strings.ReplaceAll(set, "V", "0"))
		}
		w.unchanged(before, "after Check")
		x.apply(s)
		filtered(t, w.Gateway, "1", "1")
		firewall(t, w.Gateway, &nft.Table{Family: nft.Inet, Name: "x", Chains: []nft.Chain{{Name: "x"}}}) // a change, of which we hear
		said.wait(t, "sysctl -w net.bridge", 1)
		w.proxy(s)
		for family, a := range w.families() {
			if got := w.ask(w.Client, netip.AddrPortFrom(a[0], 80)); got != "server sees CLIENT" {
				t.Errorf("%s, while the bridge would hold it up: %q", family, got)
			}
		}
		filtered(t, w.Gateway, "0", "0")
		x.do(func() error { x.Tend(); return nil })
		w.works(s)
		if n := said.count(back); n > 0 {
			t.Errorf("it says %d times that another program has taken something away", n)
		}
		s.Method = platform.Redirect
		x.do(func() error { return x.Check(t.Context(), s) })
		x.apply(s)
		w.works(s)
	})
}
