package hpack_test

import (
	"slices"

	oracle "golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"
)

// A peer writes blocks in every way that RFC 7541 allows, with its tables as
// plain lists.
type peer struct {
	static  [][2]string
	dynamic [][2]string // newest first
	max     int
}

func newPeer(t fataler) *peer {
	p := &peer{max: 4096}
	for i := range 61 {
		f, err := oracle.NewDecoder(0, nil).DecodeFull([]byte{0x81 + byte(i)})
		if err != nil {
			t.Fatalf("static table: %v", err)
		}
		p.static = append(p.static, [2]string{f[0].Name, f[0].Value})
	}
	return p
}

// block writes a block. If usual, its indices are those that most encoders
// take, and its integers as short as can be.
func (p *peer) block(t *rapid.T, usual bool) []byte {
	var out []byte
	for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "updates") {
		p.max = int(genSize(t))
		p.evict()
		out = p.integer(t, usual, out, 0x20, 5, p.max)
	}
	for range rapid.IntRange(0, 12).Draw(t, "fields") {
		if rapid.Bool().Draw(t, "indexed") {
			f := rapid.SampledFrom(p.all()).Draw(t, "entry")
			out = p.integer(t, usual, out, 0x80, 7, p.index(t, usual, func(g [2]string) bool { return g == f }))
			continue
		}
		out = p.literal(t, usual, out)
	}
	return out
}

func (p *peer) all() [][2]string { return slices.Concat(p.static, p.dynamic) }

// index draws one of the indices of what matches.
func (p *peer) index(t *rapid.T, usual bool, match func([2]string) bool) int {
	var all []int
	for i, f := range p.all() {
		if match(f) {
			all = append(all, i+1)
		}
	}
	if usual { // the first, or the last in the static table
		last := all[0]
		for _, i := range all {
			if i <= len(p.static) {
				last = i
			}
		}
		all = []int{all[0], last}
	}
	return rapid.SampledFrom(all).Draw(t, "index")
}

func (p *peer) literal(t *rapid.T, usual bool, out []byte) []byte {
	f, i := [2]string{genName(t), genValue(t)}, 0
	if rapid.Bool().Draw(t, "name indexed") {
		f[0] = rapid.SampledFrom(p.all()).Draw(t, "name entry")[0]
		i = p.index(t, usual, func(g [2]string) bool { return g[0] == f[0] })
	}
	bits := rapid.SampledFrom([]byte{0x40, 0x10, 0x00}).Draw(t, "representation")
	prefix := 4
	if bits == 0x40 {
		prefix = 6
	}
	out = p.integer(t, usual, out, bits, prefix, i)
	if i == 0 {
		out = p.text(t, usual, out, f[0])
	}
	out = p.text(t, usual, out, f[1])
	if bits == 0x40 {
		p.dynamic = slices.Insert(p.dynamic, 0, f)
		p.evict()
	}
	return out
}

func (p *peer) evict() {
	for p.size() > p.max {
		p.dynamic = p.dynamic[:len(p.dynamic)-1]
	}
}

func (p *peer) size() int {
	n := 0
	for _, f := range p.dynamic {
		n += len(f[0]) + len(f[1]) + 32
	}
	return n
}

func (p *peer) text(t *rapid.T, usual bool, out []byte, s string) []byte {
	if !rapid.Bool().Draw(t, "huffman") {
		return append(p.integer(t, usual, out, 0, 7, len(s)), s...)
	}
	return oracle.AppendHuffmanString(p.integer(t, usual, out, 0x80, 7, int(oracle.HuffmanEncodeLength(s))), s)
}

func (p *peer) integer(t *rapid.T, usual bool, out []byte, bits byte, prefix, v int) []byte {
	limit := 1<<prefix - 1
	if v < limit {
		return append(out, bits|byte(v))
	}
	out = append(out, bits|byte(limit))
	for v -= limit; v >= 0x80; v >>= 7 {
		out = append(out, byte(v)|0x80)
	}
	if !usual && rapid.Bool().Draw(t, "padded") {
		return append(out, byte(v)|0x80, 0)
	}
	return append(out, byte(v))
}
