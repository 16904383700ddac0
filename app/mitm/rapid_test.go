package mitm_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"transom/flow"
	"transom/message"
	"transom/store"
)

// draw makes strings that are often what they look like, and sometimes anything.
func draw(t *rapid.T, label string, usual ...string) string {
	return rapid.OneOf(rapid.SampledFrom(usual), rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 6), func(b []byte) string { return string(b) })).Draw(t, label)
}

func drawHeader(t *rapid.T, label string) (h flow.Header) {
	for range rapid.IntRange(0, 3).Draw(t, label) {
		h = append(h, flow.Field{
			Name: draw(t, "name", "Host", "host", "Cookie", ":odd"), Value: draw(t, "value", "", "shop.test", "a: b"),
			Form: flow.Form(rapid.SampledFrom([]byte{0, 0, 1, 4, 255}).Draw(t, "form")),
		})
	}
	return h
}

func drawRaw(t *rapid.T, label string) []byte {
	if !rapid.Bool().Draw(t, label) {
		return nil
	}
	return []byte("x" + draw(t, "raw", "GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 200 \r\n\r\n"))
}

func drawRequest(t *rapid.T) *flow.RequestHead {
	return &flow.RequestHead{
		Method: rapid.SampledFrom([]string{"GET", "CONNECT", "connect", "A\xff B"}).Draw(t, "method"), Scheme: draw(t, "scheme", "http", "https", ""),
		Authority: draw(t, "authority", "", "shop.test", "shop.test:81", "[::1]:80", "CONNECT"),
		Target:    draw(t, "target", "/", "*", "http://a.test", "https://b.test:81/x?y", "shop.test:443", "", "HTTP://A/", "/?u=http://c/"),
		Proto:     flow.Proto(rapid.IntRange(0, 3).Draw(t, "proto")), Protocol: draw(t, "protocol", "", "", "websocket"),
		Header: drawHeader(t, "header"), Raw: drawRaw(t, "has raw"),
	}
}

func drawResponse(t *rapid.T) *flow.ResponseHead {
	return &flow.ResponseHead{
		Status: rapid.IntRange(0, 999).Draw(t, "status"), Reason: draw(t, "reason", "OK", ""), Proto: flow.Proto(rapid.IntRange(0, 3).Draw(t, "proto")),
		Header: drawHeader(t, "header"), Raw: drawRaw(t, "has raw"),
	}
}

func drawMessages(t *rapid.T, s *scene, kind string) *flow.Messages {
	d := &flow.Messages{Kind: kind, Notes: []string{draw(t, "note", "odd")}}
	var log []message.Entry
	var at time.Duration
	for range rapid.IntRange(0, 4).Draw(t, "messages") {
		at += time.Duration(rapid.IntRange(0, 1e9).Draw(t, "elapsed"))
		e := message.Entry{
			Dir: message.Direction(rapid.IntRange(0, 1).Draw(t, "dir")), At: at, Payload: []byte(draw(t, "payload", "hello", "")),
			Changed: rapid.Bool().Draw(t, "changed"), Dropped: rapid.Bool().Draw(t, "dropped"), Injected: rapid.Bool().Draw(t, "injected"),
		}
		if kind == "websocket" {
			e.Op, e.Encoded = uint8(rapid.IntRange(0, 10).Draw(t, "op")), rapid.Bool().Draw(t, "encoded")
		}
		e.Size = int64(len(e.Payload)) + int64(rapid.SampledFrom([]int{0, 0, 7}).Draw(t, "cut"))
		d.Count[e.Dir]++
		d.Bytes[e.Dir] += e.Size
		log = append(log, e)
	}
	if len(log) > 0 {
		d.Log = s.log(log...)
	}
	return d
}

// TestAnything: whatever flows are made of, they are read as they were.
func TestAnything(tt *testing.T) {
	rapid.Check(tt, func(t *rapid.T) {
		s := &scene{TB: tt, Memory: store.NewMemory(store.MemoryOptions{})}
		c := s.conn(rapid.SampledFrom([]string{"tcp", "udp"}).Draw(t, "network"))
		c.Host = draw(t, "host", "", "shop.test")
		end := func(f *flow.Flow, ms int) *flow.Flow {
			f.ID, f.Conn, f.Start, f.End, f.State = s.id(ms), c, s.at(ms), s.at(ms+5), flow.Done
			if rapid.Bool().Draw(t, "failed") {
				f.State, f.Err = flow.Failed, rapid.SampledFrom([]string{"", "reset", "it has gone"}).Draw(t, "error")
			}
			return s.add(f)
		}
		h := &flow.HTTP{Request: drawRequest(t), RequestTrailer: drawHeader(t, "trailer"), Notes: []string{draw(t, "note", "odd")}}
		if body := draw(t, "body", "", "body"); body != "" {
			h.RequestBody = s.body(body)
		}
		if rapid.Bool().Draw(t, "answered") {
			h.Response, h.FirstByte, h.ResponseTrailer = drawResponse(t), s.at(12), drawHeader(t, "trailer")
			if rapid.Bool().Draw(t, "response changed") {
				h.OriginalResponse = drawResponse(t)
				h.OriginalResponse.Status = h.Response.Status + 1
			}
		}
		if rapid.Bool().Draw(t, "changed") {
			h.OriginalRequest = drawRequest(t)
			h.OriginalRequest.Method = h.Request.Method + "x"
		}
		if rapid.Bool().Draw(t, "WebSocket") {
			h.Began = s.id(20)
		}
		end(&flow.Flow{Detail: h}, 10)
		if !h.Began.IsZero() {
			m := drawMessages(t, s, "websocket")
			m.Handshake, m.Request = s.flows[0].ID, h.Request
			end(&flow.Flow{Detail: m}, 20).ID = h.Began
		}
		end(&flow.Flow{Detail: drawMessages(t, s, rapid.SampledFrom([]string{"tcp", "udp"}).Draw(t, "kind"))}, 30)
		var want []kept
		for _, f := range s.flows {
			want = append(want, keep(s, s.Memory, f))
		}
		format := rapid.IntRange(18, 21).Draw(t, "format")
		if d := cmp.Diff(want, everything(s, read(s, written(s, s, format))), equal(0)); d != "" {
			t.Fatal(d)
		}
	})
}
