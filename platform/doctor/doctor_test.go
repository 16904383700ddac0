package doctor_test

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"transom/ca"
	"transom/platform"
	"transom/platform/doctor"
	"transom/platform/nft"
	"transom/platform/steer"
	"transom/platform/trust"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func addrPort(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

// healthy is a gateway on which there is nothing to find.
func healthy() *doctor.Machine {
	return &doctor.Machine{
		Question: doctor.Question{
			Steering: platform.Steering{
				Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}, RejectQUIC: true, Spoof: true,
				Ports: []platform.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}},
			},
		},
		Root: true, Admin: true, Raw: true,
		Links: []steer.Link{
			{Name: "lo", Up: true, Loopback: true},
			{Name: "lan0", Up: true},
			{Name: "wan0", Up: true, Default: true},
		},
		Settings: doctor.Settings{"net.ipv4.ip_forward": "1", "net.ipv6.conf.all.forwarding": "1"},
	}
}

// scenes change a healthy machine. Each is a section of testdata/scenes.
var scenes = []struct {
	name   string
	change func(*doctor.Machine)
}{
	{"healthy", func(*doctor.Machine) {}},
	{"no forwarding", func(m *doctor.Machine) { m.Settings["net.ipv4.ip_forward"] = "0" }},
	{"no forwarding in a container", func(m *doctor.Machine) { m.Settings["net.ipv4.ip_forward"], m.ReadOnly = "0", true }},
	{"forwarding turned off", func(m *doctor.Machine) {
		runs(m)
		m.Settings["net.ipv4.ip_forward"], m.Settings["net.ipv6.conf.all.forwarding"] = "0", "0"
	}},
	{"redirects", func(m *doctor.Machine) { m.Settings["net.ipv4.conf.all.send_redirects"] = "1" }},
	{"redirects of one interface beside a router", func(m *doctor.Machine) {
		m.Steering.Interfaces = []string{"wan0"}
		m.Settings["net.ipv4.conf.wan0.send_redirects"] = "1"
	}},
	{"redirects turned on", func(m *doctor.Machine) {
		runs(m)
		m.Steering.Interfaces = []string{"wan0"}
		m.Settings["net.ipv4.conf.all.send_redirects"] = "1"
	}},
	{"interface down", func(m *doctor.Machine) { m.Links[1].Up = false }},
	{"port taken", func(m *doctor.Machine) {
		m.Ports = []doctor.Listener{{Addr: addrPort("0.0.0.0:8080"), PID: 17, Name: "nc"}, {Addr: addrPort("[::]:8080"), PID: 17, Name: "nc"}}
	}},
	{"port taken by somebody", func(m *doctor.Machine) { m.Ports = []doctor.Listener{{Addr: addrPort("[::]:8080")}} }},
	{"transom runs", runs},
	{"the kernel lacks TPROXY", func(m *doctor.Machine) {
		lacks := fmt.Errorf("the kernel lacks a part of nf_tables: %w; try modprobe nft_tproxy (or use --method redirect), nft_socket", platform.ErrUnsupported)
		m.Ways = []doctor.Way{{Method: platform.TPROXY, Err: lacks}, {Method: platform.Redirect}}
	}},
	{"no nf_tables", func(m *doctor.Machine) {
		no := errors.New("this kernel has no nf_tables (modprobe nf_tables, or use iptables: --backend iptables)")
		m.Ways = []doctor.Way{{Method: platform.TPROXY, Err: no}, {Method: platform.Redirect, Err: no}}
	}},
	{"a firewall of iptables-legacy", func(m *doctor.Machine) {
		drops := fmt.Errorf("steering by nft is %w: a firewall of iptables-legacy drops what it does not know, which nft can't change; use --backend iptables, or first iptables-legacy -I INPUT -m mark --mark 0x10/0x70 -j ACCEPT", platform.ErrUnsupported)
		m.Ways, m.IPTables = []doctor.Way{{Method: platform.TPROXY, Err: drops}, {Method: platform.Redirect, Err: drops}}, true
	}},
	{"a rule in the way", func(m *doctor.Machine) {
		m.Ways = []doctor.Way{{Method: platform.TPROXY, Err: errors.New("ip -6 rule 7890: fwmark 0x10/0x70 lookup 7 is not ours, and stands where ours would")}}
	}},
	{"leftovers", func(m *doctor.Machine) { m.Left = []string{"nft table inet transom_divert", "a", "b", "c"} }},
	{"a container without rights", func(m *doctor.Machine) { m.Admin, m.Raw = false, false }},
	{"no clients", func(m *doctor.Machine) {
		m.Links = m.Links[:2]
		m.Links[1].Up = false
		m.Steering.Interfaces, m.NoClients = nil, steer.ErrNoClients
	}},
	{"strict filtering", func(m *doctor.Machine) {
		m.Settings["net.ipv4.conf.all.rp_filter"] = "1"
		m.Traffic = &doctor.Traffic{
			Captured: []netip.Addr{addr("10.77.0.5")}, Filtered: 3,
			Strays: []doctor.Stray{{From: addr("10.77.0.5"), Interface: "lan0", Route: "wan0"}},
		}
	}},
	{"a device is routed elsewhere", func(m *doctor.Machine) {
		m.Detours = []doctor.Detour{
			{To: netip.MustParsePrefix("192.168.1.2/32"), Interface: "lan0", Route: "wan0"},
			{To: netip.MustParsePrefix("10.0.8.0/24"), Interface: "elsewhere0", Route: "wan0"},
		}
	}},
	{"something is filtered", func(m *doctor.Machine) {
		m.Settings["net.ipv4.conf.all.rp_filter"] = "1"
		m.Traffic = &doctor.Traffic{Captured: []netip.Addr{addr("192.168.1.2")}, Filtered: 3}
	}},
	{"a bridge and iptables", func(m *doctor.Machine) {
		m.Backend, m.Methods = "iptables", []platform.Method{platform.TPROXY}
		m.Bridges, m.BridgeMends = []string{"net.bridge.bridge-nf-call-iptables"}, []string{"sysctl -w net.bridge.bridge-nf-call-iptables=0"}
	}},
	{"offloads", func(m *doctor.Machine) {
		m.Flowtables, m.XDP = []string{"inet fw4 ft", "inet x y"}, []string{"lan0"}
	}},
	{"devices that use another gateway", func(m *doctor.Machine) {
		m.Watch, m.Links[1].Addresses = 3*time.Second, []netip.Prefix{netip.MustParsePrefix("192.168.1.1/24")}
		m.Traffic = &doctor.Traffic{Aside: []netip.Addr{addr("192.168.1.2"), addr("192.168.1.3"), addr("192.168.1.4"), addr("192.168.1.5")}}
	}},
	{"silence", func(m *doctor.Machine) { m.Watch, m.Traffic = 3*time.Second, &doctor.Traffic{} }},
	{"nobody answers", func(m *doctor.Machine) {
		runs(m)
		m.Traffic = &doctor.Traffic{Captured: []netip.Addr{addr("192.168.1.2")}, Unanswered: []netip.Addr{addr("192.168.1.2")}}
	}},
	{"QUIC goes past", func(m *doctor.Machine) {
		runs(m)
		m.Steering.RejectQUIC = false
		m.Traffic = &doctor.Traffic{Through: []netip.Addr{addr("192.168.1.2")}, QUIC: []netip.AddrPort{addrPort("198.51.100.7:443")}}
	}},
	{"QUIC goes past before transom runs", func(m *doctor.Machine) {
		m.Traffic = &doctor.Traffic{Through: []netip.Addr{addr("192.168.1.2")}, QUIC: []netip.AddrPort{addrPort("198.51.100.7:443")}}
	}},
	{"answers that take another way", func(m *doctor.Machine) {
		m.Gateway = "transom gateway --interface lan0"
		m.Traffic = &doctor.Traffic{Captured: []netip.Addr{addr("192.168.1.2")}, OneWay: []netip.Addr{addr("192.168.1.2")}}
	}},
	{"answers that do not come back", func(m *doctor.Machine) {
		runs(m)
		m.Traffic = &doctor.Traffic{Captured: []netip.Addr{addr("192.168.1.2")}, Unreturned: []netip.Addr{addr("192.168.1.2")}}
	}},
	{"no authority yet", func(m *doctor.Machine) { m.Authority = doctor.Authority{Dir: "/ca", Missing: true} }},
	{"an authority that is exposed", func(m *doctor.Machine) { m.Authority = trouble(ca.Exposed) }},
	{"an authority without a key", func(m *doctor.Machine) { m.Authority = trouble(ca.Keyless) }},
	{"an authority that is damaged", func(m *doctor.Machine) { m.Authority = trouble(ca.Damaged) }},
	{"a transom runs, and there is no root", func(m *doctor.Machine) {
		runs(m)
		m.Root, m.Ports[0] = false, doctor.Listener{Addr: addrPort("[::]:8080")}
	}},
	{"by sudo", func(m *doctor.Machine) {
		runs(m)
		m.Sudo = true
		m.Settings["net.ipv4.ip_forward"] = "0"
		m.Traffic = &doctor.Traffic{}
	}},
	{"nobody trusts", func(m *doctor.Machine) { m.Authority = doctor.Authority{Dir: "/ca"} }},
	{"another authority is trusted", func(m *doctor.Machine) {
		m.CADir = "/the ca"
		m.Authority = doctor.Authority{Dir: "/the ca", Stale: []string{"/usr/local/share/ca-certificates/transom-01234567.crt"}}
	}},
	{"not all trust", func(m *doctor.Machine) {
		m.Authority = doctor.Authority{Dir: "/ca", System: trust.State{Trusted: true}, Doubters: []string{"firefox", "node"}}
	}},
	{"no namespaces", func(m *doctor.Machine) {
		m.Root, m.Admin, m.Raw = false, false, false
		m.Namespaces, m.NamespacesMend = errors.New("the setting user.max_user_namespaces forbids user namespaces"), "sysctl -w user.max_user_namespaces=15000"
	}},
	{"not root", func(m *doctor.Machine) { m.Root, m.Admin, m.Raw = false, false, false }},
	{"a drop", func(m *doctor.Machine) {
		m.Obstacles = []doctor.Obstacle{{Fate: dropped(nft.ChainInfo{Family: nft.Inet, Table: "other", Name: "pre", Hook: nft.Prerouting, Priority: -150}, 7), Interface: "lan0"}}
	}},
	{"a drop that may be", func(m *doctor.Machine) {
		f := dropped(nft.ChainInfo{Family: nft.Netdev, Table: "ingress", Name: "in", Hook: nft.Ingress, Device: "lan0"}, 7)
		f.Certain = false
		m.Obstacles = []doctor.Obstacle{{Fate: f, Interface: "lan0"}}
	}},
	{"a drop of iptables", func(m *doctor.Machine) {
		m.Obstacles = []doctor.Obstacle{{Fate: dropped(nft.ChainInfo{Family: nft.IPv6, Table: "raw", Name: "PREROUTING", Hook: nft.Prerouting, Priority: -300}, 7), Interface: "lan0"}}
	}},
	{"drops of another's", func(m *doctor.Machine) {
		runs(m)
		f := dropped(nft.ChainInfo{Family: nft.Inet, Table: "firewalld", Name: "filter_INPUT", Hook: nft.Input, Priority: 10}, 9)
		m.Obstacles = []doctor.Obstacle{
			{Fate: f, Place: doctor.Delivered, Interface: "lan0", Owned: true},
			{Fate: f, Place: doctor.Delivered, Interface: "lan0"},
			{Fate: f, Place: doctor.Sent, Interface: "lan0"},
		}
	}},
	{"Docker's forward", func(m *doctor.Machine) {
		m.Docker = true
		m.Obstacles = []doctor.Obstacle{{Fate: dropped(nft.ChainInfo{Family: nft.IPv4, Table: "filter", Name: "FORWARD", Hook: nft.Forward, Drop: true}, 0), Place: doctor.Across, Interface: "lan0"}}
	}},
	{"untracked", func(m *doctor.Machine) {
		m.Steering.Method = platform.Redirect
		f := dropped(nft.ChainInfo{Family: nft.Inet, Table: "other", Name: "pre", Hook: nft.Prerouting, Priority: -300}, 7)
		f.Deed = nft.Untracked
		m.Obstacles = []doctor.Obstacle{{Fate: f, Interface: "lan0"}}
	}},
	{"connection tracking is full", func(m *doctor.Machine) {
		m.Settings["net.netfilter.nf_conntrack_max"], m.Settings["net.netfilter.nf_conntrack_count"] = "1000", "999"
	}},
	{"another proxy", func(m *doctor.Machine) {
		f := dropped(nft.ChainInfo{Family: nft.IPv4, Table: "nat", Name: "PREROUTING", Hook: nft.Prerouting, Priority: -100}, 7)
		f.Deed, f.Port = nft.Redirected, 3128
		m.Obstacles = []doctor.Obstacle{
			{Fate: f, Interface: "lan0", Listener: "squid (process 99, port 3128)"}, {Fate: f, Interface: "lan0"}, {Fate: f, Interface: "lan0", Late: true, Listener: "squid (process 99, port 3128)"},
		}
	}},
	{"transom runs and does not listen", func(m *doctor.Machine) {
		runs(m)
		m.Ports = nil
	}},
}

// trouble is an authority that can't be used.
func trouble(f ca.Fault) doctor.Authority {
	return doctor.Authority{Dir: "/ca", Trouble: &ca.Trouble{Fault: f, Key: "/ca/transom-ca.pem", Cert: "/ca/transom-ca-cert.pem", Err: errors.New("something is wrong with it")}}
}

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

// dropped is a rule's certain end of a packet.
func dropped(c nft.ChainInfo, handle uint64) nft.Fate {
	f := nft.Fate{Deed: nft.Dropped, Chain: c, Certain: true}
	if handle != 0 {
		f.Rule = nft.RuleInfo{Family: c.Family, Table: c.Table, Chain: c.Name, Handle: handle}
	}
	return f
}

// runs has a transom run.
func runs(m *doctor.Machine) {
	m.Running = &doctor.Running{PID: 4711}
	m.Ports = []doctor.Listener{{Addr: addrPort("[::]:8080"), PID: 4711, Name: "transom", Ours: true}}
}

func TestExamine(t *testing.T) {
	var b strings.Builder
	for _, s := range scenes {
		m := healthy()
		s.change(m)
		fmt.Fprintf(&b, "# %s\n", s.name)
		for _, f := range doctor.Examine(m) {
			if f.Level == doctor.OK && s.name != "healthy" {
				continue
			}
			fmt.Fprintf(&b, "%s %s: %s\n", f.Level, f.ID, f.What)
			for _, more := range []string{f.Why, f.Mend} {
				if more != "" {
					fmt.Fprintf(&b, "\t%s\n", more)
				}
			}
		}
		b.WriteByte('\n')
	}
	const file = "testdata/scenes"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("not as in %s, see the difference after go test -update:\n%s", file, b.String())
	}
}
