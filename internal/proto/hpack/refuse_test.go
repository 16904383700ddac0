package hpack_test

import (
	"slices"
	"strings"
	"testing"

	"transom/internal/proto/hpack"
)

// TestRefuses: what is a connection error of type COMPRESSION_ERROR.
func TestRefuses(t *testing.T) {
	cases := map[string]struct{ hex, want string }{
		"index-0":                  {"80", "index 0"},
		"index-past-the-static":    {"be", "index 62 is in no table"},
		"index-past-the-dynamic":   {"4001610162bf", "index 63 is in no table"},
		"huge-index":               {"ff80ffffff0f", "index 4294967295 is in no table"},
		"name-index-out-of-range":  {"7e0161", "index 62 is in no table"},
		"evicted-index":            {"3f0340016101624001610163bf", "index 63 is in no table"},
		"integer-above-32-bits":    {"ff81ffffff0f", "integer too large"},
		"integer-of-many-bytes":    {"ff808080808000", "integer too large"},
		"integer-without-end":      {"ff8080", "block ends"},
		"no-name":                  {"40", "block ends"},
		"no-value":                 {"400161", "block ends"},
		"name-past-the-end":        {"40026101", "block ends"},
		"value-past-the-end":       {"4001610262", "block ends"},
		"huge-length":              {"4001617fffffffff0762", "block ends"},
		"value-length-cut":         {"4001617f", "block ends"},
		"eos":                      {"00016184ffffffff", "Huffman"},
		"eos-after-text":           {"00016188ffffffffffffffff", "Huffman"},
		"a-byte-of-padding":        {"000161821fff", "Huffman"},
		"padding-of-zeros":         {"0001618118", "Huffman"},
		"only-padding":             {"00016181ff", "Huffman"},
		"code-cut":                 {"00016182fffe", "Huffman"},
		"huffman-in-name":          {"0081ff0161", "Huffman"},
		"update-above-maximum":     {"3fe21f", "above SETTINGS_HEADER_TABLE_SIZE"},
		"update-after-a-field":     {"8220", "within a block"},
		"update-after-an-addition": {"400161016220", "within a block"},
		"three-updates":            {"20202082", "more than two"},
		"update-cut":               {"3f", "block ends"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b, err := hpack.NewDecoder(4096).Decode(unhex(t, c.hex), hpack.Limit{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %+v, %v, want %q", b, err, c.want)
			}
		})
	}
}

// TestRefusesSilenceAfterReduction: a peer that has acknowledged less than its
// table has must say so first (RFC 9113, section 4.3.1).
func TestRefusesSilenceAfterReduction(t *testing.T) {
	cases := map[string]struct {
		max  []uint32
		hex  string
		good bool
	}{
		"nothing":            {[]uint32{100}, "82", false},
		"that-much":          {[]uint32{100}, "3f4582", true},
		"less":               {[]uint32{100}, "2082", true},
		"more":               {[]uint32{100}, "3f4682", false},
		"raised-again":       {[]uint32{100, 4096}, "82", false},
		"lowest-and-last":    {[]uint32{100, 4096}, "3f453fe11f82", true},
		"last-alone":         {[]uint32{100, 4096}, "3fe11f82", false},
		"more-than-the-last": {[]uint32{100, 200}, "3f453fe11f82", false},
		"raised":             {[]uint32{8192}, "82", true},
		"raised-and-used":    {[]uint32{8192}, "3fe13f82", true},
		"back-to-the-old":    {[]uint32{8192, 4096}, "82", true},
		"empty-block":        {[]uint32{100}, "", true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := hpack.NewDecoder(4096)
			for _, max := range c.max {
				d.SetMax(max)
			}
			if b, err := d.Decode(unhex(t, c.hex), hpack.Limit{}); (err == nil) != c.good {
				t.Errorf("got %+v, %v", b, err)
			}
		})
	}
}

// TestReductionIsOwedOnce: after the update it owed a peer goes on as before.
func TestReductionIsOwedOnce(t *testing.T) {
	d := hpack.NewDecoder(4096)
	d.SetMax(10)
	decode(t, d, nil) // no block to say it in
	for _, block := range []string{"2a82", "82"} {
		decode(t, d, unhex(t, block))
	}
	d.SetMax(10)
	d.SetMax(4096)
	decode(t, d, []byte{0x82})
}

// TestTableBeginsWithDefault: a peer that may use more says so before it does
// (RFC 7541, section 4.2).
func TestTableBeginsWithDefault(t *testing.T) {
	d := hpack.NewDecoder(65536)
	field := slices.Concat(unhex(t, "4001617fa10f"), make([]byte, 2080)) // 2113 of 4096
	decode(t, d, field)
	decode(t, d, field)
	decode(t, d, []byte{0xbe})
	if b, err := d.Decode([]byte{0xbf}, hpack.Limit{}); err == nil {
		t.Errorf("two entries of %d are in a table of 4096", b.Size)
	}
}

// TestBombIsBounded: a block that refers to one large entry again and again
// costs the fields that the limit allows, and is counted whole.
func TestBombIsBounded(t *testing.T) {
	d := hpack.NewDecoder(4096)
	decode(t, d, slices.Concat(unhex(t, "4001617fa11e"), make([]byte, 4000))) // an entry of 4033
	block := slices.Repeat([]byte{0xbe}, 1<<20)
	b, err := d.Decode(block, hpack.Limit{Size: 1 << 16})
	if err != nil || !b.TooLarge || len(b.Fields) != 16 || b.Size != 4033<<20 {
		t.Errorf("%d fields, size %d, too large %v, %v", len(b.Fields), b.Size, b.TooLarge, err)
	}
	if n := testing.AllocsPerRun(1, func() { _, err = d.Decode(block, hpack.Limit{Size: 1 << 16}) }); n > 2 || err != nil {
		t.Errorf("%v allocations, %v", n, err)
	}
}
