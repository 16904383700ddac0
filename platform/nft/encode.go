package nft

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Message types (enum nf_tables_msg_types) and flags (linux/netlink.h).
const (
	newTable   = 0
	getTable   = 1
	delTable   = 2
	newChain   = 3
	getChain   = 4
	delChain   = 5
	newRule    = 6
	getRule    = 7
	delRule    = 8
	newSet     = 9
	getSet     = 10
	newSetElem = 12
	getSetElem = 13

	getFlowtable = 23

	flagRequest = 0x1
	flagAck     = 0x4
	flagDump    = 0x300
	flagExcl    = 0x200
	flagCreate  = 0x400
	flagAppend  = 0x800
)

const (
	flagNested = 0x8000 // NLA_F_NESTED
	flagOwner  = 0x2    // NFT_TABLE_F_OWNER
)

// Registers of 16 bytes.
const (
	reg1 = 1
	reg2 = 2
)

// Comparisons.
const (
	equal      = 0
	unequal    = 1
	notGreater = 3
	notLess    = 5
)

// Byte orders of set keys, for nft's listing.
const (
	hostOrder = 1
	bigEndian = 2
)

// attr encodes a netlink attribute, padded to 4 bytes.
func attr(typ uint16, data []byte) []byte {
	b := make([]byte, 4, 4+len(data)+3)
	binary.NativeEndian.PutUint16(b, uint16(min(4+len(data), maxAttr)))
	binary.NativeEndian.PutUint16(b[2:], typ)
	b = append(b, data...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// maxAttr is the largest length an attribute can have; add refuses larger ones.
const maxAttr = 0xffff

func nest(typ uint16, attrs ...[]byte) []byte {
	return attr(typ|flagNested, slices.Concat(attrs...))
}

func be32(typ uint16, v uint32) []byte {
	return attr(typ, binary.BigEndian.AppendUint32(nil, v))
}

func str(typ uint16, s string) []byte { return attr(typ, append([]byte(s), 0)) }

func native(v uint32) []byte { return binary.NativeEndian.AppendUint32(nil, v) }

func native64(v uint64) []byte { return binary.NativeEndian.AppendUint64(nil, v) }

// value is a nested NFTA_DATA_VALUE.
func value(typ uint16, v []byte) []byte { return nest(typ, attr(1, v)) }

// expr is one element of a rule's list of expressions.
func expr(name string, data ...[]byte) []byte {
	return nest(1, str(1, name), nest(2, data...))
}

func metaLoad(key uint32) []byte { return expr("meta", be32(1, reg1), be32(2, key)) }

func cmp(op uint32, v []byte) []byte {
	return expr("cmp", be32(1, reg1), be32(2, op), value(3, v))
}

func payload(base, offset, size uint32) []byte {
	return expr("payload", be32(1, reg1), be32(2, base), be32(3, offset), be32(4, size))
}

func immediate(reg uint32, v []byte) []byte {
	return expr("immediate", be32(1, reg), value(2, v))
}

// bitwise is reg1 = reg1 & mask ^ xor.
func bitwise(mask, xor []byte) []byte {
	return expr("bitwise", be32(1, reg1), be32(2, reg1), be32(3, uint32(len(mask))), value(4, mask), value(5, xor))
}

// A message is one change of the rule set.
type message struct {
	typ   uint16
	flags uint16
	fam   Family
	attrs []byte
	what  string // for errors: "chain pre of table inet x"
}

// encoder turns a table into messages.
type encoder struct {
	table *Table
	sets  *uint32 // the last set's id, unique in the batch
	msgs  []message
	errs  []error
	what  string // what is being encoded
}

// fail notes that what is being encoded can't be.
func (e *encoder) fail(format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf("nft: "+e.what+": "+format, args...))
}

func (e *encoder) add(typ, flags uint16, attrs ...[]byte) {
	for _, a := range attrs {
		if len(a) > maxAttr {
			e.fail("too large for the kernel")
		}
	}
	e.msgs = append(e.msgs, message{typ, flags, e.table.Family, slices.Concat(attrs...), e.what})
}

// encode adds a table that must not exist yet.
func (e *encoder) encode() {
	t := e.table
	table := str(1, t.Name)
	e.what = fmt.Sprintf("table %s %s", t.Family, t.Name)
	var flags uint32
	if t.Owned {
		flags = flagOwner
	}
	e.add(newTable, flagCreate|flagExcl, table, be32(2, flags))
	for _, c := range t.Chains { // all of them before any rule: rules jump forward too
		e.what = fmt.Sprintf("chain %s of table %s %s", c.Name, t.Family, t.Name)
		e.chain(table, c)
	}
	for _, c := range t.Chains {
		for i, r := range c.Rules {
			e.what = fmt.Sprintf("rule %d (%s) of chain %s of table %s %s", i+1, r, c.Name, t.Family, t.Name)
			e.rule(table, c.Name, flagAppend, r)
		}
	}
}

func (e *encoder) chain(table []byte, c Chain) {
	if c.Type == "" {
		e.add(newChain, flagCreate, table, str(3, c.Name))
		return
	}
	policy := uint32(verdictAccept)
	if c.Drop {
		policy = verdictDrop
	}
	e.add(newChain, flagCreate, table, str(3, c.Name),
		nest(4, be32(1, uint32(c.Hook)), be32(2, uint32(int32(c.Priority)))),
		be32(5, policy), str(7, c.Type))
}

func (e *encoder) rule(table []byte, chain string, flags uint16, r Rule) {
	var exprs, comment []byte
	for _, s := range r {
		if s.exprs == nil {
			comment = e.comment(s.comment)
			continue
		}
		exprs = append(exprs, s.exprs(e)...)
	}
	e.add(newRule, flagCreate|flags, table, str(2, chain), nest(4, exprs), comment)
}

// comment encodes a rule's comment: user data of the nft program's format, which
// is a type, a length, and here a text that ends with NUL.
func (e *encoder) comment(text string) []byte {
	const userData, typeComment = 7, 0
	if len(text) >= MaxComment || strings.ContainsAny(text, "\"\n\x00") {
		e.fail("comment %q: want less than %d bytes without quotes and line ends", text, MaxComment)
		return nil
	}
	return attr(userData, append([]byte{typeComment, byte(len(text) + 1)}, text+"\x00"...))
}

// oneOf matches reg1 with a key, or looks it up in a set of keys.
func (e *encoder) oneOf(keyType uint32, order byte, not bool, keys [][]byte) []byte {
	switch len(keys) {
	case 0:
		e.fail("a match without values")
		return nil
	case 1:
		op := uint32(equal)
		if not {
			op = unequal
		}
		return cmp(op, keys[0])
	}
	elems := make([][]byte, len(keys))
	for i, k := range keys {
		elems[i] = nest(1, value(1, k))
	}
	return e.lookup(e.set(keyType, uint32(len(keys[0])), 0, order, elems), not)
}

// intervals makes a set of prefixes, which are disjoint and sorted. Each is a
// first key, and the first key behind it, which ends it.
func (e *encoder) intervals(keyType uint32, prefixes []netip.Prefix) uint32 {
	var elems [][]byte
	for i := 0; i < len(prefixes); {
		elems = append(elems, firstKey(prefixes[i].Addr().AsSlice()))
		next := after(prefixes[i])
		for i++; i < len(prefixes) && prefixes[i].Addr() == next; i++ {
			next = after(prefixes[i]) // adjacent ones are one interval
		}
		if next.IsValid() {
			elems = append(elems, endKey(next.AsSlice()))
		}
	}
	return e.set(keyType, uint32(prefixes[0].Addr().BitLen()/8), setInterval, bigEndian, elems)
}

// setInterval is the flag of sets whose elements are intervals.
const setInterval = 0x4

// firstKey is the element that begins an interval.
func firstKey(key []byte) []byte { return nest(1, value(1, key)) }

// endKey is the element behind an interval's last.
func endKey(key []byte) []byte {
	const intervalEnd = 0x1
	return nest(1, value(1, key), be32(3, intervalEnd))
}

// after returns the first address behind p, invalid if p ends the address space.
func after(p netip.Prefix) netip.Addr {
	last := p.Addr().AsSlice()
	for i := p.Bits(); i < len(last)*8; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(last)
	return a.Next()
}

// elemsPerMessage keeps a list of elements, of at most 48 bytes each, within
// one attribute.
const elemsPerMessage = 1000

// set adds an anonymous constant set, which lives and dies with its rule.
func (e *encoder) set(keyType, keyLen, flags uint32, order byte, elems [][]byte) uint32 {
	const anonymous, constant = 0x1, 0x2
	*e.sets++
	id := *e.sets
	table, name := str(1, e.table.Name), str(2, "__set%d")
	order4 := append([]byte{0, 4}, native(uint32(order))...) // NFTNL_UDATA_SET_KEYBYTEORDER
	e.add(newSet, flagCreate, table, name,
		be32(3, flags|anonymous|constant), be32(4, keyType), be32(5, keyLen), be32(10, id), attr(13, order4))
	for some := range slices.Chunk(elems, elemsPerMessage) {
		e.add(newSetElem, flagCreate, table, name, be32(4, id), nest(3, some...))
	}
	return id
}

func (e *encoder) lookup(set uint32, not bool) []byte {
	const invert = 1
	a := [][]byte{str(1, "__set%d"), be32(2, reg1), be32(4, set)}
	if not {
		a = append(a, be32(5, invert))
	}
	return expr("lookup", a...)
}
