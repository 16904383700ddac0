package steer_test

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/platform"
	"transom/platform/steer"
)

var update = flag.Bool("update", false, "rewrite testdata")

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func web() []platform.PortRange {
	return []platform.PortRange{{First: 80, Last: 80}, {First: 443, Last: 443}}
}

// usual is what most tests ask for.
func usual(m platform.Method) platform.Steering {
	return platform.Steering{
		Method: m, Port: 8080, Interfaces: []string{"lan0"}, Ports: web(), Spoof: true, RejectQUIC: true,
	}
}

// steerings are what can be asked for.
func steerings() map[string]platform.Steering {
	with := func(m platform.Method, f func(s *platform.Steering)) platform.Steering {
		s := usual(m)
		f(&s)
		return s
	}
	return map[string]platform.Steering{
		"tproxy":           usual(platform.TPROXY),
		"tproxy-all-ports": with(platform.TPROXY, func(s *platform.Steering) { s.Ports, s.Spoof = nil, false }),
		"tproxy-and-local": with(platform.TPROXY, func(s *platform.Steering) { s.Local = true }),
		"tproxy-udp": with(platform.TPROXY, func(s *platform.Steering) {
			s.UDPPorts, s.Closed, s.Local = []platform.PortRange{{First: 53, Last: 53}, {First: 440, Last: 450}}, true, true
		}),
		"tproxy-closed":     with(platform.TPROXY, func(s *platform.Steering) { s.Closed = true }),
		"tproxy-refusing":   with(platform.TPROXY, func(s *platform.Steering) { s.Closed, s.Draining, s.Refusing = true, true, true }),
		"redirect":          with(platform.Redirect, func(s *platform.Steering) { s.Spoof, s.RejectQUIC = false, false }),
		"redirect-spoofed":  usual(platform.Redirect),
		"redirect-draining": with(platform.Redirect, func(s *platform.Steering) { s.Draining = true }),
		"local":             {Method: platform.Redirect, Port: 8080, Local: true, RejectQUIC: true, Closed: true, Ports: web()},
		"chosen": with(platform.TPROXY, func(s *platform.Steering) {
			s.Interfaces = []string{"wan0", "lan0", "lan0"}
			s.Ports = []platform.PortRange{{First: 80, Last: 80}, {First: 8000, Last: 8010}}
			s.From = prefixes("192.168.1.0/24", "10.0.0.0/8")
			s.Exclude = prefixes("192.168.1.77/32", "fd01::77/128", "fd02::/64")
			s.Closed, s.Local = true, true
			s.Marks, _ = platform.MarksOf(0x7000000)
		}),
	}
}

func TestTables(t *testing.T) {
	all := steerings()
	all["local-but-a-cgroup"] = platform.Steering{Method: platform.TPROXY, Port: 8080, Local: true, Cgroup: "/system.slice/transom.service", Ports: web()}
	all["program"] = platform.Steering{Method: platform.TPROXY, Port: 8080, Local: true, Program: "transom-7", UDPPorts: []platform.PortRange{{First: 1, Last: 65535}}, RejectQUIC: true}
	all["program-without-udp"] = platform.Steering{Method: platform.Redirect, Port: 8080, Local: true, Program: "/user.slice/transom-7", RejectQUIC: true, Closed: true, Ports: web()}
	for name, s := range all {
		t.Run(name, func(t *testing.T) {
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			for _, table := range steer.Tables(s) {
				text.WriteString(table.String())
			}
			file := filepath.Join("testdata", "tables", name+".nft")
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), text.String()); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
	if list := steer.Tables(platform.Steering{}); list != nil {
		t.Errorf("of nothing: %v", list)
	}
}
