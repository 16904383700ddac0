package nettest_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"transom/platform/lab"
)

// A finding is one of what transom doctor --json prints.
type finding struct {
	Type, ID, Level, What, Why, Mend string
}

// doctor runs it on the gateway, and returns what it has found.
func (w *world) doctor(args ...string) (found []finding) {
	w.t.Helper()
	args = append([]string{"doctor", "--json", "--ca-dir", w.path("ca")}, args...)
	if !slices.Contains(args, "--watch") {
		args = append(args, "--watch", "0")
	}
	out, stderr, err := w.try(w.Gateway, "transom", args...)
	if code := exitCode(err); code > 1 || stderr != "" {
		w.t.Fatalf("transom %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	faults := false
	for line := range strings.Lines(out) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			w.t.Fatalf("%v: %s", err, line)
		}
		faults = faults || f.Level == "fault"
		found = append(found, f)
	}
	if faults != (exitCode(err) == 1) {
		w.t.Errorf("exit code %d with\n%s", exitCode(err), out)
	}
	return found
}

// of returns the first finding of a kind that is worse than a note, if any.
func findingOf(found []finding, id string) (f finding, ok bool) {
	for _, f := range found {
		if f.ID == id && (f.Level == "fault" || f.Level == "warning") {
			return f, true
		}
	}
	return finding{}, false
}

// mend has the doctor find a thing, runs the remedy, and has it find no such thing
// any more. There may be several of a kind, each with its remedy.
func (w *world) mend(id string, args ...string) {
	w.t.Helper()
	const most = 4
	for n := range most {
		found := w.doctor(args...)
		f, ok := findingOf(found, id)
		switch {
		case !ok && n == 0:
			w.t.Fatalf("doctor does not find %q: %+v", id, found)
		case !ok:
			return
		case f.Mend == "":
			w.t.Fatalf("no remedy: %+v", f)
		}
		w.t.Logf("%s: %s\n\t%s\n\t%s", f.Level, f.What, f.Why, f.Mend)
		w.must(w.Gateway, "sh", "-euc", f.Mend)
	}
	w.t.Errorf("doctor still finds %q after %d remedies", id, most)
}

// A breakage is something that keeps capturing from working.
type breakage struct {
	name string
	id   string // of the finding
	// before is done before the gateway starts, after while it runs.
	before, after string
	gateway       []string // its options
	doctor        []string // the doctor's
	silent        bool     // connections are captured all the same
	port          uint16   // what is broken, if not 443
}

// TestDoctor breaks a gateway in ways that a person may, has the doctor name it, runs
// the command that it prints, and sees that capturing works.
func TestDoctor(t *testing.T) {
	const drop = "nft 'add table inet other; add chain inet other pre { type filter hook prerouting priority -150; }; add rule inet other pre tcp dport { 443, 8443 } drop'"
	for _, b := range []breakage{
		{silent: true, name: "forwarding-off", id: "forwarding", after: "sysctl -w net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"},
		{name: "forwarding-off-before", id: "forwarding", before: "sysctl -w net.ipv4.ip_forward=0"},
		{name: "wrong-ca", id: "authority", before: "transom ca show --ca-dir ca; chmod 644 ca/transom-ca.pem; transom ca export --ca-dir other > ca/transom-ca-cert.pem"},
		{name: "wrong-ca-damaged", id: "authority", before: "transom ca show --ca-dir ca; echo no key > ca/transom-ca.pem"},
		{name: "port-taken", id: "port", before: listens(8080)},
		{name: "leftovers", id: "leftovers", before: "nft 'add table inet transom_divert; add chain inet transom_divert was'"},
		{name: "rule-in-the-way", id: "kernel", before: "ip rule add pref 7891 fwmark 0x10/0x70 lookup 7890"},
		{silent: true, name: "send-redirects", id: "redirects", after: "sysctl -w net.ipv4.conf.all.send_redirects=1 net.ipv4.conf.lan0.send_redirects=1"},
		{name: "drop", id: "rules", after: drop},
		{name: "drop-before", id: "rules", before: drop},
		{name: "drop-by-iptables", id: "rules", after: "iptables -t mangle -I PREROUTING -p tcp -m multiport --dports 25,443 -j DROP; ip6tables -t raw -A PREROUTING -i lan0 -p tcp --dport 443 -j DROP"},
		{name: "drop-of-one-port", id: "rules", gateway: []string{"--ports", "443,8443"}, port: 8443, after: "iptables -t raw -A PREROUTING -i lan0 -p tcp --dport 8443 -j DROP"},
		{name: "drop-at-input", id: "rules", after: "nft 'add table inet other; add chain inet other in { type filter hook input priority 0; policy accept; }'; until nft list table inet other | grep -q transom; do :; done; nft insert rule inet other in tcp dport 443 drop"},
		{
			name: "drop-by-maps", id: "rules",
			after: `nft '
				add table inet other
				add chain inet other more
				add rule inet other more ip saddr . tcp dport { 10.0.0.1 . 443, 192.168.1.2 . 443 } drop
				add rule inet other more ip6 saddr fd01::/16 th dport 440-445 drop
				add chain inet other pre { type filter hook prerouting priority -100; }
				add rule inet other pre ct state vmap { established : accept, invalid : drop }
				add rule inet other pre iifname vmap { "lo" : accept, "lan0" : goto more }'`,
		},
		{name: "drop-at-ingress", id: "rules", after: "nft 'add table netdev other; add chain netdev other in { type filter hook ingress device lan0 priority 0; }; add rule netdev other in tcp dport 443 drop'"},
		{
			name: "no-conntrack", id: "conntrack", gateway: []string{"--method", "redirect"},
			after: "nft 'add table inet other; add chain inet other pre { type filter hook prerouting priority -300; }; add rule inet other pre iifname lan0 notrack'",
		},
		{
			name: "other-proxy", id: "other-proxy",
			after: "iptables -t mangle -A PREROUTING -i lan0 -p tcp --dport 443 -j TPROXY --on-port 3128; ip6tables -t mangle -A PREROUTING -i lan0 -p tcp --dport 443 -j TPROXY --on-port 3128",
		},
		{
			name: "other-proxy-for-one-port", id: "other-proxy", gateway: []string{"--method", "redirect", "--ports", "443,8443"}, port: 8443,
			after: "nft 'add table ip other; add chain ip other pre { type nat hook prerouting priority -120; }; add rule ip other pre iifname lan0 tcp dport 8443 redirect to :3128'; " + listens(3128),
		},
		{
			name: "other-proxy-redirects", id: "other-proxy", gateway: []string{"--method", "redirect"},
			after: "nft 'add table inet other; add chain inet other pre { type nat hook prerouting priority -120; }; add rule inet other pre iifname lan0 tcp dport 443 redirect to :3128'; " + listens(3128),
		},
	} {
		t.Run(b.name, func(t *testing.T) { b.test(t) })
	}
}

// listens starts a program that does, and waits until it does.
func listens(port int) string {
	return fmt.Sprintf("python3 -c 'import socket\ns = socket.create_server((\"\", %d))\nwhile True: s.accept()[0].close()' >/dev/null 2>&1 & until ss -ltn | grep -q :%[1]d; do :; done", port)
}

func (b *breakage) test(t *testing.T) {
	need(t, "iptables", "ip6tables", "sysctl", "python3", "ss")
	if b.port == 0 {
		b.port = 443
	}
	w := newGatewayWorld(t)
	w.site()
	broken := func(how string) {
		if how != "" {
			w.must(w.Gateway, "sh", "-euc", how)
		}
	}
	broken(b.before)
	if b.before != "" {
		w.mend(b.id, b.doctor...)
	}
	g := w.gateway(b.gateway...)
	broken(b.after)
	if b.after != "" {
		d := &net.Dialer{Timeout: time.Second}
		if b.silent {
			d = &net.Dialer{}
		}
		if v := w.reach(w.Client, d, addrPort(lab.ServerAddr4, b.port)); (v.how == captured) != b.silent {
			t.Errorf("broken, %s was %s", v.what, v.how)
		}
		w.mend(b.id, b.doctor...)
	}
	w.wantAll(w.Client, b.port, captured, seenAnybody)
	g.stop()
}

// TestDoctorLooksWhereItCaptures has an interface come when a gateway runs already.
func TestDoctorLooksWhereItCaptures(t *testing.T) {
	w := newGatewayWorld(t)
	g := w.startGateway(w.command(w.Gateway, "transom", "gateway", "--ca-dir", w.path("ca"), "--json"))
	w.must(w.Gateway, "sh", "-euc", "ip link add late0 type veth peer late1; ip address add 10.66.0.1/24 dev late0; ip link set late0 up; ip link set late1 up")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "behind lan0, wan0"},
		{[]string{"--interface", "late0"}, "behind late0"},
	} {
		found := w.doctor(c.args...)
		if i := slices.IndexFunc(found, func(f finding) bool { return f.ID == "interfaces" }); i < 0 || !strings.HasSuffix(found[i].What, c.want) {
			t.Errorf("%v: %+v, want %s", c.args, found, c.want)
		}
	}
	g.stop()
}

// while has something done again and again until the test is over.
func (w *world) while(do func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				do()
			}
		}
	}()
	w.t.Cleanup(func() {
		close(stop)
		<-done
	})
}

// connects has the client open connections to the server again and again, from one of
// its addresses.
func (w *world) connects(from string) {
	d := &net.Dialer{Timeout: 500 * time.Millisecond}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	w.while(func() {
		c, err := w.Client.DialWith(w.ctx, d, addrPort(lab.ServerAddr4, 443))
		if err == nil {
			_, _ = c.Write([]byte("?")) // whoever gets it
			time.AfterFunc(50*time.Millisecond, func() { c.Close() })
		}
	})
}

// cable connects two hosts once more.
func (w *world) cable(a, b lab.End) {
	w.t.Helper()
	if err := w.Connect(a, b); err != nil {
		w.t.Fatal(err)
	}
}

func prefixes(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }

// TestDoctorRoutes is TestDoctor for a device that is routed elsewhere, of which nothing
// has been heard yet.
func TestDoctorRoutes(t *testing.T) {
	need(t, "ip")
	w := newGatewayWorld(t)
	w.site()
	w.must(w.Gateway, "ip", "route", "add", lab.ClientAddr4, "dev", "wan0")
	w.gateway("--spoof-source", "none")
	w.mend("route", "--watch", "0s")
	w.wantAll(w.Client, 443, captured, seenAnybody)
}

// TestDoctorWatches is TestDoctor for what only traffic shows.
func TestDoctorWatches(t *testing.T) {
	watching := []string{"--watch", "3s"}
	t.Run("rp-filter", func(t *testing.T) {
		need(t, "sysctl")
		w := newGatewayWorld(t)
		w.site()
		// A device is behind lan0 with one more address that is routed to lan1.
		const another = "10.77.0.5"
		w.cable(lab.End{Host: w.Client, Iface: "eth1", Addrs: prefixes("10.7.0.2/24")}, lab.End{Host: w.Gateway, Iface: "lan1", Addrs: prefixes("10.7.0.1/24")})
		w.must(w.Client, "sh", "-euc", "ip addr add "+another+"/32 dev lo; sysctl -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0")
		w.must(w.Gateway, "sh", "-euc", "ip route add "+another+" via 10.7.0.2; sysctl -w net.ipv4.conf.lan0.rp_filter=1")
		w.gateway("--spoof-source", "none")
		d := &net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(another)}}
		if v := w.reach(w.Client, d, addrPort(lab.ServerAddr4, 443)); v.how == captured {
			t.Fatal("nothing is broken")
		}
		w.connects(another)
		w.mend("rp-filter", watching...)
		d.Timeout = 0
		w.reach(w.Client, d, addrPort(lab.ServerAddr4, 443)).want(t, captured, seenAnybody)
	})
	t.Run("quic-open", func(t *testing.T) {
		w := newGatewayWorld(t)
		w.site()
		w.gateway("--quic", "pass")
		var c *net.UDPConn
		err := w.Client.Do(func() (err error) {
			c, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addrPort(lab.ServerAddr4, 443)))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		w.while(func() {
			_, _ = c.Write([]byte("hello")) // refused, at last
			<-time.After(50 * time.Millisecond)
		})
		w.mend("quic", watching...)
		w.wantAll(w.Client, 443, captured, seenAnybody)
	})
	t.Run("asymmetric-route", func(t *testing.T) {
		need(t, "sysctl")
		w := newGatewayWorld(t)
		w.site()
		w.cable(lab.End{Host: w.Client, Iface: "eth1", Addrs: prefixes("10.8.0.2/24")}, lab.End{Host: w.Server, Iface: "eth1", Addrs: prefixes("10.8.0.1/24")})
		w.must(w.Client, "sysctl", "-w", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0", "net.ipv4.conf.eth1.rp_filter=0")
		w.must(w.Server, "ip", "route", "add", "192.168.1.0/24", "via", "10.8.0.2")
		w.connects("")
		on := append([]string{"--interface", "lan0"}, watching...)
		f, ok := findingOf(w.doctor(on...), "asymmetric")
		if !ok {
			t.Fatal("not found")
		}
		t.Log(f)
		// The remedy is a gateway, with what belongs to this test.
		remedy := strings.Fields(f.Mend)
		if len(remedy) < 2 || remedy[0] != "transom" || remedy[1] != "gateway" {
			t.Fatalf("the remedy is %q", f.Mend)
		}
		w.startGateway(w.command(w.Gateway, "transom", append(remedy[1:], w.gatewayArgs()[3:]...)...))
		if f, ok := findingOf(w.doctor(watching...), "asymmetric"); ok {
			t.Errorf("still found: %+v", f)
		}
		w.wantAll(w.Client, 443, captured, seenAnybody)
	})
	t.Run("arriving", func(t *testing.T) {
		w := newGatewayWorld(t)
		w.site()
		w.gateway()
		w.connects("")
		for _, f := range w.doctor(watching...) {
			if f.Level == "fault" || f.Level == "warning" {
				t.Errorf("found on a gateway that works: %+v", f)
			}
			if f.ID == "traffic" && (f.Level != "ok" || !strings.Contains(f.What, lab.ClientAddr4)) {
				t.Errorf("%+v; want it to name the device", f)
			}
		}
	})
}

// TestDoctorForward has a firewall drop what is not captured, as Docker's does.
func TestDoctorForward(t *testing.T) {
	for _, by := range []struct{ name, rules string }{
		{"iptables", "iptables -P FORWARD DROP; ip6tables -P FORWARD DROP"},
		{"docker", "iptables -N DOCKER-USER; iptables -A FORWARD -j DOCKER-USER; iptables -P FORWARD DROP"},
		{"nft", "nft 'add table inet other; add chain inet other across { type filter hook forward priority 0; policy drop; }'"},
	} {
		t.Run(by.name, func(t *testing.T) {
			need(t, "iptables", "ip6tables")
			w := newGatewayWorld(t)
			w.site()
			w.must(w.Gateway, "sh", "-euc", "ip route add default via "+lab.ServerAddr4+"; ip -6 route add default via "+lab.ServerAddr6+"; "+by.rules)
			g := w.gateway()
			if v := w.reach(w.Client, &net.Dialer{Timeout: time.Second}, addrPort(lab.ServerAddr4, 8443)); v.how == direct {
				t.Error("nothing is broken")
			}
			w.mend("forward")
			w.wantAll(w.Client, 8443, direct, seenClientPort)
			w.wantAll(w.Client, 443, captured, seenAnybody)
			g.stop()
		})
	}
}

// TestDoctorIsCalm has the doctor find no fault where gateways work: before one runs,
// and while one does.
func TestDoctorIsCalm(t *testing.T) {
	for _, e := range environments() {
		for _, way := range ways {
			t.Run(e.name+"-"+way.name, func(t *testing.T) {
				need(t, strings.Fields(e.needs)...)
				w := newGatewayWorld(t)
				e.set(w)
				args := append([]string{"--interface", "lan0"}, way.args...)
				calm := func(args ...string) {
					t.Helper()
					for _, f := range w.doctor(args...) {
						if f.Level == "fault" || f.Level == "warning" {
							t.Errorf("%+v", f)
						}
					}
				}
				calm(args...)
				g := w.gateway(slices.Concat(way.args, e.args)...)
				calm()
				g.stop()
				calm(args...)
			})
		}
	}
}
