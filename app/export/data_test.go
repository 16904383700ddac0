package export_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"transom/app/export"
	"transom/app/follow"
	"transom/flow"
	"transom/message"
	"transom/store"
)

func TestData(t *testing.T) {
	seen := began.Add(time.Second)
	web, tcp, ws := done(conn(), get()), done(conn(), &flow.Messages{Kind: "tcp"}), done(conn(), &flow.Messages{Kind: "websocket"})
	var got bytes.Buffer
	for _, d := range []struct {
		f *flow.Flow
		p follow.Part
	}{
		{web, follow.Part{Of: follow.Request, Size: 7, Data: []byte("{\"é\":1}")}},
		{web, follow.Part{Of: follow.Response, Offset: 7, Size: 3, Data: []byte("\x00\x1b\xff")}},
		{web, follow.Part{
			Of: follow.Response, Size: 9, Data: []byte("data: 1\n\n"),
			Event: &follow.Event{Type: "message", Data: "1", Retry: -1},
		}},
		{web, follow.Part{
			Of: follow.OriginalResponse, Offset: 9, Size: 38, Data: []byte("event: tick\nid: 7\nretry: 3\ndata: 2\n\n"),
			Event: &follow.Event{Type: "tick", Data: "2", ID: "7", Retry: 3},
		}},
		{web, follow.Part{Of: follow.Request, Size: 7, Data: []byte("\x01\x00\x00\x00\x02hi"), RPC: &follow.RPC{Compressed: true, Payload: []byte("hi")}}},
		{web, follow.Part{Of: follow.Response, Size: 5, Data: make([]byte, 5), RPC: &follow.RPC{Trailers: true}}},
		{web, follow.Part{Of: follow.OriginalRequest, Offset: 12, Truncated: true}},
		{web, follow.Part{Of: follow.Response, Offset: 12, Size: 30, Err: store.ErrGone}},
		{tcp, follow.Part{Of: follow.Log, Size: 14, Message: &message.Entry{At: 5, Size: 12, Payload: []byte("EHLO there\r\n")}}},
		{tcp, follow.Part{Of: follow.Log, Offset: 14, Size: 4, Message: &message.Entry{
			Dir: message.ToClient, At: time.Millisecond, Size: 9, Payload: []byte("\xff\xfe"), Changed: true, Dropped: true,
		}}},
		{tcp, follow.Part{Of: follow.Log, Offset: 18, Truncated: true}},
		{ws, follow.Part{Of: follow.Log, Message: &message.Entry{Op: 1, Size: 2, Payload: []byte("hi")}}},
		{ws, follow.Part{Of: follow.Log, Message: &message.Entry{Op: 8, Dir: message.ToClient}}},
		{ws, follow.Part{Of: follow.Log, Message: &message.Entry{Op: 11}}},
		{ws, follow.Part{Of: follow.Log, Message: &message.Entry{Op: 8, Size: 5, Payload: []byte("\x03\xe8bye"), Injected: true}}},
		{ws, follow.Part{Of: follow.Log, Message: &message.Entry{Op: 1, Size: 300, Cut: 298, Payload: []byte("\xf2\x00"), Encoded: true}}},
	} {
		line := export.AppendData(nil, d.f, &d.p, seen)
		if !json.Valid(line) {
			t.Fatalf("not JSON: %s", line)
		}
		got.Write(line)
		got.WriteByte('\n')
	}
	golden(t, "data.ndjson", got.Bytes())
}

// Whatever a body holds, the line parses, and the bytes can be had back.
func FuzzData(f *testing.F) {
	f.Add([]byte("data: é\u2028\n\n"))
	f.Add([]byte("\x00\xff\x1b[31m"))
	fl := done(conn(), get())
	f.Fuzz(func(t *testing.T, p []byte) {
		part := follow.Part{Of: follow.Response, Size: int64(len(p)), Data: p, Event: &follow.Event{Type: string(p), Data: string(p), ID: string(p)}}
		line := export.AppendData(nil, fl, &part, began)
		if !utf8.Valid(line) || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
			t.Fatalf("not a clean line: %q", line)
		}
		var got struct {
			Text   string
			Base64 []byte
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if got.Text+string(got.Base64) != string(p) {
			t.Errorf("came back as %q, %q", got.Text, base64.StdEncoding.EncodeToString(got.Base64))
		}
	})
}
