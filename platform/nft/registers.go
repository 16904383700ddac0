package nft

import (
	"bytes"
	"encoding/binary"
	"slices"
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
