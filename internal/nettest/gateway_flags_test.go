package nettest_test

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"transom/platform/lab"
)

// from asks from one of the client's addresses.
func (w *world) from(addr, server string, port uint16) journey {
	d := &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(addrPort(addr, 0))}
	return w.reach(w.Client, d, addrPort(server, port))
}

// extra gives a host's eth0 one more address of each family.
func (w *world) extra(h *lab.Host, v4, v6 string) {
	w.t.Helper()
	for _, p := range []string{v4 + "/24", v6 + "/64"} {
		if err := h.AddAddr("eth0", netip.MustParsePrefix(p)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestGatewayChooses has clients, servers and ports that are captured and that
// are not.
func TestGatewayChooses(t *testing.T) {
	type expected struct {
		from, to string
		port     uint16
		how      string
	}
	const client4b, client6b, server4b, server6b = "192.168.1.3", "fd01::3", "10.9.0.3", "fd09::3"
	for name, tc := range map[string]struct {
		args []string
		want []expected
	}{
		"from": {[]string{"--from", client4b + "/32", "--from", "fd01::3"}, []expected{
			{client4b, lab.ServerAddr4, 443, captured},
			{client6b, lab.ServerAddr6, 443, captured},
			{lab.ClientAddr4, lab.ServerAddr4, 443, direct},
			{lab.ClientAddr6, lab.ServerAddr6, 443, direct},
		}},
		"from-of-one-family": {[]string{"--from", "192.168.1.0/24"}, []expected{
			{client4b, lab.ServerAddr4, 443, captured},
			{lab.ClientAddr6, lab.ServerAddr6, 443, direct},
		}},
		"exclude-server": {[]string{"--exclude", server4b, "--exclude", server6b + "/128"}, []expected{
			{lab.ClientAddr4, lab.ServerAddr4, 443, captured},
			{lab.ClientAddr6, lab.ServerAddr6, 443, captured},
			{lab.ClientAddr4, server4b, 443, direct},
			{lab.ClientAddr6, server6b, 443, direct},
		}},
		"exclude-client": {[]string{"--from", "192.168.0.0/16", "--exclude", client4b}, []expected{
			{lab.ClientAddr4, lab.ServerAddr4, 443, captured},
			{client4b, lab.ServerAddr4, 443, direct},
		}},
		"ports": {[]string{"--ports", "443,8440-8450"}, []expected{
			{lab.ClientAddr4, lab.ServerAddr4, 443, captured},
			{lab.ClientAddr4, lab.ServerAddr4, 8440, captured},
			{lab.ClientAddr6, lab.ServerAddr6, 8443, captured},
			{lab.ClientAddr6, lab.ServerAddr6, 8450, captured},
			{lab.ClientAddr4, lab.ServerAddr4, 8439, direct},
			{lab.ClientAddr6, lab.ServerAddr6, 8451, direct},
		}},
		"ports-all": {[]string{"--ports", "all"}, []expected{
			{lab.ClientAddr4, lab.ServerAddr4, 443, captured},
			{lab.ClientAddr4, lab.ServerAddr4, 8439, captured},
			{lab.ClientAddr6, lab.ServerAddr6, 8443, captured},
			{lab.ClientAddr6, lab.ServerAddr6, 8451, captured},
		}},
	} {
		for _, way := range ways {
			t.Run(name+"-"+way.name, func(t *testing.T) {
				w := newGatewayWorld(t)
				w.site(8439, 8440, 8450, 8451)
				w.extra(w.Client, client4b, client6b)
				w.extra(w.Server, server4b, server6b)
				own := w.ownService()
				before := w.state(w.Gateway)
				g := w.gateway(append(tc.args, way.args...)...)
				for _, e := range tc.want {
					seen := seenClient
					if e.how == captured {
						seen = way.seen
					}
					w.from(e.from, e.to, e.port).want(t, e.how, seen)
				}
				own()
				for _, f := range families {
					w.wantDatagram(w.Client, addrPort(f.addr, 5353), seenClient)
				}
				g.stop()
				w.restored(w.Gateway, before)
			})
		}
	}
}

// TestGatewayLocal captures what the gateway's own programs send as well, but
// nothing of transom's own, and nothing that stays within the gateway.
func TestGatewayLocal(t *testing.T) {
	need(t, "setpriv", "curl")
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.site()
			w.secure(w.Gateway, 443)
			w.filter(strict)
			before := w.state(w.Gateway)
			g := w.gateway(append(way.args, "--local")...)
			w.wantAll(w.Gateway, 443, captured, seenClient)
			w.wantAll(w.Client, 443, captured, way.seen)
			if w.users() { // as the user that transom has become, too
				cert := g.trusts()
				for _, f := range families {
					w.must(w.Gateway, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
						"curl", "-sS", "--max-time", "120", "--cacert", cert, "https://"+f.host+"/")
				}
			}
			n := len(g.records())
			for _, own := range []string{"127.0.0.1", "::1", lab.LANAddr4, lab.WANAddr6} {
				w.reach(w.Gateway, &net.Dialer{}, addrPort(own, 443)).want(t, direct, seenClient)
			}
			w.others(w.Gateway, seenClient)
			w.others(w.Client, seenClient)
			g.stop()
			w.restored(w.Gateway, before)
			w.noneInvalid()
			looped := 0
			for _, r := range g.records() {
				if addr, err := netip.ParseAddrPort(r.Server.Dst); err != nil || addr.Port() != 443 || strings.Contains(r.Error, "loop") {
					t.Errorf("recorded %+v", r)
				}
				if r.Type == "http" {
					looped++
				}
			}
			// Two for the gateway, two for the client, and one each for a port that
			// was used twice; curl makes two more.
			if want := 8; looped != want && looped != want+2 || looped < n {
				t.Errorf("%d records, want %d, or 2 more with curl's", looped, want)
			}
		})
	}
}

// users reports whether there are other users than root here: in the user
// namespaces of tests there are none.
func (w *world) users() bool {
	return strings.Contains(w.must(w.Gateway, "cat", "/proc/self/uid_map"), "4294967295")
}

// TestGatewayFixedAddress has servers see one address for everybody.
func TestGatewayFixedAddress(t *testing.T) {
	for _, method := range []string{"tproxy", "redirect"} {
		t.Run(method, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.site()
			before := w.state(w.Gateway)
			const fixed = "192.168.1.77" // nobody's, and routed to the gateway
			g := w.gateway("--method", method, "--spoof-source", fixed)
			for range 3 {
				v := w.from(lab.ClientAddr4, lab.ServerAddr4, 443)
				if v.want(t, captured, seenAnybody); v.seen.Addr().String() != fixed {
					t.Errorf("the server saw %v, want %s", v.seen, fixed)
				}
			}
			// There is no such address of the other family.
			w.from(lab.ClientAddr6, lab.ServerAddr6, 443).want(t, captured, seenGateway)
			g.stop()
			w.restored(w.Gateway, before)
		})
	}
}

// TestGatewayQUIC refuses QUIC at once, so that clients fall back, or lets it
// pass; other UDP always passes.
func TestGatewayQUIC(t *testing.T) {
	for quic, how := range map[string]string{"reject": refused, "pass": direct} {
		for _, way := range ways {
			t.Run(quic+"-"+way.name, func(t *testing.T) {
				w := newGatewayWorld(t)
				w.site()
				before := w.state(w.Gateway)
				g := w.gateway(append(way.args, "--quic", quic)...)
				for _, f := range families {
					w.datagram(w.Client, addrPort(f.addr, 443)).want(t, how, seenClient)
					w.datagram(w.Client, addrPort(f.addr, 5353)).want(t, direct, seenClient)
				}
				g.stop()
				w.restored(w.Gateway, before)
				for _, f := range families {
					w.datagram(w.Client, addrPort(f.addr, 443)).want(t, direct, seenClient)
				}
			})
		}
	}
}

// TestGatewayDeadClosed refuses what would be captured when transom has died,
// until it is started again or cleanup is.
func TestGatewayDeadClosed(t *testing.T) {
	for victim, die := range map[string]func(*gateway){
		"proxy": func(g *gateway) { kill(g.t, g.pid()) },
		"both":  func(g *gateway) { kill(g.t, g.pid(), g.w.process(helper)) },
		"all":   (*gateway).killAll,
	} {
		for _, way := range ways {
			t.Run(victim+"-"+way.name, func(t *testing.T) {
				w := newGatewayWorld(t)
				w.site()
				args := append(way.args, "--on-dead", "closed")
				before := w.state(w.Gateway)
				g := w.gateway(args...)
				w.wantAll(w.Client, 443, captured, way.seen)
				w.others(w.Client, seenClient)
				die(g)
				g.wait(-1)
				w.alone()
				w.wantAll(w.Client, 443, refused, seenAnybody)
				w.rest(w.Client)
				// The next start captures, and its end is an orderly one.
				again := w.gateway(args...)
				w.wantAll(w.Client, 443, captured, way.seen)
				again.stop()
				w.restored(w.Gateway, before)
				w.wantAll(w.Client, 443, direct, seenClient)
				last := w.gateway(args...)
				die(last)
				last.wait(-1)
				w.alone()
				if out := w.must(w.Gateway, "transom", "cleanup"); !regexp.MustCompile(`(?m)transom_closed`).MatchString(out) {
					t.Errorf("transom cleanup lists\n%s", out)
				}
				w.wantState("after transom cleanup", w.Gateway, before)
				w.wantAll(w.Client, 443, direct, seenClient)
			})
		}
	}
}

// rest is others without what needs port 443.
func (w *world) rest(from *lab.Host) {
	w.t.Helper()
	w.wantAll(from, 8443, direct, seenClient)
	for _, f := range families {
		w.wantDatagram(from, addrPort(f.addr, 5353), seenClient)
	}
}

// brings reports whether new connections are brought to the listener, all or none.
func (w *world) brings(all bool) bool {
	w.t.Helper()
	if !w.iptables {
		return w.armed() == all
	}
	for _, save := range []string{"iptables-save", "ip6tables-save"} {
		if strings.Contains(w.must(w.Gateway, save), "-j TPROXY") != all {
			return false
		}
	}
	return true
}

// TestGatewayHangs stops the proxy without killing it: new connections go
// direct, or are refused if none may, until it goes on.
func TestGatewayHangs(t *testing.T) {
	for name, tt := range map[string]struct {
		how  string
		args []string
	}{
		"open":            {direct, nil},
		"closed":          {refused, []string{"--on-dead", "closed"}},
		"closed-redirect": {refused, []string{"--on-dead", "closed", "--method", "redirect"}},
		"closed-iptables": {refused, []string{"--on-dead", "closed", "--backend", "iptables"}},
	} {
		t.Run(name, func(t *testing.T) {
			if slices.Contains(tt.args, "iptables") {
				need(t, "iptables", "ip6tables")
			}
			w := newGatewayWorld(t)
			w.site()
			before := w.state(w.Gateway)
			g := w.gateway(tt.args...)
			w.wantAll(w.Client, 443, captured, seenAnybody)
			g.signal(syscall.SIGSTOP)
			defer g.signal(syscall.SIGCONT)
			eventually(t, "new connections to be "+tt.how, func() bool { return w.brings(false) })
			w.wantAll(w.Client, 443, tt.how, seenAnybody)
			g.signal(syscall.SIGCONT)
			eventually(t, "the rules to be back", func() bool { return w.brings(true) })
			w.wantAll(w.Client, 443, captured, seenAnybody)
			g.stop()
			w.restored(w.Gateway, before)
		})
	}
}
