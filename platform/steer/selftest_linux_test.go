package steer_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/nft"
	"transom/platform/steer"
)

// clients are the networks of a labtest.Gateway's clients.
func clients() []string { return []string{"192.168.1.0/24", "fd01::/64"} }

func selfTest(t testing.TB, h *lab.Host, s platform.Steering) error {
	t.Helper()
	return h.Do(func() error { return steer.SelfTest(t.Context(), s, prefixes(clients()...)) })
}

// TestSelfTestPasses tries it in gateways of all sorts.
func TestSelfTestPasses(t *testing.T) {
	places := surroundings()
	places["tunnelled"] = tunnelled
	places["without-ipv6"] = setting("net.ipv6.conf.all.disable_ipv6")
	places["new-ones-without-ipv6"] = setting("net.ipv6.conf.default.disable_ipv6")
	for name, surround := range places {
		for how, s := range map[string]platform.Steering{
			"tproxy":   usual(platform.TPROXY),
			"redirect": usual(platform.Redirect),
		} {
			t.Run(name+"-"+how, func(t *testing.T) {
				n := labtest.Gateway(t)
				surround(t, n.Gateway)
				k := open(t, n.Gateway)
				apply(t, k, s)
				before := state(t, n.Gateway)
				if err := selfTest(t, n.Gateway, s); err != nil {
					t.Error(err)
				}
				same(t, n.Gateway, before)
			})
		}
	}
}

// setting sets one to 1.
func setting(key string) func(testing.TB, *lab.Host) {
	return func(t testing.TB, h *lab.Host) {
		if err := h.Sysctl(key, "1"); err != nil {
			t.Fatal(err)
		}
	}
}

// tunnelled routes everything as another interface's table says, as a VPN does, and
// checks strictly that it comes from there.
func tunnelled(t testing.TB, h *lab.Host) {
	const table = 51820
	setting("net.ipv4.conf.all.rp_filter")(t, h)
	eachFamily(t, h, func(family int) error {
		wan, err := netlink.LinkByName("wan0")
		if err != nil {
			return err
		}
		r := netlink.NewRule()
		r.Family, r.Priority, r.Table = family, 10000, table
		everything := map[int]string{netlink.FAMILY_V4: "0.0.0.0/0", netlink.FAMILY_V6: "::/0"}[family]
		_, dst, err := net.ParseCIDR(everything)
		return errors.Join(err, netlink.RuleAdd(r), netlink.RouteAdd(&netlink.Route{Dst: dst, LinkIndex: wan.Attrs().Index, Table: table}))
	})
}

// broken is what may keep answers from coming back, and the words that name it.
func broken() map[string]struct {
	do   func(t testing.TB, h *lab.Host)
	want []string
} {
	type cause = struct {
		do   func(t testing.TB, h *lab.Host)
		want []string
	}
	dropping := func(f nft.Family, table, chain string, hook nft.Hook, priority int, rules ...nft.Rule) func(testing.TB, *lab.Host) {
		return func(t testing.TB, h *lab.Host) {
			firewall(t, h, &nft.Table{Family: f, Name: table, Chains: []nft.Chain{
				{Name: "first", Type: "filter", Hook: hook, Priority: priority},
				{Name: chain, Type: "filter", Hook: hook, Priority: priority, Rules: rules},
			}})
		}
	}
	answer := nft.SPort(nft.TCP, 80)
	return map[string]cause{
		"the-table-is-gone": {
			func(t testing.TB, h *lab.Host) { without(t, h, "transom_divert") },
			[]string{"table inet transom_divert is gone", "nft 'table inet transom_divert { chain from_"},
		},
		"the-rules-are-gone": {
			func(t testing.TB, h *lab.Host) {
				firewall(t, h, &nft.Table{Family: nft.Inet, Name: "transom_divert", Chains: []nft.Chain{
					{Name: "from_servers", Type: "filter", Hook: nft.Prerouting, Priority: -151},
				}})
			},
			[]string{"from_servers", "of table inet transom_divert is empty"},
		},
		"the-rule-is-gone": {
			func(t testing.TB, h *lab.Host) { noRule(t, h, 7891) },
			[]string{"a rule is missing: ip rule 7891: fwmark 0x10/0x70 lookup 7890", "ip rule add pref 7891 fwmark 0x10/0x70 lookup 7890 protocol 201", "ip -6 rule add pref 7891"},
		},
		"the-rule-for-lo-is-gone": {
			func(t testing.TB, h *lab.Host) {
				setting("net.ipv4.conf.all.src_valid_mark")(t, h)
				noRule(t, h, 7890)
			},
			[]string{"a rule is missing: ip rule 7890: iif lo", "ip rule add pref 7890 iif lo fwmark 0x10/0x70 goto 7892 protocol 201"},
		},
		"the-route-is-gone": {
			noRoute,
			[]string{"table 7890 is empty", "ip route add local default dev lo table 7890 protocol 201", "ip -6 route add"},
		},
		"another-rule-comes-first": {
			steal,
			[]string{"ip rule 100: fwmark 0x10/0x10 lookup 254 comes before transom's", "ip -6 rule 100:", "ip rule del pref 100", "above 7892", "--mark"},
		},
		"input-is-closed": {
			func(t testing.TB, h *lab.Host) {
				firewall(t, h, &nft.Table{Family: nft.Inet, Name: "own", Chains: []nft.Chain{
					{Name: "in", Type: "filter", Hook: nft.Input, Drop: true, Rules: []nft.Rule{{nft.IIFName("lo"), nft.Accept()}}},
				}})
			},
			[]string{"chain in of table inet own (hook input, priority 0, policy drop)", "nft 'insert rule inet own in meta mark & 0x00000070 == 0x00000010 accept'"},
		},
		"input-drops": {
			dropping(nft.Inet, "own", "in", nft.Input, 20, nft.Rule{answer, nft.Counter(), nft.Drop()}),
			[]string{"the answer is dropped by chain in of table inet own (hook input, priority 20, policy accept; counted by rule handle"},
		},
		"raw-drops": {
			dropping(nft.Inet, "own", "pre", nft.Prerouting, -310, nft.Rule{answer, nft.Counter(), nft.Drop()}),
			[]string{"chain pre of table inet own (hook prerouting, priority -310", "nft 'insert rule inet own pre meta l4proto tcp socket transparent 1 accept'"},
		},
		"mangle-drops": {
			dropping(nft.Inet, "own", "pre", nft.Prerouting, -100, nft.Rule{answer, nft.Counter(), nft.Drop()}),
			[]string{"chain pre of table inet own (hook prerouting, priority -100", "meta mark & 0x00000070 == 0x00000010 accept"},
		},
		"the-mark-is-overwritten": {
			dropping(nft.Inet, "own", "pre", nft.Prerouting, -140, nft.Rule{answer, nft.Counter(), nft.SetMark(1, ^uint32(0))}),
			[]string{"the mark that brings the answer here is changed by chain pre of table inet own (hook prerouting, priority -140", "0x70", "--mark"},
		},
		"the-question-is-dropped": {
			dropping(nft.Inet, "own", "out", nft.Output, 10, nft.Rule{nft.DPort(nft.TCP, 80), nft.Counter(), nft.Drop()}),
			[]string{"the question is dropped by chain out of table inet own (hook output, priority 10", "meta mark & 0x00000070 == 0x00000030 accept"},
		},
		"nothing-goes-back": {
			func(t testing.TB, h *lab.Host) {
				setting("net.ipv4.conf.all.rp_filter")(t, h)
				eachFamily(t, h, func(family int) error {
					const blackhole = 6 // FR_ACT_BLACKHOLE
					r, mask := netlink.NewRule(), uint32(0x70)
					r.Family, r.Priority, r.Mark, r.Mask, r.Invert, r.Type = family, 10000, 0x30, &mask, true, blackhole
					return netlink.RuleAdd(r)
				})
			},
			[]string{"the kernel looks for the way back to 192.0.2.1", "net.ipv4.conf.all.rp_filter = 1", "ip rule"},
		},
		"conntrack-has-not-seen-it": {
			func(t testing.TB, h *lab.Host) {
				firewall(t, h, &nft.Table{Family: nft.Inet, Name: "own", Chains: []nft.Chain{
					{Name: "out", Type: "filter", Hook: nft.Output, Priority: -310, Rules: []nft.Rule{{nft.DPort(nft.TCP, 80), nft.Notrack()}}},
					{Name: "pre", Type: "filter", Hook: nft.Prerouting, Priority: -160, Rules: []nft.Rule{{nft.CTState(nft.Invalid), nft.Drop()}}},
				}})
			},
			[]string{"chain pre of table inet own", "takes the answer for invalid", "notrack"},
		},
	}
}

// TestSelfTestNames breaks what spoofing needs, and has it named and mended.
func TestSelfTestNames(t *testing.T) {
	for name, c := range broken() {
		t.Run(name, func(t *testing.T) {
			n := labtest.Gateway(t)
			s := usual(platform.TPROXY)
			k := open(t, n.Gateway)
			apply(t, k, s)
			if err := k.Abandon(); err != nil { // else it would let in again what c keeps out
				t.Fatal(err)
			}
			c.do(t, n.Gateway)
			before := state(t, n.Gateway)
			err := selfTest(t, n.Gateway, s)
			if err == nil {
				t.Fatal("it passed")
			}
			t.Log(err)
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("it does not say %q", w)
				}
			}
			same(t, n.Gateway, before)
			if mend(t, n.Gateway, err) {
				if err := selfTest(t, n.Gateway, s); err != nil {
					t.Errorf("mended, and still: %v", err)
				}
			}
		})
	}
}

// mend runs the commands that an error names, if their programs are there.
func mend(t testing.TB, h *lab.Host, err error) bool {
	t.Helper()
	for line := range strings.Lines(err.Error()) {
		_, command, ok := strings.Cut(strings.TrimSpace(line), "; to mend it: ")
		if !ok {
			t.Errorf("no command in %q", line)
			return false
		}
		command, _, _ = strings.Cut(command, ", or ")
		command, _, _ = strings.Cut(command, " (or ")
		program, _, _ := strings.Cut(command, " ")
		if _, err := exec.LookPath(program); err != nil {
			return false
		}
		if out, err := h.Command(t.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", command, err, out)
		}
	}
	return true
}

// TestSelfTestIPTables tries it beside the other backend, and beside tables that
// nf_tables does not show.
func TestSelfTestIPTables(t *testing.T) {
	s := usual(platform.TPROXY)
	t.Run("backend", func(t *testing.T) {
		byIPTables(t, func(w *router, x *steered) {
			x.start()
			x.apply(s)
			before := w.state()
			if err := selfTest(t, w.Gateway, s); err != nil {
				t.Error(err)
			}
			w.unchanged(before, "after a self-test")
			x.do(x.Close)
		})
	})
	t.Run("drops", func(t *testing.T) {
		byIPTables(t, func(w *router, x *steered) {
			program, want := "iptables", "chain INPUT of table ip filter (hook input, priority 0, policy drop"
			if x.kind == "legacy" {
				program, want = "iptables-legacy", "table filter of iptables-legacy"
			}
			k := open(t, w.Gateway)
			apply(t, k, s)
			if err := k.Abandon(); err != nil {
				t.Fatal(err)
			}
			w.run(program, "-P", "INPUT", "DROP")
			err := selfTest(t, w.Gateway, s)
			if command := program + " -t filter -I INPUT -m mark --mark 0x10/0x70 -j ACCEPT"; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), command) {
				t.Fatalf("it says %v, want %q and %q", err, want, command)
			}
			mend(t, w.Gateway, err)
			if err := selfTest(t, w.Gateway, s); err != nil {
				t.Errorf("mended, and still: %v", err)
			}
		})
	})
}

// TestSelfTestChooses has clients of all sorts.
func TestSelfTestChooses(t *testing.T) {
	n := labtest.Gateway(t)
	s := usual(platform.TPROXY)
	apply(t, open(t, n.Gateway), s)
	for _, c := range []struct{ clients, err string }{
		{"192.168.1.0/24", ""},
		{"fd01::/64", ""},
		{"0.0.0.0/0 ::/0", ""},
		{"192.168.1.2/32", ""},
		{"192.168.1.1/32", ""}, // nothing to test: it is the gateway's
		{"127.0.0.0/8", "no client can have"},
		{"", "no client can have"},
	} {
		err := n.Gateway.Do(func() error { return steer.SelfTest(t.Context(), s, prefixes(strings.Fields(c.clients)...)) })
		if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q: %v, want %q", c.clients, err, c.err)
		}
	}
	s.Spoof = false
	if err := steer.SelfTest(t.Context(), s, nil); err != nil {
		t.Errorf("without spoofing: %v", err)
	}
}

// TestSelfTestRights has no rights but those that it says it needs.
func TestSelfTestRights(t *testing.T) {
	n := labtest.Gateway(t)
	s := usual(platform.TPROXY)
	apply(t, open(t, n.Gateway), s)
	test := func(rights ...uint) error {
		return n.Gateway.Do(func() error {
			defer keepRights(t, rights...)()
			return steer.SelfTest(t.Context(), s, prefixes(clients()...))
		})
	}
	if err := test(unix.CAP_NET_ADMIN, unix.CAP_NET_RAW); err != nil {
		t.Error(err)
	}
	if err := test(unix.CAP_NET_ADMIN); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_RAW") {
		t.Errorf("without CAP_NET_RAW: %v", err)
	}
	if err := test(unix.CAP_NET_RAW); !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "CAP_NET_ADMIN") {
		t.Errorf("without CAP_NET_ADMIN: %v", err)
	}
}

// keepRights leaves the calling thread only some capabilities, until the function it
// returns is called.
func keepRights(t testing.TB, rights ...uint) (back func()) {
	t.Helper()
	head := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	if err := unix.Capget(head, &all[0]); err != nil {
		t.Fatal(err)
	}
	some := all
	some[0].Effective, some[1].Effective = 0, 0
	for _, r := range rights {
		some[0].Effective |= 1 << r
	}
	if err := unix.Capset(head, &some[0]); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Capset(head, &all[0]); err != nil {
			t.Error(err)
		}
	}
}

// TestSelfTestEnds has a context that is over.
func TestSelfTestEnds(t *testing.T) {
	n := labtest.Gateway(t)
	s := usual(platform.TPROXY)
	before := state(t, n.Gateway)
	ctx, cancel := context.WithCancelCause(t.Context())
	over := errors.New("over")
	cancel(over)
	err := n.Gateway.Do(func() error { return steer.SelfTest(ctx, s, prefixes(clients()...)) })
	if !errors.Is(err, over) {
		t.Error(err)
	}
	same(t, n.Gateway, before)
}

const testerVariable = "TRANSOM_TEST_TESTER"

// stuck is a context that never answers.
type stuck struct{ context.Context }

func (stuck) Err() error {
	fmt.Println("stuck")
	select {}
}

// TestTesterProcess is no test: it is the process that TestSelfTestKilled kills.
func TestTesterProcess(t *testing.T) {
	if os.Getenv(testerVariable) == "" {
		return // run as part of the suite: nothing to do
	}
	t.Error(steer.SelfTest(stuck{t.Context()}, usual(platform.TPROXY), prefixes(clients()...)))
}

// TestSelfTestKilled has others find what a test left that was killed.
func TestSelfTestKilled(t *testing.T) {
	for name, after := range map[string]func(k *steer.Kernel) error{
		"cleanup": func(k *steer.Kernel) error {
			removed, err := k.Cleanup(t.Context())
			if !slices.Equal(removed, []string{"interface transom-test0, of a test"}) {
				t.Errorf("removed %q", removed)
			}
			return err
		},
		"leave": func(k *steer.Kernel) error { return k.Leave(t.Context()) },
		"apply": func(k *steer.Kernel) error {
			err := k.Apply(t.Context(), usual(platform.Redirect))
			return errors.Join(err, k.Apply(t.Context(), platform.Steering{}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := labtest.Gateway(t)
			before := state(t, n.Gateway)
			cmd := startTest(t, n.Gateway, "TestTesterProcess", testerVariable, "stuck")
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // killed
			if err := after(open(t, n.Gateway)); err != nil {
				t.Error(err)
			}
			same(t, n.Gateway, before)
		})
	}
}

// without removes a table.
func without(t testing.TB, h *lab.Host, table string) {
	t.Helper()
	asNFT(t, h, func(c *nft.Conn) error {
		var b nft.Batch
		b.Remove(nft.Inet, table)
		return c.Commit(&b)
	})
}

func asNFT(t testing.TB, h *lab.Host, f func(c *nft.Conn) error) {
	t.Helper()
	if err := h.Do(func() error {
		c, err := nft.Dial()
		if err != nil {
			return err
		}
		defer c.Close()
		return f(c)
	}); err != nil {
		t.Fatal(err)
	}
}

// eachFamily runs f on the host for IPv4 and IPv6.
func eachFamily(t testing.TB, h *lab.Host, f func(family int) error) {
	t.Helper()
	if err := h.Do(func() error {
		return errors.Join(f(netlink.FAMILY_V4), f(netlink.FAMILY_V6))
	}); err != nil {
		t.Fatal(err)
	}
}

func noRule(t testing.TB, h *lab.Host, pref int) {
	eachFamily(t, h, func(family int) error {
		rules, err := netlink.RuleList(family)
		for i := range rules {
			if rules[i].Family = family; rules[i].Priority == pref {
				err = errors.Join(err, netlink.RuleDel(&rules[i]))
			}
		}
		return err
	})
}

func noRoute(t testing.TB, h *lab.Host) {
	eachFamily(t, h, func(family int) error {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: 7890}, netlink.RT_FILTER_TABLE)
		for i := range routes {
			err = errors.Join(err, netlink.RouteDel(&routes[i]))
		}
		return err
	})
}

// steal has another's rule route what carries our mark.
func steal(t testing.TB, h *lab.Host) {
	eachFamily(t, h, func(family int) error {
		r, mask := netlink.NewRule(), uint32(0x10)
		r.Family, r.Priority, r.Mark, r.Mask, r.Table = family, 100, 0x10, &mask, unix.RT_TABLE_MAIN
		return netlink.RuleAdd(r)
	})
}

func BenchmarkSelfTest(b *testing.B) {
	n := labtest.Gateway(b)
	s := usual(platform.TPROXY)
	apply(b, open(b, n.Gateway), s)
	for b.Loop() {
		if err := selfTest(b, n.Gateway, s); err != nil {
			b.Fatal(err)
		}
	}
}
