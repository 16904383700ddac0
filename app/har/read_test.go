package har_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"transom/app/har"
	"transom/flow"
	"transom/message"
	"transom/store"
)

// read reads a document, and returns what it has and how that ended.
func (w world) read(doc string) ([]*flow.Flow, error) {
	err := har.Read(ctx, strings.NewReader(doc), w)
	var flows []*flow.Flow
	for f, err := range w.Flows(ctx, store.Query{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		flows = append(flows, f)
	}
	slices.SortStableFunc(flows, func(a, b *flow.Flow) int { return a.Start.Compare(b.Start) })
	return flows, err
}

// data is what is kept of a body.
func (w world) data(ref flow.BodyRef) string {
	w.t.Helper()
	if ref.Kept == 0 {
		return ""
	}
	r, err := w.OpenBody(ctx, ref)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(b)
}

// TestRoundTrip: what was written is read as it was, as far as the format has it.
func TestRoundTrip(t *testing.T) {
	from, to := newWorld(t), newWorld(t)
	flows := from.some()
	got, err := to.read(string(from.write(flows...)))
	if err != nil {
		t.Fatal(err)
	}
	byURL := map[string]*flow.Flow{}
	for _, f := range got {
		if h, ok := f.Detail.(*flow.HTTP); ok {
			byURL[h.Request.Target] = f
		}
	}
	if len(got) != 12 {
		t.Fatalf("%d flows", len(got))
	}
	for _, f := range flows[:10] {
		h := f.Detail.(*flow.HTTP)
		if strings.HasPrefix(h.Request.Target, "/\xff") {
			continue // which is Latin-1 now
		}
		g := byURL[h.Request.Target]
		if g == nil {
			t.Errorf("%s is not there", h.Request.Target)
			continue
		}
		r := g.Detail.(*flow.HTTP)
		if !g.Start.Equal(f.Start) || g.End.Sub(f.End).Abs() > time.Microsecond || g.Err != f.Err {
			t.Errorf("%s: %v to %v, %q; want %v to %v, %q", h.Request.Target, g.Start, g.End, g.Err, f.Start, f.End, f.Err)
		}
		if r.Request.Method != h.Request.Method || r.Request.Proto != h.Request.Proto || !r.Request.Header.Equal(h.Request.Header) || r.Request.Authority != h.Request.Authority {
			t.Errorf("request %v, want %v", r.Request, h.Request)
		}
		if got, want := to.data(r.RequestBody), from.data(h.RequestBody); got != want {
			t.Errorf("body %q, want %q", got, want)
		}
		if h.Response != nil && r.FirstByte.Sub(h.FirstByte).Abs() > time.Microsecond {
			t.Errorf("%s: first byte at %v, want %v", h.Request.Target, r.FirstByte, h.FirstByte)
		}
	}
	c := byURL["/c"].Detail.(*flow.HTTP)
	if got := to.data(c.ResponseBody); got != strings.Repeat("text ", 100) || len(c.Notes) != 1 || c.Response.Header.Get("Content-Encoding") != "" {
		t.Errorf("coded body: %q, %v", got, c.Notes)
	}
	ws := byURL["/live"]
	for _, f := range got {
		m, ok := f.Detail.(*flow.Messages)
		if !ok {
			continue
		}
		if m.Handshake != ws.ID || ws.Detail.(*flow.HTTP).Began != f.ID || m.Count != [2]int64{1, 1} {
			t.Errorf("messages %+v", m)
		}
		var said []string
		for e, err := range message.ReadLog(strings.NewReader(to.data(m.Log))) {
			if err != nil {
				t.Fatal(err)
			}
			said = append(said, e.At.Round(time.Millisecond).String()+string(e.Payload))
		}
		if !slices.Equal(said, []string{"1shé", "2s\x00\xff"}) {
			t.Errorf("said %q", said)
		}
	}
}

const (
	head  = `{"log":{"version":"1.2","creator":{"name":"x","version":"1"},"pages":[{"id":"p","pageTimings":{"onLoad":[1,{"a":null}]}}],"entries":[`
	entry = `{"startedDateTime":"2026-01-02T03:04:05.678Z","time":12.5,"request":{"method":"GET","url":"https://a.test/x?y=1#z","httpVersion":"HTTP/1.1",
"headers":[{"name":"Host","value":"a.test"}]},"response":{"status":200,"statusText":"OK","httpVersion":"HTTP/1.1","headers":[],
"content":{"size":2,"mimeType":"text/plain","text":"hi"}},"timings":{"send":0,"wait":10,"receive":2.5}}`
)

// TestSameIDs: who reads a file twice finds the same flows, and all of them.
func TestSameIDs(t *testing.T) {
	entry := func(url, more string) string {
		return `{"startedDateTime":"2026-03-04T05:06:07Z","time":1,"request":{"method":"GET","url":"` + url + `"},"response":{"status":200}` + more + `}`
	}
	const socket = `,"_resourceType":"websocket","_webSocketMessages":[{"type":"send","time":1772600767,"opcode":1,"data":"x"}]`
	doc := `{"log":{"entries":[` + entry("http://a.test/", "") + "," + entry("http://a.test/", "") + "," + entry("http://b.test/", socket) + `]}}`
	ids := func(doc string) (all []string) {
		flows, err := newWorld(t).read(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range flows {
			all = append(all, f.ID.String()+" "+f.Conn.ID.String())
		}
		slices.Sort(all)
		return all
	}
	one, two := ids(doc), ids(doc)
	if len(one) != 4 || !slices.Equal(one, two) || len(slices.Compact(one)) != 4 {
		t.Errorf("%q, and then %q", one, two)
	}
}

// TestProducers: programs differ in how they write it.
func TestProducers(t *testing.T) {
	for name, c := range map[string]struct {
		doc  string
		want func(t *testing.T, w world, f *flow.Flow, h *flow.HTTP)
	}{
		"chromium": {
			head + strings.NewReplacer(`"HTTP/1.1"`, `"http/2.0"`, `{"name":"Host","value":"a.test"}`,
				`{"name":":authority","value":"b.test"},{"name":":method","value":"GET"},{"name":"accept","value":"*/*"}`,
				`"timings"`, `"connection":"17","_priority":"High","_initiator":{"type":"other"},"serverIPAddress":"[2001:db8::1]","timings"`).Replace(entry) + `]}}`,
			func(t *testing.T, w world, f *flow.Flow, h *flow.HTTP) {
				if h.Request.Proto != flow.HTTP2 || h.Request.Authority != "b.test" || len(h.Request.Header) != 1 {
					t.Errorf("%+v", h.Request)
				}
				if got := f.Conn.Dst.String(); got != "[2001:db8::1]:443" {
					t.Error(got)
				}
			},
		},
		"chromium-blocked": {
			head + strings.NewReplacer(`"status":200`, `"status":0,"_error":"net::ERR_BLOCKED_BY_CLIENT"`).Replace(entry) + `]}}`,
			func(t *testing.T, w world, f *flow.Flow, h *flow.HTTP) {
				if f.State != flow.Failed || f.Err != "net::ERR_BLOCKED_BY_CLIENT" || h.Response != nil {
					t.Errorf("%+v", f)
				}
			},
		},
		"firefox": {
			head + strings.NewReplacer(`Z"`, `+01:00"`, `"timings"`, `"cache":{},"connection":"443","timings"`, `"httpVersion":"HTTP/1.1"`, `"httpVersion":"HTTP/2"`).Replace(entry) + `]}}`,
			func(t *testing.T, w world, f *flow.Flow, h *flow.HTTP) {
				if f.Start.UTC().Hour() != 2 || h.Request.Proto != flow.HTTP2 {
					t.Error(f.Start, h.Request.Proto)
				}
			},
		},
		"safari": {
			head + strings.NewReplacer(`"timings"`, `"serverIPAddress":"","_serverPort":443,"timings"`, `"statusText":"OK"`, `"statusText":null`, `"time":12.5`, `"time":"12.5"`).Replace(entry) + `]}}`,
			func(t *testing.T, w world, f *flow.Flow, h *flow.HTTP) {
				if h.Response.Reason != "" || f.Duration() != 12500*time.Microsecond || f.Conn.Dst.Addr().IsValid() {
					t.Errorf("%+v", f)
				}
			},
		},
		"charles": {
			head + strings.NewReplacer(`"text":"hi"`, `"text":"aGk=","encoding":"base64"`, `"serverIPAddress":""`, ``, `Z"`, `+0000"`).Replace(entry) + `]}}`,
			func(*testing.T, world, *flow.Flow, *flow.HTTP) {},
		},
		"fiddler": {
			"\xef\xbb\xbf" + head + entry + `]}}`,
			func(*testing.T, world, *flow.Flow, *flow.HTTP) {},
		},
		"slack": {
			head + strings.NewReplacer(`{"name":"Host","value":"a.test"}`, `["host","a.test"],["x-a","1"]`).Replace(entry) + `]}}`,
			func(t *testing.T, w world, f *flow.Flow, h *flow.HTTP) {
				if h.Request.Header.Get("X-A") != "1" {
					t.Error(h.Request.Header)
				}
			},
		},
		"mitmproxy": {
			head + strings.NewReplacer(`"headers":[]`, `"headers":[{"name":"Content-Encoding","value":"gzip"}]`,
				`"headers":[{"name":"Host"`, `"postData":{"mimeType":"application/x-www-form-urlencoded","text":"","params":[{"name":"a","value":"b c"}]},"headers":[{"name":"Host"`).Replace(entry) + `]}}`,
			func(t *testing.T, w world, f *flow.Flow, h *flow.HTTP) {
				if got := w.data(h.RequestBody); got != "a=b+c" || len(h.Notes) != 1 {
					t.Errorf("%q %v", got, h.Notes)
				}
			},
		},
		"without-a-body": {
			head + strings.NewReplacer(`,"text":"hi"`, ``, `"size":2`, `"size":4711`).Replace(entry) + `]}}`,
			func(t *testing.T, w world, f *flow.Flow, h *flow.HTTP) {
				if want := (flow.BodyRef{Size: 4711, Truncated: true}); h.ResponseBody != want {
					t.Errorf("%+v", h.ResponseBody)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			flows, err := w.read(c.doc)
			if err != nil || len(flows) != 1 {
				t.Fatalf("%d flows, %v", len(flows), err)
			}
			f := flows[0]
			h := f.Detail.(*flow.HTTP)
			if h.Request.Target != "/x?y=1" || h.Request.Scheme != "https" || f.Conn.Host != "a.test" && f.Conn.Host != "b.test" {
				t.Errorf("%+v to %q", h.Request, f.Conn.Host)
			}
			if got := w.data(h.ResponseBody); got != "hi" && h.Response != nil && h.ResponseBody.Kept != 0 {
				t.Errorf("body %q", got)
			}
			c.want(t, w, f, h)
		})
	}
}

// TestMalformed: an error says where, and what was before it is kept.
func TestMalformed(t *testing.T) {
	for name, c := range map[string]struct {
		doc, want string
		kept      int
	}{
		"empty":     {"", "at byte 0: the file ends in the middle", 0},
		"no-har":    {`{"a":1}`, "at byte 7: log.entries: not a HAR file: there is none", 0},
		"array":     {`[]`, "at byte 1: not a HAR file: want {", 0},
		"no-json":   {head + entry + `,]}}`, "log.entries[1]: invalid character ']'", 1},
		"truncated": {head + entry + `,` + entry[:100], "log.entries[1]: the file ends in the middle: unexpected EOF", 1},
		"no-end":    {head + entry, "log.entries: the file ends in the middle", 1},
		"no-url":    {head + strings.Replace(entry, `"url":"https://a.test/x?y=1#z"`, `"url":null`, 1) + `]}}`, "log.entries[0]: request.url: there is none", 0},
		"no-object": {head + entry + `,7]}}`, "log.entries[1]", 1},
		"status":    {head + strings.Replace(entry, `"status":200`, `"status":{}`, 1) + `]}}`, "want a number", 0},
		"time":      {head + strings.Replace(entry, `2026-01-02T03:04:05.678Z`, `yesterday`, 1) + `]}}`, `got "yesterday"`, 0},
		"base64":    {head + strings.Replace(entry, `"text":"hi"`, `"text":"!","encoding":"base64"`, 1) + `]}}`, "response.content.text: illegal base64", 0},
		"bom":       {"\xef\xbb\xbf{]", "at byte 4", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			flows, err := w.read(c.doc)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(flows) != c.kept {
				t.Errorf("%d flows and %v, want %d and %s", len(flows), err, c.kept, c.want)
			}
		})
	}
}

// FuzzRead: whatever a file holds, what is read of it can be written, and read again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(head + entry + `]}}`))
	f.Add([]byte(head + strings.Replace(entry, `"timings"`, `"_webSocketMessages":[{"type":"send","time":1.5,"opcode":2,"data":"AA=="}],"timings"`, 1) + `]}}`))
	f.Add([]byte("\xef\xbb\xbf{\"log\":{\"entries\":[]}}"))
	f.Add([]byte(`{"log":{"entries":[[[[[[`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		w := newWorld(t)
		flows, err := w.read(string(doc))
		if err != nil && !strings.HasPrefix(err.Error(), "HAR: at byte ") {
			t.Fatalf("no place in %v", err)
		}
		again := newWorld(t)
		if _, err := again.read(string(w.write(flows...))); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	w := newWorld(b)
	var flows []*flow.Flow
	for range 100 {
		h := get("GET", "/a?x=1")
		h.ResponseBody = w.body(bytes.Repeat([]byte("text "), 1000))
		flows = append(flows, flowOf(h))
	}
	doc := w.write(flows...)
	b.SetBytes(int64(len(doc)))
	b.ReportAllocs()
	for b.Loop() {
		if err := har.Read(ctx, bytes.NewReader(doc), w); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(100*float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}
