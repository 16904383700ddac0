package h2_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"pgregory.net/rapid"
)

// endless hides the test's deadline, which is in a time outside the bubble.
type endless struct{ *testing.T }

func (endless) Deadline() (time.Time, bool) { return time.Time{}, false }

// TestConversationsPass generates conversations of valid messages, in frames of
// every shape, and has them pass: the blocks byte for byte, the bodies whole,
// the ends where they were.
func TestConversationsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(endless{t}, func(t *rapid.T) {
			w := greetJoin(t)
			defer w.finish()
			w.near.SetSegment(rapid.SampledFrom([]int{0, 1, 5, 1000}).Draw(t, "segment"))
			a, b := newSpeaker(w.client), newSpeaker(w.server)
			for i := range uint32(rapid.IntRange(1, 5).Draw(t, "exchanges")) {
				id := 1 + 2*i
				a.message(t, w, id, rfcPost)
				for range rapid.IntRange(0, 2).Draw(t, "interims") {
					b.head(t, id, false, fmt.Sprintf(":status=%d", rapid.IntRange(102, 199).Draw(t, "interim")))
				}
				b.message(t, w, id, []string{fmt.Sprintf(":status=%d", rapid.IntRange(200, 599).Filter(func(n int) bool { return n != 204 && n != 205 && n != 304 }).Draw(t, "status"))})
			}
			w.wantJoined()
			a.wantAll(t, w.server)
			b.wantAll(t, w.client)
		})
	})
}

// A speaker is one who says valid messages in odd ways.
type speaker struct {
	p      *rfcPeer
	blocks []string
	bodies map[uint32]string
}

func newSpeaker(p *rfcPeer) *speaker { return &speaker{p: p, bodies: map[uint32]string{}} }

// message says a head, pieces of a body, and trailers, and lets some of it
// arrive before the rest.
func (s *speaker) message(t *rapid.T, w *rfcJoin, id uint32, pseudo []string) {
	pieces := rapid.SliceOfN(rapid.IntRange(0, 300), 0, 4).Draw(t, "pieces")
	trailers := rapid.Bool().Draw(t, "trailers")
	s.head(t, id, len(pieces) == 0 && !trailers, pseudo...)
	for i, n := range pieces {
		if rapid.Bool().Draw(t, "settle") {
			w.settle()
		}
		s.data(t, id, i == len(pieces)-1 && !trailers, strings.Repeat(string(rune('a'+i)), n))
	}
	if trailers {
		s.head(t, id, true)
	}
	w.settle()
}

// head says a header block: fields in any form, frames of any size.
func (s *speaker) head(t *rapid.T, id uint32, end bool, pseudo ...string) {
	if len(pseudo) > 0 && rapid.IntRange(0, 5).Draw(t, "resize") == 0 {
		s.p.enc.SetMaxDynamicTableSize(rapid.Uint32Range(0, 4096).Draw(t, "size"))
	}
	block := s.p.encode(pseudo...)
	least := 1 // a trailer section of nothing need not stay one
	if len(pseudo) > 0 {
		least = 0
	}
	for range rapid.IntRange(least, 6).Draw(t, "fields") {
		name := rapid.SampledFrom([]string{"x-a", "x-b", "accept", "cookie", "server", "vary", "!", "x-" + rapid.StringMatching(`[a-z0-9]{1,5}`).Draw(t, "name")}).Draw(t, "field")
		value := rapid.OneOf(rapid.SampledFrom([]string{"", "1", "gzip, deflate"}), rapid.StringMatching(`[!-~]([ -~]{0,20}[!-~])?`), rapid.Just("\xe9\xff")).Draw(t, "value")
		switch rapid.IntRange(0, 3).Draw(t, "form") {
		case 0, 1:
			block = append(block, s.p.encode(name+"="+value)...)
		case 2:
			block = append(block, rfcLiteral(t, 0x00, name, value)...)
		case 3:
			block = append(block, rfcLiteral(t, 0x10, name, value)...)
		}
	}
	s.blocks = append(s.blocks, string(block))
	s.frames(t, id, end, block)
}

// rfcLiteral is a field with a literal name, in Huffman coding or not.
func rfcLiteral(t *rapid.T, form byte, name, value string) []byte {
	b := []byte{form}
	for _, s := range []string{name, value} {
		if rapid.Bool().Draw(t, "huffman") {
			b = append(b, huffman(s)...)
		} else {
			b = append(append(b, byte(len(s))), s...)
		}
	}
	return b
}

// frames sends a block as HEADERS and CONTINUATION, padded and with priority
// perhaps.
func (s *speaker) frames(t *rapid.T, id uint32, end bool, block []byte) {
	p := http2.HeadersFrameParam{StreamID: id, EndStream: end, EndHeaders: true, PadLength: rapid.SampledFrom([]uint8{0, 0, 1, 255}).Draw(t, "pad")}
	if cut := rapid.IntRange(0, 2*len(block)).Draw(t, "cut"); cut < len(block) {
		p.EndHeaders, p.BlockFragment, block = false, block[:cut], block[cut:]
	} else {
		p.BlockFragment = block
	}
	s.p.patient()
	_ = s.p.fr.WriteHeaders(p)
	if !p.EndHeaders {
		half := len(block) / 2
		_ = s.p.fr.WriteContinuation(id, false, block[:half])
		_ = s.p.fr.WriteContinuation(id, true, block[half:])
	}
}

func (s *speaker) data(t *rapid.T, id uint32, end bool, body string) {
	s.bodies[id] += body
	s.p.patient()
	if rapid.Bool().Draw(t, "padded") {
		_ = s.p.fr.WriteDataPadded(id, end, []byte(body), make([]byte, rapid.IntRange(0, 255).Draw(t, "padding")))
	} else {
		_ = s.p.fr.WriteData(id, end, []byte(body))
	}
}

// wantAll checks that the other end has received it all.
func (s *speaker) wantAll(t *rapid.T, to *rfcPeer) {
	var blocks []string
	bodies := map[uint32]string{}
	ends := map[uint32]int{}
	for _, f := range to.frames {
		switch f.Type {
		case http2.FrameHeaders:
			blocks = append(blocks, string(f.block))
		case http2.FrameData:
			bodies[f.StreamID] += f.text
		default:
			continue
		}
		if f.Flags.Has(http2.FlagDataEndStream) {
			ends[f.StreamID]++
		}
	}
	if fmt.Sprintf("%x", blocks) != fmt.Sprintf("%x", s.blocks) {
		t.Errorf("blocks\n%x, want\n%x", blocks, s.blocks)
	}
	for id, body := range s.bodies {
		if bodies[id] != body {
			t.Errorf("stream %d: body %q, want %q", id, bodies[id], body)
		}
	}
	for _, id := range to.streams() {
		if ends[id] != 1 {
			t.Errorf("stream %d ended %d times", id, ends[id])
		}
	}
}
