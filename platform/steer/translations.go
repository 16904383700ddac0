package steer

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"transom/platform/nft"
)

// A Translation is what the firewall of this host does to what leaves it: servers
// see another source.
type Translation struct {
	Where string // as a person would name it: "nft table ip nat"
	IPv6  bool   // it is for IPv6, else for IPv4
	Sure  bool   // else it depends on what isn't known beforehand
}

// sure is how far something is known to hold.
type sure int

const (
	no sure = iota
	maybe
	yes
)

func sureOf(b bool) sure {
	if b {
		return yes
	}
	return no
}

// not is the opposite.
func (s sure) not() sure { return yes - s }

// agree is what several have to say, all of whom matter.
func agree[T any](list []T, f func(T) sure) sure {
	if len(list) == 0 {
		return maybe
	}
	s := f(list[0])
	for _, x := range list[1:] {
		if f(x) != s {
			return maybe
		}
	}
	return s
}

// A leaving packet opens a connection to a server somewhere, for a client.
type leaving struct {
	ipv6 bool
	out  []device       // one of those that it may leave by
	from []netip.Prefix // one of those that it may come from
	mark uint32
}

// A device is an interface.
type device struct {
	name  string
	index int
}

// meets reports whether the packet meets a test.
func (l *leaving) meets(t nft.Test) sure {
	s := l.equals(t)
	if t.Not {
		return s.not()
	}
	return s
}

// equals is meets for a test that is not turned round.
func (l *leaving) equals(t nft.Test) sure {
	switch t.Field {
	case "oifname":
		return agree(l.out, func(d device) sure {
			name := make([]byte, 16) // IFNAMSIZ
			copy(name, d.name)
			return same(t, name)
		})
	case "oif":
		return agree(l.out, func(d device) sure { return same(t, binary.NativeEndian.AppendUint32(nil, uint32(d.index))) })
	case "iif", "iifname": // this host sends it
		return sureOf(len(bytes.Trim(t.Value, "\x00")) == 0)
	case "mark":
		return same(t, binary.NativeEndian.AppendUint32(nil, l.mark))
	case "l4proto":
		return same(t, []byte{byte(nft.TCP)})
	case "nfproto":
		family := nft.IPv4
		if l.ipv6 {
			family = nft.IPv6
		}
		return same(t, []byte{byte(family)})
	case "ip saddr", "ip6 saddr":
		return l.comesFrom(t)
	case "ip daddr", "ip6 daddr": // it is for anybody, so hardly for somebody
		return no
	}
	return maybe
}

// same compares a field with a test's value.
func same(t nft.Test, field []byte) sure {
	if len(t.Value) > len(field) {
		return maybe
	}
	for i, v := range t.Value {
		mask := byte(0xff)
		if t.Mask != nil {
			mask = t.Mask[i]
		}
		if field[i]&mask != v {
			return no
		}
	}
	return yes
}

// comesFrom is for a test of the source: of all that it may be, or of some.
func (l *leaving) comesFrom(t nft.Test) sure {
	want, ok := network(t)
	if !ok || want.Addr().Is6() != l.ipv6 {
		return sureOf(false)
	}
	return agree(l.from, func(p netip.Prefix) sure {
		switch {
		case !p.Overlaps(want):
			return no
		case p.Bits() >= want.Bits():
			return yes
		}
		return maybe
	})
}

// network is the one that a test of an address is for.
func network(t nft.Test) (netip.Prefix, bool) {
	size := 4
	if t.Field[:3] == "ip6" {
		size = 16
	}
	if len(t.Value) > size {
		return netip.Prefix{}, false
	}
	bits := 8 * len(t.Value)
	if t.Mask != nil {
		for bits = 0; bits < 8*len(t.Mask) && t.Mask[bits/8]&(0x80>>(bits%8)) != 0; {
			bits++
		}
		for _, b := range leftOf(t.Mask, bits) {
			if b != 0 { // bits apart from each other are no network
				return netip.Prefix{}, false
			}
		}
	}
	a, _ := netip.AddrFromSlice(append(bytes.Clone(t.Value), make([]byte, size-len(t.Value))...))
	p, err := a.Prefix(bits)
	return p, err == nil
}

// leftOf is a mask without its first bits.
func leftOf(mask []byte, bits int) []byte {
	rest := bytes.Clone(mask[min(bits/8, len(mask)):])
	if len(rest) > 0 {
		rest[0] &= 0xff >> (bits % 8)
	}
	return rest
}

// jumpsMax bounds a walk through chains, as the kernel does.
const jumpsMax = 16

// A walk is that of a packet through the chains of a table.
type walk struct {
	*leaving
	rules func(chain string) []nft.Reading
	been  map[string]passed // chains: many jumps may lead to one
}

// passed is what a packet has met with in a chain.
type passed struct{ source, over sure }

// chain reports whether the packet gets another source in a chain, and whether it
// is over with its table there.
func (w *walk) chain(name string, jumps int) (source, over sure) {
	if p, ok := w.been[name]; ok {
		return p.source, p.over
	}
	defer func() { w.been[name] = passed{source, over} }()
	left := yes // that it comes to the rule
	for _, r := range w.rules(name) {
		meets := left
		for _, t := range r.Tests {
			meets = min(meets, w.meets(t))
		}
		if meets == no {
			continue
		}
		if r.Does.Source {
			source = max(source, meets)
		}
		ends := no
		switch r.Does.Verdict {
		case "accept", "drop":
			over, ends = max(over, meets), meets
		case "return":
			ends = meets
		case "jump", "goto":
			if jumps == jumpsMax {
				return max(source, maybe), max(over, maybe)
			}
			s, o := w.chain(r.Does.Chain, jumps+1)
			source, over = max(source, min(s, meets)), max(over, min(o, meets))
			if ends = min(o, meets); r.Does.Verdict == "goto" {
				ends = meets
			}
		}
		if left = min(left, ends.not()); left == no {
			break
		}
	}
	return source, over
}
