package wire

import (
	"crypto/sha256"

	"transom/flow"
	"transom/store/segment"
)

// Kinds of records.
const (
	KindFlow    = 1 // AppendFlow
	KindConn    = 2 // AppendConn
	KindBlob    = 3 // what Blobs has returned, as it is
	KindChunk   = 4 // AppendChunk
	KindBody    = 5 // AppendBody
	KindDeleted = 6 // AppendDeleted
)

// A Chunk is bytes of a body.
type Chunk struct {
	Number uint64 // of the body
	Offset int64  // in it
	Whole  bool   // it is all of the body
	Data   []byte
}

// AppendChunk appends c to dst.
func AppendChunk(dst []byte, c *Chunk) []byte {
	w := writer{dst}
	w.octet(version)
	w.number(c.Number)
	w.integer(c.Offset)
	w.truth(c.Whole)
	w.b = append(w.b, c.Data...)
	return w.b
}

// ReadChunk reads what AppendChunk has written. Data is a part of b.
func ReadChunk(b []byte) (c Chunk, err error) {
	r := newReader(b[:min(len(b), 32)], &err) // the text of that alone
	c = r.chunk()
	if err != nil {
		return Chunk{}, err
	}
	c.Data = b[r.at:]
	return c, nil
}

func (r *reader) chunk() Chunk {
	return Chunk{Number: r.number(), Offset: r.integer(), Whole: r.truth()}
}

// A Body says where the bytes of one are, in chunks that may have been another's
// first.
type Body struct {
	Number  uint64
	Extents []Extent
	Sum     [sha256.Size]byte // of the bytes; zero is not known
}

// Size returns how many bytes it has.
func (b *Body) Size() (n int64) {
	for _, e := range b.Extents {
		n += e.Length
	}
	return n
}

// An Extent is bytes of a body: those of the chunk at a position, or all of the equal body
// whose record is there.
type Extent struct {
	segment.Position
	Length int64
}

// AppendBody appends b to dst.
func AppendBody(dst []byte, b *Body) []byte {
	w := writer{dst}
	w.octet(version)
	w.number(b.Number)
	w.number(uint64(len(b.Extents)))
	var last segment.Position
	for _, e := range b.Extents {
		if e.Segment != last.Segment {
			last.Offset = 0
		}
		w.integer(int64(e.Segment - last.Segment))
		w.integer(e.Offset - last.Offset)
		w.integer(e.Length)
		last = e.Position
	}
	if b.Sum != ([sha256.Size]byte{}) {
		w.b = append(w.b, b.Sum[:]...)
	}
	return w.b
}

// ReadBody reads what AppendBody has written.
func ReadBody(b []byte) (body Body, err error) {
	r := newReader(b, &err)
	body.Number = r.number()
	if n := r.count(3); n > 0 {
		body.Extents = make([]Extent, n)
	}
	var last segment.Position
	for i := range body.Extents {
		e := &body.Extents[i]
		e.Segment = last.Segment + uint64(r.integer())
		if e.Segment != last.Segment {
			last.Offset = 0
		}
		e.Offset, e.Length = last.Offset+r.integer(), r.integer()
		if e.Length <= 0 || e.Offset < 0 {
			r.fail("not a place")
		}
		last = e.Position
	}
	if r.left() {
		copy(body.Sum[:], r.cut(sha256.Size))
	}
	if err != nil {
		return Body{}, err
	}
	return body, nil
}

// A Deleted says that a flow was deleted, and bodies with it.
type Deleted struct {
	ID     flow.ID
	Bodies []uint64 // by number; 0 is none, and not read again
	Dead   []Dead   // what was of no use from then on
}

// Dead is how many bytes of a segment are of no use any more.
type Dead struct {
	Segment uint64
	Bytes   int64
}

// AppendDeleted appends d to dst.
func AppendDeleted(dst []byte, d *Deleted) []byte {
	w := writer{dst}
	w.octet(version)
	w.id(d.ID)
	n := 0
	for _, number := range d.Bodies {
		if number != 0 {
			n++
		}
	}
	w.number(uint64(n))
	for _, number := range d.Bodies {
		if number != 0 {
			w.number(number)
		}
	}
	w.number(uint64(len(d.Dead)))
	for _, dead := range d.Dead {
		w.number(dead.Segment)
		w.integer(dead.Bytes)
	}
	return w.b
}

// ReadDeleted reads what AppendDeleted has written.
func ReadDeleted(b []byte) (d Deleted, err error) {
	r := newReader(b, &err)
	d.ID = r.id()
	for range r.count(1) {
		d.Bodies = append(d.Bodies, r.number())
	}
	for range r.count(2) {
		d.Dead = append(d.Dead, Dead{Segment: r.number(), Bytes: r.integer()})
	}
	if err != nil {
		return Deleted{}, err
	}
	return d, nil
}

// Gist returns how much of the begin of a record a catalog has to know: which flow it is
// a state of, and which state; of a chunk all but the data; the number of a body; and all of
// a deletion. ReadState, ReadChunk, ReadNumber and ReadDeleted read that.
func Gist(kind uint8, b []byte) int {
	n := 0
	switch begun := number(b, 1); kind { // behind the version
	case KindFlow:
		n = number(b, begun+len(flow.ID{})) + 1
	case KindChunk:
		n = number(b, begun) + 1
	case KindBody:
		n = begun
	case KindDeleted:
		n = len(b)
	}
	return min(n, len(b))
}

// number returns where a number ends that begins at a place. It is called for each record
// that is written, and allocates nothing.
func number(b []byte, at int) int {
	for at < len(b) && b[at] >= 0x80 {
		at++
	}
	return at + 1
}

// ReadNumber reads which body it is, of what AppendBody has written.
func ReadNumber(b []byte) (number uint64, err error) {
	r := newReader(b[:min(len(b), 16)], &err)
	return r.number(), err
}
