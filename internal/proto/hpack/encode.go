package hpack

import (
	"golang.org/x/net/http2/hpack"

	"transom/flow"
)

// An Encoder encodes what one side of a connection is sent. Its memory is
// bounded by the table. It is not for concurrent use.
type Encoder struct {
	table  table
	finder finder
	max    uint32 // what the peer allows
	want   uint32 // what the other side set its table to
	owed   uint64 // lowest max since the last block, none if it was not changed
}

// NewEncoder returns an Encoder with a table of 4096, which peers allow until
// they say something else.
func NewEncoder() *Encoder {
	return &Encoder{table: table{max: defaultSize}, finder: newFinder(), max: defaultSize, want: defaultSize, owed: none}
}

// SetMax is called when the peer's SETTINGS_HEADER_TABLE_SIZE is another one.
// If that is less than the table's size, the next block begins with an update.
func (e *Encoder) SetMax(max uint32) {
	e.max = max
	e.owed = min(e.owed, uint64(max))
}

// Begin begins a block. It appends the size updates that the peer is owed (RFC
// 7541, section 4.2), and sizes, the one or two that the block began with on
// the other side, as far as the peer allows them. The table's size is always the lower of
// what the other side uses and what the peer allows: once the peer allows it
// again, the table grows again.
func (e *Encoder) Begin(dst []byte, sizes []uint32) []byte {
	if len(sizes) > 0 {
		e.want = sizes[len(sizes)-1]
	}
	owed := e.owed < e.table.max && (len(sizes) == 0 || uint64(sizes[0]) > e.owed)
	if owed {
		dst = e.resize(dst, uint32(e.owed))
	}
	if owed || len(sizes) == 0 {
		if size := min(e.want, e.max); uint64(size) != e.table.max {
			dst = e.resize(dst, size)
		}
	} else {
		for _, size := range sizes {
			dst = e.resize(dst, min(size, e.max))
		}
	}
	e.owed = none
	return dst
}

// resize sets the size of both tables.
func (e *Encoder) resize(dst []byte, size uint32) []byte {
	e.table.resize(uint64(size))
	return appendInteger(dst, 0x20, 5, uint64(size))
}

// Append appends one field in the form it came in. What was in a table on the
// other side and is in none here becomes a literal that is added to the table.
// What was never to be indexed never is. For a field without a form it chooses.
func (e *Encoder) Append(dst []byte, f flow.Field) []byte {
	switch form := f.Form; {
	case form&flow.FormNeverIndexed != 0:
		return e.literal(dst, f, neverIndexed, form)
	case form&flow.FormLiteral != 0:
		return e.literal(dst, f, literal, form)
	case form&flow.FormIncremental != 0:
		return e.literal(dst, f, incremental, form)
	case form&flow.FormIndexed == 0 && secret(f):
		return e.literal(dst, f, neverIndexed, chosen)
	}
	if i := e.field(f); i > 0 {
		return appendInteger(dst, 0x80, 7, i)
	}
	most := e.table.max
	if f.Form&flow.FormIndexed == 0 {
		most /= 2 // more would push out what is likelier to come again
	}
	if uint64(len(f.Name)+len(f.Value))+overhead > most {
		return e.literal(dst, f, literal, chosen)
	}
	return e.literal(dst, f, incremental, chosen)
}

// secret reports whether an attacker who can have fields added to the table
// could guess a value from the size of blocks: one that is short or that
// matters most (section 7.1.3).
func secret(f flow.Field) bool {
	switch f.Name {
	case "authorization", "proxy-authorization":
		return true
	case "cookie", "set-cookie":
		return len(f.Value) < 20
	}
	return false
}

// A kind is the first bits of a literal representation (section 6.2).
type kind byte

const (
	incremental  kind = 0x40
	neverIndexed kind = 0x10
	literal      kind = 0x00
)

// prefix returns how many bits the index of the name begins with.
func (k kind) prefix() uint {
	if k == incremental {
		return 6
	}
	return 4
}

// chosen is the form of a field that came in none: its name is from a table if
// it is in one, and Huffman coding is used where it is shorter.
const chosen = flow.Form(0)

// literal appends a field with its value, and perhaps its name, written out.
func (e *Encoder) literal(dst []byte, f flow.Field, k kind, form flow.Form) []byte {
	name, value := codingOf(form, flow.FormHuffmanName), codingOf(form, flow.FormHuffmanValue)
	i := uint64(0)
	if form == chosen || form&flow.FormNameIndexed != 0 {
		i, name = e.name(f.Name, form&flow.FormNameLast != 0), shorter
	}
	dst = appendInteger(dst, byte(k), k.prefix(), i)
	if i == 0 {
		dst = appendText(dst, f.Name, name)
	}
	dst = appendText(dst, f.Value, value)
	if k == incremental {
		e.add(f, i)
	}
	return dst
}

// add adds a field whose name is at an index, or at 0. The field's strings are
// copied, as they may be parts of large ones.
func (e *Encoder) add(f flow.Field, i uint64) {
	if !e.table.room(uint64(len(f.Name)+len(f.Value)) + overhead) {
		return
	}
	e.table.texts.reserve(len(f.Name) + len(f.Value))
	var name string
	if 0 < i && i < uint64(len(static)) {
		name = static[i].name
	} else {
		name = e.table.texts.string(f.Name)
	}
	e.table.push(entry{name, e.table.texts.string(f.Value)})
	e.finder.added(&e.table)
}

// field returns the index of a whole field, or 0. The static table comes first.
func (e *Encoder) field(f flow.Field) uint64 {
	if i := staticField(f.Name, f.Value); i > 0 {
		return i
	}
	return e.index(e.finder.field(&e.table, f.Name, f.Value))
}

// name returns the index of a name, or 0. The static table comes first, of
// whose names that stand more than once there some peers take the last.
func (e *Encoder) name(name string, wantLast bool) uint64 {
	first, last := staticName(name)
	switch {
	case first == 0:
		return e.index(e.finder.name(&e.table, name))
	case wantLast:
		return last
	}
	return first
}

// index returns the index of the dynamic entry with this number, 0 for 0.
func (e *Encoder) index(number uint64) uint64 {
	if number == 0 {
		return 0
	}
	return uint64(len(static)) + e.table.last - number
}

// A coding is how a string is written.
type coding uint8

const (
	shorter coding = iota // whichever is
	plain
	huffman
)

// codingOf returns what a form says with a bit.
func codingOf(form, bit flow.Form) coding {
	switch {
	case form == chosen:
		return shorter
	case form&bit != 0:
		return huffman
	}
	return plain
}

// appendText appends a string literal (section 5.2).
func appendText(dst []byte, s string, c coding) []byte {
	if c != plain {
		n := hpack.HuffmanEncodeLength(s)
		if c == huffman || n < uint64(len(s)) {
			return hpack.AppendHuffmanString(appendInteger(dst, 0x80, 7, n), s)
		}
	}
	return append(appendInteger(dst, 0, 7, uint64(len(s))), s...)
}

// appendInteger appends an integer behind the first bits of its byte (section
// 5.1).
func appendInteger(dst []byte, bits byte, prefix uint, v uint64) []byte {
	limit := uint64(1)<<prefix - 1
	if v < limit {
		return append(dst, bits|byte(v))
	}
	dst = append(dst, bits|byte(limit))
	for v -= limit; v >= 0x80; v >>= 7 {
		dst = append(dst, byte(v)|0x80)
	}
	return append(dst, byte(v))
}
