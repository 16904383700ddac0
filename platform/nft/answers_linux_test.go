package nft

import (
	"slices"
	"testing"
)

func FuzzParseAnswers(f *testing.F) {
	f.Add([]byte{36, 0, 0, 0, 2, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 36, 0, 0, 0, 6, 10, 5, 0, 7, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte("\x44\x00\x00\x00\x02\x00\x00\x03\x07\x00\x00\x00\x00\x00\x00\x00\xfe\xff\xff\xff\x24\x00\x00\x00\x06\x0a\x05\x00\x07\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x01\x00no chain\x00\x00\x00\x00"))
	f.Add([]byte{16, 0, 0, 0, 3, 0, 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, a := range parseAnswers(nil, b) {
			if len(a.text) > len(b) {
				t.Fatalf("text of %d bytes out of %d", len(a.text), len(b))
			}
		}
	})
}

// FuzzDump reads a datagram as each kind of list, and as news.
func FuzzDump(f *testing.F) {
	table := appendMessage(nil, subsysTables<<8|newTable, 2, 7, Inet, 0, slices.Concat(str(1, "t"), be32(2, flagOwner), be32(7, 4711)))
	chain := appendMessage(nil, subsysTables<<8|newChain, 2, 7, IPv4, 0, slices.Concat(
		str(1, "t"), str(3, "INPUT"), nest(4, be32(1, 1), be32(2, 0xffffff6a)), be32(5, 0), str(7, "filter")))
	rule := appendMessage(nil, subsysTables<<8|newRule, 2, 7, IPv6, 0, slices.Concat(
		str(1, "t"), str(2, "c"), attr(3, []byte{0, 0, 0, 0, 0, 0, 0, 9}), attr(7, append([]byte{0, 8}, "transom\x00"...))))
	masked := appendMessage(nil, subsysTables<<8|newRule, 2, 7, IPv4, 0, slices.Concat(
		str(1, "t"), str(2, "c"), nest(4, payload(networkHeader, 12, 4), bitwise([]byte{255, 255, 240, 0}, make([]byte, 4)), cmp(unequal, []byte{172, 16, 0, 0}), expr("masq"))))
	for _, b := range [][]byte{table, chain, rule, masked, slices.Concat(table, chain, rule, []byte{20, 0, 0, 0, 3, 0, 2, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		concerns(b, 7)
		for _, typ := range []uint16{newTable, newChain, newRule} {
			d := dump{seq: 7, typ: subsysTables<<8 | typ}
			if err := d.add(b); err != nil && len(b) == 0 {
				t.Fatal(err)
			}
			for _, p := range d.parts {
				ti, ci, ri := tableInfo(p.family, p.attrs, 1), chainInfo(p.family, p.attrs), ruleInfo(p.family, p.attrs)
				reading(ri, p.attrs.get(4))
				if n := len(ti.Name) + len(ci.Table) + len(ri.Comment); n > 3*len(b) {
					t.Fatalf("names of %d bytes out of %d", n, len(b))
				}
			}
		}
	})
}
