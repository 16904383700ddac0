package ws

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// inflate takes DEFLATE off one message, cut into pieces.
func inflate(z *inflater, p []byte, piece int) ([]byte, error) {
	var out []byte
	z.emit = func(b []byte) error { out = append(out, b...); return nil }
	for len(p) > 0 {
		n := min(piece, len(p))
		if err := z.write(p[:n]); err != nil {
			return out, err
		}
		p = p[n:]
	}
	return out, z.end()
}

// oracle is what the standard library makes of it.
func oracle(p, window []byte) ([]byte, error) {
	r := flate.NewReaderDict(io.MultiReader(bytes.NewReader(p), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")), window)
	return io.ReadAll(r)
}

// text is compressible octets.
func text(t *rapid.T, label string) []byte {
	var out []byte
	for range rapid.IntRange(0, 12).Draw(t, label) {
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0:
			out = append(out, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "noise")...)
		case 1:
			out = append(out, bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(t, "unit"), rapid.IntRange(1, 9000).Draw(t, "times"))...)
		case 2:
			out = append(out, strings.Repeat("the quick brown fox ", rapid.IntRange(1, 40).Draw(t, "foxes"))...)
		default:
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
			for range rapid.IntRange(0, 20000).Draw(t, "skewed") {
				out = append(out, byte(r.NormFloat64()*9)+'m')
			}
		}
	}
	return out
}

// A stream of messages comes out as it went in, whatever compressed it and
// however it is cut.
func TestInflateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		level := rapid.SampledFrom([]int{flate.HuffmanOnly, flate.NoCompression, 1, 5, 9}).Draw(t, "level")
		w, err := flate.NewWriter(&b, level)
		if err != nil {
			t.Fatal(err)
		}
		z := &inflater{window: maxWindow}
		for range rapid.IntRange(1, 4).Draw(t, "messages") {
			want := text(t, "parts")
			b.Reset()
			w.Write(want)
			w.Flush()
			sent := bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
			got, err := inflate(z, sent, rapid.IntRange(1, 5000).Draw(t, "piece"))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d octets, %v; want %d", len(got), err, len(want))
			}
		}
	})
}

// RFC 7692, section 7.2.3: the examples.
func TestInflateExamples(t *testing.T) {
	for _, tc := range []struct {
		name     string
		messages []string
	}{
		{"one-block", []string{"\xf2\x48\xcd\xc9\xc9\x07\x00"}},
		{"shared-window", []string{"\xf2\x48\xcd\xc9\xc9\x07\x00", "\xf2\x00\x11\x00\x00"}},
		{"stored", []string{"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"}},
		{"last-block", []string{"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"}},
		{"two-blocks", []string{"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"}},
		{"last-block-without-more", []string{"\xf3\x48\xcd\xc9\xc9\x07\x00"}},
		{"last-block-then-window", []string{"\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "\xf2\x00\x11\x00\x00"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for piece := 1; piece < 14; piece++ {
				z := &inflater{window: maxWindow}
				for _, m := range tc.messages {
					if got, err := inflate(z, []byte(m), piece); err != nil || string(got) != "Hello" {
						t.Errorf("%d octets at a time: %q, %v", piece, got, err)
					}
				}
			}
		})
	}
}

// Cut short, it is damaged, and nothing is invented.
func TestInflateDamaged(t *testing.T) {
	for _, m := range []string{
		"\x06",                         // no such block
		"\x00\x05\x00\xfa\xfe",         // length and its complement
		"\xf2\x48\xcd",                 // cut
		"\xf2\x00\x11\x00\x00",         // refers to what is not there
		"\xfd\xff\xff\xff\xff\xff\xff", // too many codes
	} {
		if got, err := inflate(&inflater{window: maxWindow}, []byte(m), 100); err != errDamaged {
			t.Errorf("% x: %q, %v", m, got, err)
		}
	}
}

func FuzzInflate(f *testing.F) {
	f.Add([]byte("\xf2\x48\xcd\xc9\xc9\x07\x00"), []byte{}, uint8(3))
	f.Add([]byte("\xf2\x00\x11\x00\x00"), []byte("Hello"), uint8(1))
	f.Add([]byte("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), []byte{}, uint8(2))
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, 9)
	w.Write(bytes.Repeat([]byte("a dynamic block needs some text to be worth it. "), 20))
	w.Flush()
	f.Add(bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff}), []byte("window"), uint8(7))
	f.Fuzz(func(t *testing.T, p, window []byte, piece uint8) {
		if len(window) > maxWindow || len(p) == 0 {
			return
		}
		z := &inflater{window: maxWindow, hist: bytes.Clone(window), given: len(window)}
		got, err := inflate(z, p, int(piece)+1)
		want, werr := oracle(p, window)
		// Ours reads on after a last block, and wants the message to end between
		// two blocks; so it may find more, and more to complain of.
		switch {
		case err == nil && werr == nil && !bytes.HasPrefix(got, want):
			t.Fatalf("%q, want %q", got, want)
		case err == nil && werr != nil:
			t.Fatalf("%q without error, want %v", got, werr)
		case len(got) > 0 && len(want) > 0 && got[0] != want[0]:
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	var buf bytes.Buffer
	w, _ := flate.NewWriter(&buf, 6)
	plain := []byte(strings.Repeat(`{"price":"1832.11","size":"0.25","side":"buy","seq":12345678},`, 300))
	w.Write(plain)
	w.Flush()
	sent := bytes.TrimSuffix(buf.Bytes(), []byte{0, 0, 0xff, 0xff})
	z := &inflater{window: maxWindow, emit: func([]byte) error { return nil }}
	b.SetBytes(int64(len(plain)))
	b.ReportAllocs()
	for b.Loop() {
		z.write(sent)
		if err := z.end(); err != nil {
			b.Fatal(err)
		}
	}
}
