package hpack_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	oracle "golang.org/x/net/http2/hpack"

	"transom/internal/proto/hpack"
)

// FuzzDecode has two blocks of one connection decoded by us and by
// golang.org/x/net: the same fields, or an error from both. What is accepted
// leaves in the same forms.
func FuzzDecode(f *testing.F) {
	first, later := newBlocks(f)
	f.Add(first, later)
	for _, seed := range [][2]string{
		{"828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf"},
		{"4803333032580770726976617465", "3f453fe11f4803333037c0"},
		{"100870617373776f726406736563726574", "bebf8010"},
		{"2040016101622a", "00016184ffffffff"},
		{"7f000161", "ff81ffffff0f"},
	} {
		f.Add(unhex(f, seed[0]), unhex(f, seed[1]))
	}
	f.Fuzz(func(t *testing.T, first, later []byte) {
		d, j, bound := hpack.NewDecoder(4096), newJudge(4096), hpack.NewDecoder(4096)
		e, again := hpack.NewEncoder(), hpack.NewDecoder(4096)
		for _, block := range [][]byte{first, later} {
			b, err := d.Decode(block, hpack.Limit{})
			some, errBound := bound.Decode(block, hpack.Limit{Size: 500, Fields: 5})
			if (err == nil) != (errBound == nil) || !slices.Equal(some.Fields, b.Fields[:len(some.Fields)]) || some.Size != b.Size {
				t.Fatalf("%+v, %v\nwith limits %+v, %v", b, err, some, errBound)
			}
			want, wantErr := j.decode(block)
			if err != nil {
				if wantErr == nil && !stricter(err) {
					t.Fatalf("%v, and the oracle accepts %v", err, want)
				}
				return
			}
			if wantErr != nil {
				t.Fatalf("%+v, and the oracle says %v", b, wantErr)
			}
			wantFields(t, b.Fields, want)
			if b2 := decode(t, again, encode(e, b)); !slices.Equal(b.Fields, b2.Fields) || !slices.Equal(b.TableSizes, b2.TableSizes) {
				t.Fatalf("came as %+v\nleaves as %+v", b, b2)
			}
		}
	})
}

// stricter reports whether err is for what the oracle lets pass.
func stricter(err error) bool {
	return slices.ContainsFunc([]string{"integer too large", "more than two", "within a block"}, func(s string) bool {
		return strings.Contains(err.Error(), s)
	})
}

// FuzzHuffman compares with golang.org/x/net's decoder, and has what is accepted
// leave as it came.
func FuzzHuffman(f *testing.F) {
	var all []byte
	for i := range 256 {
		all = append(all, byte(i))
	}
	for _, text := range []string{"", "a", "www.example.com", "Mon, 21 Oct 2013 20:13:21 GMT", "\x00\xff\n", string(all)} {
		f.Add(oracle.AppendHuffmanString(nil, text))
	}
	f.Add(unhex(f, "ffffffff"))
	f.Add(unhex(f, "18ff"))
	f.Fuzz(func(t *testing.T, code []byte) {
		if len(code) > 1<<14 {
			return
		}
		block := []byte{0x04, 0xff, 0x80 | byte(len(code)-127), byte((len(code) - 127) >> 7)}
		if len(code) < 127 {
			block = []byte{0x04, 0x80 | byte(len(code))}
		}
		block = append(block, code...)
		b, err := hpack.NewDecoder(4096).Decode(block, hpack.Limit{})
		var want bytes.Buffer
		_, wantErr := oracle.HuffmanDecode(&want, code)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%v, the oracle says %v", err, wantErr)
		}
		if err == nil && b.Fields[0].Value != want.String() {
			t.Fatalf("got %q, want %q", b.Fields[0].Value, want.String())
		}
		if err == nil {
			if out := encode(hpack.NewEncoder(), b); !bytes.HasSuffix(out, code) {
				t.Fatalf("came as %x, leaves as %x", code, out)
			}
		}
	})
}
