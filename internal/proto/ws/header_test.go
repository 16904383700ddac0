package ws

import (
	"bytes"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var headers = cmp.AllowUnexported(header{})

// RFC 6455, section 5.7: the examples.
func TestHeaderExamples(t *testing.T) {
	for _, tc := range []struct {
		name  string
		bytes string
		want  header
	}{
		{"text", "\x81\x05", header{fin: true, op: opText, length: 5}},
		{"masked-text", "\x81\x85\x37\xfa\x21\x3d", header{fin: true, op: opText, length: 5, masked: true, mask: [4]byte{0x37, 0xfa, 0x21, 0x3d}}},
		{"first-fragment", "\x01\x03", header{op: opText, length: 3}},
		{"last-fragment", "\x80\x02", header{fin: true, length: 2}},
		{"ping", "\x89\x05", header{fin: true, op: opPing, length: 5}},
		{"masked-pong", "\x8a\x85\x37\xfa\x21\x3d", header{fin: true, op: opPong, length: 5, masked: true, mask: [4]byte{0x37, 0xfa, 0x21, 0x3d}}},
		{"256", "\x82\x7e\x01\x00", header{fin: true, op: opBinary, length: 256}},
		{"64KiB", "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", header{fin: true, op: opBinary, length: 65536}},
		{"compressed", "\xc1\x07", header{fin: true, rsv: bitRSV1, op: opText, length: 7}},
		{"largest", "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", header{fin: true, op: opBinary, length: math.MaxInt64}},
		{"long-16", "\x82\x7e\x00\x7d", header{fin: true, op: opBinary, length: 125, long: true}},
		{"long-64", "\x82\x7f\x00\x00\x00\x00\x00\x00\xff\xff", header{fin: true, op: opBinary, length: 65535, long: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h, n, err := parseHeader([]byte(tc.bytes + "rest"))
			if err != nil || n != len(tc.bytes) {
				t.Fatalf("%d octets, %v", n, err)
			}
			if diff := cmp.Diff(tc.want, h, headers); diff != "" {
				t.Error(diff)
			}
			for cut := range tc.bytes {
				if _, n, err := parseHeader([]byte(tc.bytes[:cut])); n != 0 || err != nil {
					t.Errorf("cut at %d: %d octets, %v", cut, n, err)
				}
			}
			if got := appendHeader(nil, &h); !h.long && string(got) != tc.bytes {
				t.Errorf("written as % x", got)
			}
		})
	}
}

func TestHeaderTooLong(t *testing.T) {
	for n := 3; n < 12; n++ {
		if _, _, err := parseHeader([]byte("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04")[:n]); err != errLength {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

// However a stream is cut, its pieces are the stream, and say the same.
func TestSplit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stream, payload []byte
		var want []header
		for range rapid.IntRange(1, 5).Draw(t, "frames") {
			h := header{
				fin: rapid.Bool().Draw(t, "fin"), rsv: byte(rapid.IntRange(0, 7).Draw(t, "rsv")) << 4,
				op: byte(rapid.IntRange(0, 15).Draw(t, "op")), masked: rapid.Bool().Draw(t, "masked"),
				length: rapid.SampledFrom([]int64{0, 1, 7, 125, 126, 300, 65535, 65536}).Draw(t, "length"),
			}
			if h.masked {
				copy(h.mask[:], rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "mask"))
			}
			p := bytes.Repeat([]byte{byte(len(want))}, int(h.length))
			want, payload = append(want, h), append(payload, p...)
			stream = append(appendHeader(stream, &h), p...)
		}
		var s splitter
		var all, got []byte
		var seen []header
		for p := stream; len(p) > 0; {
			cut := p[:min(len(p), rapid.IntRange(1, 70000).Draw(t, "cut"))]
			p = p[len(cut):]
			for len(cut) > 0 {
				pc, n, err := s.next(cut)
				if err != nil {
					t.Fatal(err)
				}
				cut = cut[n:]
				all = append(all, pc.bytes...)
				switch {
				case pc.header:
					seen = append(seen, s.h)
				case pc.bytes != nil:
					got = append(got, pc.bytes...)
				}
				if pc.last != (s.left == 0 && pc.bytes != nil) {
					t.Fatalf("%+v, %d left", pc, s.left)
				}
			}
		}
		if diff := cmp.Diff(want, seen, headers); diff != "" || !bytes.Equal(all, stream) || !bytes.Equal(got, payload) || !s.between() {
			t.Fatalf("%s", diff)
		}
	})
}

func TestMask(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload")
		mask := [4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "mask"))
		at := rapid.IntRange(0, 9).Draw(t, "at")
		got := appendMasked([]byte("x"), p, mask, int64(at))
		for i := range p {
			if got[i+1] != p[i]^mask[(i+at)%4] {
				t.Fatalf("octet %d is %#x", i, got[i+1])
			}
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"))
	f.Add([]byte("\x82\x7e\x01\x00"))
	f.Add([]byte("\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"))
	f.Add([]byte("\x82\x7f\x80\x00\x00\x00\x00\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, p []byte) {
		h, n, err := parseHeader(p)
		if err != nil || n == 0 {
			return
		}
		again, m, err := parseHeader(appendHeader(nil, &h))
		if h.long = false; err != nil || m > n || again != h {
			t.Fatalf("%+v, %d octets, then %+v, %d octets, %v", h, n, again, m, err)
		}
	})
}
