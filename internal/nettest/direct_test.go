package nettest_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"transom/platform/lab"
)

// welcome is on the page that is for the device's person.
const welcome = "/cert/pem"

// TestDirect connects to the proxy's own port in every way there is. It serves
// its page and never connects to itself.
func TestDirect(t *testing.T) {
	need(t, "curl", "iptables", "ip6tables", "unshare", "mount")
	for name, all := range map[string]bool{"nothing-redirected": false, "everything-redirected": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if all { // without any exception
				for _, ipt := range []string{"iptables", "ip6tables"} {
					w.must(w.Gateway, ipt, "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "-j", "REDIRECT", "--to-ports", "8080")
				}
			}
			looped := w.countLoopback()
			p := w.knowing("gateway.example", lab.WANAddr4)
			for _, how := range [][]string{
				{"http://" + lab.LANAddr4 + ":8080/"},
				{"http://" + lab.WANAddr4 + ":8080/"},
				{"http://[" + lab.LANAddr6 + "]:8080/"},
				{"http://[" + lab.WANAddr6 + "]:8080/"},
				// as an explicit proxy, asked for itself
				{"-x", lab.LANAddr4 + ":8080", "http://" + lab.LANAddr4 + ":8080/"},
				{"-x", lab.LANAddr4 + ":8080", "http://" + lab.WANAddr4 + ":8080/"},
				{"-x", lab.LANAddr4 + ":8080", "http://[" + lab.WANAddr6 + "]:8080/"},
				{"-x", "[" + lab.LANAddr6 + "]:8080", "http://localhost:8080/"},
				{"-x", lab.LANAddr4 + ":8080", "http://gateway.example:8080/"},
				{"-x", lab.LANAddr4 + ":8080", "http://127.0.0.1:8080/"},
				{"-x", lab.LANAddr4 + ":8080", "http://[::ffff:10.9.0.1]:8080/"},
				{"-x", lab.LANAddr4 + ":8080", "http://0.0.0.0:8080/"},
				{"-x", lab.LANAddr4 + ":8080", "-p", "http://gateway.example:8080/"},
				{"-x", lab.LANAddr4 + ":8080", "-p", "http://localhost:8080/"},
				{"-x", lab.LANAddr4 + ":8080", "-p", "http://[" + lab.LANAddr6 + "]:8080/"},
			} {
				w.once(p, how)
			}
			p.stop()
			if n := looped(); n != 0 {
				t.Errorf("the proxy connected to itself %d times", n)
			}
			if strings.Contains(p.log.String(), "loop") {
				t.Errorf("logged a loop:\n%s", p.log)
			}
		})
	}
}

// once has curl ask the proxy itself, which must show its page, and one line.
func (w *world) once(p *transom, how []string) {
	w.t.Helper()
	shown, logged := p.out.lines(), p.log.lines()
	page, stderr, err := w.try(w.Client, "curl", append([]string{"-sS", "--max-time", "120"}, how...)...)
	tunnel := len(how) == 4 // a request to make a tunnel gets the page instead of one
	if tunnel && exitCode(err) != 56 || !tunnel && (err != nil || !strings.Contains(page, welcome)) {
		w.t.Errorf("curl %s: %v\n%s%s", how, err, page, stderr)
	}
	p.out.wait(w.t, func(s string) bool { return strings.Count(s, "\n") > shown })
	if n := p.out.lines() - shown + p.log.lines() - logged; n != 1 {
		w.t.Errorf("curl %s: %d lines, want one", how, n)
	}
}

// knowing starts a proxy on a gateway where one name is known.
func (w *world) knowing(name, addr string) *transom {
	w.t.Helper()
	hosts := w.write("hosts", "127.0.0.1 localhost\n::1 localhost\n"+addr+" "+name+"\n")
	return w.start(w.command(w.Gateway, "unshare", "--mount", "sh", "-euc",
		`mount --bind "$0" /etc/hosts; exec transom listen -T`, hosts))
}

// TestLANAlone listens on the LAN's addresses, as docs/fidelity.md says: redirected
// connections come in, and nobody on the other side does.
func TestLANAlone(t *testing.T) {
	need(t, "curl", "iptables", "ip6tables")
	w := newWorld(t)
	w.serve(shopping)
	w.redirect("80")
	p := w.start(w.command(w.Gateway, "transom", "listen", "--json",
		"-m", "transparent@"+lab.LANAddr4+":8080", "-m", "transparent@["+lab.LANAddr6+"]:8080"))
	for n, f := range families {
		if got := w.must(w.Client, "curl", "-sS", "http://"+f.host+"/"); !strings.HasPrefix(got, "GET "+f.host) {
			t.Errorf("%s: got %q", f.name, got)
		}
		p.await(n+1, of("http"))
	}
	for _, addr := range []string{lab.WANAddr4, lab.WANAddr6} {
		if _, err := w.Server.Dial(w.ctx, addrPort(addr, 8080)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want it refused", addr, err)
		}
	}
}

// countLoopback counts TCP connections begun on the gateway to itself, however
// addressed, from now on.
func (w *world) countLoopback() (count func() int) {
	w.t.Helper()
	rule := []string{"INPUT", "-i", "lo", "-p", "tcp", "--syn"}
	for _, ipt := range []string{"iptables", "ip6tables"} {
		w.must(w.Gateway, ipt, append([]string{"-A"}, rule...)...)
	}
	return func() (n int) {
		for _, ipt := range []string{"iptables", "ip6tables"} {
			n += packets(w.t, w.must(w.Gateway, ipt, "-nvxL", "INPUT"))
		}
		return n
	}
}

// TestCounting makes sure that countLoopback counts.
func TestCounting(t *testing.T) {
	w := newWorld(t)
	need(t, "iptables", "ip6tables")
	looped := w.countLoopback()
	for i, addr := range []string{lab.WANAddr4, lab.LANAddr6, "127.0.0.1"} {
		if _, err := w.Gateway.Dial(w.ctx, addrPort(addr, 8080)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("%s: %v", addr, err)
		}
		if n := looped(); n != i+1 {
			t.Errorf("%d connections counted, want %d", n, i+1)
		}
	}
}

// TestPublicPeer connects to the port from a public address: it is refused.
func TestPublicPeer(t *testing.T) {
	w := newWorld(t)
	for host, addr := range map[*lab.Host]string{w.Client: "198.51.100.2/24", w.Gateway: "198.51.100.1/24"} {
		iface := map[bool]string{true: "eth0", false: "lan0"}[host == w.Client]
		if err := host.AddAddr(iface, netip.MustParsePrefix(addr)); err != nil {
			t.Fatal(err)
		}
	}
	p := w.transom("--json")
	for n, dst := range []string{"198.51.100.1:8080", lab.LANAddr4 + ":8080"} {
		from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP("198.51.100.2")}}
		c, err := w.Client.DialWith(w.ctx, from, netip.MustParseAddrPort(dst))
		if err == nil {
			defer c.Close()
			_, err = c.Read(make([]byte, 1))
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v, want a reset", dst, err)
		}
		r := p.await(n+1, of("conn"))[n]
		if r.Capture != "direct" || !strings.Contains(r.Reason, "public address") || !strings.HasPrefix(r.Client.Addr, "198.51.100.2:") {
			t.Errorf("recorded %+v", r)
		}
	}
}

// TestLoop redirects the proxy's own traffic back to it: that ends soon, with a
// record that says why.
func TestLoop(t *testing.T) {
	need(t, "curl")
	for name, origin := range map[string]func(*world){
		"server-there": func(w *world) { w.handle(80, func(c *net.TCPConn) { io.Copy(c, c) }) },
		"no-server":    func(*world) {},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			origin(w)
			looped := w.countLoopback()
			w.redirect("80")
			for _, ipt := range []string{"iptables", "ip6tables"} {
				w.must(w.Gateway, ipt, "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "80", "-j", "REDIRECT", "--to-ports", "8080")
			}
			p := w.transom("--json")
			for _, f := range families {
				_, stderr, err := w.try(w.Client, "curl", "-sS", "--max-time", "120", "http://"+f.host+"/")
				// 7 if the reset was there before curl looked at its new socket: it can't tell that from a refusal.
				// 55 if it was there before curl had sent its request.
				if code := exitCode(err); code != 56 && code != 55 && code != 52 && code != 7 {
					t.Errorf("%s: curl ended with %d, want it reset: %s", f.name, code, stderr)
				}
				if !p.out.wait(t, func(string) bool { return loops(p.records(), f.host+":80") > 0 }) {
					t.Errorf("%s: no record says that there is a loop", f.name)
				}
			}
			p.stop()
			// What has come back is known for that once our connect has returned. How
			// often it comes around before is the scheduler's: a few times, where a
			// loop that goes on makes hundreds a second.
			const soon = 50
			if n := looped(); n > soon {
				t.Errorf("%d connections of the proxy to itself", n)
			}
			if n := len(p.records()); n > soon {
				t.Errorf("%d records", n)
			}
		})
	}
}

// loops counts the records of loops towards dst.
func loops(rs []record, dst string) (n int) {
	for _, r := range rs {
		if r.Server.Dst == dst && strings.HasPrefix(r.Reason, "loop: ") {
			n++
		}
	}
	return n
}
