package nft

import (
	"bytes"
	"encoding/binary"
)

// A Test is one condition of a rule: a field's first bytes, under Mask, are Value, or
// are not. A Field of "" is one that is not understood.
type Test struct {
	Field string // as nft names it: "oifname", "ip saddr", ...
	Not   bool
	Mask  []byte // nil for all bits
	Value []byte
}

// Does is what a rule does with packets that meet all its tests, as far as that
// matters for where they go, and from which address.
type Does struct {
	Verdict string // "accept", "drop", "return", "jump", "goto"; "" is on to the next rule
	Chain   string // where a jump leads to
	Source  bool   // it gives connections another source
}

// A Reading is a rule with what it does.
type Reading struct {
	RuleInfo
	Tests []Test // that a packet has to meet
	Does  Does
}

// reading reads the expressions of a rule.
func reading(info RuleInfo, expressions attributes) Reading {
	r := reader{loaded: map[uint32]Test{}}
	r.read(expressions)
	return Reading{info, r.tests, r.does}
}

// meta keys beside those that we write.
const (
	metaIIF = 4
	metaOIF = 5
)

// metaField names those of which something can be said without a packet.
func metaField(key uint32) string {
	return map[uint32]string{
		metaMark: "mark", metaIIF: "iif", metaOIF: "oif", metaIIFName: "iifname", metaOIFName: "oifname",
		metaNFProto: "nfproto", metaL4Proto: "l4proto",
	}[key]
}

// headerField is a field of the network header, of which nft loads no more than it
// compares. The header is known by the length of addresses alone: two bytes or more
// at 8 are no field of IPv4.
func headerField(base, offset, size uint32) string {
	switch {
	case base != networkHeader:
	case offset == 12 && size <= 4:
		return "ip saddr"
	case offset == 16 && size <= 4:
		return "ip daddr"
	case offset == 8 && size > 2:
		return "ip6 saddr"
	case offset == 24:
		return "ip6 daddr"
	}
	return ""
}

// A reader reads a rule's expressions.
type reader struct {
	loaded map[uint32]Test // what registers hold: field and mask
	tests  []Test
	does   Does
}

// read reads a list of expressions.
func (r *reader) read(list attributes) {
	for {
		_, value, rest, ok := list.next()
		if !ok {
			return
		}
		e := attributes(value)
		r.expression(e.text(1), e.get(2))
		list = rest
	}
}

// expression reads one. What is not known may be a condition.
func (r *reader) expression(name string, a attributes) {
	switch name {
	case "counter", "log", "notrack", "dynset", "last", "dup":
	case "meta":
		if _, sets := a.number(3); !sets {
			key, _ := a.number(2)
			r.load(a, Test{Field: metaField(key)})
		}
	case "payload":
		base, _ := a.number(2)
		offset, _ := a.number(3)
		size, _ := a.number(4)
		r.load(a, Test{Field: headerField(base, offset, size)})
	case "ct", "fib", "rt", "socket", "exthdr", "numgen", "hash", "osf", "tunnel", "xfrm":
		r.load(a, Test{})
	case "bitwise":
		r.bitwise(a)
	case "cmp":
		r.compare(a)
	case "immediate":
		r.verdict(a.get(2).get(2))
	case "masq":
		r.does = Does{Verdict: "accept", Source: true}
	case "nat":
		kind, _ := a.number(1)
		r.does = Does{Verdict: "accept", Source: kind == 0}
	case "redir":
		r.does = Does{Verdict: "accept"}
	case "target":
		r.target(a.text(1))
	case "match":
		r.match(a.text(1), a.get(3))
	default:
		r.tests = append(r.tests, Test{})
	}
}

// load notes what the register of an expression holds.
func (r *reader) load(a attributes, t Test) {
	if reg, ok := a.number(1); ok {
		r.loaded[reg] = t
	}
}

func (r *reader) bitwise(a attributes) {
	from, _ := a.number(1)
	to, _ := a.number(2)
	t, mask, xor := r.loaded[from], a.get(4).get(1), a.get(5).get(1)
	if t.Mask != nil || len(mask) == 0 || len(bytes.Trim(xor, "\x00")) > 0 {
		t = Test{}
	}
	t.Mask = mask
	r.loaded[to] = t
}

func (r *reader) compare(a attributes) {
	reg, _ := a.number(1)
	op, _ := a.number(2)
	t := r.loaded[reg]
	t.Not, t.Value = op == unequal, a.get(3).get(1)
	if op != equal && op != unequal || len(t.Value) == 0 || t.Mask != nil && len(t.Mask) != len(t.Value) {
		t = Test{}
	}
	r.tests = append(r.tests, t)
}

func (r *reader) verdict(a attributes) {
	code, ok := a.number(1)
	if !ok {
		return // it fills a register
	}
	const verdictGoto = ^uint32(4 - 1) // -4
	r.does.Verdict = map[uint32]string{
		verdictAccept: "accept", verdictDrop: "drop", verdictReturn: "return", verdictJump: "jump", verdictGoto: "goto",
	}[code]
	r.does.Chain = a.text(2)
}

// target is one of xtables.
func (r *reader) target(name string) {
	switch name {
	case "MASQUERADE", "SNAT", "NETMAP":
		r.does = Does{Verdict: "accept", Source: true}
	case "DNAT", "REDIRECT":
		r.does = Does{Verdict: "accept"}
	}
}

// match is one of xtables.
func (r *reader) match(name string, info []byte) {
	switch {
	case name == "comment":
	case name == "mark" && len(info) >= 9: // struct xt_mark_mtinfo1
		r.tests = append(r.tests, MarkTest(info))
	default:
		r.tests = append(r.tests, Test{})
	}
}

// MarkTest reads a struct xt_mark_mtinfo1, which has at least nine bytes.
func MarkTest(info []byte) Test {
	value, mask := binary.NativeEndian.Uint32(info), binary.NativeEndian.Uint32(info[4:])
	return Test{Field: "mark", Not: info[8] != 0, Mask: native(mask), Value: native(value)}
}
