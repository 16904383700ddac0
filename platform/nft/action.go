package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// verdicts (enum nft_verdicts and linux/netfilter.h), as the kernel's s32.
const (
	verdictDrop   = 0
	verdictAccept = 1
	verdictJump   = ^uint32(3 - 1) // -3
	verdictReturn = ^uint32(5 - 1) // -5
)

// Accept lets the packet pass this chain.
func Accept() Stmt { return verdict("accept", verdictAccept, "") }

// Drop discards the packet.
func Drop() Stmt { return verdict("drop", verdictDrop, "") }

// Return goes back to the chain that jumped here.
func Return() Stmt { return verdict("return", verdictReturn, "") }

// Jump goes through another chain of the table and comes back.
func Jump(chain string) Stmt { return verdict("jump "+chain, verdictJump, chain) }

func verdict(text string, code uint32, chain string) Stmt {
	return Stmt{text: text, exprs: func(*encoder) []byte {
		v := be32(1, code)
		if chain != "" {
			v = append(v, str(2, chain)...)
		}
		return expr("immediate", be32(1, 0), nest(2, nest(2, v)))
	}}
}

// MaxComment is more than a comment has bytes.
const MaxComment = 128

// Comment notes something on a rule, for who lists it. It matches everything.
// A rule has one, as its last statement.
func Comment(text string) Stmt {
	return Stmt{text: fmt.Sprintf("comment \"%s\"", text), comment: text}
}

// Counter counts packets and bytes.
func Counter() Stmt {
	return Stmt{text: "counter", exprs: func(*encoder) []byte { return expr("counter") }}
}

// SetMark sets the bits of mask in the packet's mark to value and keeps the
// others, which belong to other programs.
func SetMark(value, mask uint32) Stmt {
	text := fmt.Sprintf("meta mark set meta mark & 0x%08x | 0x%08x", ^mask, value)
	if mask == ^uint32(0) {
		text = fmt.Sprintf("meta mark set 0x%08x", value)
	}
	return Stmt{text: text, exprs: func(e *encoder) []byte {
		if value&^mask != 0 {
			e.fail("mark %#x has bits outside of mask %#x", value, mask)
		}
		set := expr("meta", be32(2, metaMark), be32(3, reg1))
		if mask == ^uint32(0) {
			return slices.Concat(immediate(reg1, native(value)), set)
		}
		return slices.Concat(metaLoad(metaMark), bitwise(native(^mask), native(value)), set)
	}}
}

// Redirect sends a connection to a port of this host (REDIRECT). The rule must
// match a transport protocol before it, and be in a nat chain.
func Redirect(port uint16) Stmt {
	return Stmt{text: fmt.Sprintf("redirect to :%d", port), exprs: func(*encoder) []byte {
		return slices.Concat(immediate(reg1, binary.BigEndian.AppendUint16(nil, port)), expr("redir", be32(1, reg1)))
	}}
}

// TProxy gives a packet to the transparent listener at to, without changing the
// packet. The rule must match a transport protocol before it, the packet's mark
// must route it to this host, and the chain must be a filter at prerouting. An
// address has packets of its own family only; an unspecified one leaves it open.
func TProxy(to netip.AddrPort) Stmt {
	a := to.Addr()
	if !a.IsValid() || a.IsUnspecified() {
		return Stmt{text: fmt.Sprintf("tproxy to :%d", to.Port()), exprs: func(*encoder) []byte {
			return slices.Concat(immediate(reg2, binary.BigEndian.AppendUint16(nil, to.Port())), expr("tproxy", be32(1, 0), be32(3, reg2)))
		}}
	}
	family, word := IPv4, "ip"
	if a.Is6() {
		family, word = IPv6, "ip6"
	}
	return Stmt{text: fmt.Sprintf("meta nfproto %s tproxy %s to %s", map[Family]string{IPv4: "ipv4", IPv6: "ipv6"}[family], word, to), exprs: func(*encoder) []byte {
		return slices.Concat(
			metaLoad(metaNFProto), cmp(equal, []byte{byte(family)}),
			immediate(reg1, a.AsSlice()),
			immediate(reg2, binary.BigEndian.AppendUint16(nil, to.Port())),
			expr("tproxy", be32(1, uint32(family)), be32(2, reg1), be32(3, reg2)))
	}}
}

// Notrack keeps conntrack from seeing the packet.
func Notrack() Stmt {
	return Stmt{text: "notrack", exprs: func(*encoder) []byte { return expr("notrack") }}
}

// RejectReset answers TCP with a reset.
func RejectReset() Stmt {
	return Stmt{text: "reject with tcp reset", exprs: func(*encoder) []byte { return expr("reject", be32(1, 1)) }}
}

// RejectPort answers with ICMP or ICMPv6 port unreachable, so that a client
// tries something else at once.
func RejectPort() Stmt {
	const icmpx, portUnreachable = 2, 1
	return Stmt{text: "reject with icmpx port-unreachable", exprs: func(*encoder) []byte {
		return expr("reject", be32(1, icmpx), attr(2, []byte{portUnreachable}))
	}}
}

// OriginalZone puts a connection's original direction into a conntrack zone, so
// that two connections with the same addresses and ports can be told apart. It
// goes before conntrack, at priority -300.
func OriginalZone(zone uint16) Stmt {
	const keyZone, original = 17, 0
	return Stmt{text: fmt.Sprintf("ct original zone set %d", zone), exprs: func(*encoder) []byte {
		return slices.Concat(
			immediate(reg1, binary.NativeEndian.AppendUint16(nil, zone)),
			expr("ct", be32(2, keyZone), attr(3, []byte{original}), be32(4, reg1)))
	}}
}

// Masquerade gives connections that go out the address of this host. It is for
// nat chains at postrouting.
func Masquerade() Stmt {
	return Stmt{text: "masquerade", exprs: func(*encoder) []byte { return expr("masq") }}
}
