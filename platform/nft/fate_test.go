package nft

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// ruleset is what the kernel would tell of tables; each may have one set.
func ruleset(t testing.TB, tables ...*Table) *Ruleset {
	t.Helper()
	r := &Ruleset{}
	for _, table := range tables {
		e := &encoder{table: table, sets: new(uint32)}
		e.encode()
		if len(e.errs) > 0 {
			t.Fatal(e.errs)
		}
		for _, m := range e.msgs {
			a := attributes(m.attrs)
			switch m.typ {
			case newChain:
				c := ChainInfo{Family: m.fam, Table: a.text(1), Name: a.text(3), Type: a.text(7)}
				policy, ok := a.number(5)
				c.Drop = ok && policy == verdictDrop
				r.Chains = append(r.Chains, c)
			case newRule:
				r.Rules = append(r.Rules, RuleInfo{Family: m.fam, Table: a.text(1), Chain: a.text(2), Handle: uint64(len(r.Rules) + 1), exprs: string(a.get(4))})
			case newSet:
				flags, _ := a.number(3)
				_ = flags
				named := slices.Concat(str(1, table.Name), str(2, a.text(2)), a[len(str(1, table.Name))+len(str(2, a.text(2))):])
				r.addSet(m.fam, named)
			case newSetElem:
				r.addElements(m.fam, a)
			}
		}
	}
	return r
}

func TestFates(t *testing.T) {
	opening := Packet{
		IIF: "lan0", Src: netip.MustParseAddr("192.168.1.2"), Dst: netip.MustParseAddr("203.0.113.7"), Proto: TCP, DPort: 443, Mark: 0x10,
	}
	all := []Stmt{Drop()}
	for _, c := range []struct {
		name  string
		rules []Rule
		drop  bool
		want  string // "deed rule certain", and so on
	}{
		{name: "nothing"},
		{name: "policy", drop: true, want: "drop 0"},
		{name: "drop-all", rules: []Rule{all}, want: "drop 1"},
		{name: "accepted-first", rules: []Rule{{Accept()}, all}, drop: true},
		{name: "port", rules: []Rule{{DPort(TCP, 443), Drop()}}, want: "drop 1"},
		{name: "other-port", rules: []Rule{{DPort(TCP, 80), Drop()}}},
		{name: "ports", rules: []Rule{{DPort(TCP, 80, 443), Drop()}}, want: "drop 1"},
		{name: "other-ports", rules: []Rule{{DPort(TCP, 80, 8443), Drop()}}},
		{name: "other-protocol", rules: []Rule{{L4Proto(UDP), Drop()}}},
		{name: "interface", rules: []Rule{{IIFName("lan0"), Drop()}}, want: "drop 1"},
		{name: "other-interface", rules: []Rule{{IIFName("lan1"), Drop()}}},
		{name: "not-the-interface", rules: []Rule{{NotIIFName("lan0"), Drop()}}},
		{name: "way-out-unknown", rules: []Rule{{OIFName("wan0"), Drop()}}, want: "maybe drop 1"},
		{name: "maybe-accepted", rules: []Rule{{OIFName("wan0"), Accept()}, all}, want: "maybe drop 2"},
		{name: "network", rules: []Rule{{SAddr(netip.MustParsePrefix("192.168.0.0/16")), Drop()}}, want: "drop 1"},
		{name: "networks", rules: []Rule{{SAddr(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.0.0/16")), Drop()}}, want: "drop 1"},
		{name: "other-networks", rules: []Rule{{SAddr(netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.2.0/24")), Drop()}}},
		{name: "other-family", rules: []Rule{{NFProto(IPv6), Drop()}}},
		{name: "established", rules: []Rule{{CTState(Established | Related), Accept()}, {CTState(Invalid), Drop()}}},
		{name: "mark", rules: []Rule{{Mark(0x10, 0x70), Accept()}, all}},
		{name: "other-mark", rules: []Rule{{Mark(0x20, 0x70), Accept()}, all}, want: "drop 2"},
		{name: "mark-set-before", rules: []Rule{{SetMark(0x20, 0x70)}, {Mark(0x20, 0x70), Drop()}}, want: "drop 2"},
		{name: "socket", rules: []Rule{{SocketTransparent(), Drop()}}},
		{name: "jump", rules: []Rule{{Jump("more")}}, want: "drop 9"},
		{name: "foreign-address", rules: []Rule{{DAddrType(AddrLocal, AddrBroadcast, AddrMulticast), Accept()}, all}, want: "drop 2"},
		{name: "redirect", rules: []Rule{{DPort(TCP, 443), Redirect(3128)}}, want: "redirect to 3128 1"},
		{name: "tproxy", rules: []Rule{{L4Proto(TCP), TProxy(netip.MustParseAddrPort("[::]:1234"))}}, want: "divert to 1234 1"},
		{name: "notrack", rules: []Rule{{Notrack()}, {RejectPort()}}, want: "untrack 1, drop 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := &Table{Family: Inet, Name: "x", Chains: []Chain{
				{Name: "here", Type: "filter", Hook: Forward, Drop: c.drop, Rules: c.rules},
			}}
			if c.name == "jump" {
				table.Chains[0].Rules = append(slices.Repeat([]Rule{{Counter()}}, 7), c.rules...)
				table.Chains = append(table.Chains, Chain{Name: "more", Rules: []Rule{{DPort(TCP, 443), Drop()}}})
			}
			r := ruleset(t, table)
			if got := told(r.Fates(r.Chains[0], opening)); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func told(fates []Fate) string {
	var words []string
	for _, f := range fates {
		deed := map[Deed]string{Dropped: "drop", Redirected: "redirect", Diverted: "divert", Untracked: "untrack"}[f.Deed]
		if !f.Certain {
			deed = "maybe " + deed
		}
		if f.Port != 0 {
			deed += fmt.Sprintf(" to %d", f.Port)
		}
		words = append(words, fmt.Sprintf("%s %d", deed, f.Rule.Handle))
	}
	return strings.Join(words, ", ")
}

// FuzzFates runs any bytes as a rule's expressions, and as a set's elements.
func FuzzFates(f *testing.F) {
	r := ruleset(f, &Table{Family: Inet, Name: "x", Chains: []Chain{{Name: "here", Type: "filter", Hook: Input, Rules: []Rule{
		{DPort(TCP, 80, 443), Mark(0x10, 0x70), SAddr(netip.MustParsePrefix("10.0.0.0/8")), Drop()},
		{IIFName("lan0"), CTState(Established), Redirect(80)},
	}}}})
	for _, rule := range r.Rules {
		f.Add(rule.exprs)
	}
	for _, name := range []string{"multiport", "conntrack", "mark", "tcp"} {
		f.Add(string(expr("match", str(1, name), attr(3, make([]byte, 160)))))
	}
	for _, name := range []string{"REDIRECT", "DNAT", "TPROXY", "CT", "DROP"} {
		f.Add(string(expr("target", str(1, name), attr(3, make([]byte, 48)))))
	}
	f.Fuzz(func(t *testing.T, exprs string) {
		set := &Ruleset{Chains: r.Chains, Rules: []RuleInfo{r.Rules[0], r.Rules[1]}, sets: r.sets}
		set.Rules[1].exprs = exprs
		p := Packet{IIF: "lan0", Src: netip.MustParseAddr("fd01::2"), Dst: netip.MustParseAddr("2001:db8::1"), Proto: UDP, DPort: 443}
		for _, fate := range set.Fates(set.Chains[0], p) {
			if fate.Deed == 0 {
				t.Error("a fate of nothing")
			}
		}
		more := &Ruleset{}
		more.addSet(Inet, append(str(1, "x"), str(2, "s")...))
		more.addElements(Inet, slices.Concat(str(1, "x"), str(2, "s"), nest(3, []byte(exprs))))
		more.sets[setName{Inet, "x", "s"}].find([]byte{1, 2, 3, 4})
	})
}
