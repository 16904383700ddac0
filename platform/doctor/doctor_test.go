package doctor_test

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"transom/platform"
	"transom/platform/doctor"
	"transom/platform/nft"
	"transom/platform/steer"
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
