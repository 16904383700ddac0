package nft

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
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

// A state is a packet, and what the expressions of a rule have loaded: registers of
// words, of which known are those that are.
type state struct {
	Packet
	words [20][4]byte
	known [20]bool
}

func newState(p Packet) *state { return &state{Packet: p} }

// at finds the first word of a register.
func at(reg uint32) int {
	switch {
	case reg >= 1 && reg <= 4:
		return int(reg-1) * 4
	case reg >= 8 && reg < 24:
		return int(reg - 8)
	}
	return -1
}

// load puts a value into a register; nil is one that is not known.
func (s *state) load(reg uint32, v []byte, size int) {
	for i := at(reg); i >= 0 && i < len(s.words) && size > 0; i++ {
		s.words[i], s.known[i] = [4]byte{}, v != nil
		n := copy(s.words[i][:], v)
		v = v[min(n, len(v)):]
		if s.known[i] && v == nil {
			v = []byte{}
		}
		size -= 4
	}
}

// value returns what a register holds; nil if it is not known.
func (s *state) value(reg uint32, size int) []byte {
	var v []byte
	for i := at(reg); len(v) < size; i++ {
		if i < 0 || i >= len(s.words) || !s.known[i] {
			return nil
		}
		v = append(v, s.words[i][:]...)
	}
	return v[:size]
}

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

// meta loads what is known of a packet beside its headers.
func (s *state) meta(dreg, key, sreg uint32) match {
	if sreg != 0 {
		if v := s.value(sreg, 4); key == metaMark && v != nil {
			s.Mark = binary.NativeEndian.Uint32(v)
		}
		return yes
	}
	name := func(n string) []byte {
		if n == "" {
			return nil
		}
		return append([]byte(n), make([]byte, 16-min(len(n), 15))...)[:16]
	}
	index := func(n int) []byte {
		if n == 0 {
			return nil
		}
		return native(uint32(n))
	}
	var v []byte
	size := 4
	switch key {
	case 1: // the protocol of the link
		v = []byte{0x08, 0x00}
		if s.Src.Is6() {
			v = []byte{0x86, 0xdd}
		}
	case metaMark:
		v = native(s.Mark)
	case 4:
		v = index(s.IIFIndex)
	case 5:
		v = index(s.OIFIndex)
	case metaIIFName:
		v, size = name(s.IIF), 16
	case metaOIFName:
		v, size = name(s.OIF), 16
	case metaNFProto:
		v = []byte{byte(s.family())}
	case metaL4Proto:
		v = []byte{byte(s.Proto)}
	}
	s.load(dreg, v, size)
	return yes
}

func (s *state) family() Family {
	if s.Src.Is6() {
		return IPv6
	}
	return IPv4
}

// header returns a part of the packet's headers, nil if not all of it is known.
func (s *state) header(base uint32, offset, size int) []byte {
	var h []byte
	var known []bool
	put := func(at int, b ...byte) {
		for len(h) < at+len(b) {
			h, known = append(h, 0), append(known, false)
		}
		for i, v := range b {
			h[at+i], known[at+i] = v, true
		}
	}
	switch {
	case base == networkHeader && s.Src.Is4():
		put(0, 0x45)
		put(9, byte(s.Proto))
		put(12, s.Src.AsSlice()...)
		put(16, s.Dst.AsSlice()...)
	case base == networkHeader:
		put(6, byte(s.Proto))
		put(8, s.Src.AsSlice()...)
		put(24, s.Dst.AsSlice()...)
	case base == transportHeader:
		if s.SPort != 0 {
			put(0, binary.BigEndian.AppendUint16(nil, s.SPort)...)
		}
		put(2, binary.BigEndian.AppendUint16(nil, s.DPort)...)
		if s.Proto == TCP {
			put(13, 0x02) // SYN
		}
	}
	if size <= 0 || offset < 0 || offset+size > len(h) || slices.Contains(known[offset:offset+size], false) {
		return nil
	}
	return h[offset : offset+size]
}

// tracked loads what connection tracking knows of what opens a connection.
func (s *state) tracked(dreg, key uint32) {
	const state, direction, status, isNew = 0, 1, 2, 8
	switch key {
	case state:
		s.load(dreg, native(isNew), 4)
	case direction:
		s.load(dreg, []byte{0}, 4)
	case status:
		s.load(dreg, native(0), 4)
	default:
		s.load(dreg, nil, 16)
	}
}

// fib loads what kind of address one is, and where answers would leave: where the
// packet came in.
func (s *state) fib(dreg, result, flags uint32) match {
	const oif, oifName, addrType, source, unicast = 1, 2, 3, 1, 1
	s.load(dreg, nil, 4)
	switch {
	case result == addrType && (flags&source != 0 || s.Dst.IsGlobalUnicast()):
		s.load(dreg, native(unicast), 4)
	case result == oif && flags&source != 0:
		s.load(dreg, native(uint32(max(s.IIFIndex, 1))), 4)
	case result == oifName && flags&source != 0:
		return s.meta(dreg, metaIIFName, 0)
	}
	return yes
}

func (s *state) bitwise(e attributes) {
	n := func(typ uint16) uint32 { v, _ := e.number(typ); return v }
	size := int(n(3))
	mask, xor := e.get(4).get(1), e.get(5).get(1)
	if size < 0 || size > 64 {
		return
	}
	v := s.value(n(1), size)
	if n(6) != 0 || len(mask) < size || len(xor) < size {
		v = nil
	}
	if v != nil {
		v = slices.Clone(v)
		for i := range v {
			v[i] = v[i]&mask[i] ^ xor[i]
		}
	}
	s.load(n(2), v, size)
}

func (s *state) compare(reg, op uint32, want []byte) match {
	v := s.value(reg, len(want))
	if v == nil {
		return unclear
	}
	c := bytes.Compare(v, want)
	return holds([]bool{c == 0, c != 0, c < 0, c <= 0, c > 0, c >= 0}[min(op, uint32(notLess))])
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
