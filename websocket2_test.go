package transom_test

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"transom/flow"
	"transom/internal/testnet"
)

// A peer2 is one side of HTTP/2, played by the test.
type peer2 struct {
	w *world
	*http2.Framer
	dec *hpack.Decoder
}

func (w *world) peer2(c io.ReadWriter) *peer2 {
	return &peer2{w, http2.NewFramer(c, c), hpack.NewDecoder(4096, nil)}
}

// next returns the next frame of a kind; settings are acknowledged meanwhile.
func (p *peer2) next(kind http2.FrameType) http2.Frame {
	p.w.t.Helper()
	for {
		f, err := p.ReadFrame()
		if err != nil {
			p.w.t.Fatal(err)
		}
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			p.WriteSettingsAck()
		}
		if f.Header().Type == kind {
			return f
		}
	}
}

// head sends a head on stream 1 and leaves it open.
func (p *peer2) head(fields ...string) {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	if err := p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b.Bytes(), EndHeaders: true}); err != nil {
		p.w.t.Fatal(err)
	}
}

// TestWebSocketOverHTTP2: extended CONNECT (RFC 8441) begins a conversation like
// any other, on a stream that ends like a connection.
func TestWebSocketOverHTTP2(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.Handle(serverAddr, func(c *testnet.Conn) {
			io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
			s := w.peer2(c)
			s.WriteSettings(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
			head := s.next(http2.FrameHeaders).(*http2.HeadersFrame)
			fields, err := s.dec.DecodeFull(head.HeaderBlockFragment())
			if err != nil || fields[1].Name != ":protocol" || fields[1].Value != "websocket" {
				w.t.Errorf("%v, %v", fields, err)
			}
			s.head(":status", "200", "sec-websocket-extensions", "permessage-deflate")
			if d := s.next(http2.FrameData).(*http2.DataFrame); string(d.Data()) != "\x81\x82abcd\x09\x0b" {
				w.t.Errorf("the server got % x", d.Data())
			}
			synctest.Wait() // what went on is recorded after that
			s.WriteData(1, true, []byte("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\x88\x02\x03\xe8"))
			s.next(http2.FrameData)
			io.Copy(io.Discard, c)
		})
		raw := w.dial(serverAddr)
		w.say(raw, http2.ClientPreface)
		c := w.peer2(raw)
		c.WriteSettings()
		c.next(http2.FrameSettings)
		c.head(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat", ":authority", "shop.test",
			"sec-websocket-version", "13", "sec-websocket-extensions", "permessage-deflate")
		c.next(http2.FrameHeaders)
		c.WriteData(1, false, []byte("\x81\x82abcd\x09\x0b"))
		var got []byte
		for {
			d := c.next(http2.FrameData).(*http2.DataFrame)
			if got = append(got, d.Data()...); d.StreamEnded() {
				break
			}
		}
		if string(got) != "\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\x88\x02\x03\xe8" {
			t.Errorf("the client got % x", got)
		}
		c.WriteData(1, true, nil)
		f := w.only("websocket")
		raw.Close()
		d := f.Detail.(*flow.Messages)
		if f.State != flow.Done || f.Conn.Last().Proto != "ws" || d.Request.Target != "/chat" {
			t.Errorf("%+v, %+v", f, d)
		}
		if got, want := w.entries(f), "> 1 \"hi\"\n< 1 \"Hello\"\n< 8 \"\\x03\\xe8\"\n"; got != want {
			t.Errorf("recorded\n%s", got)
		}
	})
}
