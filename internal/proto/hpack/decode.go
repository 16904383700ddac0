package hpack

import (
	"errors"
	"fmt"
	"math"

	"transom/flow"
)

var (
	errLate   = errors.New("dynamic table size update within a block")
	errMany   = errors.New("more than two dynamic table size updates")
	errLarge  = errors.New("dynamic table size update above SETTINGS_HEADER_TABLE_SIZE")
	errMissed = errors.New("no dynamic table size update after SETTINGS_HEADER_TABLE_SIZE was reduced")
)

// A Decoder decodes what one side of a connection sends. Its memory is bounded
// by the table, and does not grow with the blocks. It is not for concurrent
// use.
type Decoder struct {
	table table
	max   uint32 // what the peer may set the table to
	owed  uint64 // what it has to set it to or below, in the next block; none if nothing

	// Of the block that is being decoded.
	passed []byte // literals that the table does not keep
	cuts   []cut  // how they are divided
}

// A cut is one field's part of passed.
type cut struct {
	field       int
	name, value int  // lengths
	named       bool // by a table
}

// NewDecoder returns a Decoder for a peer that has been told that
// SETTINGS_HEADER_TABLE_SIZE is max. The table begins with 4096, or with max if
// that is less and no size update is expected for it; where the peer is still
// to acknowledge max, begin with 4096 and call SetMax when it has.
func NewDecoder(max uint32) *Decoder {
	d := &Decoder{max: max, owed: none}
	d.table.max = uint64(min(max, defaultSize))
	return d
}

// SetMax is called when the peer has acknowledged another
// SETTINGS_HEADER_TABLE_SIZE. If that is less than the table's size, the next
// block has to begin with a size update (RFC 9113, section 4.3.1).
func (d *Decoder) SetMax(max uint32) {
	d.max = max
	if uint64(max) < d.table.max {
		d.owed = min(d.owed, uint64(max))
	}
}

// Decode decodes a whole block, the fragments of HEADERS and CONTINUATION
// joined. It doesn't keep block. After an error, which is a connection error of
// type COMPRESSION_ERROR, the Decoder is of no more use. What a Limit leaves
// out is still decoded, as later blocks may refer to it.
func (d *Decoder) Decode(block []byte, l Limit) (Block, error) {
	var b Block
	in := input{block: block}
	err := d.updates(&in, &b)
	b.Fields = make(flow.Header, 0, in.count(l))
	for err == nil && in.more() {
		err = d.field(&in, &b, l)
	}
	if err != nil {
		return Block{}, fmt.Errorf("hpack: before byte %d of %d: %w", in.at, len(block), err)
	}
	d.finish(&b)
	return b, nil
}

// updates reads the size updates that a block begins with. There can be two:
// the lowest that had to be, and the last (section 4.2).
func (d *Decoder) updates(in *input, b *Block) error {
	if !in.more() {
		return nil // nothing begins in an empty block
	}
	for in.more() && in.block[in.at]&0xe0 == 0x20 {
		size, err := in.integer(5)
		switch {
		case err != nil:
			return err
		case len(b.TableSizes) == 2:
			return errMany
		case size > uint64(d.max):
			return errLarge
		case size > d.owed:
			return errMissed
		}
		d.owed = none
		d.table.resize(size)
		b.TableSizes = append(b.TableSizes, uint32(size))
	}
	if d.owed != none {
		return errMissed
	}
	return nil
}

// field reads one field, by the first bits of its representation (section 6).
func (d *Decoder) field(in *input, b *Block, l Limit) error {
	c := in.block[in.at]
	switch {
	case c&0x80 != 0:
		return d.indexed(in, b, l)
	case c&0x40 != 0:
		return d.literal(in, b, l, 6, flow.FormIncremental)
	case c&0x20 != 0:
		return errLate
	case c&0x10 != 0:
		return d.literal(in, b, l, 4, flow.FormNeverIndexed)
	}
	return d.literal(in, b, l, 4, flow.FormLiteral)
}

func (d *Decoder) indexed(in *input, b *Block, l Limit) error {
	i, err := in.integer(7)
	if err != nil {
		return err
	}
	e, err := d.entry(i)
	if err != nil {
		return err
	}
	d.emit(b, l, flow.Field{Name: e.name, Value: e.value, Form: flow.FormIndexed}, e.size())
	return nil
}

// literal reads a field whose value, and perhaps name, is written out.
func (d *Decoder) literal(in *input, b *Block, l Limit, prefix uint, form flow.Form) error {
	i, err := in.integer(prefix)
	if err != nil {
		return err
	}
	f, start := flow.Field{Form: form}, len(d.passed)
	if i > 0 {
		err = d.nameAt(i, &f)
	} else {
		err = d.text(in, &f, flow.FormHuffmanName)
	}
	middle := len(d.passed)
	if err == nil {
		err = d.text(in, &f, flow.FormHuffmanValue)
	}
	if err != nil {
		return err
	}
	name, value := d.passed[start:middle], d.passed[middle:]
	size := uint64(len(f.Name)+len(name)+len(value)) + overhead
	kept := form&flow.FormIncremental != 0 && d.table.room(size)
	if kept {
		d.keep(&f, i, name, value)
	}
	if d.emit(b, l, f, size) && !kept {
		d.cuts = append(d.cuts, cut{len(b.Fields) - 1, len(name), len(value), i > 0})
		return nil
	}
	d.passed = d.passed[:start]
	return nil
}

// text reads a string literal to the end of passed, and adds bit to f's form if
// it is Huffman coded.
func (d *Decoder) text(in *input, f *flow.Field, bit flow.Form) (err error) {
	var huffman bool
	if d.passed, huffman, err = in.text(d.passed); huffman {
		f.Form |= bit
	}
	return err
}

// nameAt gives f the name that is at an index.
func (d *Decoder) nameAt(i uint64, f *flow.Field) error {
	e, err := d.entry(i)
	f.Name = e.name
	f.Form |= flow.FormNameIndexed
	if 0 < i && i < uint64(len(static)) {
		if first, last := staticName(e.name); i == last && i != first {
			f.Form |= flow.FormNameLast
		}
	}
	return err
}

// keep adds f to the table, with a value that is written out, and a name too
// unless i is its index. f gets the strings that the table keeps.
func (d *Decoder) keep(f *flow.Field, i uint64, name, value []byte) {
	d.table.texts.reserve(len(f.Name) + len(name) + len(value))
	switch {
	case i == 0:
		f.Name = d.table.texts.bytes(name)
	case i >= uint64(len(static)): // from an entry that may go before this one
		f.Name = d.table.texts.string(f.Name)
	}
	f.Value = d.table.texts.bytes(value)
	d.table.push(entry{f.Name, f.Value})
}

// entry returns what is at an index of the two tables (section 2.3.3).
func (d *Decoder) entry(i uint64) (entry, error) {
	switch dynamic := i - uint64(len(static)); {
	case i == 0:
		return entry{}, errors.New("index 0")
	case i < uint64(len(static)):
		return static[i], nil
	case dynamic < d.table.n:
		return *d.table.at(d.table.last - dynamic), nil
	}
	return entry{}, fmt.Errorf("index %d is in no table", i)
}

// emit counts a field and takes it in, unless that would pass the limit.
func (d *Decoder) emit(b *Block, l Limit, f flow.Field, size uint64) bool {
	b.Size = int(min(uint64(b.Size)+size, math.MaxInt))
	if l.Size > 0 && b.Size > l.Size || l.Fields > 0 && len(b.Fields) == l.Fields {
		b.TooLarge = true
	}
	if b.TooLarge {
		return false
	}
	b.Fields = append(b.Fields, f)
	return true
}

// keptBytes is the size of buffers that are kept from block to block.
const keptBytes = 4096

// finish gives b's fields the literals that were passed, all of which are parts
// of one string, and empties the buffers.
func (d *Decoder) finish(b *Block) {
	rest := string(d.passed)
	for _, c := range d.cuts {
		f := &b.Fields[c.field]
		if !c.named {
			f.Name, rest = rest[:c.name], rest[c.name:]
		}
		f.Value, rest = rest[:c.value], rest[c.value:]
	}
	d.cuts, d.passed = d.cuts[:0], d.passed[:0]
	if cap(d.passed) > keptBytes || cap(d.cuts) > keptBytes/32 {
		d.cuts, d.passed = nil, nil
	}
}
