package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"transom/platform"
	"transom/platform/steer"
)

// well is a host where pf has all it takes.
func well(system string) *Machine {
	return &Machine{
		Question: Question{Steering: platform.Steering{Method: platform.Redirect, Port: 8080, Interfaces: []string{"em1"}}},
		Root:     true,
		Links:    []steer.Link{{Name: "em1", Up: true, Addresses: []netip.Prefix{netip.MustParsePrefix("192.168.1.1/24")}}},
		Settings: Settings{"net.inet.ip.forwarding": "1", "net.inet6.ip6.forwarding": "1", "net.inet.ip.redirect": "0", "net.inet6.ip6.redirect": "0"},
		PF:       &PF{System: system, Seen: true, By: "pf"},
	}
}

// TestByPF has one thing wrong at a time, and holds what is said first to a line.
func TestByPF(t *testing.T) {
	running := &Running{PID: 7}
	for name, tt := range map[string]struct {
		change func(*Machine)
		want   string
	}{
		"well":       {func(*Machine) {}, ""},
		"runs":       {func(m *Machine) { m.Running, m.Ports = running, []Listener{{Ours: true}} }, ""},
		"no-root":    {func(m *Machine) { m.Root, m.PF.Seen = false, false }, `note capabilities sudo transom gateway`},
		"off":        {func(m *Machine) { m.PF.Err = errors.New("pf is off: turn it on with pfctl -e") }, `fault pf pfctl -e`},
		"not-loaded": {func(m *Machine) { m.PF.Err = errors.New("no such file; if pf is not loaded: kldload pf") }, `fault pf kldload pf`},
		"not-named":  {func(m *Machine) { m.PF.Err = errors.New("add to /etc/pf.conf") }, `fault pf`},
		"halts":      {func(m *Machine) { m.Settings["net.inet.ip.forwarding"] = "0" }, `warning forwarding sysctl -w net.inet.ip.forwarding=1`},
		"halted": {func(m *Machine) {
			m.Running, m.Settings["net.inet6.ip6.forwarding"], m.Ports = running, "0", []Listener{{Ours: true}}
		}, `fault forwarding sysctl -w net.inet6.ip6.forwarding=1`},
		"redirects": {func(m *Machine) { m.Settings["net.inet.ip.redirect"] = "1" }, `note redirects sysctl -w net.inet.ip.redirect=0`},
		"down":      {func(m *Machine) { m.Links[0].Up = false }, `fault interfaces ifconfig em1 up`},
		"port":      {func(m *Machine) { m.Ports = []Listener{{Addr: netip.MustParseAddrPort("[::]:8080")}} }, `fault port sockstat -46lp 8080`},
		"left":      {func(m *Machine) { m.Left = []string{"pf's anchor transom"} }, `warning leftovers transom cleanup`},
		"other-rdr": {func(m *Machine) {
			m.PF.Bring = []string{"rdr pass on em1 inet proto tcp from any to any port = http -> 127.0.0.1 port 3128"}
		}, `warning other-proxy`},
		"rdr-by-hand": {func(m *Machine) {
			m.PF.Bring = []string{"rdr pass on em1 inet proto tcp from any to any -> 127.0.0.1 port 8080"}
		}, `note other-proxy`},
		"rdr-elsewhere": {func(m *Machine) {
			m.PF.Bring = []string{"rdr pass on em0 inet proto tcp from any to any -> 127.0.0.1 port 3128", "rdr on em1 inet proto udp from any to any -> 127.0.0.1 port 53"}
		}, ""},
		"block-before": {func(m *Machine) { m.PF.Block = []string{"block drop in quick on em inet all"} }, `warning rules`},
		"block-out":    {func(m *Machine) { m.PF.Block = []string{"block drop out quick inet all"} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := well("freebsd")
			tt.change(m)
			got := ""
			if f := Examine(m)[0]; f.Level != OK {
				got = strings.TrimSpace(fmt.Sprint(f.Level, " ", f.ID, " ", f.Mend))
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestByPFWhoListens: each system has its own program.
func TestByPFWhoListens(t *testing.T) {
	for system, want := range map[string]string{"darwin": "lsof", "freebsd": "sockstat", "openbsd": "fstat"} {
		if got := well(system).whoListens(8080); !strings.Contains(got, want) || !strings.Contains(got, "8080") {
			t.Errorf("%s: %s", system, got)
		}
	}
}

// FuzzConcerns: what pfctl lists is anybody's.
func FuzzConcerns(f *testing.F) {
	for _, rule := range []string{"", "rdr pass on em1 inet proto tcp from any to any port = http -> 127.0.0.1 port 3128", "block drop in quick on ! em0 all", "pass on", "rdr proto"} {
		f.Add(rule)
	}
	f.Fuzz(func(t *testing.T, rule string) {
		m := well("openbsd")
		m.PF.Bring, m.PF.Block = []string{rule}, []string{rule}
		concerns := m.concerns(rule)
		if found := pfRules(m); (len(found) == 2) != concerns {
			t.Errorf("%q: %v, %v", rule, concerns, found)
		}
	})
}
