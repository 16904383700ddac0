package nettest_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"transom/platform/lab"
)

// An environment is what a gateway may have set up before transom comes.
type environment struct {
	name  string
	needs string // programs
	set   func(w *world)
	// closed says that the gateway itself can't be reached, and translated that
	// the server sees everybody as the gateway.
	closed, translated bool
	args               []string
	also               func(w *world) // what else must hold while transom runs
	end                func(w *world) // and afterwards
}

// ways are the kinds of capture that each environment is tried with.
var ways = []struct {
	name string
	args []string
	seen string
}{
	{"tproxy", []string{"--method", "tproxy", "--spoof-source", "ip+port"}, seenClientPort},
	{"redirect", []string{"--method", "redirect", "--spoof-source", "none"}, seenGateway},
}

// environments is every one of them.
func environments() []environment {
	return []environment{
		{name: "no-conntrack", set: func(*world) {}},
		{name: "conntrack", set: func(w *world) { w.filter(tracking) }},
		{name: "strict", set: func(w *world) { w.filter(strict) }, end: (*world).noneInvalid},
		{name: "masquerade", set: func(w *world) { w.filter(masquerade) }, translated: true},
		{
			name: "masquerade-strict", set: func(w *world) { w.filter(masquerade + strict) }, translated: true,
			end: (*world).noneInvalid,
		},
		{name: "rp-filter", set: func(w *world) { w.setAll("rp_filter", "1") }},
		{name: "src-valid-mark", set: func(w *world) {
			w.setAll("rp_filter", "1")
			w.setAll("src_valid_mark", "1")
		}},
		{name: "drops-nft", set: func(w *world) { w.filter(dropping) }, closed: true, end: (*world).noneInvalid},
		{name: "drops-iptables", needs: "iptables ip6tables", set: (*world).dropByIptables, closed: true},
		{name: "shut-nft", set: func(w *world) { w.filter(shut) }, closed: true, end: (*world).noneInvalid},
		{name: "shut-iptables", needs: "iptables ip6tables", set: (*world).shutByIptables, closed: true},
		{
			name: "shut-iptables-backend", needs: "iptables ip6tables", set: (*world).shutByIptables, closed: true,
			args: []string{"--backend", "iptables"},
		},
		{name: "bridge", set: (*world).bridge, also: func(w *world) {
			w.wantAll(w.host("container"), 443, direct, seenClient)
			w.others(w.host("container"), seenClient)
		}},
		{name: "second-lan", set: (*world).secondLAN, also: func(w *world) {
			w.wantAll(w.host("client2"), 443, direct, seenClient)
			w.others(w.host("client2"), seenClient)
		}},
		{name: "two-lans", set: (*world).secondLAN, args: []string{"--interface", "lan1"}, also: func(w *world) {
			w.wantAll(w.host("client2"), 443, captured, seenAnybody)
			w.others(w.host("client2"), seenClient)
		}},
		{name: "iptables-backend", needs: "iptables ip6tables", set: func(*world) {}, args: []string{"--backend", "iptables"}},
		{
			name: "iptables-backend-strict", needs: "iptables ip6tables", set: func(w *world) { w.filter(strict) },
			args: []string{"--backend", "iptables"}, end: (*world).noneInvalid,
		},
	}
}

// TestGatewayEnvironment runs the gateway in each environment with each kind of
// capture. All was well before, which is looked at as well; it has to be while
// transom runs, and the gateway has to be as it was afterwards.
func TestGatewayEnvironment(t *testing.T) {
	for _, e := range environments() {
		for _, way := range ways {
			t.Run(e.name+"-"+way.name, func(t *testing.T) {
				need(t, strings.Fields(e.needs)...)
				w := newGatewayWorld(t)
				w.site()
				e.set(w)
				seenDirect, seen := seenClient, way.seen
				if e.translated {
					seenDirect, seen = seenGateway, seenGateway
				}
				own := func() {}
				if !e.closed {
					own = w.ownService()
				}
				check := func(how, seen string) {
					t.Helper()
					w.wantAll(w.Client, 443, how, seen)
					w.others(w.Client, seenDirect)
					own()
				}
				check(direct, seenDirect)
				if t.Failed() {
					t.Fatal("all this without transom")
				}
				before := w.state(w.Gateway)
				g := w.gateway(slices.Concat(way.args, e.args)...)
				check(captured, seen)
				w.page()
				if t.Failed() {
					return
				}
				if e.also != nil {
					e.also(w)
				}
				g.stop()
				w.restored(w.Gateway, before)
				check(direct, seenDirect)
				if e.end != nil {
					e.end(w)
				}
			})
		}
	}
}

// filter loads rules for nft on the gateway.
func (w *world) filter(text string) {
	w.t.Helper()
	w.must(w.Gateway, "nft", "-f", w.write("rules.nft", text))
}

// setAll writes a setting of IPv4 for all interfaces of the gateway and for
// each of them.
func (w *world) setAll(name, value string) {
	w.t.Helper()
	for _, of := range []string{"all", "default", "lo", "lan0", "wan0"} {
		if err := w.Gateway.Sysctl("net.ipv4.conf."+of+"."+name, value); err != nil {
			w.t.Fatal(err)
		}
	}
}

const tracking = `
table inet watching {
	chain forward { type filter hook forward priority filter; ct state new counter accept; }
}
`

// strict lets nothing through that connection tracking can't place.
const strict = `
table inet strict {
	counter invalid_in {}
	counter invalid_forward {}
	counter invalid_out {}
	chain input { type filter hook input priority filter; ct state invalid counter name invalid_in drop; }
	chain forward { type filter hook forward priority filter; ct state invalid counter name invalid_forward drop; }
	chain output { type filter hook output priority filter; ct state invalid counter name invalid_out drop; }
}
`

const masquerade = `
table inet masquerading {
	chain post { type nat hook postrouting priority srcnat; oifname "wan0" masquerade; }
}
`

// dropping is a usual firewall: what comes from the local network may go out,
// and nothing may come in.
const dropping = `
table inet firewall {
	counter invalid_in {}
	counter invalid_forward {}
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ct state invalid counter name invalid_in drop
		iifname "lo" accept
		meta l4proto { icmp, ipv6-icmp } accept
	}
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established,related accept
		ct state invalid counter name invalid_forward drop
		iifname "lan0" oifname "wan0" accept
	}
}
`

// shut is one that lets nothing out either, but for what root sends.
const shut = dropping + `
table inet outgoing {
	chain output {
		type filter hook output priority filter; policy drop;
		ct state established accept
		oifname "lo" accept
		meta l4proto { icmp, ipv6-icmp } accept
		meta skuid 0 accept
	}
}
`

// noneInvalid fails the test if connection tracking did not know what to make of
// a packet.
func (w *world) noneInvalid() {
	w.t.Helper()
	list := w.must(w.Gateway, "nft", "list", "counters")
	counts := regexp.MustCompile(`(?s)counter (invalid_\w+) \{\s*packets (\d+)`).FindAllStringSubmatch(list, -1)
	if len(counts) == 0 {
		w.t.Errorf("no counters in\n%s", list)
	}
	for _, c := range counts {
		if c[2] != "0" {
			w.t.Errorf("%s: %s packets", c[1], c[2])
		}
	}
}

// dropByIptables is the same firewall by the other program.
func (w *world) dropByIptables() {
	for ipt, icmp := range map[string]string{"iptables": "icmp", "ip6tables": "ipv6-icmp"} {
		for _, rule := range []string{
			"-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
			"-A INPUT -i lo -j ACCEPT",
			"-A INPUT -p " + icmp + " -j ACCEPT",
			"-P INPUT DROP",
			"-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
			"-A FORWARD -i lan0 -o wan0 -j ACCEPT",
			"-P FORWARD DROP",
		} {
			w.must(w.Gateway, ipt, strings.Fields(rule)...)
		}
	}
}

// shutByIptables is that which lets nothing out either, by iptables.
func (w *world) shutByIptables() {
	w.dropByIptables()
	for ipt, icmp := range map[string]string{"iptables": "icmp", "ip6tables": "ipv6-icmp"} {
		for _, rule := range []string{
			"-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
			"-A OUTPUT -o lo -j ACCEPT",
			"-A OUTPUT -p " + icmp + " -j ACCEPT",
			"-A OUTPUT -m owner --uid-owner 0 -j ACCEPT",
			"-P OUTPUT DROP",
		} {
			w.must(w.Gateway, ipt, strings.Fields(rule)...)
		}
	}
}

// page fails the test if a device can't have the page with the certificate.
func (w *world) page() {
	w.t.Helper()
	for _, addr := range []string{lab.LANAddr4, lab.LANAddr6} {
		transport := &http.Transport{DialContext: func(ctx context.Context, _, to string) (net.Conn, error) {
			return w.Client.Dial(ctx, netip.MustParseAddrPort(to))
		}}
		client := &http.Client{Transport: transport, Timeout: patience}
		resp, err := client.Get("http://" + addrPort(addr, 8080).String() + "/")
		if err != nil {
			w.t.Error(err)
			continue
		}
		if b, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK || !strings.Contains(string(b), "certificate") {
			w.t.Errorf("the page at %s: %s, %v: %.200q", addr, resp.Status, err, b)
		}
		resp.Body.Close()
		transport.CloseIdleConnections()
	}
}

// host returns a host that was added to the world.
func (w *world) host(name string) *lab.Host {
	w.t.Helper()
	h := w.more[name]
	if h == nil {
		w.t.Fatalf("there is no host %s", name)
	}
	return h
}

// addHost connects one more host to the gateway, by an interface there. The
// gateway's addresses end in 1, the host's in 2.
func (w *world) addHost(name, iface, net4, net6 string) *lab.Host {
	w.t.Helper()
	h, err := w.Host(name)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.more == nil {
		w.more = map[string]*lab.Host{}
	}
	w.more[name] = h
	prefixes := func(last string) []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix(net4 + last + "/24"), netip.MustParsePrefix(net6 + last + "/64")}
	}
	err = w.Connect(lab.End{Host: h, Iface: "eth0", Addrs: prefixes("2")}, lab.End{Host: w.Gateway, Iface: iface, Addrs: prefixes("1")})
	if err != nil {
		w.t.Fatal(err)
	}
	for dst, via := range map[string]string{"0.0.0.0/0": net4 + "1", "::/0": net6 + "1"} {
		if err := h.Route(netip.MustParsePrefix(dst), netip.MustParseAddr(via)); err != nil {
			w.t.Fatal(err)
		}
	}
	return h
}

// bridge adds a container as container engines do: behind a bridge.
func (w *world) bridge() {
	w.addHost("container", "veth0", "172.17.0.", "fd17::")
	w.must(w.Gateway, "sh", "-euc", `
ip link add br0 type bridge forward_delay 0
ip addr flush dev veth0
ip link set veth0 master br0
ip addr add 172.17.0.1/24 dev br0
ip -6 addr add fd17::1/64 dev br0 nodad
ip link set br0 up`)
	for _, f := range families {
		eventually(w.t, "the bridge to forward", func() bool { return w.ping(w.host("container"), netip.MustParseAddr(f.addr)) == nil })
	}
}

// secondLAN adds another network of clients, with one that serves as well.
func (w *world) secondLAN() {
	w.addHost("client2", "lan1", "192.168.2.", "fd02::")
}

// TestGatewayBetweenLANs has the server in another local network of the gateway,
// so that answers to spoofed connections come in where clients are, too.
func TestGatewayBetweenLANs(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			w := newGatewayWorld(t)
			w.secondLAN()
			w.filter(strict)
			w.secure(w.host("client2"), 443)
			before := w.state(w.Gateway)
			g := w.gateway(append(way.args, "--interface", "lan1")...)
			for _, addr := range []string{"192.168.2.2", "fd02::2"} {
				v := w.reach(w.Client, &net.Dialer{}, addrPort(addr, 443))
				if v.want(t, captured, seenAnybody); way.seen == seenClientPort {
					v.want(t, captured, way.seen)
				}
			}
			g.stop()
			w.restored(w.Gateway, before)
			w.noneInvalid()
		})
	}
}
