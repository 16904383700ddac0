package steer

import (
	"net/netip"
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
	loose := Link{Name: "ve-one", Kind: "veth", Up: true, Addresses: addr}
	card := Link{Name: "eth0", Kind: "veth", Up: true, Default: true, Addresses: addr} // a container's
	lan0 := Link{Name: "lan0", Kind: "veth", Up: true, Addresses: addr}
	bare := Link{Name: "eth3", Up: true}
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
		{"a-container-of-networkd", []Link{lo, wan, wlan, loose}, nil, "wlan0", ""},
		{"in-a-container", []Link{lo, card, docker, port}, nil, "eth0", ""},
		{"a-router-in-a-container", []Link{lo, card, lan0}, nil, "lan0", ""},
		{"in-a-namespace-without-a-way-out", []Link{lo, lan0}, nil, "lan0", ""},
		{"a-bridge-that-is-the-way-out", []Link{lo, {Name: "br0", Kind: "bridge", Up: true, Default: true, Addresses: addr}}, nil, "br0", ""},
		{"a-bridge-that-leads-out", []Link{lo, wan, lan, lanPort}, nil, "br-lan", ""},
		{"named", []Link{lo, wan, docker}, []string{"docker0", "docker0"}, "docker0", ""},
		{"nothing", []Link{lo, docker, port, bare, off}, nil, "", "no interface looks as if clients were behind it: " +
			"lo (loopback), docker0 (a bridge for containers or virtual machines), veth1 (a port of docker0), eth3 (no address), eth2 (down); name one"},
		{"no-such", []Link{lo, wan}, []string{"eth9"}, "", `no interface "eth9"; there are lo, eth0`},
		{"loopback", []Link{lo, wan}, []string{"lo"}, "", "--local"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, left, err := Choose(tc.links, tc.named)
			if strings.Join(got, ",") != tc.want {
				t.Errorf("chose %q, left out %q", got, left)
			}
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
			if tc.name == "containers" && list(left) !=
				"lo (loopback), docker0 (a bridge for containers or virtual machines), veth1 (a port of docker0), eth0 (the way out)" {
				t.Errorf("left out %q", left)
			}
		})
	}
}
