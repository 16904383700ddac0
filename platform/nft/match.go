package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// A Proto is a transport protocol.
type Proto uint8

// Protocols with ports.
const (
	TCP Proto = 6
	UDP Proto = 17
)

// String returns "tcp", "udp" or the number.
func (p Proto) String() string {
	switch p {
	case TCP:
		return "tcp"
	case UDP:
		return "udp"
	}
	return fmt.Sprint(uint8(p))
}

// meta keys (enum nft_meta_keys).
const (
	metaMark    = 3
	metaIIFName = 6
	metaOIFName = 7
	metaSKUID   = 10
	metaNFProto = 15
	metaL4Proto = 16
)

// payload bases (enum nft_payload_bases).
const (
	networkHeader   = 1
	transportHeader = 2
)

// Set key types, which only matter for how nft lists the set.
const (
	keyIPv4    = 7
	keyIPv6    = 8
	keyService = 13
	keyFibType = 38
	keyIfname  = 41
)

// IIFName matches packets that came in by one of the named interfaces.
func IIFName(names ...string) Stmt { return ifname("iifname", metaIIFName, false, names) }

// NotIIFName matches packets that came in by any other interface, or by none.
func NotIIFName(names ...string) Stmt { return ifname("iifname", metaIIFName, true, names) }

// OIFName matches packets that go out by one of the named interfaces.
func OIFName(names ...string) Stmt { return ifname("oifname", metaOIFName, false, names) }

func ifname(word string, key uint32, not bool, names []string) Stmt {
	quoted := make([]string, len(names))
	keys := make([][]byte, len(names))
	for i, n := range names {
		quoted[i] = fmt.Sprintf("%q", n)
		keys[i] = make([]byte, 16) // IFNAMSIZ
		copy(keys[i][:15], n)
	}
	return Stmt{text: word + " " + unless(not) + oneOf(quoted), exprs: func(e *encoder) []byte {
		for _, n := range names {
			if n == "" || len(n) > 15 {
				e.fail("interface name %q: want 1 to 15 bytes", n)
			}
		}
		return slices.Concat(metaLoad(key), e.oneOf(keyIfname, hostOrder, not, keys))
	}}
}

// NFProto matches packets of one family, IPv4 or IPv6, in an Inet table.
func NFProto(f Family) Stmt {
	word := "ipv4"
	if f == IPv6 {
		word = "ipv6"
	}
	return Stmt{text: "meta nfproto " + word, exprs: func(*encoder) []byte {
		return slices.Concat(metaLoad(metaNFProto), cmp(equal, []byte{byte(f)}))
	}}
}

// L4Proto matches packets of a transport protocol.
func L4Proto(p Proto) Stmt {
	return Stmt{text: "meta l4proto " + p.String(), exprs: func(*encoder) []byte { return l4proto(p) }}
}

func l4proto(p Proto) []byte {
	return slices.Concat(metaLoad(metaL4Proto), cmp(equal, []byte{byte(p)}))
}

// DPort matches packets of p to one of ports.
func DPort(p Proto, ports ...uint16) Stmt { return port(p, "dport", 2, ports) }

// SPort matches packets of p from one of ports.
func SPort(p Proto, ports ...uint16) Stmt { return port(p, "sport", 0, ports) }

func port(p Proto, word string, offset uint32, ports []uint16) Stmt {
	ports = slices.Compact(slices.Sorted(slices.Values(ports)))
	words := make([]string, len(ports))
	keys := make([][]byte, len(ports))
	for i, n := range ports {
		words[i], keys[i] = fmt.Sprint(n), binary.BigEndian.AppendUint16(nil, n)
	}
	return Stmt{text: p.String() + " " + word + " " + oneOf(words), exprs: func(e *encoder) []byte {
		return slices.Concat(l4proto(p), payload(transportHeader, offset, 2), e.oneOf(keyService, bigEndian, false, keys))
	}}
}

// TCPOpening matches the first packet of a TCP connection: SYN, and none of FIN,
// RST and ACK.
func TCPOpening() Stmt {
	const flagsAt, finSynRstAck, syn = 13, 0x17, 0x02
	return Stmt{text: "tcp flags & (fin | syn | rst | ack) == syn", exprs: func(*encoder) []byte {
		return slices.Concat(l4proto(TCP), payload(transportHeader, flagsAt, 1),
			bitwise([]byte{finSynRstAck}, []byte{0}), cmp(equal, []byte{syn}))
	}}
}

// DAddr matches packets to an address in one of prefixes, which are all of one
// family.
func DAddr(prefixes ...netip.Prefix) Stmt { return addr("daddr", 16, 24, false, prefixes) }

// NotDAddr matches packets of the prefixes' family to any other address.
func NotDAddr(prefixes ...netip.Prefix) Stmt { return addr("daddr", 16, 24, true, prefixes) }

// SAddr matches packets from an address in one of prefixes, which are all of
// one family.
func SAddr(prefixes ...netip.Prefix) Stmt { return addr("saddr", 12, 8, false, prefixes) }

// NotSAddr matches packets of the prefixes' family from any other address.
func NotSAddr(prefixes ...netip.Prefix) Stmt { return addr("saddr", 12, 8, true, prefixes) }

func addr(word string, offset4, offset6 uint32, not bool, prefixes []netip.Prefix) Stmt {
	list, err := disjoint(prefixes)
	family, ip, keyType, offset, size := IPv4, "ip", uint32(keyIPv4), offset4, uint32(4)
	if len(list) > 0 && list[0].Addr().Is6() {
		family, ip, keyType, offset, size = IPv6, "ip6", keyIPv6, offset6, 16
	}
	words := make([]string, len(list))
	for i, p := range list {
		if words[i] = p.String(); p.IsSingleIP() {
			words[i] = p.Addr().String()
		}
	}
	return Stmt{text: ip + " " + word + " " + unless(not) + oneOf(words), exprs: func(e *encoder) []byte {
		if err != nil {
			e.fail("%s: %w", word, err)
			return nil
		}
		load := slices.Concat(metaLoad(metaNFProto), cmp(equal, []byte{byte(family)}), payload(networkHeader, offset, size))
		if len(list) == 1 {
			return append(load, onePrefix(list[0], not)...)
		}
		return append(load, e.lookup(e.intervals(keyType, list), not)...)
	}}
}

// onePrefix compares the address in reg1.
func onePrefix(p netip.Prefix, not bool) []byte {
	op := uint32(equal)
	if not {
		op = unequal
	}
	a := p.Addr().AsSlice()
	if p.IsSingleIP() {
		return cmp(op, a)
	}
	mask := make([]byte, len(a))
	for i := range p.Bits() {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return slices.Concat(bitwise(mask, make([]byte, len(a))), cmp(op, a))
}

// disjoint sorts prefixes and drops those that lie in another: the kernel
// refuses intervals that overlap.
func disjoint(prefixes []netip.Prefix) ([]netip.Prefix, error) {
	if len(prefixes) == 0 {
		return nil, fmt.Errorf("no prefix given")
	}
	list := make([]netip.Prefix, 0, len(prefixes))
	for _, p := range prefixes {
		if !p.IsValid() || p.Addr().Is4() != prefixes[0].Addr().Is4() {
			return nil, fmt.Errorf("prefix %s: want valid prefixes of one family", p)
		}
		list = append(list, p.Masked())
	}
	slices.SortFunc(list, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits() // the wider one first
	})
	out := list[:1]
	for _, p := range list[1:] {
		if !out[len(out)-1].Contains(p.Addr()) {
			out = append(out, p)
		}
	}
	return out, nil
}

// Mark matches packets whose mark is value in the bits of mask.
func Mark(value, mask uint32) Stmt {
	text := fmt.Sprintf("meta mark & 0x%08x == 0x%08x", mask, value)
	if mask == ^uint32(0) {
		text = fmt.Sprintf("meta mark 0x%08x", value)
	}
	return Stmt{text: text, exprs: func(*encoder) []byte {
		b := metaLoad(metaMark)
		if mask != ^uint32(0) {
			b = append(b, bitwise(native(mask), native(0))...)
		}
		return append(b, cmp(equal, native(value))...)
	}}
}

// SkUID matches packets of this host's own sockets that belong to a user.
func SkUID(uid uint32) Stmt {
	return Stmt{text: fmt.Sprintf("meta skuid %d", uid), exprs: func(*encoder) []byte {
		return slices.Concat(metaLoad(metaSKUID), cmp(equal, native(uid)))
	}}
}

// oneOf writes a value, or a set of them.
func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "{ " + strings.Join(words, ", ") + " }"
}

// unless writes a match that is turned round.
func unless(not bool) string {
	if not {
		return "!= "
	}
	return ""
}
