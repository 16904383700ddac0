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
	{"transom runs and does not listen", func(m *doctor.Machine) {
		runs(m)
		m.Ports = nil
	}},
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
