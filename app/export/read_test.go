package export_test

import (
	"bytes"
	"context"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"transom/app/export"
	"transom/app/follow"
	"transom/flow"
	"transom/message"
	"transom/store"
)

// read reads lines into a store, and prints what is there as --json does.
func read(t testing.TB, text string) (again string, err error) {
	t.Helper()
	to := store.NewMemory(store.MemoryOptions{})
	defer to.Close()
	err = export.ReadJSON(context.Background(), strings.NewReader(text), to)
	var out []byte
	for f, err := range to.Flows(context.Background(), store.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(printed(out, f, to), '\n')
	}
	return string(out), err
}

// printed appends all lines of a flow but the first.
func printed(out []byte, f *flow.Flow, bodies store.Store) []byte {
	r, place := follow.Reader{Store: bodies}, follow.Place{}
	for p := range r.Next(context.Background(), f, &place) {
		out = append(export.AppendData(out, f, &p, f.Start), '\n')
	}
	return export.AppendJSON(out, f, export.End)
}

// kept is what lines without those of bodies can't have.
var kept = regexp.MustCompile(`,"kept":\d+|,"truncated":true`)

// TestReadJSON: what is read of lines prints as they were.
func TestReadJSON(t *testing.T) {
	all := flows()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f := all[name]
		if f.Conn == nil || f.State == flow.Open {
			continue // it has no end, or nothing that it belongs to
		}
		t.Run(name, func(t *testing.T) {
			want := string(export.AppendJSON(nil, f, export.End)) + "\n"
			got, err := read(t, "\n"+want)
			// Odd bytes have become the character that stands for them.
			want, got = strings.ReplaceAll(want, `\ufffd`, "\ufffd"), strings.ReplaceAll(got, `\ufffd`, "\ufffd")
			if d := cmp.Diff(kept.ReplaceAllString(want, ""), kept.ReplaceAllString(lastLine(got), "")); err != nil || d != "" {
				t.Errorf("%v\n%s", err, d)
			}
		})
	}
}

func lastLine(s string) string {
	lines := strings.SplitAfter(strings.TrimSuffix(s, "\n"), "\n")
	return lines[len(lines)-1] + "\n"
}

// TestReadJSONBodies: with the lines of bodies and messages these come back, too.
func TestReadJSONBodies(t *testing.T) {
	from := store.NewMemory(store.MemoryOptions{})
	defer from.Close()
	body := func(data string) flow.BodyRef {
		w := from.NewBody()
		io.WriteString(w, data)
		return w.Ref()
	}
	web := get()
	web.RequestBody, web.ResponseBody = body("\x00\xff"+strings.Repeat("x", 200_000)), body("text é")
	rpc := get()
	rpc.Response.Header = flow.Header{{Name: "Content-Type", Value: "application/grpc"}}
	rpc.ResponseBody = body("\x00\x00\x00\x00\x02hi\x01\x00\x00\x00\x01x\x80\x00\x00\x00\x00")
	events := get()
	events.Response.Header = flow.Header{{Name: "Content-Type", Value: "text/event-stream"}}
	events.ResponseBody = body("data: 1\n\nevent: x\ndata: 2\n\n")
	var log []byte
	var before time.Duration
	for _, e := range []message.Entry{
		{Op: 1, At: 5, Payload: []byte("hi")},
		{Op: 2, Dir: message.ToClient, At: 7, Payload: []byte{0, 255}, Changed: true},
		{Op: 9, At: 9, Injected: true},
		{Op: 8, At: time.Second, Payload: []byte("\x03\xe8bye"), Dropped: true},
		{Op: 1, At: time.Minute, Size: 9, Cut: 4, Payload: []byte("\xf1\x02\x03\x04\x05"), Encoded: true},
	} {
		e.Size = max(e.Size, int64(len(e.Payload)))
		log = append(message.AppendHead(log, &e, before), e.Payload...)
		before = e.At
	}
	ws := &flow.Messages{Kind: "websocket", Count: [2]int64{4, 1}, Bytes: [2]int64{9, 2}, Log: body(string(log)), Request: web.Request}
	for name, d := range map[string]flow.Detail{"http": web, "grpc": rpc, "events": events, "websocket": ws} {
		t.Run(name, func(t *testing.T) {
			f := done(conn(), d)
			want := string(append(printed(nil, f, from), '\n'))
			start := string(append(export.AppendJSON(nil, f, export.Start), '\n'))
			got, err := read(t, start+want)
			if d := cmp.Diff(want, got); err != nil || d != "" {
				t.Errorf("%v\n%.2000s", err, d)
			}
			// Without an end it is there as far as it came.
			lines := strings.SplitAfter(want, "\n")
			got, err = read(t, start+strings.Join(lines[:len(lines)-2], ""))
			if err != nil || !strings.Contains(got, `"error":"its end was not recorded"`) || !strings.Contains(got, `"event":"data"`) {
				t.Errorf("%v\n%.2000s", err, got)
			}
		})
	}
}

func TestReadJSONMalformed(t *testing.T) {
	good := string(export.AppendJSON(nil, done(conn(), get()), export.End)) + "\n"
	for name, c := range map[string]struct{ text, want string }{
		"no-json": {good + "x\n", "JSON: line 2, at byte "},
		"cut":     {good + good[:100], "JSON: line 2, at byte "},
		"foreign": {good + `{"log":{}}`, `it is no flow as --json prints them: event ""`},
		"type":    {good + strings.Replace(good, `"type":"http"`, `"type":"smtp"`, 1), `a flow of type "smtp" is not known`},
		"id":      {good + strings.Replace(good, `"id":"`, `"id":"x`, 1), "flow id"},
		"no-id":   {good + `{"type":"http","event":"end"}`, "the flow has no id"},
		"from":    {good + `{"type":"tcp","event":"data","id":"00000000-0000-0000-0000-000000000001","from":"us"}`, "neither client nor server"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(t, c.text)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Count(got, "\n") != 1 && !strings.Contains(got, `"type":"http"`) {
				t.Errorf("%v, want %s; kept %s", err, c.want, got)
			}
		})
	}
}

// FuzzReadJSON: whatever lines say, what is read of them prints, and is read again.
func FuzzReadJSON(f *testing.F) {
	for _, fl := range flows() {
		f.Add(string(export.AppendJSON(nil, fl, export.End)))
		f.Add(string(export.AppendJSON(nil, fl, export.Start)))
	}
	f.Add(`{"type":"tcp","event":"data","id":"00000000-0000-0000-0000-000000000001","time":"2026-01-01T00:00:00Z","from":"server","size":2,"text":"hi"}`)
	f.Fuzz(func(t *testing.T, text string) {
		again, err := read(t, text)
		if err != nil && !strings.HasPrefix(err.Error(), "JSON: line ") {
			t.Fatalf("no place in %v", err)
		}
		if _, err := read(t, again); err != nil {
			t.Fatalf("%v in %s", err, again)
		}
	})
}

func BenchmarkReadJSON(b *testing.B) {
	line := append(export.AppendJSON(nil, done(conn(), get()), export.End), '\n')
	to := store.NewMemory(store.MemoryOptions{})
	defer to.Close()
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if err := export.ReadJSON(context.Background(), bytes.NewReader(line), to); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}
