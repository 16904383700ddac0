package show_test

import (
	"bytes"
	"context"
	"io"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"transom/app/show"
	"transom/flow"
	"transom/message"
	"transom/store"
)

// growing returns news of a stream of events, of a body that is no stream, and
// of messages, as they come; a second passes before each.
func growing(s *scene) iter.Seq2[*flow.Flow, int] {
	events, rows, body := s.store.NewBody(), s.store.NewBody(), s.store.NewBody()
	log := s.store.NewBody()
	return func(yield func(*flow.Flow, int) bool) {
		rev := uint32(0)
		exchange := func(n int, kind string, w store.BodyWriter, more string, state flow.State) {
			time.Sleep(time.Second)
			io.WriteString(w, more)
			h := get("/" + kind)
			h.Response.Header = flow.Header{{Name: "Content-Type", Value: kind}}
			h.ResponseBody = w.Ref()
			f := &flow.Flow{ID: id(n), Rev: rev, Conn: conn(), Start: began, State: state, Detail: h}
			if rev++; state != flow.Open {
				f.End = began.Add(time.Hour)
			}
			yield(f, 0)
		}
		exchange(1, "text/event-stream", events, "", flow.Open)
		exchange(1, "text/event-stream", events, "event: tick\ndata: one\ndata: two\nid: 7\n\ndata: th", flow.Open)
		exchange(2, "text/html", body, "<p>", flow.Open)
		exchange(1, "text/event-stream", events, "ree\n\n:\n\n", flow.Open)
		exchange(3, "application/grpc", rows, "\x01\x00\x00\x00\x03\x08\x96\x01\x80\x00\x00\x00\x04a: b", flow.Open)
		said := func(at time.Duration, op uint8, text string, state flow.State) {
			time.Sleep(time.Second)
			e := message.Entry{Dir: message.Direction(op % 2), Op: op, At: at, Size: int64(len(text)), Changed: op == 1}
			log.Write(append(message.AppendHead(nil, &e, at-time.Second), text...))
			f := &flow.Flow{
				ID: id(4), Rev: rev, Conn: bare("192.0.2.1:80"), Start: began, State: state,
				Detail: &flow.Messages{Kind: "websocket", Count: [2]int64{1, 1}, Bytes: [2]int64{2, 5}, Log: log.Ref()},
			}
			if rev++; state != flow.Open {
				f.End = began.Add(time.Hour)
			}
			yield(f, 0)
		}
		said(time.Second, 1, "hello", flow.Open)
		said(2*time.Second, 2, "\x00\x01", flow.Done)
		exchange(2, "text/html", body, "</p>", flow.Done)
		exchange(1, "text/event-stream", events, "data: cut", flow.Done)
		exchange(3, "application/grpc", rows, "\x00\x00\x01\x11\x70"+strings.Repeat("x", 70_000), flow.Done)
	}
}

// TestStreams shows streams while they go on, as lines and as JSON.
func TestStreams(t *testing.T) {
	for name, o := range map[string]show.Options{
		"stream-2.txt": {Detail: 2}, "stream-3.txt": {Detail: 3}, "stream-3.ndjson": {Detail: 3, JSON: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scene{store: store.NewMemory(store.MemoryOptions{BodyLimit: 200})}
				defer s.store.Close()
				o.Store = s.store
				var out bytes.Buffer
				if err := show.Run(context.Background(), &out, growing(s), o); err != nil {
					t.Fatal(err)
				}
				golden(t, name, out.String())
			})
		})
	}
}

// Each part is out before the next news is looked at.
func TestPartsAreLive(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := &scene{store: store.NewMemory(store.MemoryOptions{})}
			defer s.store.Close()
			var out bytes.Buffer
			before := 0
			news := func(yield func(*flow.Flow, int) bool) {
				for f := range growing(s) {
					yield(f, 0)
					synctest.Wait() // the output has been written
					if h, ok := f.Detail.(*flow.HTTP); f.Rev > 0 && (!ok || !strings.Contains(h.Request.Target, "html")) && out.Len() == before {
						t.Errorf("nothing has come of revision %d", f.Rev)
					}
					before = out.Len()
				}
			}
			if err := show.Run(t.Context(), &out, news, show.Options{Detail: 3, JSON: asJSON, Store: s.store}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A flow whose end was lost is not remembered for ever.
func TestEndsLost(t *testing.T) {
	const flows = 70_000
	news := func(yield func(*flow.Flow, int) bool) {
		for n := range flows {
			f := &flow.Flow{ID: flow.ID{0: byte(n >> 16), 1: byte(n >> 8), 2: byte(n)}, Conn: conn(), Start: began, Detail: get("/")}
			if !yield(f, 0) {
				return
			}
		}
		yield(nil, 3)
	}
	var out bytes.Buffer
	if err := show.Run(t.Context(), &out, news, show.Options{Detail: 3}); err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != flows {
		t.Errorf("%d lines", n)
	}
}
