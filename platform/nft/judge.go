package nft

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// A Packet is one that opens a connection, or is a datagram, and is not sent. Zero
// is of what nobody knows.
type Packet struct {
	IIF, OIF           string
	IIFIndex, OIFIndex int
	Src, Dst           netip.Addr
	Proto              Proto
	SPort, DPort       uint16
	Mark               uint32
}

// Whether a rule is for a packet.
type match uint8

const (
	yes match = iota
	no
	unclear
)

// A ruling is what a rule does with a packet.
type ruling struct {
	match   match
	verdict uint32 // verdictContinue if it has none
	chain   string // to jump to
	deeds   []done
}

type done struct {
	deed Deed
	port uint16
}

const (
	verdictContinue = ^uint32(0)     // -1
	verdictGoto     = ^uint32(4 - 1) // -4
)

// judge runs a rule.
func (w *walk) judge(rule RuleInfo) (r ruling) {
	r.verdict = verdictContinue
	for list := attributes(rule.exprs); ; {
		_, value, rest, ok := list.next()
		if !ok {
			return r
		}
		list = rest
		e := attributes(value)
		m := w.step(e.text(1), e.get(2), rule, &r)
		if m == no {
			return ruling{match: no, deeds: r.deeds}
		}
		r.match = max(r.match, m)
	}
}

// step runs an expression.
func (w *walk) step(name string, e attributes, rule RuleInfo, r *ruling) match {
	s := w.state
	reg := func(typ uint16) uint32 { n, _ := e.number(typ); return n }
	switch name {
	case "counter", "log", "last":
		return yes
	case "meta":
		return s.meta(reg(1), reg(2), reg(3))
	case "payload":
		if size := int(reg(4)); reg(5) == 0 {
			s.load(reg(1), s.header(reg(2), int(reg(3)), size), size)
		}
		return yes
	case "ct":
		s.tracked(reg(1), reg(2))
		return yes
	case "fib":
		return s.fib(reg(1), reg(2), reg(3))
	case "immediate":
		if v := e.get(2).get(2); v != nil {
			r.verdict, _ = v.number(1)
			r.chain = v.text(2)
			return yes
		}
		s.load(reg(1), e.get(2).get(1), len(e.get(2).get(1)))
		return yes
	case "bitwise":
		s.bitwise(e)
		return yes
	case "cmp":
		return s.compare(reg(1), reg(2), e.get(3).get(1))
	case "range":
		low, high := e.get(3).get(1), e.get(4).get(1)
		v := s.value(reg(1), len(low))
		if v == nil {
			return unclear
		}
		return holds((bytes.Compare(low, v) <= 0 && bytes.Compare(v, high) <= 0) == (reg(2) == 0))
	case "lookup":
		return w.lookup(e, rule, r)
	case "socket":
		return no // it opens a connection
	case "match":
		return s.xtMatch(e.text(1), e.get(3))
	}
	return s.action(name, e, r)
}

// holds is a match that is known.
func holds(b bool) match {
	if b {
		return yes
	}
	return no
}

// action is an expression that does something.
func (s *state) action(name string, e attributes, r *ruling) match {
	port := func(typ uint16) uint16 {
		n, _ := e.number(typ)
		if v := s.value(n, 2); v != nil && n != 0 {
			return binary.BigEndian.Uint16(v)
		}
		return 0
	}
	switch name {
	case "reject":
		r.verdict = verdictDrop
	case "notrack":
		r.deeds = append(r.deeds, done{Untracked, 0})
	case "redir":
		r.deeds, r.verdict = append(r.deeds, done{Redirected, port(1)}), verdictAccept
	case "nat":
		if typ, _ := e.number(1); typ == 1 { // of the destination
			r.deeds = append(r.deeds, done{Redirected, port(5)})
		}
		r.verdict = verdictAccept
	case "masq":
		r.verdict = verdictAccept
	case "tproxy":
		r.deeds = append(r.deeds, done{Diverted, port(3)})
	case "target":
		s.xtTarget(e.text(1), e.get(3), r)
	case "queue", "limit", "quota", "connlimit", "numgen", "hash", "dynset", "osf", "exthdr", "rt", "xfrm", "tunnel":
		return unclear
	}
	return yes
}

// lookup looks a register up in a set, or for a verdict in a map.
func (w *walk) lookup(e attributes, rule RuleInfo, r *ruling) match {
	n := func(typ uint16) uint32 { v, _ := e.number(typ); return v }
	set := w.sets[setName{rule.Family, rule.Table, e.text(1)}]
	to, mapped := e.number(3)
	if set == nil || len(set.elements) == 0 {
		return unclear // or it is filled as packets come
	}
	key := w.state.value(n(2), len(set.elements[0].key))
	if key == nil {
		if mapped {
			w.state.load(to, nil, 16)
			r.verdict = verdictContinue
		}
		return unclear
	}
	data, found := set.find(key)
	if !mapped {
		return holds(found == (n(5) == 0))
	}
	if !found {
		return no
	}
	if to == 0 {
		r.verdict, _ = data.get(2).number(1)
		r.chain = data.get(2).text(2)
		return yes
	}
	w.state.load(to, data.get(1), len(data.get(1)))
	return yes
}
