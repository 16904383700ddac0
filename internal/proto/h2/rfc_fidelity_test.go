package h2_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"transom/flow"
	"transom/internal/proto/h2"
)

// TestOpeningPasses has the client's opening reach the server as it was said:
// SETTINGS and their order, the first window, PRIORITY, the pseudo-header
// fields, and the server's SETTINGS the client.
func TestOpeningPasses(t *testing.T) {
	for name, c := range map[string]struct {
		client, server []http2.Setting
		window         uint32
		priorities     []string // stream and payload
		fields         []string
		fingerprint    string
	}{
		"firefox": {
			client:      []http2.Setting{{ID: 1, Val: 65536}, {ID: 2, Val: 0}, {ID: 4, Val: 131072}, {ID: 5, Val: 16384}},
			server:      []http2.Setting{{ID: 3, Val: 128}, {ID: 4, Val: 65536}, {ID: 5, Val: 1<<24 - 1}},
			window:      12517377,
			priorities:  []string{"3:\x00\x00\x00\x00\xc8", "5:\x00\x00\x00\x00\x64", "7:\x00\x00\x00\x00\x00"},
			fields:      []string{":method=GET", ":path=/", ":authority=a", ":scheme=https"},
			fingerprint: "1:65536;2:0;4:131072;5:16384|12517377|3:0:0:201,5:0:0:101,7:0:0:1|m,p,a,s",
		},
		"chrome": {
			client:      []http2.Setting{{ID: 1, Val: 65536}, {ID: 2, Val: 0}, {ID: 4, Val: 6291456}, {ID: 6, Val: 262144}},
			server:      []http2.Setting{{ID: 3, Val: 100}, {ID: 4, Val: 1048576}, {ID: 6, Val: 65536}},
			window:      15663105,
			fields:      []string{":method=GET", ":authority=a", ":scheme=https", ":path=/"},
			fingerprint: "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p",
		},
		"grease-and-odd-order": {
			client:      []http2.Setting{{ID: 0x1a1a, Val: 77}, {ID: 4, Val: 1000}, {ID: 9, Val: 1}, {ID: 1, Val: 0}, {ID: 4, Val: 2000}},
			server:      []http2.Setting{{ID: 8, Val: 1}, {ID: 0x2a2a, Val: 1}, {ID: 4, Val: 100}, {ID: 1, Val: 100}},
			fields:      []string{":scheme=https", ":path=/", ":method=GET", ":authority=a"},
			fingerprint: "6682:77;4:1000;9:1;1:0;4:2000|00|0|s,p,m,a",
		},
		"nothing": {fields: rfcGet, fingerprint: "|00|0|m,s,a,p"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opened []*h2.Opening
				w := newJoin(t, func(o *h2.Options, co *h2.ClientOptions) {
					o.Opened = func(o *h2.Opening) *flow.Conn { opened = append(opened, o); return nil }
					co.Opened = func(o *h2.Opening) { opened = append(opened, o) }
				})
				defer w.finish()
				w.client.preface(c.client...)
				if c.window > 0 {
					w.client.window(0, c.window)
				}
				for _, p := range c.priorities {
					id, payload, _ := strings.Cut(p, ":")
					w.client.raw(http2.FramePriority, 0, uint32(id[0]-'0'), payload)
				}
				w.client.head(9, true, c.fields...)
				w.server.settings(c.server...)
				w.settle()
				if got, want := w.server.settingsSeen(), rfcSaid(c.client); !slices.Equal(got, want) {
					t.Errorf("the server received SETTINGS %q, want %q", got, want)
				}
				if got, want := w.client.settingsSeen(), rfcSaid(c.server); !slices.Equal(got, want) {
					t.Errorf("the client received SETTINGS %q, want %q", got, want)
				}
				if s := w.server.frames; s[0].Type != http2.FrameSettings {
					t.Errorf("the server's first frame is %v", s[0])
				}
				w.wantOpening(c.window, c.priorities, strings.Join(c.fields, " ")+"|END")
				for _, o := range opened {
					if got := o.Fingerprint(); got != c.fingerprint {
						t.Errorf("fingerprint %s, want %s", got, c.fingerprint)
					}
				}
				if len(opened) != 2 {
					t.Errorf("%d were told of an opening, want 2", len(opened))
				}
				w.server.head(w.server.streams()[0], true, ":status=200")
				w.settle()
				w.client.wantStream(9, ":status=200|END")
				w.wantJoined()
			})
		})
	}
}

// rfcSaid is what settingsSeen makes of one SETTINGS frame.
func rfcSaid(s []http2.Setting) []string {
	parts := make([]string, 0, len(s))
	for _, s := range s {
		parts = append(parts, fmt.Sprintf("%d=%d", s.ID, s.Val))
	}
	return []string{strings.Join(parts, " ")}
}

func (w *rfcJoin) wantOpening(window uint32, priorities []string, request string) {
	w.t.Helper()
	var windows, prio []string
	id := uint32(0)
	for _, f := range w.server.frames {
		switch {
		case f.Type == http2.FrameHeaders:
			id = f.StreamID
		case id == 0 && f.Type == http2.FrameWindowUpdate:
			windows = append(windows, f.text)
		case id == 0 && f.Type == http2.FramePriority:
			prio = append(prio, fmt.Sprint(f.StreamID))
		}
	}
	want := []string(nil)
	if window > 0 {
		want = []string{fmt.Sprint(window)}
	}
	if !slices.Equal(windows, want) {
		w.t.Errorf("the server received WINDOW_UPDATE %q before the request, want %q", windows, want)
	}
	if len(prio) != len(priorities) {
		w.t.Errorf("the server received PRIORITY of %q before the request, want %q", prio, priorities)
	}
	if got := w.server.stream(id); got != request {
		w.t.Errorf("the server received %q on stream %d, want %q", got, id, request)
	}
}

// TestBlocksPassByteForByte in both directions, whatever forms they use: heads,
// trailers, size updates.
func TestBlocksPassByteForByte(t *testing.T) {
	requests := []string{
		rfcBlock,
		rfcBlock + "\x40\x03x-a\x01b\x10\x03x-b\x01c\x00\x03x-c\x01d",
		"\x82\x87\x84\xbf\xbe\x40" + huffman("x-h") + huffman("value"),
		"\x82\x87\x84\xc0\xbe\xbf",
		"\x20\x3f\xe1\x1f" + rfcBlock + "\x40\x03x-d\x00",
		"\x3f\x45" + rfcBlock + "\x40\x03x-e\x01a\x40\x03x-f\x01a",
		"\x83\x86\x01\x01a\x04\x02/b\x0f\x0d\x010",
		"\x84\x82\x87\x11\x09shop.test",
		"\x42\x03PUT\x87\x84\x41" + huffman("a.test") + "\x60\x03a=1\x60\x03b=2",
	}
	responses := []string{
		"\x88", "\x88\x5f\x09text/html\x40\x03x-s\x01v", "\x48\x03999\xbf\xbf", "\x8d\x10\x0aset-cookie\x01a\x0f\x28\x01b",
		"\x20\x88", "\x3f\xe1\x1f\x8c\x76\x02me", "\x48" + huffman("404") + "\x00\x01a\x00", "\x88\xbf\xbf",
		"\x08\x03200",
	}
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		for i, block := range requests {
			id := uint32(1 + 2*i)
			w.client.raw(http2.FrameHeaders, endHeaders|endStream, id, block)
			w.settle()
			if got := w.server.lastBlock(); got != block {
				t.Fatalf("request %d: the server received %x, want %x; the client %q %q", i, got, block, w.client.stream(id), w.client.texts(http2.FrameGoAway))
			}
			w.server.raw(http2.FrameHeaders, endHeaders, id, responses[i])
			w.server.data(id, false, "x")
			w.settle()
			if got := w.client.lastBlock(); got != responses[i] {
				t.Fatalf("response %d: the client received %x, want %x", i, got, responses[i])
			}
			w.server.raw(http2.FrameHeaders, endHeaders|endStream, id, "\x00\x01t\x01v")
			w.settle()
			if got := w.client.lastBlock(); got != "\x00\x01t\x01v" {
				t.Fatalf("trailers: the client received %x", got)
			}
		}
		w.wantJoined()
	})
}

// huffman is a string literal in Huffman coding.
func huffman(s string) string {
	return string(append([]byte{0x80 | byte(hpack.HuffmanEncodeLength(s))}, hpack.AppendHuffmanString(nil, s)...))
}

func (p *rfcPeer) lastBlock() string {
	p.take()
	for _, f := range slices.Backward(p.frames) {
		if f.Type == http2.FrameHeaders {
			return string(f.block)
		}
	}
	return "none"
}

// TestConnectionFramesPass goes through what is said about the connection.
func TestConnectionFramesPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		both := []struct {
			name     string
			from, to *rfcPeer
		}{{"to-the-server", w.client, w.server}, {"to-the-client", w.server, w.client}}
		open(1)(w.client)
		w.settle()
		for _, b := range both {
			b.from.ping("ping" + b.name[3:7])
			w.settle()
			if got := b.to.texts(http2.FramePing); len(got) != 1 || got[0] != "ping"+b.name[3:7] {
				t.Errorf("%s: PING %q", b.name, got)
			}
			if got := b.from.pongs(); len(got) != 0 {
				t.Errorf("%s: PING was answered by us: %q", b.name, got)
			}
			_ = b.to.fr.WritePing(true, [8]byte([]byte("ping"+b.name[3:7])))
			w.settle()
			if got := b.from.pongs(); len(got) != 1 {
				t.Errorf("%s: the answer to PING did not come back: %q", b.name, got)
			}
			b.to.drop(http2.FramePing)
			b.from.drop(http2.FramePing)

			b.from.raw(0x60, 0x5a, 0, "unknown")
			b.from.raw(0x61, 0x5b, 1, "")
			b.from.settings(http2.Setting{ID: 4, Val: 70000}, http2.Setting{ID: 0x7777, Val: 1})
			w.settle()
			if f := b.to.find(0x60); f == nil || f.Flags != 0x5a || f.StreamID != 0 || f.text != "unknown" {
				t.Errorf("%s: unknown frame of the connection: %v", b.name, f)
			}
			if f := b.to.find(0x61); f == nil || f.Flags != 0x5b || f.StreamID != 1 || f.text != "" {
				t.Errorf("%s: unknown frame of a stream: %v", b.name, f)
			}
			if got := b.to.settingsSeen(); !slices.Contains(got, "4=70000 30583=1") {
				t.Errorf("%s: later SETTINGS: %q", b.name, got)
			}
		}
		w.client.raw(http2.FramePriority, 0, 1, "\x80\x00\x00\x03\x07")
		w.client.raw(0x10, 0, 0, "\x00\x00\x00\x01u=1, i")
		w.server.raw(0x0c, 0, 0, "\x00\x05https")
		w.server.raw(0x0a, 0, 1, "\x00\x00h3=\":1\"")
		w.settle()
		if f := w.server.find(http2.FramePriority); f == nil || f.StreamID != 1 || f.text != "3 7 true" {
			t.Errorf("PRIORITY: %v", f)
		}
		if f := w.server.find(http2.FramePriorityUpdate); f == nil || f.text != "1 u=1, i" {
			t.Errorf("PRIORITY_UPDATE: %v", f)
		}
		if f := w.client.find(0x0c); f == nil || f.text != "\x00\x05https" {
			t.Errorf("ORIGIN: %v", f)
		}
		if f := w.client.find(0x0a); f == nil || f.text != "\x00\x00h3=\":1\"" || f.StreamID != 1 {
			t.Errorf("ALTSVC: %v", f)
		}
	})
}

// find is the first frame of a type.
func (p *rfcPeer) find(typ http2.FrameType) *rfcFrame {
	p.take()
	for i := range p.frames {
		if p.frames[i].Type == typ {
			return &p.frames[i]
		}
	}
	return nil
}

// pongs are the PINGs with ACK.
func (p *rfcPeer) pongs() (s []string) {
	p.take()
	for _, f := range p.frames {
		if f.Type == http2.FramePing && f.Flags.Has(http2.FlagPingAck) {
			s = append(s, f.text)
		}
	}
	return s
}

// TestPriorityOfHeadersPasses with the numbers of the other side.
func TestPriorityOfHeadersPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		w.client.raw(http2.FrameHeaders, endHeaders|endStream|priority, 3, "\x80\x00\x00\x00\xff"+string(w.client.encode(rfcGet...)))
		w.client.raw(http2.FrameHeaders, endHeaders|endStream|priority, 7, "\x00\x00\x00\x03\x0f"+string(w.client.encode(rfcGet...)))
		w.client.raw(http2.FrameHeaders, endHeaders|endStream, 9, string(w.client.encode(rfcGet...)))
		w.settle()
		var got []string
		ids := w.server.streams()
		for _, f := range w.server.frames {
			if f.Type == http2.FrameHeaders {
				got = append(got, f.priority)
			}
		}
		if len(ids) != 3 {
			t.Fatalf("streams %v", ids)
		}
		want := []string{"0 255 true", fmt.Sprintf("%d 15 false", ids[0]), ""}
		if !slices.Equal(got, want) {
			t.Errorf("priorities %q, want %q; streams %v", got, want, ids)
		}
	})
}

// TestEndStreamStays where it was: on the head, on data, or on an empty frame.
func TestEndStreamStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		get(1)(w.client)
		w.client.head(3, false, rfcPost...)
		w.settle()
		w.client.data(3, true, "x")
		w.client.head(5, false, rfcPost...)
		w.settle()
		w.client.data(5, true, "")
		w.client.head(7, false, rfcPost...)
		w.client.data(7, false, "y")
		w.settle()
		w.client.data(7, true, "")
		w.settle()
		want := map[uint32]string{1: "HEADERS*", 3: "HEADERS DATA1*", 5: "HEADERS DATA0*", 7: "HEADERS DATA1 DATA0*"}
		for id, s := range want {
			if got := w.server.shape(id); got != s {
				t.Errorf("the server received %s on %d, want %s", got, id, s)
			}
		}
		w.server.head(1, true, ":status=200")
		w.server.head(3, false, ":status=200")
		w.server.head(5, false, ":status=200")
		w.server.head(7, false, ":status=200")
		w.settle()
		w.server.data(3, true, "x")
		w.server.data(5, true, "")
		w.server.data(7, false, "y")
		w.settle()
		w.server.data(7, true, "")
		w.settle()
		for id, s := range want {
			if got := w.client.shape(id); got != s {
				t.Errorf("the client received %s on %d, want %s", got, id, s)
			}
		}
	})
}

// TestEndStreamStaysInAHurry is the same where all comes at once: HEADERS with
// the end of the stream mean something else to some (gRPC) than an empty body.
func TestEndStreamStaysInAHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		w.client.head(1, false, rfcPost...)
		w.client.data(1, true, "")
		w.settle()
		if got := w.server.shape(1); got != "HEADERS DATA0*" {
			t.Errorf("the server received %s", got)
		}
		w.server.head(1, false, ":status=200")
		w.server.data(1, true, "")
		w.settle()
		if got := w.client.shape(1); got != "HEADERS DATA0*" {
			t.Errorf("the client received %s", got)
		}
	})
}

// shape is the frames of a message, "HEADERS DATA5*" with a star for END_STREAM.
func (p *rfcPeer) shape(id uint32) string {
	p.take()
	var parts []string
	for _, f := range p.frames {
		if f.StreamID != id || f.Type != http2.FrameData && f.Type != http2.FrameHeaders {
			continue
		}
		s := f.Type.String()
		if f.Type == http2.FrameData {
			s += fmt.Sprint(len(f.text))
		}
		if f.Flags.Has(http2.FlagDataEndStream) {
			s += "*"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

// TestMessagesPass has everything of requests and responses go through.
func TestMessagesPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		w.client.head(1, false, with(rfcPost, "content-length=5", "te=trailers", "a=1", "b=2", "a=3", "cookie=x", "cookie=y", "host=shop.test")...)
		w.client.data(1, false, "hello")
		w.client.head(1, true, "t=1", "u=2", "t=3")
		w.settle()
		w.server.wantStream(1, strings.Join(rfcPost, " ")+" content-length=5 te=trailers a=1 b=2 a=3 cookie=x cookie=y host=shop.test|hello|t=1 u=2 t=3|END")
		w.server.head(1, false, ":status=100")
		w.server.head(1, false, ":status=103", "link=a", "link=b")
		w.server.head(1, false, ":status=200", "set-cookie=a", "b=c", "set-cookie=d")
		w.server.data(1, false, "answer")
		w.server.head(1, true, "t=1", "u=2")
		w.settle()
		w.client.wantStream(1, ":status=100|:status=103 link=a link=b|:status=200 set-cookie=a b=c set-cookie=d|answer|t=1 u=2|END")
		w.wantJoined()
	})
}

// wantJoined checks that neither connection has ended.
func (w *rfcJoin) wantJoined() {
	w.t.Helper()
	w.settle()
	if w.over || w.server.end != nil || len(w.client.texts(http2.FrameGoAway))+len(w.server.texts(http2.FrameGoAway)) > 0 {
		w.t.Errorf("not alive: Serve %v, %v, GOAWAY %q to the client, %q to the server", w.over, w.err, w.client.texts(http2.FrameGoAway), w.server.texts(http2.FrameGoAway))
	}
}

// TestOrderOfRequestsPasses under concurrency, bodies or not.
func TestOrderOfRequestsPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		var want []string
		for i := range uint32(90) {
			path := fmt.Sprintf(":path=/%d", i)
			want = append(want, path)
			w.client.head(1+2*i, i%3 != 0, ":method=POST", ":scheme=https", ":authority=a", path, fmt.Sprintf("n=%d", i))
		}
		w.settle()
		var got []string
		for _, f := range w.server.frames {
			if f.Type == http2.FrameHeaders {
				got = append(got, strings.Fields(f.text)[3])
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("the server received %v", got)
		}
	})
}
