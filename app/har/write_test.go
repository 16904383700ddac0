package har_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"transom/app/har"
	"transom/flow"
	"transom/message"
	"transom/store"
)

var (
	ctx   = context.Background()
	began = time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.UTC)
)

// A world is a store with what tests put into it.
type world struct {
	t testing.TB
	*store.Memory
}

func newWorld(t testing.TB) world {
	m := store.NewMemory(store.MemoryOptions{BodyLimit: 8 << 20})
	t.Cleanup(func() { m.Close() })
	return world{t, m}
}

// body stores a body. It stays while the world does.
func (w world) body(data []byte) flow.BodyRef {
	b := w.NewBody()
	b.Write(data)
	return b.Ref()
}

func conn() *flow.Conn {
	return &flow.Conn{
		ID: flow.NewID(began), Start: began, Network: "tcp",
		Client: netip.MustParseAddrPort("192.0.2.7:50000"), Dst: netip.MustParseAddrPort("198.51.100.9:443"),
		Server: &flow.Leg{To: netip.MustParseAddrPort("198.51.100.9:443"), Dialed: began.Add(20 * time.Millisecond)},
	}
}

func get(method, target string) *flow.HTTP {
	return &flow.HTTP{
		Request: &flow.RequestHead{
			Method: method, Scheme: "https", Authority: "shop.test", Target: target, Proto: flow.HTTP11,
			Header: flow.Header{{Name: "Host", Value: "shop.test"}, {Name: "Cookie", Value: "a=1; b=\"2\""}},
		},
		Response: &flow.ResponseHead{
			Status: 200, Reason: "OK", Proto: flow.HTTP11,
			Header: flow.Header{{Name: "Content-Type", Value: "text/plain"}, {Name: "Set-Cookie", Value: "s=x=y; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT; HttpOnly; Secure"}},
		},
		FirstByte: began.Add(50 * time.Millisecond),
	}
}

func flowOf(d flow.Detail) *flow.Flow {
	return &flow.Flow{ID: flow.NewID(began), Conn: conn(), Start: began, End: began.Add(123456789), State: flow.Done, Detail: d}
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

// webSocket is an exchange and the conversation that it began.
func (w world) webSocket() (*flow.Flow, *flow.Flow) {
	h := get("GET", "/live")
	h.Response.Status, h.Response.Reason = 101, "Switching Protocols"
	f := flowOf(h)
	var log []byte
	var before time.Duration
	for _, m := range []message.Entry{
		{Op: 1, At: time.Second, Payload: []byte("hé")},
		{Op: 9, At: time.Second, Payload: []byte("ping")},
		{Op: 2, Dir: message.ToClient, At: 2 * time.Second, Payload: []byte{0, 255}},
		{Op: 1, Dropped: true, At: 2 * time.Second, Payload: []byte("dropped")},
	} {
		m.Size = int64(len(m.Payload))
		log = append(message.AppendHead(log, &m, before), m.Payload...)
		before = m.At
	}
	m := flowOf(&flow.Messages{Kind: "websocket", Handshake: f.ID, Request: h.Request, Log: w.body(log)})
	h.Began = m.ID
	return f, m
}

// some are flows of every kind that a file may have.
func (w world) some() []*flow.Flow {
	plain := get("GET", "/a?x=1&y=%20z&q")
	plain.ResponseBody = w.body([]byte("grüß\tdich \"\\\x00"))
	binary := get("POST", "/b")
	binary.RequestBody = w.body([]byte{0, 1, 0xff})
	binary.ResponseBody = w.body([]byte("\x89PNG\xff"))
	coded := get("GET", "/c")
	coded.Response.Header.Add("Content-Encoding", "gzip")
	coded.ResponseBody = w.body(gzipped([]byte(strings.Repeat("text ", 100))))
	broken := get("GET", "/d")
	broken.Response.Header.Add("Content-Encoding", "br")
	broken.ResponseBody = w.body([]byte("this is no brotli"))
	form := get("POST", "/e")
	form.Request.Header.Add("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	form.RequestBody = w.body([]byte("user=ann&password=a%26b"))
	cut := get("GET", "/f")
	cut.ResponseBody = w.body([]byte("beginning"))
	cut.ResponseBody.Size, cut.ResponseBody.Truncated = 4711, true
	lost := get("GET", "/g")
	lost.Response, lost.FirstByte = nil, time.Time{}
	failed := flowOf(lost)
	failed.State, failed.Err = flow.Failed, "the server reset the connection"
	two := get("GET", "/h")
	two.Request.Proto, two.Response.Proto = flow.HTTP2, flow.HTTP2
	reused := flowOf(two)
	reused.Conn.Server.Dialed = began.Add(-time.Second)
	odd := get("GET", "/\xff\"<script>")
	odd.Request.Header.Add("X-Latin", "caf\xe9")
	odd.RequestTrailer = flow.Header{{Name: "X-Sum", Value: "1"}}
	h, m := w.webSocket()
	connect := get("CONNECT", "shop.test:443")
	return []*flow.Flow{
		flowOf(plain), flowOf(binary), flowOf(coded), flowOf(broken), flowOf(form), flowOf(cut), failed, reused, flowOf(odd), h, m, flowOf(connect),
		flowOf(&flow.DNS{}), flowOf(&flow.Messages{Kind: "tcp"}), flowOf(&flow.Connection{}),
	}
}

func (w world) write(flows ...*flow.Flow) []byte {
	w.t.Helper()
	var out bytes.Buffer
	hw := har.NewWriter(&out, har.Options{Version: "1"})
	for _, f := range flows {
		if err := hw.Write(ctx, f, w); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := hw.Close(); err != nil {
		w.t.Fatal(err)
	}
	return out.Bytes()
}

func parse(t *testing.T, doc []byte) []any {
	t.Helper()
	var root any
	if err := json.Unmarshal(doc, &root); err != nil {
		t.Fatalf("%v in %s", err, doc)
	}
	return at(root, "log", "entries").([]any)
}

// at walks into a document.
func at(v any, path ...string) any {
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

func TestWrite(t *testing.T) {
	w := newWorld(t)
	entries := parse(t, w.write(w.some()...))
	if len(entries) != 11 {
		t.Fatalf("%d entries", len(entries))
	}
	for _, c := range []struct {
		entry int
		path  string
		want  any
	}{
		{0, "request.url", "https://shop.test/a?x=1&y=%20z&q"},
		{0, "response.content.text", "grüß\tdich \"\\\x00"},
		{0, "response.content.encoding", nil},
		{0, "serverIPAddress", "198.51.100.9"},
		{1, "request.postData.text", base64.StdEncoding.EncodeToString([]byte{0, 1, 0xff})},
		{1, "request.postData.encoding", "base64"},
		{1, "response.content.encoding", "base64"},
		{2, "response.content.text", strings.Repeat("text ", 100)},
		{2, "response.content.size", 500.0},
		{3, "response.content.text", base64.StdEncoding.EncodeToString([]byte("this is no brotli"))},
		{3, "response.content.encoding", "base64"},
		{4, "request.postData.text", "user=ann&password=a%26b"},
		{5, "response.content.text", "beginning"},
		{5, "response.content.comment", "cut: 9 of 4711 bytes were kept"},
		{5, "response.bodySize", 4711.0},
		{6, "response.status", 0.0},
		{6, "response._error", "the server reset the connection"},
		{7, "request.httpVersion", "http/2.0"},
		{7, "timings.connect", -1.0},
		{8, "request.url", "https://shop.test/ÿ\"<script>"},
		{9, "_resourceType", "websocket"},
		{9, "response.status", 101.0},
		{10, "request.url", "https://shop.test:443/"},
	} {
		if got := at(entries[c.entry], strings.Split(c.path, ".")...); got != c.want {
			t.Errorf("entry %d, %s: %#v, want %#v", c.entry, c.path, got, c.want)
		}
	}
	messages := fmt.Sprint(at(entries[9], "_webSocketMessages"))
	if want := "[map[data:hé opcode:1 time:1.7700915077890124e+09 type:send] map[data:AP8= opcode:2 time:1.7700915087890124e+09 type:receive]]"; messages != want {
		t.Errorf("messages %s, want %s", messages, want)
	}
	if got := fmt.Sprint(at(entries[0], "request", "queryString")); got != "[map[name:x value:1] map[name:y value: z] map[name:q value:]]" {
		t.Error("query", got)
	}
	if got := fmt.Sprint(at(entries[0], "response", "cookies")); got != "[map[expires:2026-10-21T07:28:00.000000000Z httpOnly:true name:s path:/ secure:true value:x=y]]" {
		t.Error("cookies", got)
	}
}

// TestTimings: the parts add up to the whole, and connect is there once.
func TestTimings(t *testing.T) {
	w := newWorld(t)
	for i, e := range parse(t, w.write(w.some()...)) {
		sum := 0.0
		for _, part := range []string{"blocked", "dns", "connect", "send", "wait", "receive"} {
			v, ok := at(e, "timings", part).(float64)
			if !ok {
				t.Fatalf("entry %d has no %s", i, part)
			}
			sum += max(v, 0)
		}
		if total := at(e, "time").(float64); math.Abs(sum-total) > 1e-6 {
			t.Errorf("entry %d: parts are %v, the whole %v", i, sum, total)
		}
	}
}

// TestDevTools holds the files to what Chromium's DevTools refuse or lose on import:
// what must be an object, an array, a number, or a time.
func TestDevTools(t *testing.T) {
	w := newWorld(t)
	doc := w.write(w.some()...)
	var root any
	if err := json.Unmarshal(doc, &root); err != nil {
		t.Fatal(err)
	}
	is := func(v any, where, kind string) {
		t.Helper()
		var ok bool
		switch kind {
		case "object":
			_, ok = v.(map[string]any)
		case "array":
			_, ok = v.([]any)
		case "number":
			_, ok = v.(float64)
		case "string":
			_, ok = v.(string)
		case "time":
			s, _ := v.(string)
			_, err := time.Parse(time.RFC3339Nano, s)
			ok = err == nil
		}
		if !ok {
			t.Errorf("%s is %#v, want %s", where, v, kind)
		}
	}
	is(at(root, "log", "version"), "version", "string")
	for _, k := range []string{"name", "version"} {
		is(at(root, "log", "creator", k), "creator."+k, "string")
	}
	is(at(root, "log", "pages"), "pages", "array")
	is(at(root, "log", "entries"), "entries", "array")
	for i, e := range parse(t, doc) {
		for path, kind := range map[string]string{
			"startedDateTime": "time", "time": "number", "cache": "object", "connection": "string", "serverIPAddress": "string",
			"request.method": "string", "request.url": "string", "request.httpVersion": "string", "request.cookies": "array",
			"request.headers": "array", "request.queryString": "array", "request.headersSize": "number", "request.bodySize": "number",
			"response.status": "number", "response.statusText": "string", "response.httpVersion": "string", "response.cookies": "array",
			"response.headers": "array", "response.content": "object", "response.redirectURL": "string", "response.headersSize": "number",
			"response.bodySize": "number", "response.content.size": "number", "response.content.mimeType": "string",
			"timings.blocked": "number", "timings.dns": "number", "timings.connect": "number", "timings.ssl": "number",
			"timings.send": "number", "timings.wait": "number", "timings.receive": "number",
		} {
			is(at(e, strings.Split(path, ".")...), fmt.Sprintf("entries[%d].%s", i, path), kind)
		}
		for _, of := range []string{"request", "response"} {
			for _, list := range []string{"headers", "cookies", "queryString"} {
				pairs, _ := at(e, of, list).([]any)
				for _, p := range pairs {
					is(at(p, "name"), of+"."+list, "string")
					is(at(p, "value"), of+"."+list, "string")
					if expires := at(p, "expires"); expires != nil {
						is(expires, "expires", "time")
					}
				}
			}
		}
		if post := at(e, "request", "postData"); post != nil {
			is(at(post, "mimeType"), "postData.mimeType", "string")
			is(at(post, "text"), "postData.text", "string")
		}
		messages, _ := at(e, "_webSocketMessages").([]any)
		for _, m := range messages {
			is(at(m, "time"), "message.time", "number")
			is(at(m, "opcode"), "message.opcode", "number")
			is(at(m, "data"), "message.data", "string")
			if kind := at(m, "type"); kind != "send" && kind != "receive" {
				t.Errorf("a message's type is %v, which is dropped", kind)
			}
		}
	}
}

// A watched file is looked at after each write.
type watched struct {
	*os.File
	look func()
}

func (w watched) Write(p []byte) (int, error) {
	defer w.look()
	return w.File.Write(p)
}

// TestFileIsWholeAtAnyTime: nobody has to close a file for it to be read, and it makes no
// difference when the process is killed.
func TestFileIsWholeAtAnyTime(t *testing.T) {
	w := newWorld(t)
	name := filepath.Join(t.TempDir(), "flows.har")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	looks := 0
	hw := har.NewWriter(watched{f, func() {
		looks++
		doc, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		parse(t, doc)
	}}, har.Options{})
	for _, fl := range w.some() {
		if err := hw.Write(ctx, fl, w); err != nil {
			t.Fatal(err)
		}
	}
	if looks < 10 {
		t.Errorf("there were %d writes", looks)
	}
}

// A full takes so much, and then fails once.
type full struct {
	*os.File
	left int
}

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if f.left >= 0 && len(p) > f.left {
		n, _ := f.File.Write(p[:f.left])
		f.left = -1
		return n, errFull
	}
	if f.left >= 0 {
		f.left -= len(p)
	}
	return f.File.Write(p)
}

// TestFullDisk: a flow that can't be written is not there in part, and others follow.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	flows := w.some()
	whole := len(w.write(flows...))
	for left := 1; left < whole; left += 37 {
		f, err := os.Create(filepath.Join(t.TempDir(), "flows.har"))
		if err != nil {
			t.Fatal(err)
		}
		hw := har.NewWriter(&full{f, left}, har.Options{Version: "1"})
		failed := 0
		for _, fl := range flows {
			if err := hw.Write(ctx, fl, w); errors.Is(err, errFull) {
				failed++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		hw.Close()
		doc, _ := os.ReadFile(f.Name())
		f.Close()
		if n := len(parse(t, doc)); failed > 1 || n < 10 {
			t.Fatalf("after %d bytes %d flows failed, and %d are there", left, failed, n)
		}
	}
}

// TestLargeBodies: what does not fit the window comes out as what does.
func TestLargeBodies(t *testing.T) {
	w := newWorld(t)
	for name, data := range map[string][]byte{
		"text":      []byte(strings.Repeat("grüße, ", 500_000)),
		"shifted":   []byte("x" + strings.Repeat("ü", 1_000_000)),
		"late-byte": append([]byte(strings.Repeat("a", 3<<20)), 0xff),
		"half":      []byte(strings.Repeat("a", 1<<20-1) + "ü")[:1<<20],
		"window":    []byte(strings.Repeat("a", 1<<20)),
	} {
		for _, code := range []bool{false, true} {
			t.Run(fmt.Sprint(name, code), func(t *testing.T) {
				h := get("GET", "/")
				h.ResponseBody = w.body(data)
				if code {
					h.Response.Header.Add("Content-Encoding", "gzip")
					h.ResponseBody = w.body(gzipped(data))
				}
				e := parse(t, w.write(flowOf(h)))[0]
				got := []byte(at(e, "response", "content", "text").(string))
				if at(e, "response", "content", "encoding") == "base64" {
					got, _ = base64.StdEncoding.DecodeString(string(got))
				}
				if !bytes.Equal(got, data) {
					t.Errorf("%d bytes came out as %d", len(data), len(got))
				}
			})
		}
	}
}

// TestBomb: a body that is much more than it looks is left as it is.
func TestBomb(t *testing.T) {
	w := newWorld(t)
	h := get("GET", "/")
	h.Response.Header.Add("Content-Encoding", "gzip")
	h.ResponseBody = w.body(gzipped(make([]byte, 100<<20)))
	doc := w.write(flowOf(h))
	if len(doc) > 1<<20 || !bytes.Contains(doc, []byte("larger than")) {
		t.Errorf("%d bytes", len(doc))
	}
}

func BenchmarkWrite(b *testing.B) {
	w := newWorld(b)
	h := get("GET", "/a?x=1")
	h.Response.Header.Add("Content-Encoding", "gzip")
	h.ResponseBody = w.body(gzipped([]byte(strings.Repeat("text ", 1000))))
	f := flowOf(h)
	out, err := os.Create(filepath.Join(b.TempDir(), "flows.har"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	hw := har.NewWriter(out, har.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if err := hw.Write(ctx, f, w); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}
