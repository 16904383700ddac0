package steer_test

import (
	"errors"
	"strings"
	"testing"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/steer"
)

// TestLegacyFirewalls meets firewalls of the old iptables, into which nft can put
// no rule. Those that would drop what is ours are found before anything is
// changed, and what the error says to do mends it.
func TestLegacyFirewalls(t *testing.T) {
	const known = "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p icmpv6 -j ACCEPT\n"
	for name, tt := range map[string]struct {
		rules string
		drops bool
	}{
		"policy":     {"*filter\n:INPUT DROP [0:0]\n" + known + "COMMIT\n", true},
		"reject":     {"*filter\n:INPUT ACCEPT [0:0]\n" + known + "-A INPUT -j REJECT\nCOMMIT\n", true},
		"output":     {"*filter\n:INPUT ACCEPT [0:0]\n:OUTPUT DROP [0:0]\n-A OUTPUT -p icmpv6 -j ACCEPT\nCOMMIT\n", true},
		"containers": {"*filter\n:FORWARD DROP [0:0]\n:DOCKER - [0:0]\n-A FORWARD -o docker0 -j DOCKER\n-A FORWARD -i docker0 -j ACCEPT\nCOMMIT\n", false},
		"one-port":   {"*filter\n:f2b - [0:0]\n-A INPUT -p tcp --dport 22 -j f2b\n-A f2b -s 203.0.113.9 -j REJECT\nCOMMIT\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			n := labtest.Gateway(t)
			serve(t, n.Server, 80)
			restoreBy(t, n.Gateway, "-legacy", tt.rules)
			before := state(t, n.Gateway)
			s := usual(platform.TPROXY)
			k := open(t, n.Gateway)
			err := k.Check(t.Context(), s)
			if errors.Is(err, platform.ErrUnsupported) != tt.drops {
				t.Fatalf("check: %v", err)
			}
			same(t, n.Gateway, before)
			if tt.drops {
				_, commands, _ := strings.Cut(err.Error(), "or first ")
				if out, err := n.Gateway.Command(t.Context(), "/bin/sh", "-euc", commands).CombinedOutput(); err != nil {
					t.Fatalf("%s: %v: %s", commands, err, out)
				}
			}
			k = open(t, n.Gateway)
			if err := k.Check(t.Context(), s); err != nil {
				t.Errorf("check, once more: %v", err)
			}
			proxy(t, n.Gateway, s)
			apply(t, k, s)
			for _, a := range servers() {
				expect(t, n.Client, at(a, 80), "by us, from CLIENT")
			}
			for _, a := range []string{lab.LANAddr4, lab.LANAddr6} {
				expect(t, n.Client, at(a, 8080), "by us, ")
			}
		})
	}
}

// TestOwnedFirewall finds a firewall that nobody but its owner may change before
// anything is changed: TPROXY's packets would not pass it. Those that were
// redirected its owner may know.
func TestOwnedFirewall(t *testing.T) {
	n := labtest.Gateway(t)
	table := strict()
	table.Owned = true
	labtest.Rules(t, n.Gateway, table)
	before := state(t, n.Gateway)
	k := open(t, n.Gateway)
	err := k.Check(t.Context(), usual(platform.TPROXY))
	if !errors.Is(err, platform.ErrUnsupported) || !strings.Contains(err.Error(), "chain in of table inet strict") || !strings.Contains(err.Error(), "meta mark & 0x00000070 == 0x00000010 accept") {
		t.Errorf("check for tproxy: %v", err)
	}
	if err := k.Check(t.Context(), usual(platform.Redirect)); err != nil {
		t.Errorf("check for redirect: %v", err)
	}
	tool(t, "iptables")
	if err := n.Gateway.Do(func() error { // nor would they if iptables brought them
		x, err := steer.OpenIPTables(nil)
		if err != nil {
			return err
		}
		return errors.Join(x.Check(t.Context(), usual(platform.TPROXY)), x.Abandon())
	}); !errors.Is(err, platform.ErrUnsupported) {
		t.Errorf("check for tproxy by iptables: %v", err)
	}
	same(t, n.Gateway, before)
}
