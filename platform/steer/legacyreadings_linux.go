package steer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"transom/platform/nft"
)

// readings are the rules of a chain that begins at an offset, up to one that ends
// it for all packets: each chain has such a last one.
func (t *legacyTable) readings(chain string) (list []nft.Reading) {
	at, err := strconv.Atoi(chain)
	if err != nil {
		return nil
	}
	for {
		rule, size := t.rule(at)
		if size == 0 {
			return list
		}
		r := t.reading(at, size)
		list = append(list, r)
		if rule.all && r.Does.Verdict != "" && r.Does.Verdict != "jump" {
			return list
		}
		at += size
	}
}

func (f *legacyFamily) ipv6() bool { return f.domain == unix.AF_INET6 }

// reading reads the rule at an offset, which is there.
func (t *legacyTable) reading(at, size int) (r nft.Reading) {
	b := t.rules[at : at+size]
	r.Tests = t.header(b)
	target := int(binary.NativeEndian.Uint16(b[t.matchSize+4:]))
	const header = 32 // struct xt_entry_match, xt_entry_target
	for m := b[t.headerSize:target]; len(m) >= header; {
		length := int(binary.NativeEndian.Uint16(m))
		if length < header || length > len(m) {
			break
		}
		switch name := legacyName(m); {
		case name == "comment":
		case name == "mark" && m[31] == 1 && length >= header+9:
			r.Tests = append(r.Tests, nft.MarkTest(m[header:length]))
		default:
			r.Tests = append(r.Tests, nft.Test{})
		}
		m = m[length:]
	}
	does := b[target:]
	switch legacyName(does) {
	case "MASQUERADE", "SNAT", "NETMAP":
		r.Does = nft.Does{Verdict: "accept", Source: true}
	case "DNAT", "REDIRECT":
		r.Does = nft.Does{Verdict: "accept"}
	case "":
		if len(does) >= header+4 {
			r.Does = t.verdict(int(int32(binary.NativeEndian.Uint32(does[header:]))), at+size, b)
		}
	}
	return r
}

// verdict reads one: below zero is the end of something, and else where to go on.
func (t *legacyTable) verdict(v, next int, rule []byte) nft.Does {
	const drop, accept, back = -1, -2, -5
	switch {
	case v == drop:
		return nft.Does{Verdict: "drop"}
	case v == accept:
		return nft.Does{Verdict: "accept"}
	case v == back:
		return nft.Does{Verdict: "return"}
	case v < 0 || v == next:
		return nft.Does{}
	case rule[t.flagsAt()]&t.isGoto() != 0:
		return nft.Does{Verdict: "goto", Chain: fmt.Sprint(v)}
	}
	return nft.Does{Verdict: "jump", Chain: fmt.Sprint(v)}
}

func (f *legacyFamily) flagsAt() int {
	if f.ipv6() {
		return 131
	}
	return 82
}

// isGoto is IPT_F_GOTO or IP6T_F_GOTO.
func (f *legacyFamily) isGoto() byte {
	if f.ipv6() {
		return 4
	}
	return 2
}

// header reads a struct ipt_ip or ip6t_ip6: addresses with their masks, interfaces
// with theirs, and a protocol.
func (f *legacyFamily) header(b []byte) (tests []nft.Test) {
	size, word := 4, "ip"
	if f.ipv6() {
		size, word = 16, "ip6"
	}
	in := 4 * size // where the names of interfaces begin, 16 bytes each
	flags, turned := f.flagsAt(), b[f.flagsAt()+1]
	protocol := binary.NativeEndian.Uint16(b[in+64:])
	add := func(field string, invert byte, value, mask []byte) {
		if len(bytes.Trim(mask, "\x00")) == 0 {
			return
		}
		want := make([]byte, len(value)) // "wan+" has the plus, too
		for i := range want {
			want[i] = value[i] & mask[i]
		}
		tests = append(tests, nft.Test{Field: field, Not: turned&invert != 0, Value: want, Mask: mask})
	}
	add(word+" saddr", 0x08, b[:size], b[2*size:3*size])
	add(word+" daddr", 0x10, b[size:2*size], b[3*size:4*size])
	add("iifname", 0x01, b[in:in+16], b[in+32:in+48])
	add("oifname", 0x02, b[in+16:in+32], b[in+48:in+64])
	const hasProtocol = 1 // IP6T_F_PROTO; IPv4 has no such flag, but one for fragments there
	if protocol != 0 && (!f.ipv6() || b[flags]&hasProtocol != 0) {
		tests = append(tests, nft.Test{Field: "l4proto", Not: turned&0x40 != 0, Value: []byte{byte(protocol)}})
	}
	known := f.isGoto()
	if f.ipv6() {
		known |= hasProtocol
	}
	if turned&^byte(0x5b) != 0 || b[flags]&^known != 0 { // fragments, or a type of service
		tests = append(tests, nft.Test{})
	}
	return tests
}
