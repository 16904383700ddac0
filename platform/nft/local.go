package nft

import (
	"encoding/binary"
	"slices"
	"strings"

	"transom/platform"
)

// An AddrType is what a destination is to this host, by its routes.
type AddrType uint32

// Types (enum rt_type, linux/rtnetlink.h).
const (
	AddrLocal     AddrType = 2
	AddrBroadcast AddrType = 3
	AddrMulticast AddrType = 5
)

// String returns nft's word.
func (t AddrType) String() string {
	switch t {
	case AddrLocal:
		return "local"
	case AddrBroadcast:
		return "broadcast"
	case AddrMulticast:
		return "multicast"
	}
	return "unspec"
}

// Local matches packets to one of the host's own addresses.
func Local() Stmt { return daddrType(false, AddrLocal) }

// NotLocal matches packets to addresses that are not the host's own.
func NotLocal() Stmt { return daddrType(true, AddrLocal) }

// DAddrType matches packets whose destination is of one of types.
func DAddrType(types ...AddrType) Stmt { return daddrType(false, types...) }

func daddrType(not bool, types ...AddrType) Stmt {
	const addrtype, daddr = 3, 2
	words := make([]string, len(types))
	keys := make([][]byte, len(types))
	for i, t := range types {
		words[i], keys[i] = t.String(), native(uint32(t))
	}
	return Stmt{text: "fib daddr type " + unless(not) + oneOf(words), exprs: func(e *encoder) []byte {
		return slices.Concat(
			expr("fib", be32(1, reg1), be32(2, addrtype), be32(3, daddr)),
			e.oneOf(keyFibType, hostOrder, not, keys))
	}}
}

// CTStatusDNAT matches packets of connections whose destination was changed.
func CTStatusDNAT() Stmt {
	const keyStatus, dnat = 2, 1 << 5
	return Stmt{text: "ct status dnat", exprs: func(*encoder) []byte {
		return slices.Concat(
			expr("ct", be32(1, reg1), be32(2, keyStatus)),
			bitwise(native(dnat), native(0)), cmp(unequal, native(0)))
	}}
}

// DPortIn matches packets of p to a port in one of ranges, which are sorted and
// neither overlap nor touch, as from platform.ParsePorts.
func DPortIn(p Proto, ranges ...platform.PortRange) Stmt {
	words := make([]string, len(ranges))
	for i, r := range ranges {
		words[i] = r.String()
	}
	return Stmt{text: p.String() + " dport " + oneOf(words), exprs: func(e *encoder) []byte {
		load := slices.Concat(l4proto(p), payload(transportHeader, 2, 2))
		return append(load, e.portRanges(ranges)...)
	}}
}

// portRanges matches the port in reg1. Single ports are a set of another kind,
// which is faster.
func (e *encoder) portRanges(ranges []platform.PortRange) []byte {
	single := true
	for i, r := range ranges {
		if r.First > r.Last || i > 0 && r.First <= ranges[i-1].Last {
			e.fail("ports %s: want them sorted and apart", r)
			return nil
		}
		single = single && r.First == r.Last
	}
	if single {
		keys := make([][]byte, len(ranges))
		for i, r := range ranges {
			keys[i] = be16(r.First)
		}
		return e.oneOf(keyService, bigEndian, false, keys)
	}
	if len(ranges) == 1 {
		return slices.Concat(cmp(notLess, be16(ranges[0].First)), cmp(notGreater, be16(ranges[0].Last)))
	}
	var elems [][]byte
	for i := 0; i < len(ranges); {
		elems = append(elems, firstKey(be16(ranges[i].First)))
		last := ranges[i].Last
		for i++; i < len(ranges) && ranges[i].First == last+1; i++ {
			last = ranges[i].Last // adjacent ones are one interval
		}
		if last != 0xffff {
			elems = append(elems, endKey(be16(last+1)))
		}
	}
	return e.lookup(e.set(keyService, 2, setInterval, bigEndian, elems), false)
}

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

// A ConnState is states of a connection, to conntrack.
type ConnState uint32

// States, of which several may be joined.
const (
	Invalid     ConnState = 1
	Established ConnState = 2
	Related     ConnState = 4
	New         ConnState = 8
)

// CTState matches packets of connections in one of states.
func CTState(states ConnState) Stmt {
	const keyState = 0
	var words []string
	for i, w := range [...]string{"invalid", "established", "related", "new"} {
		if states&(1<<i) != 0 {
			words = append(words, w)
		}
	}
	return Stmt{text: "ct state " + strings.Join(words, ","), exprs: func(*encoder) []byte {
		return slices.Concat(
			expr("ct", be32(1, reg1), be32(2, keyState)),
			bitwise(native(uint32(states)), native(0)), cmp(unequal, native(0)))
	}}
}
