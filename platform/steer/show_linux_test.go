package steer_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/internal/testnet"
	"transom/platform"
)

// TestShownTextsWork runs the texts as a person would, on a gateway that
// forwards nothing yet, and takes them back.
func TestShownTextsWork(t *testing.T) {
	for _, p := range []string{"nft", "iptables", "iptables-save", "ip", "sysctl"} {
		tool(t, p)
	}
	for name, s := range workable(t) {
		for _, format := range []string{"nft", "iptables", "iptables-legacy"} {
			t.Run(name+"-"+format, func(t *testing.T) {
				w := newRouter(t)
				if format == "iptables-legacy" {
					w.legacy()
				}
				w.shown(s, format)
			})
		}
	}
}

// legacy has iptables mean iptables-legacy, and returns the file that it locks.
func (w *router) legacy() (lock string) {
	w.Helper()
	dir := w.TempDir()
	for _, name := range []string{"iptables", "ip6tables"} {
		for _, of := range []string{"", "-restore", "-save"} {
			if err := os.Symlink(tool(w, name+"-legacy"+of), filepath.Join(dir, name+of)); err != nil {
				w.Fatal(err)
			}
		}
	}
	lock = filepath.Join(dir, "lock")
	w.env = append(w.env, "PATH="+dir+":"+os.Getenv("PATH"), "XTABLES_LOCKFILE="+lock)
	cmd := w.Gateway.Command(w.Context(), "/bin/sh", "-c", "iptables -n -L")
	cmd.Env = append(cmd.Environ(), w.env...)
	out, err := cmd.CombinedOutput()
	testnet.Need(w, err == nil, "a kernel for iptables-legacy: "+string(out))
	return lock
}

func (w *router) shown(s platform.Steering, format string) {
	if format == "iptables-legacy" {
		format = "iptables"
	}
	for _, port := range []uint16{80, 22} {
		w.serve(w.Server, port)
		w.serve(w.Gateway, port)
	}
	w.echo(443)
	w.echo(53)
	stop := w.proxy(s)
	for key, value := range map[string]string{"net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"} {
		if err := w.Gateway.Sysctl(key, value); err != nil {
			w.Fatal(err)
		}
	}
	file := filepath.Join(w.TempDir(), "steer")
	if err := os.WriteFile(file, []byte(shownText(w, s, format)), 0o600); err != nil {
		w.Fatal(err)
	}
	before := w.state()
	if out := w.run("/bin/sh", file, "up"); out != "" {
		w.Errorf("up says %q", out)
	}
	if d := cmp.Diff(before, w.state()); d == "" {
		w.Error("up changes nothing")
	}
	w.works(s)
	again := w.Gateway.Command(w.Context(), "/bin/sh", file, "up")
	again.Env = append(again.Environ(), w.env...)
	if out, err := again.CombinedOutput(); err == nil {
		w.Errorf("a second up is taken: %q", out)
	}
	stop()
	if out := w.run("/bin/sh", file, "down"); out != "" {
		w.Errorf("down says %q", out)
	}
	if d := cmp.Diff(before, w.state()); d != "" {
		w.Errorf("left behind (-before +after):\n%s", d)
	}
}

// works looks at what is captured and at what is not.
func (w *router) works(s platform.Steering) {
	for family, a := range w.families() {
		server, client, lan := a[0], a[1], a[2]
		expect := func(what, got, want string) {
			w.Helper()
			if got != want {
				w.Errorf("%s, %s: %q; want %q", family, what, got, want)
			}
		}
		web := netip.AddrPortFrom(server, 80)
		direct := "server sees CLIENT"
		captured := direct
		if len(s.Interfaces) > 0 && len(s.Exclude) == 0 && (len(s.From) == 0 || holds(s.From, client)) {
			captured = s.Method.String() + " to " + web.String() + ": server sees "
			if s.Spoof {
				captured += "CLIENT"
			}
		}
		if len(s.Interfaces) > 0 {
			for range 3 {
				got := w.ask(w.Client, web)
				if captured != direct && !s.Spoof {
					got = cutAfter(got, "server sees ")
				}
				expect("client to a captured port", got, captured)
			}
			expect("client to another port", w.ask(w.Client, netip.AddrPortFrom(server, 22)), direct)
			expect("client to the gateway", w.ask(w.Client, netip.AddrPortFrom(lan, 80)), "gateway sees CLIENT")
			quic := "hello"
			if s.RejectQUIC {
				quic = "error: read: connection refused"
			}
			expect("QUIC", w.udp(netip.AddrPortFrom(server, 443)), quic)
			expect("DNS", w.udp(netip.AddrPortFrom(server, 53)), "hello")
		}
		got, want := w.ask(w.Gateway, web), direct
		if s.Local {
			got, want = cutAfter(got, "redirect to "), "redirect to "
		}
		expect("a program of the gateway's", got, want)
		expect("a program of the gateway's, to itself", w.ask(w.Gateway, netip.AddrPortFrom(lan, 80)), "gateway sees CLIENT")
	}
}

func holds(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// workable are steerings for a router.
func workable(t testing.TB) map[string]platform.Steering {
	web := portList(t, "80,443")
	lan := []string{"lan0"}
	return map[string]platform.Steering{
		"tproxy":         {Method: platform.TPROXY, Port: 8080, Interfaces: lan, Ports: web, RejectQUIC: true},
		"tproxy-all":     {Method: platform.TPROXY, Port: 8080, Interfaces: lan, Spoof: true, Exclude: prefixes("10.9.0.2/32", "fd09::2/128")},
		"tproxy-spoof":   {Method: platform.TPROXY, Port: 8080, Interfaces: lan, Ports: web, Spoof: true},
		"redirect":       {Method: platform.Redirect, Port: 8080, Interfaces: lan, Ports: web, RejectQUIC: true, From: prefixes("192.168.0.0/16", "fd01::/64")},
		"redirect-spoof": {Method: platform.Redirect, Port: 8080, Interfaces: lan, Ports: web, Spoof: true},
		"elsewhere":      {Method: platform.Redirect, Port: 8080, Interfaces: lan, Ports: web, From: prefixes("10.0.0.0/8", "fd02::/64")},
		"local":          {Method: platform.TPROXY, Port: 8080, Local: true, Ports: web},
		"both":           {Method: platform.TPROXY, Port: 8080, Interfaces: lan, Local: true, Ports: web, Spoof: true, RejectQUIC: true},
	}
}
