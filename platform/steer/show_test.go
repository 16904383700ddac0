package steer_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/platform"
	"transom/platform/steer"
)

func portList(t testing.TB, text string) []platform.PortRange {
	t.Helper()
	out, err := platform.ParsePorts(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// kinds are one of each kind.
func kinds(t testing.TB) map[string]platform.Steering {
	web := portList(t, "80,443")
	lan := []string{"lan0"}
	return map[string]platform.Steering{
		"tproxy": {Method: platform.TPROXY, Port: 8080, Interfaces: lan, Ports: web, RejectQUIC: true},
		"redirect": {
			Method: platform.Redirect, Port: 8080, Interfaces: []string{"lan0", "br-guest.5"},
			From:    prefixes("192.168.1.0/24", "10.0.0.0/8", "fd01::/64"),
			Exclude: prefixes("192.168.1.7/32", "203.0.113.0/24", "2001:db8::/32"),
			Ports:   portList(t, "80,443,8000-8010,8443,9001,9003,9005,9007,9009,9011,9013,9015,9017,9019,9021-9029"),
		},
		"spoof": {Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0", "lan1"}, Spoof: true},
		"local": {Method: platform.Redirect, Port: 8080, Local: true, Cgroup: "/system.slice/transom.service", Ports: web, RejectQUIC: true},
		"udp": {
			Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0", "lan1"}, From: prefixes("192.168.1.0/24"), Ports: web, RejectQUIC: true,
			UDPPorts: portList(t, "1-65535"), Spoof: true, Closed: true,
		},
		"closed": {Method: platform.TPROXY, Port: 8080, Interfaces: lan, Local: true, Ports: web, RejectQUIC: true, Spoof: true, Closed: true},
	}
}

func shownText(t testing.TB, s platform.Steering, format string) string {
	t.Helper()
	var b strings.Builder
	if err := steer.Show(&b, s, format); err != nil {
		return "error: " + err.Error() + "\n"
	}
	return b.String()
}

func TestShow(t *testing.T) {
	for name, s := range kinds(t) {
		for _, format := range []string{"nft", "iptables", "pf", "ipfw"} {
			t.Run(name+"-"+format, func(t *testing.T) {
				got := shownText(t, s, format)
				file := filepath.Join("testdata", name+"."+format)
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(string(want), got); d != "" {
					t.Errorf("%s (-want +got):\n%s", file, d)
				}
			})
		}
	}
}

func TestShowRefuses(t *testing.T) {
	good := kinds(t)["tproxy"]
	tests := map[string]struct {
		change func(*platform.Steering)
		says   string
	}{
		"nothing":       {func(s *platform.Steering) { *s = platform.Steering{} }, "nothing to show"},
		"draining":      {func(s *platform.Steering) { s.Draining = true }, "draining"},
		"no-port":       {func(s *platform.Steering) { s.Port = 0 }, "no port"},
		"a-space":       {func(s *platform.Steering) { s.Interfaces = []string{"lan0 -j ACCEPT"} }, `"lan0 -j ACCEPT"`},
		"a-line":        {func(s *platform.Steering) { s.Interfaces = []string{"lan0\nCOMMIT"} }, `interface "lan0\nCOMMIT"`},
		"a-command":     {func(s *platform.Steering) { s.Interfaces = []string{"$(reboot)"} }, `"$(reboot)"`},
		"a-quote":       {func(s *platform.Steering) { s.Interfaces = []string{`l"0`} }, "want letters"},
		"a-wildcard":    {func(s *platform.Steering) { s.Interfaces = []string{"lan+"} }, "want letters"},
		"an-option":     {func(s *platform.Steering) { s.Interfaces = []string{"--help"} }, "at its start"},
		"a-slash":       {func(s *platform.Steering) { s.Interfaces = []string{"../all"} }, "want letters"},
		"a-letter":      {func(s *platform.Steering) { s.Interfaces = []string{"län0"} }, "want letters"},
		"no-name":       {func(s *platform.Steering) { s.Interfaces = []string{""} }, "1 to 15 bytes"},
		"too-long":      {func(s *platform.Steering) { s.Interfaces = []string{"sixteen-bytes-xx"} }, "1 to 15 bytes"},
		"the-second":    {func(s *platform.Steering) { s.Interfaces = []string{"lan0", ";"} }, `";"`},
		"cgroup-quote":  {func(s *platform.Steering) { s.Cgroup = `a" -j ACCEPT` }, "cgroup"},
		"cgroup-line":   {func(s *platform.Steering) { s.Cgroup = "a\nEND" }, "cgroup"},
		"cgroup-dollar": {func(s *platform.Steering) { s.Cgroup = "a$(reboot)" }, "cgroup"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := good
			tt.change(&s)
			for _, format := range []string{"nft", "iptables", "pf", "ipfw"} {
				var b strings.Builder
				if err := steer.Show(&b, s, format); err == nil || !strings.Contains(err.Error(), tt.says) || b.Len() > 0 {
					t.Errorf("%s: error %v, want one that says %s, and no text", format, err, tt.says)
				}
			}
		})
	}
	if err := steer.Show(&strings.Builder{}, good, "ufw"); err == nil || !strings.Contains(err.Error(), "want nft, iptables, pf or ipfw") {
		t.Errorf("another format: %v", err)
	}
}
