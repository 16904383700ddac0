package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"transom/platform"
	"transom/platform/steer"
)

// TestMissed: who sees what was not chosen, and why, can tell whether it was meant.
func TestMissed(t *testing.T) {
	at := func(s string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(s)} }
	lo := steer.Link{Name: "lo", Up: true, Loopback: true, Addresses: at("127.0.0.1/8")}
	wan := steer.Link{Name: "wan0", Up: true, Default: true, Addresses: at("10.9.0.1/24")}
	lan := steer.Link{Name: "lan0", Up: true, Addresses: at("192.168.1.1/24")}
	down := steer.Link{Name: "lan0"}
	ifb := steer.Link{Name: "ifb0", Kind: "ifb"}
	bridge := steer.Link{Name: "br0", Up: true, Kind: "bridge", Addresses: at("192.168.1.1/24")}
	port := steer.Link{Name: "v0", Up: true, Kind: "veth", Master: "br0"}
	const wayOut = "wan0 is the way out, too: devices there are captured if they have this host as their gateway"
	for name, tc := range map[string]struct {
		links []steer.Link
		named []string
		want  string
	}{
		"both":       {[]steer.Link{lo, lan, wan, ifb}, nil, "not captured: what comes in by wan0 (the way out); --interface says otherwise"},
		"named":      {[]steer.Link{lo, lan, wan}, []string{"wan0"}, ""},
		"one":        {[]steer.Link{lo, wan}, nil, wayOut},
		"down":       {[]steer.Link{lo, down, wan, ifb}, nil, wayOut + "\nnot captured: what comes in by lan0 (down); --interface says otherwise"},
		"containers": {[]steer.Link{lo, bridge, port, wan}, nil, wayOut + "\nnot captured: what comes in by br0 (a bridge for containers or virtual machines); --interface says otherwise"},
	} {
		t.Run(name, func(t *testing.T) {
			chosen, left, err := steer.Choose(tc.links, tc.named)
			if err != nil {
				t.Fatal(err)
			}
			in := inward{tc.links, left}
			if got := strings.Join(in.missed(chosen), "\n"); got != tc.want {
				t.Errorf("it says\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

// TestShowNeedsInterface: what is for another system is for another host.
func TestShowNeedsInterface(t *testing.T) {
	f := captureFlags{local: true}
	s := platform.Steering{Local: true}
	for _, format := range []string{"pf", "ipfw"} {
		if err := f.findHere(nil, &s, false, format); err == nil || !strings.Contains(err.Error(), "--interface") {
			t.Errorf("%s: %v", format, err)
		}
	}
	f.interfaces = listFlag{"en0"}
	if err := f.findHere(nil, &s, false, "pf"); err != nil || slices.Contains(s.Interfaces, "lan0") {
		t.Errorf("%v, %v", s.Interfaces, err)
	}
}
