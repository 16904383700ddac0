package hpack_test

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"
	"testing"

	oracle "golang.org/x/net/http2/hpack"

	"transom/flow"
	"transom/internal/proto/hpack"
)

// browser is what a browser asks for a picture with, path apart from it.
var browser = [...][2]string{
	{":method", "GET"},
	{":authority", "shop.example"},
	{":scheme", "https"},
	{":path", ""},
	{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"},
	{"accept", "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"},
	{"sec-fetch-site", "same-origin"},
	{"sec-fetch-mode", "no-cors"},
	{"referer", "https://shop.example/"},
	{"accept-encoding", "gzip, deflate, br, zstd"},
	{"accept-language", "en-US,en;q=0.9"},
	{"cookie", "session=0123456789abcdef; theme=dark"},
}

// newBlocks returns the first block of a browser on a connection and one after
// it, with another path.
func newBlocks(tb testing.TB) (first, later []byte) {
	var blocks [2]bytes.Buffer
	var to bytes.Buffer
	enc := oracle.NewEncoder(&to)
	for i := range blocks {
		for _, f := range browser {
			if f[0] == ":path" { // browsers don't index it
				to.Write([]byte{0x04})
				path := "/static/img/logo" + strconv.Itoa(i) + ".svg?v=3"
				to.WriteByte(0x80 | byte(oracle.HuffmanEncodeLength(path)))
				to.Write(oracle.AppendHuffmanString(nil, path))
			} else if err := enc.WriteField(oracle.HeaderField{Name: f[0], Value: f[1]}); err != nil {
				tb.Fatal(err)
			}
		}
		blocks[i].Write(to.Bytes())
		to.Reset()
	}
	return blocks[0].Bytes(), blocks[1].Bytes()
}

// TestAllocations: a block costs the list of its fields and one string, and
// nothing to encode.
func TestAllocations(t *testing.T) {
	first, later := newBlocks(t)
	nginx := encode(hpack.NewEncoder(), hpack.Block{Fields: literals(12)})
	cases := map[string]struct{ before, block []byte }{
		"browser": {first, later},
		"nginx":   {nil, nginx}, // indexes nothing
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d, e := hpack.NewDecoder(4096), hpack.NewEncoder()
			out := encode(e, decode(t, d, c.before))
			if n := testing.AllocsPerRun(100, func() { decode(t, d, c.block) }); n > 2 {
				t.Errorf("decoding allocates %v times, want at most 2", n)
			}
			b := decode(t, d, c.block)
			if n := testing.AllocsPerRun(100, func() { out = appendBlock(out[:0], e, b) }); n > 0 {
				t.Errorf("encoding allocates %v times", n)
			}
			if !bytes.Equal(out, c.block) {
				t.Errorf("encoded as %x, came as %x", out, c.block)
			}
		})
	}
}

// TestAllocationsOfGrowth: a connection whose every field is new pays for
// chunks, not for fields.
func TestAllocationsOfGrowth(t *testing.T) {
	block := encode(hpack.NewEncoder(), hpack.Block{Fields: flow.Header{
		{Name: "etag", Value: "0123456789abcdef", Form: flow.FormIncremental | flow.FormNameIndexed},
		{Name: "x-new", Value: "0123456789abcdef", Form: flow.FormIncremental},
	}})
	d, e := hpack.NewDecoder(4096), hpack.NewEncoder()
	var out []byte
	if n := testing.AllocsPerRun(1000, func() {
		out = appendBlock(out[:0], e, decode(t, d, block))
	}); n > 1 {
		t.Errorf("%v allocations, want that of the fields", n)
	}
}

// TestTableHoldsNoBlocks: a small entry that was part of a large block does not
// hold the block, whether it goes into both tables or into the encoder's alone.
func TestTableHoldsNoBlocks(t *testing.T) {
	for _, size := range []uint32{4096, 0} {
		d, e := hpack.NewDecoder(size), hpack.NewEncoder()
		before := held()
		for i := range 128 {
			encode(e, decode(t, d, encode(hpack.NewEncoder(), hpack.Block{Fields: flow.Header{
				{Name: "x" + strconv.Itoa(i), Value: "1", Form: flow.FormIncremental},
				{Name: "y", Value: strings.Repeat("y", 64<<10), Form: flow.FormLiteral},
			}})))
		}
		if n := held() - before; n > 1<<20 {
			t.Errorf("with a table of %d, %d bytes are held", size, n)
		}
		runtime.KeepAlive(d)
		runtime.KeepAlive(e)
	}
}

// TestTableHoldsNoOldNames: names that are handed on from entry to entry do not
// hold what the first of them came with.
func TestTableHoldsNoOldNames(t *testing.T) {
	sender, decoders := hpack.NewEncoder(), make([]*hpack.Decoder, 8)
	sender.SetMax(16384)
	for i := range decoders {
		decoders[i] = hpack.NewDecoder(16384)
	}
	before := held()
	sizes := []uint32{16384}
	for i := range 100 {
		b := hpack.Block{TableSizes: sizes, Fields: flow.Header{
			{Name: "filler", Value: strings.Repeat("f", 4000), Form: flow.FormIncremental},
			{Name: "x" + strconv.Itoa(i), Form: flow.FormIncremental},
		}}
		for j := range i {
			b.Fields = append(b.Fields, flow.Field{Name: "x" + strconv.Itoa(j), Form: flow.FormIncremental | flow.FormNameIndexed})
		}
		block := encode(sender, b)
		for _, d := range decoders {
			decode(t, d, block)
		}
		sizes = nil
	}
	if n := held() - before; n > 1<<20 {
		t.Errorf("%d bytes are held", n)
	}
	runtime.KeepAlive(decoders)
	runtime.KeepAlive(sender)
}

// held returns the bytes on the heap.
func held() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// literals is a response from a server that indexes nothing.
func literals(n int) flow.Header {
	var h flow.Header
	for i := range n {
		h = append(h, flow.Field{Name: "x-field-" + strconv.Itoa(i), Value: "text/html; charset=utf-8", Form: flow.FormLiteral | flow.FormHuffmanValue})
	}
	return h
}

func BenchmarkDecode(b *testing.B) {
	first, later := newBlocks(b)
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			decode(b, hpack.NewDecoder(4096), first)
		}
	})
	b.Run("later", func(b *testing.B) {
		d := hpack.NewDecoder(4096)
		decode(b, d, first)
		b.ReportAllocs()
		for b.Loop() {
			decode(b, d, later)
		}
	})
	b.Run("later-oracle", func(b *testing.B) {
		d := oracle.NewDecoder(4096, nil)
		if _, err := d.DecodeFull(first); err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := d.DecodeFull(later); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	first, later := newBlocks(b)
	d := hpack.NewDecoder(4096)
	one, two := decode(b, d, first), decode(b, d, later)
	var out []byte
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			out = appendBlock(out[:0], hpack.NewEncoder(), one)
		}
	})
	b.Run("later", func(b *testing.B) {
		e := hpack.NewEncoder()
		encode(e, one)
		b.ReportAllocs()
		for b.Loop() {
			out = appendBlock(out[:0], e, two)
		}
	})
	b.Run("unsaid", func(b *testing.B) {
		e, bare := hpack.NewEncoder(), hpack.Block{}
		for _, f := range two.Fields {
			bare.Fields.Add(f.Name, f.Value)
		}
		b.ReportAllocs()
		for b.Loop() {
			out = appendBlock(out[:0], e, bare)
		}
	})
	b.Run("later-oracle", func(b *testing.B) {
		var to bytes.Buffer
		e := oracle.NewEncoder(&to)
		b.ReportAllocs()
		for b.Loop() {
			to.Reset()
			for _, f := range two.Fields {
				_ = e.WriteField(oracle.HeaderField{Name: f.Name, Value: f.Value, Sensitive: f.Name == ":path"})
			}
		}
	})
}

func BenchmarkHuffman(b *testing.B) {
	const text = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
	code := oracle.AppendHuffmanString(nil, text)
	b.Run("decode", func(b *testing.B) {
		block := append([]byte{0x04, 0x80 | byte(len(code))}, code...)
		d := hpack.NewDecoder(4096)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			decode(b, d, block)
		}
	})
	b.Run("decode-oracle", func(b *testing.B) {
		var to bytes.Buffer
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			to.Reset()
			if _, err := oracle.HuffmanDecode(&to, code); err != nil {
				b.Fatal(err)
			}
		}
	})
}
