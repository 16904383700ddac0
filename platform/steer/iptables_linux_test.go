package steer_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/internal/testnet"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/steer"
)

// byIPTables runs f with a router for each kind of iptables, and what opens its
// IPTables.
func byIPTables(t *testing.T, f func(w *router, x *steered)) {
	for _, kind := range []string{"nft", "legacy"} {
		t.Run(kind, func(t *testing.T) {
			for _, p := range []string{"nft", "iptables", "iptables-save", "ip"} {
				tool(t, p)
			}
			w := newRouter(t)
			open := steer.OpenIPTables
			if kind == "legacy" {
				lock := w.legacy()
				open = func(log *slog.Logger) (*steer.IPTables, error) { return steer.OpenLegacy(log, lock) }
			}
			for key, value := range map[string]string{"net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"} {
				if err := w.Gateway.Sysctl(key, value); err != nil {
					t.Fatal(err)
				}
			}
			f(w, &steered{w: w, kind: kind, open: open})
		})
	}
}

// steered calls an IPTables on the gateway, where its programs have to run.
type steered struct {
	w    *router
	kind string
	open func(*slog.Logger) (*steer.IPTables, error)
	*steer.IPTables
}

func (x *steered) start() {
	x.w.Helper()
	x.do(func() (err error) {
		x.IPTables, err = x.open(slog.New(slog.DiscardHandler))
		return err
	})
}

func (x *steered) do(f func() error) {
	x.w.Helper()
	if err := x.w.Gateway.Do(f); err != nil {
		x.w.Fatal(err)
	}
}

func (x *steered) apply(s platform.Steering) {
	x.w.Helper()
	x.do(func() error { return x.Apply(x.w.Context(), s) })
}

// unchanged fails if the gateway is not as it was.
func (w *router) unchanged(before, when string) {
	w.Helper()
	if d := cmp.Diff(strings.Split(before, "\n"), strings.Split(w.state(), "\n")); d != "" {
		w.Errorf("%s (-before +after):\n%s", when, d)
	}
}

// services has the server and the gateway listen.
func (w *router) services() {
	w.Helper()
	for _, port := range []uint16{80, 22} {
		w.serve(w.Server, port)
		w.serve(w.Gateway, port)
	}
	w.echo(443)
	w.echo(53)
}

func TestIPTables(t *testing.T) {
	for name, s := range workable(t) {
		t.Run(name, func(t *testing.T) {
			byIPTables(t, func(w *router, x *steered) {
				w.services()
				w.proxy(s)
				before := w.state()
				x.start()
				x.do(func() error { return x.Check(w.Context(), s) })
				w.unchanged(before, "after Check")
				x.apply(s)
				w.works(s)
				first := w.state()
				x.apply(s)
				w.unchanged(first, "after the same Apply")
				draining := s
				draining.Draining = true
				x.apply(draining)
				if len(s.Interfaces) > 0 {
					if got := w.ask(w.Client, netip.MustParseAddrPort(lab.ServerAddr4+":80")); got != "server sees CLIENT" {
						t.Errorf("a new connection while it drains: %q", got)
					}
				}
				x.apply(s)
				w.unchanged(first, "after draining and another Apply")
				x.do(x.Close)
				w.unchanged(before, "after Close")
			})
		})
	}
}

// TestIPTablesAmongOthers steers in a gateway with a firewall that lets in little
// and nothing that is invalid, with strict checks of the way back.
func TestIPTablesAmongOthers(t *testing.T) {
	const firewall = `*filter
:INPUT DROP [0:0]
:OUTPUT DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate INVALID -j DROP
-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
-A INPUT -p tcp -d LAN --dport 80 -j ACCEPT
-A INPUT -p icmpv6 -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A OUTPUT -m conntrack --ctstate INVALID -j DROP
-A OUTPUT -j ACCEPT
COMMIT
`
	kinds := workable(t)
	for _, name := range []string{"tproxy-spoof", "redirect-spoof", "both"} {
		t.Run(name, func(t *testing.T) {
			byIPTables(t, func(w *router, x *steered) {
				w.services()
				for program, text := range map[string]string{
					"iptables":  strings.ReplaceAll(strings.ReplaceAll(firewall, "LAN", lab.LANAddr4), "-A INPUT -p icmpv6 -j ACCEPT\n", ""),
					"ip6tables": strings.ReplaceAll(firewall, "LAN", lab.LANAddr6),
				} {
					w.run("/bin/sh", "-c", program+"-restore <<'END'\n"+text+"END\n")
				}
				for _, key := range []string{"rp_filter", "src_valid_mark"} {
					for _, iface := range []string{"all", "lan0", "wan0"} {
						if err := w.Gateway.Sysctl("net.ipv4.conf."+iface+"."+key, "1"); err != nil {
							t.Fatal(err)
						}
					}
				}
				s := kinds[name]
				w.proxy(s)
				before := w.state()
				x.start()
				x.apply(s)
				w.works(s)
				x.do(x.Close)
				w.unchanged(before, "after Close")
			})
		})
	}
}

// TestIPTablesShut steers in a gateway that lets nothing in or out, and has a client
// come to the listener itself.
func TestIPTablesShut(t *testing.T) {
	const firewall = `*filter
:INPUT DROP [0:0]
:OUTPUT DROP [0:0]
-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A INPUT -p ICMP -j ACCEPT
-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT
-A OUTPUT -p ICMP -j ACCEPT
COMMIT
`
	kinds := workable(t)
	for _, name := range []string{"tproxy-spoof", "redirect"} {
		t.Run(name, func(t *testing.T) {
			byIPTables(t, func(w *router, x *steered) {
				w.serve(w.Server, 80)
				for program, icmp := range map[string]string{"iptables": "icmp", "ip6tables": "icmpv6"} {
					w.run("/bin/sh", "-c", program+"-restore <<'END'\n"+strings.ReplaceAll(firewall, "ICMP", icmp)+"END\n")
				}
				s := kinds[name]
				w.proxy(s)
				before := w.state()
				x.start()
				x.apply(s)
				for family, a := range w.families() {
					if got := w.ask(w.Client, netip.AddrPortFrom(a[0], 80)); !strings.Contains(got, "server sees ") {
						t.Errorf("%s: a captured connection: %q", family, got)
					}
					if got := w.ask(w.Client, netip.AddrPortFrom(a[2], s.Port)); strings.HasPrefix(got, "error: ") {
						t.Errorf("%s: a visit to the listener: %q", family, got)
					}
				}
				x.do(x.Close)
				w.unchanged(before, "after Close")
			})
		})
	}
}

// TestIPTablesLeftovers has one process die, and another find what it has left.
func TestIPTablesLeftovers(t *testing.T) {
	byIPTables(t, func(w *router, x *steered) {
		before := w.state()
		s := workable(t)["both"]
		x.start()
		x.apply(s)
		x.do(x.Abandon)
		w.unchanged(w.state(), "after Abandon")

		x.start()
		var found, removed []string
		x.do(func() (err error) {
			found, err = x.Leftovers(w.Context())
			return err
		})
		for _, want := range []string{
			"iptables -t raw: chains TRANSOM_",
			"ip6tables -t filter: chains TRANSOM_",
			"ip rule 7891: fwmark 0x10/0x70 lookup 7890",
			"net.ipv4.ip_forward = 1 (was 0)",
		} {
			if !slices.ContainsFunc(found, func(line string) bool { return strings.HasPrefix(line, want) }) {
				t.Errorf("leftovers lack %q:\n%s", want, strings.Join(found, "\n"))
			}
		}
		x.do(func() (err error) {
			removed, err = x.Cleanup(w.Context())
			return err
		})
		if d := cmp.Diff(found, removed); d != "" {
			t.Errorf("found and removed differ: %s", d)
		}
		w.unchanged(before, "after Cleanup")
		x.do(func() (err error) {
			found, err = x.Leftovers(w.Context())
			return err
		})
		if len(found) > 0 {
			t.Errorf("leftovers after Cleanup: %q", found)
		}

		// And Apply does that by itself: what is in the way, and what another
		// steering needed.
		x.apply(s)
		x.do(x.Abandon)
		x.start()
		x.apply(workable(t)["local"])
		x.do(x.Close)
		w.unchanged(before, "after a run that found leftovers")
	})
}

// TestIPTablesLeave refuses what was captured when nobody is there any more.
func TestIPTablesLeave(t *testing.T) {
	byIPTables(t, func(w *router, x *steered) {
		w.services()
		for key, value := range map[string]string{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"} {
			if err := w.Gateway.Sysctl(key, value); err != nil {
				t.Fatal(err)
			}
		}
		before := w.state()
		s := workable(t)["both"]
		s.Closed = true
		x.start()
		x.apply(s)
		x.do(x.Abandon)
		x.start() // as a watch does, that has not applied it
		x.do(func() error { return x.Leave(w.Context()) })
		x.do(x.Close)
		for family, a := range w.families() {
			for _, from := range []*lab.Host{w.Client, w.Gateway} {
				if got := w.ask(from, netip.AddrPortFrom(a[0], 80)); got != "error: connect: connection refused" {
					t.Errorf("%s, %s, a captured port: %q", family, from.Name(), got)
				}
				if got := w.ask(from, netip.AddrPortFrom(a[0], 22)); got != "server sees CLIENT" {
					t.Errorf("%s, %s, another port: %q", family, from.Name(), got)
				}
			}
		}
		x.start()
		x.do(func() error {
			_, err := x.Cleanup(w.Context())
			return err
		})
		w.unchanged(before, "after Cleanup")
		x.do(x.Close)
	})
}

// TestIPTablesDraining keeps a connection that is open, also when one process takes
// over from another.
func TestIPTablesDraining(t *testing.T) {
	byIPTables(t, func(w *router, x *steered) {
		for _, name := range []string{"tproxy-spoof", "redirect-spoof"} {
			s := workable(t)[name]
			l := w.echoes(s)
			x.start()
			x.apply(s)
			for family, a := range w.families() {
				c, err := w.Client.Dial(w.Context(), netip.AddrPortFrom(a[0], 80))
				if err != nil {
					t.Fatal(err)
				}
				r := bufio.NewReader(c)
				say := func(when string) {
					t.Helper()
					io.WriteString(c, when+"\n")
					if got, err := r.ReadString('\n'); got != when+"\n" {
						t.Errorf("%s, %s, %s: %q, %v", name, family, when, got, err)
					}
				}
				say("captured")
				s.Draining = true
				x.apply(s)
				say("draining")
				s.Draining = false
				x.apply(s)
				say("captured again")
				x.do(x.Abandon)
				x.start()
				x.apply(s)
				say("taken over by another process")
				c.Close()
			}
			x.do(x.Close)
			l.Close()
		}
	})
}

// echoes runs a listener that sends back what it gets.
func (w *router) echoes(s platform.Steering) net.Listener {
	w.Helper()
	host, err := w.Gateway.Platform(nil)
	if err != nil {
		w.Fatal(err)
	}
	l, err := host.Listen(w.Context(), platform.Socket{
		Bind: netip.AddrPortFrom(netip.IPv6Unspecified(), s.Port), Transparent: true, Require: true, Mark: s.Marks.OrDefault().Client,
	})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { l.Close(); host.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	return l
}

// TestIPTablesFails leaves things as they were.
func TestIPTablesFails(t *testing.T) {
	byIPTables(t, func(w *router, x *steered) {
		good := workable(t)["both"]
		fails := map[string]struct {
			change func(*platform.Steering)
			says   string
		}{
			// The old iptables does not say which rule it was.
			"a-cgroup-that-is-not-there": {func(s *platform.Steering) { s.Cgroup = "no/such/group" }, map[string]string{"nft": "--path no/such/group", "legacy": "a rule of table nat"}[x.kind]},
			"no-such-interface":          {func(s *platform.Steering) { s.Interfaces = []string{"lan7"} }, "lan7"},
			"a-name-that-is-a-rule":      {func(s *platform.Steering) { s.Interfaces = []string{"lan0 -j ACCEPT\n"} }, "want letters"},
		}
		before := w.state()
		for name, tt := range fails {
			bad := good
			tt.change(&bad)
			x.start()
			try := func(what string, f func(context.Context, platform.Steering) error) {
				t.Helper()
				err := w.Gateway.Do(func() error { return f(w.Context(), bad) })
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%s, %s: %v; want an error that says %s", name, what, err, tt.says)
				}
			}
			try("Check", x.Check)
			w.unchanged(before, name+", Check")
			try("Apply", x.Apply)
			w.unchanged(before, name+", Apply")
			x.apply(good)
			applied := w.state()
			try("Apply over another", x.Apply)
			w.unchanged(applied, name+", Apply over another")
			x.do(x.Close)
			w.unchanged(before, name+", Close")
		}
	})
}

// TestIPTablesWithout says what is missing.
func TestIPTablesWithout(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // which is not looked at
	x, err := steer.OpenIPTables(nil)
	if err != nil {
		if !strings.Contains(err.Error(), "iptables") {
			t.Error(err)
		}
		return
	}
	if err := x.Abandon(); err != nil {
		t.Error(err)
	}
}

// TestBackends has each backend find what the other has left.
func TestBackends(t *testing.T) {
	if got := steer.Backends(); !slices.Equal(got, []string{"nft", "iptables"}) {
		t.Fatalf("backends: %q", got)
	}
	for _, p := range []string{"nft", "iptables", "iptables-save", "ip"} {
		tool(t, p)
	}
	w := newRouter(t)
	before := w.state()
	s := workable(t)["both"]
	for _, name := range []string{"nft", "iptables", "nft", "iptables"} {
		if err := w.Gateway.Do(func() error {
			b, err := steer.OpenBackend(name, nil)
			if err != nil {
				return err
			}
			return errors.Join(steer.Mend(w.Context(), name, slog.New(slog.DiscardHandler)), b.Apply(w.Context(), s), b.Abandon())
		}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if left := w.state(); strings.Contains(left, "TRANSOM_") && strings.Contains(left, "table inet transom") {
			t.Errorf("with %s, the other's is still there:\n%s", name, left)
		}
	}
	if err := w.Gateway.Do(func() error {
		b, err := steer.OpenBackend("nft", nil)
		if err != nil {
			return err
		}
		return errors.Join(steer.Mend(w.Context(), "nft", slog.New(slog.DiscardHandler)), b.Apply(w.Context(), s), b.Close())
	}); err != nil {
		t.Fatal(err)
	}
	w.unchanged(before, "after Close")
	if _, err := steer.OpenBackend("ebpf", nil); err == nil {
		t.Error("a backend that is not there is opened")
	}
}

// TestMendLeavesRouting: what is left by the backend that is about to steer is for
// that to take over, and connections live by it.
func TestMendLeavesRouting(t *testing.T) {
	for _, p := range []string{"nft", "iptables", "iptables-save", "ip"} {
		tool(t, p)
	}
	for _, name := range steer.Backends() {
		t.Run(name, func(t *testing.T) {
			w := newRouter(t)
			var log testnet.Log
			if err := w.Gateway.Do(func() error {
				b, err := steer.OpenBackend(name, nil)
				if err != nil {
					return err
				}
				return errors.Join(b.Apply(w.Context(), workable(t)["both"]), b.Abandon())
			}); err != nil {
				t.Fatal(err)
			}
			left := w.state()
			if err := w.Gateway.Do(func() error {
				return steer.Mend(w.Context(), name, slog.New(slog.NewTextHandler(&log, nil)))
			}); err != nil || log.String() != "" {
				t.Errorf("%v: %s", err, &log)
			}
			w.unchanged(left, "after Mend")
		})
	}
}
