package steer

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	lo := Link{Name: "lo", Up: true, Loopback: true}
	addr := []netip.Prefix{netip.MustParsePrefix("192.168.7.1/24")}
	wan := Link{Name: "eth0", Up: true, Default: true, Addresses: addr}
	wlan := Link{Name: "wlan0", Up: true, Addresses: addr}
	docker := Link{Name: "docker0", Kind: "bridge", Up: true, Addresses: addr}
	port := Link{Name: "veth1", Kind: "veth", Up: true, Master: "docker0"}
	lan := Link{Name: "br-lan", Kind: "bridge", Up: true, Addresses: addr}
	lanPort := Link{Name: "eth1", Up: true, Master: "br-lan"}
	off := Link{Name: "eth2", Addresses: addr}
	for _, tc := range []struct {
		name  string
		links []Link
		named []string
		want  string
		err   string
	}{
		{"a-router", []Link{lo, wan, wlan}, nil, "wlan0", ""},
		{"beside-the-router", []Link{lo, wan, off}, nil, "eth0", ""},
		{"containers", []Link{lo, wan, wlan, docker, port}, nil, "wlan0", ""},
		{"a-bridge-that-leads-out", []Link{lo, wan, lan, lanPort}, nil, "br-lan", ""},
		{"named", []Link{lo, wan, docker}, []string{"docker0", "docker0"}, "docker0", ""},
		{"nothing", []Link{lo, docker}, nil, "", "no interface looks"},
		{"no-such", []Link{lo, wan}, []string{"eth9"}, "", `no interface "eth9"; there are lo, eth0`},
		{"loopback", []Link{lo, wan}, []string{"lo"}, "", "--local"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, why, err := Choose(tc.links, tc.named)
			if strings.Join(got, ",") != tc.want {
				t.Errorf("chose %q, left out %q", got, why)
			}
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			if tc.name == "containers" && !slices.Equal(strings.Split(why, ", "), []string{
				"lo (loopback)", "docker0 (a bridge of containers or virtual machines)", "veth1 (a port of docker0)", "eth0 (the way out)",
			}) {
				t.Errorf("left out %q", why)
			}
		})
	}
}
