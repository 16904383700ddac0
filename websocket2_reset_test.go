package transom_test

import (
	"io"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"transom"
	"transom/flow"
	"transom/internal/testnet"
)

// chat2 opens a WebSocket on a stream between a client and a server that the
// test plays. What the server does once the first message has come is then's.
func (w *world) chat2(then func(server *peer2)) (client *peer2, hangUp func()) {
	w.t.Helper()
	w.net.Handle(serverAddr, func(c *testnet.Conn) {
		io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
		s := w.peer2(c)
		s.WriteSettings(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1})
		s.next(http2.FrameHeaders)
		s.head(":status", "200")
		s.next(http2.FrameData)
		then(s)
		io.Copy(io.Discard, c)
	})
	raw := w.dial(serverAddr)
	w.say(raw, http2.ClientPreface)
	c := w.peer2(raw)
	c.WriteSettings()
	c.next(http2.FrameSettings)
	c.head(":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat", ":authority", "shop.test", "sec-websocket-version", "13")
	c.next(http2.FrameHeaders)
	c.WriteData(1, false, []byte("\x81\x82abcd\x09\x0b"))
	return c, func() { raw.Close() }
}

// TestWebSocketOverHTTP2IsReset: how one side resets its stream is how the other's
// is reset, and says nothing of the connection.
func TestWebSocketOverHTTP2IsReset(t *testing.T) {
	for name, code := range map[string]http2.ErrCode{"no-error": http2.ErrCodeNo, "cancel": http2.ErrCodeCancel} {
		t.Run("server-"+name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				c, hangUp := w.chat2(func(s *peer2) { s.WriteRSTStream(1, code) })
				defer hangUp()
				if r := c.next(http2.FrameRSTStream).(*http2.RSTStreamFrame); r.ErrCode != code {
					t.Errorf("the client's stream is reset with %v", r.ErrCode)
				}
				w.cut("server reset the stream (" + code.String() + ")")
			})
		})
		t.Run("client-"+name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				got := make(chan http2.ErrCode, 1)
				c, hangUp := w.chat2(func(s *peer2) { got <- s.next(http2.FrameRSTStream).(*http2.RSTStreamFrame).ErrCode })
				defer hangUp()
				w.flows("websocket") // the message has gone
				c.WriteRSTStream(1, code)
				if c := <-got; c != code {
					t.Errorf("the server's stream is reset with %v", c)
				}
				w.cut("client reset the stream (" + code.String() + ")")
			})
		})
	}
}

// cut checks how the one WebSocket that was recorded has failed.
func (w *world) cut(why string) {
	w.t.Helper()
	if f := w.only("websocket"); f.State != flow.Failed || f.Err != why {
		w.t.Errorf("%v: %q, want %q", f.State, f.Err, why)
	}
}

// TestWebSocketIsCut by the end of the grace period, and its record says so.
func TestWebSocketIsCut(t *testing.T) {
	short := func(p *transom.Proxy) { p.Timeouts.Grace = 3 * time.Second }
	t.Run("http1", func(t *testing.T) {
		inWorld(t, short, func(w *world) {
			_, _, hangUp := w.chat()
			defer hangUp()
			w.stop()
			<-w.ended
			w.ended <- nil
			w.cut("transom is stopping")
		})
	})
	t.Run("http2", func(t *testing.T) {
		inWorld(t, short, func(w *world) {
			_, hangUp := w.chat2(func(*peer2) {})
			defer hangUp()
			w.flows("websocket")
			w.stop()
			<-w.ended
			w.ended <- nil
			w.cut("transom is stopping")
		})
	})
}
