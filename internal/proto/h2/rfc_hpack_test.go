package h2_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h2"
)

// rfcBlock is GET https://shop.test/ in indexed fields and a literal.
const rfcBlock = "\x82\x87\x84\x41\x09shop.test"

// TestRFC7541BadBlocks end the connection with COMPRESSION_ERROR (section 4.3
// of RFC 9113), in requests and in trailers.
func TestRFC7541BadBlocks(t *testing.T) {
	for name, block := range map[string]string{
		"2.3.3-index-beyond-tables":       rfcBlock + "\xc6",
		"2.3.3-name-index-beyond-tables":  rfcBlock + "\x7f\x80\x01\x01a",
		"4.2-size-update-at-the-end":      rfcBlock + "\x20",
		"4.2-size-update-inside":          "\x82\x20" + rfcBlock[1:],
		"4.2-three-size-updates":          "\x20\x3f\xe1\x1f\x20" + rfcBlock,
		"5.1-integer-overflows":           rfcBlock + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
		"5.1-integer-cut":                 rfcBlock + "\xff\x80",
		"5.2-padding-of-eight-bits":       rfcBlock + "\x00\x81\x1f\x82\x1f\xff",
		"5.2-padding-of-zeros":            rfcBlock + "\x00\x81\x18\x01a",
		"5.2-eos":                         rfcBlock + "\x00\x84\xff\xff\xff\xff\x01a",
		"5.2-string-longer-than-block":    rfcBlock + "\x00\x01a\x05b",
		"6.1-index-0":                     rfcBlock + "\x80",
		"6.3-size-update-beyond-settings": "\x3f\xe2\x1f" + rfcBlock,
		"6.3-size-update-far-beyond":      "\x3f\xe1\xff\xff\xff\x07" + rfcBlock,
		"literal-without-value":           rfcBlock + "\x40\x01a",
		"evicted-entry":                   "\x20\x3f\xe1\x1f" + rfcBlock + "\xbf",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, rfcOK, h2.Options{})
				defer w.finish()
				w.client.raw(http2.FrameHeaders, endHeaders|endStream, 1, block)
				w.client.wantGoAway(compression)
				w.wantBroken(compression)
			})
		})
	}
}

// TestRFC7541GoodBlocks come in every form and in pieces.
func TestRFC7541GoodBlocks(t *testing.T) {
	for name, block := range map[string]string{
		"indexed":                  rfcBlock,
		"6.3-size-update":          "\x20" + rfcBlock,
		"6.3-two-size-updates":     "\x20\x3f\xe1\x1f" + rfcBlock,
		"6.2.1-incremental":        rfcBlock + "\x40\x01a\x01b",
		"6.2.2-without-indexing":   rfcBlock + "\x00\x01a\x01b",
		"6.2.3-never-indexed":      rfcBlock + "\x10\x01a\x01b",
		"5.2-huffman":              rfcBlock + "\x40\x81\x1f\x81\x1f",
		"2.3.2-dynamic":            rfcBlock + "\x40\x01a\x01b\xbe\xbe",
		"2.3.2-dynamic-name":       rfcBlock + "\x40\x01a\x01b\x7e\x01c",
		"4.4-larger-than-table":    rfcBlock + "\x40\x01a\x7f\xe1\x20" + strings.Repeat("b", 0x7f+0x1061),
		"5.1-integer-with-zeros":   rfcBlock + "\x00\x01a\x7f\x80\x00" + strings.Repeat("b", 0x7f),
		"empty-name-value-indexed": rfcBlock + "\x40\x01a\x00",
	} {
		for _, piece := range []int{1 << 14, 7, 1} {
			t.Run(name, func(t *testing.T) {
				piece := max(piece, len(block)/32) // not to look like a flood
				synctest.Test(t, func(t *testing.T) {
					w := greetServer(t, rfcOK, h2.Options{})
					defer w.finish()
					w.client.pieces(1, block, piece)
					w.client.wantStream(1, ":status=200|ok|END")
					w.client.wantAlive()
				})
			})
		}
	}
}

// pieces sends a header block with END_STREAM in frames of n bytes.
func (p *rfcPeer) pieces(id uint32, block string, n int) {
	typ, flags := http2.FrameHeaders, endStream
	for len(block) > n {
		p.raw(typ, flags, id, block[:n])
		typ, flags, block = http2.FrameContinuation, 0, block[n:]
	}
	p.raw(typ, flags|endHeaders, id, block)
}

// TestRFC9113EmptyFragments are legal, a few of them.
func TestRFC9113EmptyFragments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcOK, h2.Options{})
		defer w.finish()
		w.client.raw(http2.FrameHeaders, endStream, 1, "")
		w.client.raw(http2.FrameContinuation, 0, 1, "")
		w.client.raw(http2.FrameContinuation, 0, 1, rfcBlock)
		w.client.raw(http2.FrameContinuation, endHeaders, 1, "")
		w.client.wantStream(1, ":status=200|ok|END")
		w.client.raw(http2.FrameHeaders, endStream|endHeaders|padded|priority, 3, "\x05\x80\x00\x00\x01\x05"+rfcBlock+"\x00\x00\x00\x00\x00")
		w.client.wantStream(3, ":status=200|ok|END")
		w.client.wantAlive()
	})
}

// TestRFC9113CompressionStateIsKept has requests that are refused and streams
// that are closed leave their fields in the table (section 4.3).
func TestRFC9113CompressionStateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcOK, h2.Options{})
		defer w.finish()
		w.client.head(1, true, with(rfcGet, "Bad=a", "first=1")...)
		w.client.wantStream(1, "RST PROTOCOL_ERROR")
		w.client.head(3, false, with(rfcPost, "content-length=5", "second=2")...)
		w.client.data(3, false, "123456")
		w.client.wantStream(3, "RST PROTOCOL_ERROR")
		w.client.head(3, true, "third=3") // on its way when the reset came
		w.client.head(5, true, with(rfcGet, "first=1", "second=2", "third=3")...)
		w.client.wantStream(5, ":status=200|ok|END")
		w.client.wantAlive()
	})
}

// TestRFC9113FieldsBeyondLimits refuses requests with too much of a head, and
// goes on.
func TestRFC9113FieldsBeyondLimits(t *testing.T) {
	many := rfcGet
	for range 300 {
		many = with(many, "a=b")
	}
	want := map[string]string{
		"size": ":status=431|END", "number": ":status=431|END", "trailers": "RST PROTOCOL_ERROR",
	}
	for name, fields := range map[string][]string{
		"size":     with(rfcGet, "a="+strings.Repeat("x", 40000), "b="+strings.Repeat("x", 40000)),
		"number":   many,
		"trailers": nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, rfcOK, h2.Options{})
				defer w.finish()
				if fields != nil {
					w.client.pieces(1, string(w.client.encode(fields...)), 1<<14)
				} else {
					w.client.head(1, false, rfcPost...)
					w.client.pieces(1, string(w.client.encode(many[4:]...)), 1<<14)
				}
				w.client.settle()
				if s := w.client.stream(1); s != want[name] {
					t.Errorf("received %q, want %q", s, want[name])
				}
				w.client.head(3, true, with(rfcGet, "a=b")...)
				w.client.wantStream(3, ":status=200|ok|END")
				w.client.wantAlive()
			})
		})
	}
}

// TestLargeHeadIsRecorded with what came before the limit, which is named; what
// of the request comes behind the answer is dropped.
func TestLargeHeadIsRecorded(t *testing.T) {
	for want, fields := range map[string][]string{
		"field section: has more than the limit of 6 fields":   with(rfcGet, "a=1", "b=2", "c=3"),
		"field section: has 1242 bytes, and the limit is 1000": with(rfcGet, "a="+strings.Repeat("x", 1000), "b=2"),
	} {
		t.Run(want[len("field section: has "):], func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var head flow.RequestHead
				var status int
				var why error
				w := greetServer(t, rfcOK, h2.Options{
					Limits:  h2.Limits{Fields: 6, Head: 1000},
					Refused: func(h *flow.RequestHead, n int, err error) { head, status, why = *h, n, err },
				})
				defer w.finish()
				w.client.head(1, false, fields...)
				w.client.data(1, true, "hello")
				w.client.wantStream(1, ":status=431|END|RST NO_ERROR")
				w.client.wantAlive()
				if why == nil || why.Error() != want || status != 431 {
					t.Errorf("told of %v, %d; want %s", why, status, want)
				}
				if head.Method != "GET" || head.Authority != "shop.test" || head.Target != "/" {
					t.Errorf("told of %+v", head)
				}
			})
		})
	}
}

// TestRFC7541NeverIndexedStays (section 7.1.3) in what the handler is given.
func TestRFC7541NeverIndexedStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got flow.Header
		w := greetServer(t, func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
			got = req.Header
			return rfcOK(ctx, req)
		}, h2.Options{})
		defer w.finish()
		w.client.raw(http2.FrameHeaders, endHeaders|endStream, 1, rfcBlock+"\x10\x01a\x01b\x00\x01c\x01d")
		w.client.wantStream(1, ":status=200|ok|END")
		if len(got) != 2 || got[0].Form&flow.FormNeverIndexed == 0 || got[1].Form&flow.FormNeverIndexed != 0 {
			t.Errorf("fields %+v", got)
		}
	})
}
