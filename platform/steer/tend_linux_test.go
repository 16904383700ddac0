package steer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/lab"
	"transom/platform/nft"
)

// lines is a log that can be waited for.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // holds one
}

func newLines() *lines { return &lines{more: make(chan struct{}, 1)} }

func (l *lines) log() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

func (l *lines) count(word string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), word)
}

// wait waits until a word has been written so often.
func (l *lines) wait(t testing.TB, word string, n int) {
	t.Helper()
	l.until(t, func() bool { return l.count(word) >= n })
}

// until waits until something holds, which it looks at after each line.
func (l *lines) until(t testing.TB, holds func() bool) {
	t.Helper()
	late := time.After(2 * time.Minute)
	for !holds() {
		select {
		case <-l.more:
		case <-late:
			l.mu.Lock()
			defer l.mu.Unlock()
			t.Fatalf("it does not come about; the log is\n%s", l.text.String())
		}
	}
}

const back = "it is back"

// flushable are steerings that a flush takes the most from.
func flushable() map[string]platform.Steering {
	out := make(map[string]platform.Steering)
	for _, m := range []platform.Method{platform.TPROXY, platform.Redirect} {
		s := usual(m)
		s.Closed, s.Local = true, true
		out[m.String()] = s
	}
	return out
}

// TestFlush empties all of nftables, and removes our routing, while a connection
// is open.
func TestFlush(t *testing.T) {
	flush := tool(t, "nft")
	for name, want := range flushable() {
		t.Run(name, func(t *testing.T) {
			n := labtest.Gateway(t)
			for key, value := range map[string]string{"net.ipv4.ip_forward": "0", "net.ipv6.conf.all.forwarding": "0"} {
				if err := n.Gateway.Sysctl(key, value); err != nil {
					t.Fatal(err)
				}
			}
			for _, h := range []*lab.Host{n.Client, n.Gateway} {
				acknowledge(t, h)
			}
			serve(t, n.Server, 80)
			talker(t, n.Server, 443)
			before := state(t, n.Gateway)
			said := newLines()
			k := openWith(t, n.Gateway, said.log())
			apply(t, k, want)
			t.Run("flush", func(t *testing.T) {
				proxyTalking(t, n.Gateway, want)
				say := talk(t, n.Client, at(lab.ServerAddr4, 443))
				say("captured")
				ours := withoutHandles(state(t, n.Gateway))
				for i := range 3 {
					if out, err := n.Gateway.Command(t.Context(), flush, "flush", "ruleset").CombinedOutput(); err != nil {
						t.Fatalf("%v: %s", err, out)
					}
					said.wait(t, back, i+1)
					say("after it is back")
				}
				for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
					unroute(t, n.Gateway, family)
				}
				said.wait(t, "lookup 7890", 2)
				say("after the routing is back")
				// A busy machine sees the rules go one by one, and puts each back with a line.
				d := ""
				said.until(t, func() bool {
					d = cmp.Diff(ours, withoutHandles(state(t, n.Gateway)))
					return d == "" || said.count("again and again") > 0
				})
				if d != "" {
					t.Errorf("what was taken away less than six times counts as again and again (-was +is):\n%s", d)
				}
			})
			if err := k.Abandon(); err != nil {
				t.Fatal(err)
			}
			next := open(t, n.Gateway)
			if _, err := next.Cleanup(t.Context()); err != nil {
				t.Fatal(err)
			}
			same(t, n.Gateway, before)
		})
	}
}

// acknowledge has a host acknowledge at once what comes by IPv4. An acknowledgement that
// is put off by 40 ms may leave while our tables are gone. Conntrack sees it then, takes
// the client's and our connection for one, and where there are nat chains gives ours
// another port: the server resets it.
func acknowledge(t testing.TB, h *lab.Host) {
	t.Helper()
	if err := h.Do(func() error {
		routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
		for _, r := range routes {
			r.QuickACK = 1
			err = errors.Join(err, netlink.RouteReplace(&r))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// unroute removes our rules and routes of a family.
func unroute(t testing.TB, h *lab.Host, family int) {
	t.Helper()
	if err := h.Do(func() error {
		routes, err := netlink.RouteListFiltered(family, &netlink.Route{Table: 7890}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return err
		}
		for _, r := range routes {
			if err := netlink.RouteDel(&r); err != nil {
				return err
			}
		}
		rules, err := netlink.RuleList(family)
		for _, r := range rules {
			r.Family = family
			if r.Protocol != 201 {
				continue
			}
			if err := netlink.RuleDel(&r); err != nil {
				return err
			}
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestFlushedForever removes a table of ours as soon as it is back: we become
// slow, and say so once. New connections go direct then, and are captured again when
// nobody does it any more, which on a machine that takes seconds to ask may be meanwhile.
func TestFlushedForever(t *testing.T) {
	n := labtest.Gateway(t)
	serve(t, n.Server, 80)
	proxy(t, n.Gateway, usual(platform.TPROXY))
	said := newLines()
	k := openWith(t, n.Gateway, said.log())
	apply(t, k, usual(platform.TPROXY))
	c := beside(t, n.Gateway)
	flushForever(t, said, c)
	ask := func(when, by string) {
		t.Helper()
		t.Log(when)
		for _, a := range servers() {
			got, client, err := visit(t, n.Client, at(a, 80))
			late := by == "" && said.count("captured again") > 0
			if want := by + "from " + client; !strings.HasPrefix(got, want) && !late {
				t.Errorf("%s: %q, %v; want %q", a, got, err, want)
			}
		}
	}
	ask("it is back, but who knows", "")
	flushOurs(t, c)
	ask("it was taken away once more", "")
	k.Tend()
	ask("it has just been put back", "")
	k.Tend()
	ask("nothing was missing", "by us, ")
}

// flushForever removes tables of ours until that is said to be again and again: six
// times, or more if that takes so long that some are forgiven.
func flushForever(t *testing.T, said *lines, c *nft.Conn) {
	t.Helper()
	for said.count("again and again") == 0 {
		times := said.count(back)
		flushOurs(t, c)
		said.until(t, func() bool { return said.count(back) > times || said.count("again and again") > 0 })
	}
}

// flushOurs removes what anybody can remove.
func flushOurs(t *testing.T, c *nft.Conn) {
	t.Helper()
	var b nft.Batch
	b.Remove(nft.Inet, "transom_divert")
	b.Remove(nft.Inet, "transom_closed")
	if err := c.Commit(&b); err != nil {
		t.Fatal(err)
	}
}

// TestFlushedForeverClosed: where nothing may go past, nothing does then.
func TestFlushedForeverClosed(t *testing.T) {
	n := labtest.Gateway(t)
	serve(t, n.Server, 80)
	s := usual(platform.TPROXY)
	s.Closed = true
	proxy(t, n.Gateway, s)
	said := newLines()
	k := openWith(t, n.Gateway, said.log())
	apply(t, k, s)
	c := beside(t, n.Gateway)
	flushForever(t, said, c)
	flushOurs(t, c)
	for _, a := range servers() {
		got, _, err := visit(t, n.Client, at(a, 80))
		if !errors.Is(err, syscall.ECONNREFUSED) && (said.count("captured again") == 0 || !strings.HasPrefix(got, "by us, ")) {
			t.Errorf("%s: %q, %v; want refused", a, got, err)
		}
	}
}

// TestIPTablesFlushedForever is TestFlushedForever, by iptables.
func TestIPTablesFlushedForever(t *testing.T) {
	byIPTables(t, func(w *router, x *steered) {
		w.services()
		s := usual(platform.TPROXY)
		w.proxy(s)
		said := newLines()
		x.do(func() (err error) {
			x.IPTables, err = x.open(said.log())
			return err
		})
		x.apply(s)
		tend := func() { x.do(func() error { x.Tend(); return nil }) }
		// Six times, or more if that takes so long that some are forgiven.
		for said.count("again and again") == 0 {
			times := said.count(back)
			// It may be back before all is gone; then there are chains in use, that can't be removed.
			w.run("/bin/sh", "-c", "iptables -t mangle -F; iptables -t mangle -X; ip6tables -t mangle -F; ip6tables -t mangle -X || true")
			if x.kind == "legacy" { // of which nobody hears
				x.Poke()
			}
			said.until(t, func() bool { return said.count(back) > times || said.count("again and again") > 0 })
		}
		direct := func(when string) {
			w.Helper()
			for family, a := range w.families() {
				got := w.ask(w.Client, netip.AddrPortFrom(a[0], 80))
				if got != "server sees CLIENT" && said.count("captured again") == 0 {
					w.Errorf("%s, %s: %q", when, family, got)
				}
			}
		}
		direct("it is back, but who knows")
		w.run("/bin/sh", "-c", "iptables -F; ip6tables -F")
		direct("it was taken away once more")
		for said.count("captured again") == 0 {
			tend()
		}
		w.works(s)
		x.do(x.Close)
	})
}

// TestBridgeFilterComesLater has the kernel's own chain come before ours: it is
// there when there is the first bridge.
func TestBridgeFilterComesLater(t *testing.T) {
	n := labtest.Gateway(t)
	for _, port := range []uint16{80, 8443} {
		serve(t, n.Server, port)
	}
	name := "br-lan"
	if err := n.Connect(lab.End{Host: n.Client, Iface: "eth9"}, lab.End{Host: n.Gateway, Iface: name}); err != nil {
		t.Fatal(err)
	}
	want := usual(platform.TPROXY)
	want.Interfaces = []string{name}
	proxy(t, n.Gateway, want)
	said := newLines()
	k := openWith(t, n.Gateway, said.log())
	apply(t, k, want)
	if err := n.Gateway.Do(func() error {
		return netlink.LinkDel(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}})
	}); err != nil {
		t.Fatal(err)
	}
	bridge(t, n.Gateway, name, "lan0", prefixes(lab.LANAddr4+"/24", lab.LANAddr6+"/64")...)
	filtered(t, n.Gateway, "1", "1")
	firewall(t, n.Gateway, strict()) // a change, of which we hear
	said.wait(t, "br_netfilter", 1)
	for _, a := range servers() {
		expect(t, n.Client, netip.AddrPortFrom(netip.MustParseAddr(a), 80).String(), "by us, from CLIENT")
	}
}

// TestIPTablesFlush empties all tables in the ways that firewalls do.
func TestIPTablesFlush(t *testing.T) {
	byIPTables(t, func(w *router, x *steered) {
		w.services()
		s := workable(t)["both"]
		s.Closed = true
		w.proxy(s)
		before := w.state()
		said := newLines()
		x.do(func() (err error) {
			x.IPTables, err = x.open(said.log())
			return err
		})
		x.apply(s)
		w.works(s)
		ours := w.state()
		for _, how := range []string{
			"printf '*raw\\nCOMMIT\\n*mangle\\nCOMMIT\\n*nat\\nCOMMIT\\n*filter\\nCOMMIT\\n' | iptables-restore",
			"ip6tables -t mangle -F; ip rule del pref 7891",
			"iptables -F TRANSOM_WAS",
		} {
			w.run("/bin/sh", "-c", how)
			said.until(t, func() bool { return w.state() == ours })
			w.works(s)
		}
		x.do(x.Abandon)
		x.start()
		x.do(func() error {
			_, err := x.Cleanup(w.Context())
			return err
		})
		w.unchanged(before, "after Cleanup")
		x.do(x.Close)
	})
}

// beside is a connection to nf_tables that is another program's.
func beside(t testing.TB, h *lab.Host) (c *nft.Conn) {
	t.Helper()
	if err := h.Do(func() (err error) {
		c, err = nft.Dial()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// lay puts a table in force.
func lay(t testing.TB, c *nft.Conn, table *nft.Table) {
	t.Helper()
	var b nft.Batch
	b.Add(table)
	if err := c.Commit(&b); err != nil {
		t.Fatal(err)
	}
}

// TestSelfTestBeside puts other things in force, and takes everything back, while
// a self-test counts, whose table comes and goes.
func TestSelfTestBeside(t *testing.T) {
	n := labtest.Gateway(t)
	before := state(t, n.Gateway)
	said := newLines()
	k := openWith(t, n.Gateway, said.log())
	want := usual(platform.TPROXY)
	apply(t, k, want)
	test := beside(t, n.Gateway)
	count := &nft.Table{Family: nft.Inet, Name: "transom_test", Owned: true, Chains: []nft.Chain{{Name: "probe0", Type: "filter", Hook: nft.Input}}}
	lay(t, test, count)
	want.Draining = true
	apply(t, k, want)
	var b nft.Batch
	b.Remove(nft.Inet, "transom_test")
	if err := test.Commit(&b); err != nil {
		t.Fatal(err)
	}
	k.Tend()
	if said.count(back) > 0 {
		t.Errorf("the end of a test is taken for another program: %s", &said.text)
	}
	lay(t, test, count)
	apply(t, k, platform.Steering{})
	if err := test.Commit(&b); err != nil {
		t.Fatal(err)
	}
	same(t, n.Gateway, before)
}

// TestNothingComesBackAfterwards: what could not all be taken back is not put back
// either, nor the rest of it.
func TestNothingComesBackAfterwards(t *testing.T) {
	n := labtest.Gateway(t)
	said := newLines()
	k := openWith(t, n.Gateway, said.log())
	apply(t, k, usual(platform.TPROXY))
	other := beside(t, n.Gateway)
	lay(t, other, &nft.Table{Family: nft.Inet, Name: "locked", Owned: true, Chains: []nft.Chain{
		{Name: "in", Type: "filter", Hook: nft.Input, Rules: []nft.Rule{{nft.Accept(), nft.Comment("transom")}}},
	}})
	if err := k.Apply(t.Context(), platform.Steering{}); err == nil {
		t.Fatal("a rule that only another may remove is taken back")
	}
	k.Tend()
	if said.count(back) > 0 {
		t.Errorf("what was taken back is there again: %s", &said.text)
	}
	var b nft.Batch
	b.Remove(nft.Inet, "locked")
	if err := other.Commit(&b); err != nil {
		t.Fatal(err)
	}
	apply(t, k, platform.Steering{})
}

// TestFlushMeanwhile takes a table away while its like are laid: in the middle of
// Apply, as soon as another's firewall has been changed.
func TestFlushMeanwhile(t *testing.T) {
	n := labtest.Gateway(t)
	firewall(t, n.Gateway, strict())
	other := beside(t, n.Gateway)
	said := newLines()
	k := openWith(t, n.Gateway, slog.New(&noticing{said.log().Handler(), "another's firewall", sync.OnceFunc(func() {
		var b nft.Batch
		b.Remove(nft.Inet, "transom_divert")
		if err := other.Commit(&b); err != nil {
			t.Error(err)
		}
	})}))
	apply(t, k, usual(platform.TPROXY))
	said.wait(t, back, 1)
	if !slices.ContainsFunc(state(t, n.Gateway), func(s string) bool { return strings.Contains(s, "transom_divert") }) {
		t.Error("the table is not back")
	}
}

// noticing is a log that calls do when something is said.
type noticing struct {
	slog.Handler
	what string
	do   func()
}

func (h *noticing) Enabled(context.Context, slog.Level) bool { return true }

func (h *noticing) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, h.what) {
		h.do()
	}
	return h.Handler.Handle(ctx, r)
}
