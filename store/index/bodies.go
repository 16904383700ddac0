package index

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// Bodies are kept by their numbers, some in a row together: bodies that come together
// are written together, a page at a time.
const perPage = 128

func pageOf(number uint64) int64 { return int64(number / perPage) }

// packBodies is a page. low and up are the least and the greatest segment in it.
func packBodies(list []Body) (data []byte, low, up int64) {
	low = math.MaxInt64
	for _, b := range list {
		data = append(data, byte(b.Number%perPage))
		data = binary.AppendUvarint(data, uint64(b.Size))
		data = binary.AppendUvarint(data, uint64(len(b.Extents)))
		for _, e := range b.Extents {
			data = binary.AppendUvarint(data, e.Position.Segment)
			data = binary.AppendUvarint(data, uint64(e.Position.Offset))
			data = binary.AppendUvarint(data, uint64(e.Length))
			low, up = min(low, int64(e.Position.Segment)), max(up, int64(e.Position.Segment))
		}
	}
	return data, low, up
}

// unpackBodies is the reverse.
func unpackBodies(page int64, data []byte) (list []Body, err error) {
	r := bytes.NewReader(data)
	number := func() (n uint64) {
		if err == nil {
			n, err = binary.ReadUvarint(r)
		}
		return n
	}
	for r.Len() > 0 && err == nil {
		low, _ := r.ReadByte()
		b := Body{Number: uint64(page)*perPage + uint64(low), Size: int64(number())}
		n := number()
		if low >= perPage || n > uint64(r.Len())/3 {
			return nil, errPacked
		}
		b.Extents = make([]Extent, 0, n)
		for range n {
			e := Extent{}
			e.Position.Segment, e.Position.Offset, e.Length = number(), int64(number()), int64(number())
			b.Extents = append(b.Extents, e)
		}
		list = append(list, b)
	}
	if err != nil {
		return nil, errPacked
	}
	return list, nil
}

// in reports whether something of b is in one of some segments.
func (b Body) in(s segments) bool {
	return slices.ContainsFunc(b.Extents, func(e Extent) bool { return s.has(e.Position.Segment) })
}

// Body returns where a body's bytes are, or ErrUnknown.
func (x *Index) Body(_ context.Context, number uint64) (Body, error) {
	x.mu.Lock()
	b, ok := x.bodies[number]
	removed := slices.Clone(x.removed)
	x.mu.Unlock()
	switch {
	case ok && b == nil:
		return Body{}, ErrUnknown
	case ok:
		return *b, nil
	}
	data, err := x.db.page(pageOf(number))
	if err != nil {
		return Body{}, err
	}
	list, err := unpackBodies(pageOf(number), data)
	if err != nil {
		return Body{}, x.db.fail("read index", err)
	}
	i := slices.IndexFunc(list, func(b Body) bool { return b.Number == number })
	if i < 0 || slices.ContainsFunc(removed, list[i].in) {
		return Body{}, ErrUnknown
	}
	return list[i], nil
}

// writeBodies writes what has changed, page by page.
func (c *change) writeBodies(changed map[uint64]*Body) error {
	numbers := make([]uint64, 0, len(changed))
	for n := range changed {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for len(numbers) > 0 {
		page, n := pageOf(numbers[0]), 1
		for n < len(numbers) && pageOf(numbers[n]) == page {
			n++
		}
		if err := c.editPage(page, func(list []Body) []Body {
			list = slices.DeleteFunc(list, func(b Body) bool { _, ok := changed[b.Number]; return ok })
			for _, n := range numbers[:n] {
				if b := changed[n]; b != nil {
					list = append(list, *b)
				}
			}
			return list
		}); err != nil {
			return err
		}
		numbers = numbers[n:]
	}
	return nil
}

// editPage reads a page, and writes what edit makes of it.
func (c *change) editPage(page int64, edit func([]Body) []Body) error {
	data, err := c.page(page)
	if err != nil {
		return err
	}
	list, err := unpackBodies(page, data)
	if err != nil {
		return c.d.fail("read index", err)
	}
	list = edit(list)
	slices.SortFunc(list, func(a, b Body) int { return cmp.Compare(a.Number, b.Number) })
	packed, low, up := packBodies(list)
	return c.putPage(page, low, up, packed)
}

// dropBodiesIn forgets bodies of which something is in segments that are no more.
func (c *change) dropBodiesIn(s segments) error {
	pages, err := c.pagesIn(s)
	for _, page := range pages {
		err = errors.Join(err, c.editPage(page, func(list []Body) []Body {
			list = slices.DeleteFunc(list, func(b Body) bool { return b.in(s) })
			if !slices.ContainsFunc(list, func(b Body) bool { return len(b.Extents) > 0 }) {
				return nil // what is empty is in no segment, and goes with what came with it
			}
			return list
		}))
	}
	return err
}
