package hpack_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	oracle "golang.org/x/net/http2/hpack"
	"pgregory.net/rapid"

	"transom/flow"
	"transom/internal/proto/hpack"
)

// TestOracleEncodes: what golang.org/x/net encodes is decoded, and leaves as it
// came, byte for byte.
func TestOracleEncodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var to bytes.Buffer
		enc, d, e := oracle.NewEncoder(&to), hpack.NewDecoder(4096), hpack.NewEncoder()
		for range rapid.IntRange(1, 6).Draw(t, "blocks") {
			to.Reset()
			for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "updates") {
				enc.SetMaxDynamicTableSize(genSize(t))
			}
			var sent []oracle.HeaderField
			for range rapid.IntRange(0, 12).Draw(t, "fields") {
				f := oracle.HeaderField{Name: genName(t), Value: genValue(t), Sensitive: rapid.IntRange(0, 9).Draw(t, "sensitive") == 0}
				if err := enc.WriteField(f); err != nil {
					t.Fatal(err)
				}
				sent = append(sent, f)
			}
			b := decode(t, d, to.Bytes())
			wantFields(t, b.Fields, sent)
			if out := encode(e, b); !bytes.Equal(out, to.Bytes()) {
				t.Fatalf("came as %x, leaves as %x", to.Bytes(), out)
			}
		}
	})
}

// TestOracleDecodes: what we encode, in whatever forms, golang.org/x/net
// decodes, and so do we.
func TestOracleDecodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e, j, d := hpack.NewEncoder(), newJudge(4096), hpack.NewDecoder(4096)
		for range rapid.IntRange(1, 6).Draw(t, "blocks") {
			for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "settings") {
				max := genSize(t)
				e.SetMax(max)
				j.setMax(max)
				d.SetMax(max)
			}
			in := hpack.Block{TableSizes: rapid.SliceOfN(rapid.Custom(genSize), 0, 2).Draw(t, "sizes")}
			for range rapid.IntRange(0, 12).Draw(t, "fields") {
				in.Fields = append(in.Fields, flow.Field{Name: genName(t), Value: genValue(t), Form: flow.Form(rapid.IntRange(0, 255).Draw(t, "form"))})
			}
			block := encode(e, in)
			got, err := j.decode(block)
			if err != nil {
				t.Fatalf("oracle: %x: %v", block, err)
			}
			out := decode(t, d, block)
			wantFields(t, out.Fields, got)
			if !out.Fields.Equal(in.Fields) {
				t.Fatalf("sent %v, got %v", in.Fields, out.Fields)
			}
			for i, f := range in.Fields {
				if f.Form&flow.FormNeverIndexed != 0 && out.Fields[i].Form&flow.FormNeverIndexed == 0 {
					t.Fatalf("%v was never to be indexed and left as %b", f, out.Fields[i].Form)
				}
			}
		}
	})
}

// TestFieldsLeaveAsTheyCame: whatever representations a peer uses, the fields
// leave in the same, over the whole connection. If its indices are the usual
// ones the bytes are the same.
func TestFieldsLeaveAsTheyCame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		usual := rapid.Bool().Draw(t, "usual")
		p := newPeer(t)
		d, e, again := hpack.NewDecoder(4096), hpack.NewEncoder(), hpack.NewDecoder(4096)
		for range rapid.IntRange(1, 6).Draw(t, "blocks") {
			block := p.block(t, usual)
			b := decode(t, d, block)
			out := encode(e, b)
			b2 := decode(t, again, out)
			if !slices.Equal(b.Fields, b2.Fields) || !slices.Equal(b.TableSizes, b2.TableSizes) {
				t.Fatalf("came as %x, %+v\nleaves as %x, %+v", block, b, out, b2)
			}
			if usual && !bytes.Equal(block, out) {
				t.Fatalf("came as %x, leaves as %x", block, out)
			}
		}
	})
}

// TestLimitsKeepState: what a limit leaves out is decoded all the same, and a
// limit changes nothing for the blocks that follow.
func TestLimitsKeepState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPeer(t)
		free, bound := hpack.NewDecoder(4096), hpack.NewDecoder(4096)
		for range rapid.IntRange(1, 6).Draw(t, "blocks") {
			block := p.block(t, false)
			l := hpack.Limit{Size: rapid.SampledFrom([]int{0, 1, 100, 1000}).Draw(t, "size"), Fields: rapid.IntRange(0, 6).Draw(t, "number")}
			all := decode(t, free, block)
			some, err := bound.Decode(block, l)
			if err != nil {
				t.Fatal(err)
			}
			size, n := 0, 0
			for n < len(all.Fields) && (l.Fields == 0 || n < l.Fields) {
				f := all.Fields[n]
				if size += len(f.Name) + len(f.Value) + 32; l.Size > 0 && size > l.Size {
					break
				}
				n++
			}
			if some.Size != all.Size || some.TooLarge != (n < len(all.Fields)) || !slices.Equal(some.Fields, all.Fields[:n]) {
				t.Fatalf("%+v: %d of %d fields wanted\n%+v\n%+v", l, n, len(all.Fields), some, all)
			}
		}
	})
}

// wantFields compares with what the oracle says.
func wantFields(t fataler, got flow.Header, want []oracle.HeaderField) {
	t.Helper()
	if !slices.EqualFunc(got, want, func(f flow.Field, w oracle.HeaderField) bool {
		return f.Name == w.Name && f.Value == w.Value && (f.Form&flow.FormNeverIndexed != 0) == w.Sensitive
	}) {
		t.Fatalf("got %+v\nwant %+v", got, want)
	}
}

func genSize(t *rapid.T) uint32 {
	return rapid.SampledFrom([]uint32{0, 31, 40, 100, 500, 4095, 4096}).Draw(t, "size")
}

func genName(t *rapid.T) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{":method", ":path", ":status", ":scheme", "cookie", "accept", "www-authenticate", "x-a", "x-b", "authorization"}),
		rapid.StringMatching(`[a-z-]{0,5}`),
		rapid.Just(strings.Repeat("n", 300)),
	).Draw(t, "name")
}

func genValue(t *rapid.T) string {
	return rapid.OneOf(
		rapid.SampledFrom([]string{"", "GET", "/", "200", "gzip, deflate", "a", "b", "&&&&", "\x00\xff\n"}),
		rapid.StringMatching(`[ -~]{0,20}`),
		rapid.Custom(func(t *rapid.T) string {
			return strings.Repeat("v", rapid.SampledFrom([]int{500, 1500, 4000, 5000}).Draw(t, "length"))
		}),
	).Draw(t, "value")
}
