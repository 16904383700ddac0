package steer_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"transom/internal/testnet/labtest"
	"transom/platform"
	"transom/platform/nft"
)

// locked is a firewall that only its owner may change, and that lets nothing in that
// was not redirected.
func locked() *nft.Table {
	return &nft.Table{Family: nft.Inet, Name: "locked", Owned: true, Chains: []nft.Chain{{
		Name: "in", Type: "filter", Hook: nft.Input, Drop: true,
		Rules: []nft.Rule{
			{nft.CTState(nft.Established | nft.Related), nft.Accept()},
			{nft.CTStatusDNAT(), nft.Accept()},
			{nft.L4Proto(58), nft.Accept()},
		},
	}}}
}

// TestIPTablesOwnersCome has a firewall come that would lose what TPROXY brings, and
// go again: connections go direct meanwhile.
func TestIPTablesOwnersCome(t *testing.T) {
	byIPTables(t, func(w *router, x *steered) {
		w.services()
		s := usual(platform.TPROXY)
		said := newLines()
		x.do(func() (err error) {
			x.IPTables, err = x.open(said.log())
			return err
		})
		defer x.do(x.Close)
		x.apply(s)
		other := beside(t, w.Gateway)
		lay(t, other, locked())
		said.wait(t, "chain in of table inet locked", 1)
		w.proxy(s)
		for family, a := range w.families() {
			if got := w.ask(w.Client, netip.AddrPortFrom(a[0], 80)); got != "server sees CLIENT" {
				t.Errorf("%s, while the firewall would drop it: %q", family, got)
			}
		}
		var b nft.Batch
		b.Remove(nft.Inet, "locked")
		if err := other.Commit(&b); err != nil {
			t.Fatal(err)
		}
		said.wait(t, "captured again", 1)
		w.works(s)
		s.Method = platform.Redirect // which such a firewall knows
		x.apply(s)
		lay(t, other, locked())
		x.do(func() error { x.Tend(); return nil })
		if n := said.count("lost from now on"); n != 1 {
			t.Errorf("by REDIRECT, too, it is said that connections would be lost")
		}
	})
}

// TestOwnersBeside: a firewall that nobody may change is told of, and keeps no rule
// from those that come after it.
func TestOwnersBeside(t *testing.T) {
	n := labtest.Gateway(t)
	lay(t, beside(t, n.Gateway), locked())
	firewall(t, n.Gateway, strict())
	said := newLines()
	k := openWith(t, n.Gateway, said.log())
	s := usual(platform.Redirect)
	apply(t, k, s)
	if said.count("lets nobody change its firewall") == 0 || said.count("table=\"inet locked\"") == 0 {
		t.Errorf("it is said: %s", &said.text)
	}
	mine := slices.DeleteFunc(state(t, n.Gateway), func(l string) bool { return !strings.Contains(l, `comment "transom"`) })
	if len(mine) != 3 { // at input, and at output for both of our marks
		t.Errorf("rules in the firewall that comes after it: %q", mine)
	}
}
