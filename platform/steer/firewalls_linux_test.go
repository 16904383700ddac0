package steer_test

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/nft"
)

// shut lets nothing in or out that it does not know, and forwards nothing.
func shut() *nft.Table {
	table := strict()
	table.Name = "shut"
	for i := range table.Chains {
		c := &table.Chains[i]
		known := len(c.Rules) - 1 // the last is what strict lets pass of what is new
		c.Rules = c.Rules[:known:known]
	}
	return table
}

// notUs drops what a user of this host sends, and lets everybody else.
func notUs() *nft.Table {
	table := shut()
	table.Name = "not_us"
	table.Chains = append(table.Chains[:1:1], nft.Chain{
		Name: "out", Type: "filter", Hook: nft.Output, Rules: []nft.Rule{
			{nft.OIFName("wan0"), nft.L4Proto(nft.TCP), nft.SkUID(uint32(os.Getuid())), nft.Drop()},
		},
	})
	return table
}

// ufw is what firewalls for one host are like that are made with iptables: it lets
// nothing in but for SSH, and forwards nothing.
const ufw = `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-before-forward - [0:0]
:ufw-before-output - [0:0]
:ufw-not-local - [0:0]
:ufw-user-input - [0:0]
-A INPUT -j ufw-before-input
-A INPUT -j ufw-user-input
-A FORWARD -j ufw-before-forward
-A OUTPUT -j ufw-before-output
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p icmp -j ACCEPT
-A ufw-before-input -p icmpv6 -j ACCEPT
-A ufw-before-input -j ufw-not-local
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-output -o lo -j ACCEPT
-A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
-A ufw-not-local -m pkttype --pkt-type multicast -j RETURN
-A ufw-not-local -j DROP
-A ufw-user-input -p tcp --dport 22 -j ACCEPT
COMMIT
`

// restore loads rules by iptables, those that are for one family only by that one.
func restore(t testing.TB, h *lab.Host, rules string) {
	t.Helper()
	restoreBy(t, h, "", rules)
}

// restoreBy does so by one kind of iptables, "" or "-legacy".
func restoreBy(t testing.TB, h *lab.Host, kind, rules string) {
	t.Helper()
	for program, others := range map[string][]string{"iptables": {"icmpv6"}, "ip6tables": {"icmp -j", "-s 203."}} {
		cmd := h.Command(t.Context(), tool(t, program+kind+"-restore"))
		var lines []string
		for line := range strings.Lines(rules) {
			if !slices.ContainsFunc(others, func(word string) bool { return strings.Contains(line, word) }) {
				lines = append(lines, line)
			}
		}
		cmd.Stdin = strings.NewReader(strings.Join(lines, ""))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", program, err, out)
		}
	}
}

// firewalls are those of others that keep from us what comes in, and some what we
// send.
func firewalls() map[string]func(t testing.TB, h *lab.Host) {
	return map[string]func(testing.TB, *lab.Host){
		"shut":   func(t testing.TB, h *lab.Host) { firewall(t, h, shut()) },
		"not-us": func(t testing.TB, h *lab.Host) { firewall(t, h, notUs()) },
		"ufw":    func(t testing.TB, h *lab.Host) { restore(t, h, ufw) },
		"drop-all": func(t testing.TB, h *lab.Host) {
			restore(t, h, "*filter\n:INPUT DROP [0:0]\n:OUTPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT\n-A INPUT -p icmpv6 -j ACCEPT\n-A OUTPUT -p icmpv6 -j ACCEPT\nCOMMIT\n")
		},
	}
}

// TestFirewallsOfOthers has clients come to the listener itself, and through it to
// servers, where a firewall lets neither.
func TestFirewallsOfOthers(t *testing.T) {
	for name, load := range firewalls() {
		for how, s := range map[string]platform.Steering{
			"tproxy":         usual(platform.TPROXY),
			"tproxy-plain":   {Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}, Ports: web()},
			"tproxy-all":     {Method: platform.TPROXY, Port: 8080, Interfaces: []string{"lan0"}, Spoof: true},
			"redirect":       {Method: platform.Redirect, Port: 8080, Interfaces: []string{"lan0"}, Ports: web()},
			"redirect-spoof": usual(platform.Redirect),
		} {
			t.Run(name+"-"+how, func(t *testing.T) {
				n := labtest.Gateway(t)
				serve(t, n.Server, 80)
				load(t, n.Gateway)
				before := state(t, n.Gateway)
				proxy(t, n.Gateway, s)
				k := open(t, n.Gateway)
				apply(t, k, s)
				client := "from CLIENT"
				for _, a := range []struct{ server, lan, wan string }{
					{lab.ServerAddr4, lab.LANAddr4, lab.WANAddr4}, {lab.ServerAddr6, lab.LANAddr6, lab.WANAddr6},
				} {
					if !s.Spoof {
						client = "from " + strings.TrimSuffix(at(a.wan, 0), "0")
					}
					expect(t, n.Client, at(a.server, 80), "by us, "+client)
					expect(t, n.Client, at(a.lan, 8080), "by us, ")
					expectNone(t, n.Server, at(a.wan, 8080)) // from the way out
				}
				apply(t, k, platform.Steering{})
				same(t, n.Gateway, before)
			})
		}
	}
}

// expectNone visits where nobody answers.
func expectNone(t testing.TB, from *lab.Host, to string) {
	t.Helper()
	const soon = 200 * time.Millisecond
	if said, _, err := visitWithin(t, soon, from, to); err == nil {
		t.Errorf("%s: %q, want no answer", to, said)
	}
}

// TestOnlyClientsVisit lets those in to the listener whose connections are captured.
func TestOnlyClientsVisit(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		for name, tt := range map[string]struct {
			from, exclude []netip.Prefix
			four, six     bool
		}{
			"from-ipv4":    {from: prefixes("192.168.1.0/24"), four: true},
			"from-ipv6":    {from: prefixes("10.0.0.0/8", "fd01::/64"), six: true},
			"exclude-ipv4": {exclude: prefixes(lab.ClientAddr4 + "/32"), six: true},
		} {
			t.Run(m.String()+"-"+name, func(t *testing.T) {
				n := labtest.Gateway(t)
				firewall(t, n.Gateway, shut())
				s := usual(m)
				s.From, s.Exclude = tt.from, tt.exclude
				proxy(t, n.Gateway, s)
				apply(t, open(t, n.Gateway), s)
				for a, let := range map[string]bool{lab.LANAddr4: tt.four, lab.LANAddr6: tt.six} {
					if let {
						expect(t, n.Client, at(a, 8080), "by us, ")
					} else {
						expectNone(t, n.Client, at(a, 8080))
					}
				}
			})
		}
	}
}

// TestVisitsEndWithUs leaves nobody in who listens at our port after us.
func TestVisitsEndWithUs(t *testing.T) {
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		t.Run(m.String(), func(t *testing.T) {
			n := labtest.Gateway(t)
			firewall(t, n.Gateway, shut())
			serve(t, n.Gateway, 8080)
			k := open(t, n.Gateway)
			apply(t, k, usual(m))
			expect(t, n.Client, at(lab.LANAddr4, 8080), "from CLIENT")
			if err := k.Abandon(); err != nil { // as a kill would
				t.Fatal(err)
			}
			expectNone(t, n.Client, at(lab.LANAddr4, 8080))
		})
	}
}
