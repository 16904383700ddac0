package hpack_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"transom/flow"
	"transom/internal/proto/hpack"
)

// A vector is one block of RFC 7541, appendix C: its bytes, and its fields a line
// each.
type vector struct{ hex, fields string }

const (
	request1 = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com"
	request2 = request1 + "\ncache-control: no-cache"
	request3 = ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value"

	response1 = ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com"
	response2 = ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com"
	response3 = ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n" +
		"content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
)

// TestRFC7541Examples has the examples of appendix C decoded, and leave as they
// came.
func TestRFC7541Examples(t *testing.T) {
	cases := map[string]struct {
		table  uint32
		blocks []vector
	}{
		"c-2-1-incremental": {4096, []vector{{"400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key: custom-header"}}},
		"c-2-2-literal":     {4096, []vector{{"040c2f73616d706c652f70617468", ":path: /sample/path"}}},
		"c-2-3-never":       {4096, []vector{{"100870617373776f726406736563726574", "password: secret"}}},
		"c-2-4-indexed":     {4096, []vector{{"82", ":method: GET"}}},
		"c-3-requests": {4096, []vector{
			{"828684410f7777772e6578616d706c652e636f6d", request1},
			{"828684be58086e6f2d6361636865", request2},
			{"828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", request3},
		}},
		"c-4-requests-huffman": {4096, []vector{
			{"828684418cf1e3c2e5f23a6ba0ab90f4ff", request1},
			{"828684be5886a8eb10649cbf", request2},
			{"828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf", request3},
		}},
		"c-5-responses": {256, []vector{
			{"4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d", response1},
			{"4803333037c1c0bf", response2},
			{"88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31", response3},
		}},
		"c-6-responses-huffman": {256, []vector{
			{"488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3", response1},
			{"4883640effc1c0bf", response2},
			{"88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007", response3},
		}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d, e := hpack.NewDecoder(c.table), hpack.NewEncoder()
			e.SetMax(c.table)
			e.Begin(nil, nil) // the examples begin with it agreed
			for i, v := range c.blocks {
				block := unhex(t, v.hex)
				b := decode(t, d, block)
				if got := lines(b.Fields); got != v.fields {
					t.Errorf("block %d:\n%s\nwant\n%s", i, got, v.fields)
				}
				if out := encode(e, b); !bytes.Equal(out, block) {
					t.Errorf("block %d came as %x, leaves as %x", i, block, out)
				}
			}
		})
	}
}

// TestRFC7541Integers: the examples of section C.1, as table sizes and as an
// index.
func TestRFC7541Integers(t *testing.T) {
	cases := map[string]struct {
		hex  string
		size uint32
	}{
		"c-1-1": {"2a", 10},
		"c-1-2": {"3f9a0a", 1337},
		"zero":  {"20", 0},
		"edge":  {"3f00", 31},
		"most":  {"3fe0ffffff0f", 1<<32 - 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			block := unhex(t, c.hex)
			b := decode(t, hpack.NewDecoder(1<<32-1), block)
			if !slices.Equal(b.TableSizes, []uint32{c.size}) {
				t.Errorf("got %v, want %d", b.TableSizes, c.size)
			}
			e := hpack.NewEncoder()
			e.SetMax(1<<32 - 1)
			if out := encode(e, b); !bytes.Equal(out, block) {
				t.Errorf("came as %x, leaves as %x", block, out)
			}
		})
	}
}

// TestRFC7541SizeUpdates: what Begin owes the peer, by what was set since the
// last block (section 4.2).
func TestRFC7541SizeUpdates(t *testing.T) {
	type step struct {
		max   []uint32
		sizes []uint32
		want  string
	}
	cases := map[string][]step{
		"unchanged":           {{nil, nil, ""}},
		"raised":              {{[]uint32{8192}, nil, ""}},
		"lowered":             {{[]uint32{10}, nil, "2a"}, {nil, nil, ""}},
		"lowered-and-raised":  {{[]uint32{10, 4096}, nil, "2a3fe11f"}, {nil, nil, ""}},
		"lowered-then-raised": {{[]uint32{10}, nil, "2a"}, {[]uint32{20}, nil, "34"}},
		"as-it-came":          {{nil, []uint32{10}, "2a"}, {nil, nil, ""}},
		"as-it-came-again":    {{nil, []uint32{4096}, "3fe11f"}},
		"two-as-they-came":    {{nil, []uint32{10, 20}, "2a34"}},
		"clamped":             {{[]uint32{5}, nil, "25"}, {nil, []uint32{10}, "25"}, {[]uint32{20}, nil, "2a"}},
		"follows-at-once":     {{[]uint32{10}, []uint32{10}, "2a"}},
		"follows-lower":       {{[]uint32{10}, []uint32{5}, "25"}},
		"follows-later":       {{[]uint32{10}, nil, "2a"}, {nil, []uint32{10}, "2a"}},
		"follows-in-two":      {{[]uint32{10, 20}, []uint32{10, 20}, "2a34"}},
		"other-than-owed":     {{[]uint32{5, 20}, []uint32{10, 20}, "2534"}},
		"the-owed-is-the-one": {{[]uint32{5}, []uint32{10}, "25"}},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			e, d := hpack.NewEncoder(), hpack.NewDecoder(4096)
			for i, s := range steps {
				for _, max := range s.max {
					e.SetMax(max)
					d.SetMax(max)
				}
				out := append(e.Begin(nil, s.sizes), 0x82)
				if got := strings.TrimSuffix(hex.EncodeToString(out), "82"); got != s.want {
					t.Errorf("block %d begins with %q, want %q", i, got, s.want)
				}
				decode(t, d, out)
			}
		})
	}
}

func unhex(t fataler, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return b
}

func lines(h flow.Header) string {
	var out []string
	for _, f := range h {
		out = append(out, fmt.Sprintf("%s: %s", f.Name, f.Value))
	}
	return strings.Join(out, "\n")
}
