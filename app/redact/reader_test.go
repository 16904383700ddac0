package redact_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"

	"transom/app/export"
	"transom/app/files"
	"transom/app/har"
	"transom/app/mitm"
	"transom/app/redact"
	"transom/flow"
	"transom/message"
	"transom/store"
)

// A handshake waits for its WebSocket, or for the end, and has its bodies then: those that
// something was taken out of, too.
func TestHeldHandshake(t *testing.T) {
	for name, format := range map[string]func(io.Writer) export.Writer{
		"har": func(w io.Writer) export.Writer { return har.NewWriter(w, har.Options{}) },
		"mitm": func(w io.Writer) export.Writer {
			m, err := mitm.NewWriter(w, mitm.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return m
		},
	} {
		for _, ends := range []bool{true, false} {
			w := newWorld(t)
			h := exchange("application/json")
			h.RequestBody = w.body(`{"password":"topsecret","a":"kept"}`)
			ws := flowOf(&flow.Messages{Kind: "websocket", Request: h.Request, Log: w.body(string(message.AppendHead(nil, &message.Entry{Op: 1}, 0)))})
			ws.ID[15] ^= 1
			h.Began = ws.ID
			handshake := flowOf(h)
			ws.Detail.(*flow.Messages).Handshake = handshake.ID
			other := exchange("application/json")
			other.RequestBody = w.body(`{"password":"topsecret","a":"other"}`)
			between := flowOf(other)
			between.ID[15] ^= 2
			var out bytes.Buffer
			to := redact.NewWriter(rules(t, "secrets"), format(&out))
			flows := []*flow.Flow{handshake, between, ws}
			if !ends {
				flows = flows[:2]
			}
			for _, f := range flows {
				if err := to.Write(ctx, f, w); err != nil {
					t.Fatal(err)
				}
			}
			if err := to.Finish(ctx, w); err != nil {
				t.Fatal(err)
			}
			if err := to.Close(); err != nil {
				t.Fatal(err)
			}
			if s := out.String(); strings.Contains(s, "topsecret") || strings.Contains(s, base64.StdEncoding.EncodeToString([]byte("topsecret"))) {
				t.Errorf("%s: %s", name, s)
			}
			back := store.NewMemory(store.MemoryOptions{})
			if err := files.Read(ctx, &out, name, back); err != nil {
				t.Fatal(err)
			}
			var bodies string
			for f, err := range back.Flows(ctx, store.Query{}) {
				if err != nil {
					t.Fatal(err)
				}
				if h, ok := f.Detail.(*flow.HTTP); ok {
					r, err := back.OpenBody(ctx, h.RequestBody)
					if err != nil {
						t.Fatal(err)
					}
					b, _ := io.ReadAll(r)
					r.Close()
					bodies += string(b)
				}
			}
			if strings.Count(bodies, "REDACTED") != 2 || !strings.Contains(bodies, `"kept"`) || !strings.Contains(bodies, `"other"`) {
				t.Errorf("%s: the bodies are %s", name, bodies)
			}
			back.Close()
		}
	}
}

// What nobody here can read is left out.
func TestForeign(t *testing.T) {
	f := flowOf(exchange(""))
	f.Foreign, f.Conn.Foreign = "topsecret", "topsecret"
	r := redact.NewReader(rules(t, "secrets"), nil)
	a, b := r.Flow(ctx, f), r.Flow(ctx, f)
	if a.Foreign != "" || a.Conn.Foreign != "" || a.Conn != b.Conn || a.Conn.ID != f.Conn.ID || f.Conn.Foreign == "" {
		t.Errorf("got %+v, of %+v", a, a.Conn)
	}
}

// What has not ended has no bodies yet: who knows what they will have been?
func TestNotEnded(t *testing.T) {
	w := newWorld(t)
	h := exchange("application/json")
	h.RequestBody, h.ResponseBody = w.body(`{"password":"topse`), w.body("plain")
	ref := h.RequestBody
	h.OriginalRequestBody = &ref
	f := flowOf(h)
	f.State = flow.Open
	got := redact.NewReader(rules(t, "secrets"), w).Flow(ctx, f).Detail.(*flow.HTTP)
	if got.RequestBody != (flow.BodyRef{}) || got.ResponseBody != (flow.BodyRef{}) || got.OriginalRequestBody != nil || len(got.Notes) != 2 {
		t.Errorf("got %+v", got)
	}
	m := flowOf(&flow.Messages{Kind: "udp", Log: w.body("x")})
	m.State = flow.Open
	if got := redact.NewReader(rules(t, "secrets"), w).Flow(ctx, m).Detail.(*flow.Messages); got.Log != (flow.BodyRef{}) || len(got.Notes) != 1 {
		t.Errorf("got %+v", got)
	}
}
