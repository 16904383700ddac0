package hpack_test

import (
	"testing"

	"transom/flow"
	"transom/internal/proto/hpack"
)

// fataler is a *testing.T, *testing.B or *rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// decode decodes a block that is valid.
func decode(t fataler, d *hpack.Decoder, block []byte) hpack.Block {
	t.Helper()
	b, err := d.Decode(block, hpack.Limit{})
	if err != nil {
		t.Fatalf("decode %x: %v", block, err)
	}
	return b
}

// appendBlock encodes a block as it came.
func appendBlock(dst []byte, e *hpack.Encoder, b hpack.Block) []byte {
	dst = e.Begin(dst, b.TableSizes)
	for _, f := range b.Fields {
		dst = e.Append(dst, f)
	}
	return dst
}

func encode(e *hpack.Encoder, b hpack.Block) []byte { return appendBlock(nil, e, b) }

// TestChosenForms: what becomes of fields that came in no form.
func TestChosenForms(t *testing.T) {
	const incremental = flow.FormIncremental
	long := string(make([]byte, 2048))
	cases := map[string]struct {
		name, value string
		want, again flow.Form
	}{
		"static":        {":method", "GET", flow.FormIndexed, flow.FormIndexed},
		"static-name":   {":path", "/a", incremental | flow.FormNameIndexed, flow.FormIndexed},
		"new":           {"x-a", "b", incremental, flow.FormIndexed},
		"large":         {"x-long", long, flow.FormLiteral | flow.FormHuffmanName, flow.FormLiteral | flow.FormHuffmanName},
		"authorization": {"authorization", "Basic YTpi", flow.FormNeverIndexed | flow.FormNameIndexed | flow.FormHuffmanValue, flow.FormNeverIndexed | flow.FormNameIndexed | flow.FormHuffmanValue},
		"short-cookie":  {"cookie", "a=1", flow.FormNeverIndexed | flow.FormNameIndexed | flow.FormHuffmanValue, flow.FormNeverIndexed | flow.FormNameIndexed | flow.FormHuffmanValue},
		"long-cookie":   {"cookie", "a=0123456789abcdef0123", incremental | flow.FormNameIndexed | flow.FormHuffmanValue, flow.FormIndexed},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e, d := hpack.NewEncoder(), hpack.NewDecoder(4096)
			for _, want := range []flow.Form{c.want, c.again} {
				b := decode(t, d, encode(e, hpack.Block{Fields: flow.Header{{Name: c.name, Value: c.value}}}))
				if len(b.Fields) != 1 || b.Fields[0] != (flow.Field{Name: c.name, Value: c.value, Form: want}) {
					t.Errorf("got %+v, want form %b", b.Fields, want)
				}
			}
		})
	}
}

// TestFormsFallBack: what was in a table on the other side and is in none here
// is added; what was never to be indexed never is.
func TestFormsFallBack(t *testing.T) {
	cases := map[string]struct {
		max        uint32
		form, want flow.Form
	}{
		"indexed":             {4096, flow.FormIndexed, flow.FormIncremental},
		"indexed-no-room":     {10, flow.FormIndexed, flow.FormLiteral},
		"name-indexed":        {4096, flow.FormLiteral | flow.FormNameIndexed, flow.FormLiteral},
		"never":               {4096, flow.FormNeverIndexed | flow.FormNameIndexed, flow.FormNeverIndexed},
		"never-and-indexed":   {4096, flow.FormNeverIndexed | flow.FormIndexed, flow.FormNeverIndexed},
		"incremental-no-room": {10, flow.FormIncremental, flow.FormIncremental},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e, d := hpack.NewEncoder(), hpack.NewDecoder(4096)
			e.SetMax(c.max)
			b := decode(t, d, encode(e, hpack.Block{Fields: flow.Header{{Name: "x", Value: "&", Form: c.form}}}))
			if len(b.Fields) != 1 || b.Fields[0] != (flow.Field{Name: "x", Value: "&", Form: c.want}) {
				t.Errorf("got %+v, want form %b", b.Fields, c.want)
			}
		})
	}
}
