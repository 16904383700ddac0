package index

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"transom/filter"
	"transom/flow"
)

// Columns are packed so that one of some thousand flows is a few kilobytes, and is
// unpacked at about the speed of memory. Whatever is read is taken for hostile: a
// damaged file must not do more than have the index built again.

// errPacked says that what was read was not written like this.
var errPacked = fmt.Errorf("%w: a column is damaged", ErrRebuild)

// Before the values proper of a column of numbers are those that stand for none and for
// unknown.
const special = 2

// packNumbers appends numbers, each as its distance from the least, in as few bytes as
// the greatest distance needs.
func packNumbers(dst []byte, values []int64) []byte {
	least, most, any := int64(0), int64(0), false
	for _, v := range values {
		switch {
		case v <= filter.Unknown:
		case !any:
			least, most, any = v, v, true
		default:
			least, most = min(least, v), max(most, v)
		}
	}
	width := 0
	for span := uint64(most-least) + special; span > 0; span >>= 8 {
		width++
	}
	if uint64(most-least) > 1<<63 {
		width = 9 // the distance and what is special may not fit into 8 bytes
	}
	dst = binary.AppendUvarint(dst, uint64(len(values)))
	dst = binary.LittleEndian.AppendUint64(append(dst, byte(width)), uint64(least))
	for _, v := range values {
		d := uint64(v-least) + special
		if v <= filter.Unknown {
			d = uint64(v - filter.None)
		}
		if width == 9 {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
			continue
		}
		for range width {
			dst = append(dst, byte(d))
			d >>= 8
		}
	}
	return dst
}

// unpackNumbers appends to dst what packNumbers has packed, and returns the rest.
func unpackNumbers(dst []int64, b []byte) (values []int64, rest []byte, err error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || len(b)-used < 9 || b[used] == 0 || b[used] > 9 {
		return nil, nil, errPacked
	}
	width, least := int(b[used]), int64(binary.LittleEndian.Uint64(b[used+1:]))
	b = b[used+9:]
	if width == 9 {
		return unpackWide(dst, b, n)
	}
	if n > uint64(len(b)/width) {
		return nil, nil, errPacked
	}
	dst = slices.Grow(dst, int(n))
	end := int(n) * width
	for i := 0; i < end; i += width {
		var d uint64
		if i+8 <= len(b) {
			d = binary.LittleEndian.Uint64(b[i:]) & (1<<(8*width) - 1)
		} else {
			for j, c := range b[i : i+width] {
				d |= uint64(c) << (8 * j)
			}
		}
		if d < special {
			dst = append(dst, filter.None+int64(d))
		} else {
			dst = append(dst, least+int64(d-special))
		}
	}
	return dst, b[end:], nil
}

// numberAt returns one of packed numbers.
func numberAt(b []byte, row int) (int64, error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || len(b)-used < 9 || b[used] == 0 || b[used] > 9 {
		return 0, errPacked
	}
	width, least := int(b[used]), int64(binary.LittleEndian.Uint64(b[used+1:]))
	size := min(width, 8)
	b = b[used+9:]
	if n > uint64(len(b)/size) || uint64(row) >= n {
		return 0, errPacked
	}
	var d uint64
	for j, c := range b[row*size:][:size] {
		d |= uint64(c) << (8 * j)
	}
	switch {
	case width == 9:
		return int64(d), nil
	case d < special:
		return filter.None + int64(d), nil
	}
	return least + int64(d-special), nil
}

func unpackWide(dst []int64, b []byte, n uint64) ([]int64, []byte, error) {
	if n > uint64(len(b)/8) {
		return nil, nil, errPacked
	}
	for range n {
		dst = append(dst, int64(binary.LittleEndian.Uint64(b)))
		b = b[8:]
	}
	return dst, b, nil
}

// packTexts appends a column of texts: those that there are, sorted, each as what it
// has in common with the one before and the rest; and for each flow which it is. Texts
// that no flow has are left out.
func packTexts(dst []byte, dict []string, codes []int64) []byte {
	used := make([]bool, len(dict))
	for _, c := range codes {
		used[c] = true
	}
	type entry struct {
		text       string
		single, of int
	}
	order := make([]entry, 0, len(dict))
	for i := range dict {
		if used[i] {
			text, single := bare(dict[i])
			order = append(order, entry{text, single, i})
		}
	}
	slices.SortFunc(order, func(a, b entry) int { return cmp.Or(strings.Compare(a.text, b.text), a.single-b.single) })
	renamed := make([]int64, len(dict))
	dst = binary.AppendUvarint(dst, uint64(len(order)))
	before := ""
	for i, e := range order {
		renamed[e.of] = int64(i)
		same := common(before, e.text)
		dst = binary.AppendUvarint(dst, uint64(same<<1|e.single))
		dst = binary.AppendUvarint(dst, uint64(len(e.text)-same))
		dst = append(dst, e.text[same:]...)
		before = e.text
	}
	named := make([]int64, len(codes))
	for i, c := range codes {
		named[i] = renamed[c]
	}
	return packNumbers(dst, named)
}

// bare is a list of one element without what says that it is one, so that what is alike
// stands together.
func bare(list string) (text string, single int) {
	if first := filter.First(list); first != "" && len(first)+lengthOf(len(first)) == len(list) {
		return first, 1
	}
	return list, 0
}

// lengthOf is how long a length is.
func lengthOf(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func common(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

func packIDs(dst []byte, ids []flow.ID) []byte {
	for i := range ids {
		dst = append(dst, ids[i][:]...)
	}
	return dst
}

// unpackIDs appends to dst what packIDs has packed.
func unpackIDs(dst []flow.ID, b []byte) ([]flow.ID, error) {
	const size = len(flow.ID{})
	if len(b)%size != 0 {
		return nil, errPacked
	}
	dst = slices.Grow(dst, len(b)/size)
	for ; len(b) > 0; b = b[size:] {
		dst = append(dst, flow.ID(b[:size]))
	}
	return dst, nil
}
