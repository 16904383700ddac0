package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"transom/filter"
	"transom/flow"
)

// A block is some thousand flows of the file, sorted by ID, and what is known of all of
// them. It does not change: a later state is another value.
type block struct {
	number  int64
	tail    bool // it is what is hot, as it was last written
	n, live int
	dead    []uint64 // a bit for each row that is no more
	low, up flow.ID
	zones   [zones][2]int64 // the least and the greatest of some numbers
	bodies  span            // the numbers of bodies are in
}

// Columns of which blocks know the least and the greatest.
const (
	zoneSegment = iota
	zoneSize
	zoneDuration
	zones
)

// zoneColumns is a table of which they are.
var zoneColumns = [zones]int{columnSegment, columnNumbers + int(filter.Size), columnNumbers + int(filter.Duration)}

// blockOf returns the block that rows make.
func blockOf(number int64, f *frozen) *block {
	b := &block{number: number, n: len(f.id), live: len(f.id), low: f.id[0], up: f.id[len(f.id)-1]}
	for z, c := range zoneColumns {
		b.zones[z] = [2]int64{slices.Min(f.values[c]), slices.Max(f.values[c])}
	}
	for n := range f.bodies {
		b.bodies.add(n)
	}
	return b
}

// bodies yields the numbers of bodies.
func (f *frozen) bodies(yield func(uint64) bool) {
	for _, n := range []filter.Number{filter.RequestBody, filter.ResponseBody} {
		for _, v := range f.values[columnNumbers+int(n)] {
			if v > 0 && !yield(uint64(v)) {
				return
			}
		}
	}
}

// A span is numbers from the least to the greatest; the zero span is none.
type span struct{ low, up uint64 }

func (s *span) add(n uint64) {
	if s.low == 0 || n < s.low {
		s.low = n
	}
	s.up = max(s.up, n)
}

// meets reports whether the two may have a number in common.
func (s span) meets(o span) bool { return s.low != 0 && s.low <= o.up && o.low <= s.up }

func (b *block) isDead(row int) bool { return b.dead != nil && b.dead[row/64]&(1<<(row%64)) != 0 }

// without returns b without some rows.
func (b *block) without(rows []int) *block {
	c := *b
	c.dead = slices.Clone(b.dead)
	for _, row := range rows {
		c.kill(row)
	}
	return &c
}

func (b *block) kill(row int) {
	if b.dead == nil {
		b.dead = make([]uint64, (b.n+63)/64)
	}
	if !b.isDead(row) {
		b.dead[row/64] |= 1 << (row % 64)
		b.live--
	}
}

func (b *block) mayHave(id flow.ID) bool {
	return bytes.Compare(b.low[:], id[:]) <= 0 && bytes.Compare(id[:], b.up[:]) <= 0
}

// head is what is written of b besides its columns.
func (b *block) head() []byte {
	dst := binary.AppendUvarint(nil, uint64(b.n))
	tail := byte(0)
	if b.tail {
		tail = 1
	}
	dst = append(append(append(dst, tail), b.low[:]...), b.up[:]...)
	for _, z := range b.zones {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(z[0]))
		dst = binary.LittleEndian.AppendUint64(dst, uint64(z[1]))
	}
	dst = binary.LittleEndian.AppendUint64(dst, b.bodies.low)
	return binary.LittleEndian.AppendUint64(dst, b.bodies.up)
}

// deadBits is dead as it is written.
func (b *block) deadBits() []byte {
	var dst []byte
	for _, w := range b.dead {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst
}

// readBlock is the reverse of head and deadBits.
func readBlock(number int64, head, dead []byte) (*block, error) {
	n, used := binary.Uvarint(head)
	if used <= 0 || n > math.MaxInt32 || len(head) != used+1+32+16*zones+16 {
		return nil, errPacked
	}
	b := &block{number: number, n: int(n), live: int(n), tail: head[used] == 1}
	head = head[used+1:]
	copy(b.low[:], head)
	copy(b.up[:], head[16:])
	head = head[32:]
	for z := range b.zones {
		b.zones[z][0] = int64(binary.LittleEndian.Uint64(head[16*z:]))
		b.zones[z][1] = int64(binary.LittleEndian.Uint64(head[16*z+8:]))
	}
	b.bodies = span{binary.LittleEndian.Uint64(head[16*zones:]), binary.LittleEndian.Uint64(head[16*zones+8:])}
	if len(dead) == 0 {
		return b, nil
	}
	if len(dead) != (b.n+63)/64*8 {
		return nil, errPacked
	}
	for row := range b.n {
		if dead[row/8]&(1<<(row%8)) != 0 {
			b.kill(row)
		}
	}
	return b, nil
}

// expected returns the error of reading a block: damage, where what is not there should be.
func expected(err error) error {
	if errors.Is(err, ErrUnknown) {
		return fmt.Errorf("read index: %w", errPacked)
	}
	return err
}

// unlessGone is expected for a reader, for whom a block may have been removed meanwhile:
// then there is nothing to read, and nothing wrong.
func (x *Index) unlessGone(b *block, err error) error {
	if !errors.Is(err, ErrUnknown) {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if b != nil && slices.ContainsFunc(x.blocks, func(o *block) bool { return o.number == b.number }) {
		return expected(err)
	}
	return nil
}
