package show_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"transom/app/show"
	"transom/filter"
	"transom/flow"
	"transom/message"
	"transom/store"
)

var update = flag.Bool("update", false, "rewrite testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 3, 4, 5, 6, 7, 80_000_000, time.UTC)

func id(n int) flow.ID { return flow.ID{0: 1, 6: 0x70, 8: 0x80, 14: byte(n >> 8), 15: byte(n)} }

func conn() *flow.Conn {
	return &flow.Conn{
		ID: id(1), Start: began, Network: "tcp", Via: "redirect",
		Client: netip.MustParseAddrPort("192.168.1.2:50422"), Dst: netip.MustParseAddrPort("10.9.0.2:443"),
		Layers: []flow.Layer{{Proto: "tls", Host: "shop.example", TLS: &flow.TLS{
			ServerName: "shop.example", Version: 0x304, Protocol: "http/1.1", Resumed: true,
			JA3: "0149f47eabf9a20d0893e2a44e5a6323", JA4: "t13d1516h2_8daaf6152771_02713d6af862",
		}}},
		Server: &flow.Leg{TLS: &flow.TLS{
			ServerName: "shop.example", Version: 0x303, JA4: "t12d1711h1_9e580b23da12_a92c7c6a82fe", VerifyErr: "unknown authority",
		}},
	}
}

func bare(dst string) *flow.Conn {
	return &flow.Conn{ID: id(1), Client: netip.MustParseAddrPort("[2001:db8::2]:50422"), Dst: netip.MustParseAddrPort(dst)}
}

func get(path string) *flow.HTTP {
	return &flow.HTTP{
		Request: &flow.RequestHead{
			Method: "GET", Scheme: "https", Authority: "shop.example", Target: path, Proto: flow.HTTP11,
			Header: flow.Header{{Name: "Host", Value: "shop.example"}, {Name: "ACCEPT", Value: "*/*"}},
		},
		Response: &flow.ResponseHead{
			Status: 200, Reason: "OK", Proto: flow.HTTP11,
			Header: flow.Header{{Name: "Content-Type", Value: "text/html; charset=utf-8"}},
		},
	}
}

// A scene is what happened, with bodies in a store.
type scene struct {
	store *store.Memory
	flows []*flow.Flow
}

func (s *scene) body(p []byte) flow.BodyRef {
	w := s.store.NewBody() // never closed: its flow is not in the store
	w.Write(p)
	return w.Ref()
}

func (s *scene) add(c *flow.Conn, d flow.Detail, err string) *flow.Flow {
	f := &flow.Flow{ID: id(len(s.flows) + 10), Rev: 1, Conn: c, Start: began, End: began.Add(12345678), State: flow.Done, Detail: d}
	if err != "" {
		f.State, f.Err = flow.Failed, err
	}
	s.flows = append(s.flows, f)
	return f
}

func newScene(t *testing.T) *scene {
	s := &scene{store: store.NewMemory(store.MemoryOptions{BodyLimit: 64 << 10})}
	t.Cleanup(func() { s.store.Close() })

	page := get("/cart?a=1")
	page.ResponseBody = s.body([]byte("<p>hello</p>\n<p>\x1b[31mred\ttab\u202e</p>\n"))
	s.add(conn(), page, "")

	post := get("/api")
	post.Request.Method = "POST"
	post.RequestBody = s.body([]byte(`{"a":1}`))
	post.Response.Status, post.Response.Reason = 404, "Not Found"
	post.Response.Header = flow.Header{{Name: "Content-Type", Value: "application/octet-stream"}}
	post.ResponseBody = s.body([]byte("\x00\x01\x02binary bytes that fill more than a row"))
	post.ResponseTrailer = flow.Header{{Name: "Sum", Value: "1"}}
	s.add(conn(), post, "")

	zipped := get("/zipped")
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	fmt.Fprint(w, strings.Repeat("all work and no play\n", 200))
	w.Close()
	zipped.Response.Header = flow.Header{{Name: "Content-Type", Value: "text/plain"}, {Name: "Content-Encoding", Value: "gzip"}}
	zipped.ResponseBody = s.body(z.Bytes())
	s.add(conn(), zipped, "")

	changed := get("/after")
	was := *changed.Request
	was.Target = "/before"
	changed.OriginalRequest = &was
	changed.Interim = []flow.ResponseHead{{Status: 103, Reason: "Early Hints", Proto: flow.HTTP11}}
	changed.Notes = []string{"two Host fields"}
	changed.Response.Status, changed.Response.Header = 302, nil
	s.add(conn(), changed, "")

	none := get("/down")
	none.Response = nil
	s.add(conn(), none, "connection reset by peer")

	s.add(conn(), &flow.HTTP{
		Request:  &flow.RequestHead{Proto: flow.HTTP11, Raw: []byte("GET / HTTP/1.1\r\nHost : \xff\r\n")},
		Response: &flow.ResponseHead{Status: 400, Proto: flow.HTTP11},
	}, "space before the colon")

	var log []byte
	for i, say := range []string{"EHLO there\r\n", "250 hello\r\n"} {
		e := message.Entry{Dir: message.Direction(i), At: time.Duration(i) * time.Second, Size: int64(len(say))}
		log = append(message.AppendHead(log, &e, 0), say...)
	}
	s.add(bare("[2001:db8::1]:25"), &flow.Messages{
		Kind: "tcp", Count: [2]int64{1, 1}, Bytes: [2]int64{12, 11}, Log: s.body(log),
	}, "")

	pinned := conn()
	pinned.Layers[0].TLS = &flow.TLS{ServerName: "shop.example"}
	pinned.Server = nil
	s.add(pinned, &flow.Connection{Type: "tls", Action: "inspect", Reason: "client refused our certificate", Client: flow.Alert}, "alert")
	s.add(pinned, &flow.Connection{Type: "tls", Action: "pass", Reason: "ignored by rule", Bytes: [2]int64{517, 1 << 20}, Client: flow.FIN, Server: flow.FIN}, "")
	s.add(conn(), &flow.Messages{Kind: "tcp"}, "")
	s.add(conn(), &flow.Connection{Type: "tls", Action: "record", Reason: "client closed after the handshake", Flows: 1, Client: flow.FIN}, "")
	s.add(conn(), &flow.Connection{Action: "inspect", Flows: 6, Client: flow.FIN, Server: flow.FIN}, "")
	s.add(&flow.Conn{ID: id(1), Client: netip.MustParseAddrPort("192.168.1.2:1")}, &flow.Connection{Reason: "destination unknown: no such entry"}, "no such entry")
	s.add(bare("192.0.2.1:80"), &flow.Connection{Action: "block", Reason: "blocked: ads"}, "")
	s.add(bare("192.0.2.1:80"), &flow.Connection{Action: "inspect"}, "")

	s.add(bare("192.0.2.1:5000"), &flow.Messages{Kind: "udp", Count: [2]int64{2, 1}, Bytes: [2]int64{12, 11}}, "")
	resolver := bare("192.0.2.53:53")
	q := &flow.DNSMessage{ID: 7, Questions: []flow.DNSQuestion{{Name: "shop.example", Type: flow.TypeA, Class: 1}}, Raw: make([]byte, 30)}
	answer := func(rcode uint16, rs ...flow.DNSRecord) *flow.DNS {
		return &flow.DNS{Query: q, Answer: &flow.DNSMessage{
			ID: 7, Flags: flow.DNSResponse, RCode: rcode, Questions: q.Questions, Answers: rs, Raw: make([]byte, 62),
		}}
	}
	alias := flow.DNSRecord{Name: "shop.example", Type: flow.TypeCNAME, Class: 1, TTL: 60, Data: "www.shop.example"}
	var many []flow.DNSRecord
	for i := range 6 {
		many = append(many, flow.DNSRecord{Name: "www.shop.example", Type: flow.TypeA, Class: 1, TTL: 60, Data: fmt.Sprintf("10.0.0.%d", i)})
	}
	s.add(resolver, answer(0, alias, many[1]), "")
	s.add(resolver, answer(0, many...), "")
	s.add(resolver, answer(3), "")
	s.add(resolver, answer(0), "")
	s.add(resolver, answer(0, alias), "")
	s.add(resolver, &flow.DNS{Query: q, Notes: []string{"asked again"}}, "no answer came")

	for _, of := range []*flow.Process{
		{PID: 4711, Name: "curl", Path: "/usr/bin/curl", UID: 1000, User: "alice", Cgroup: "/user.slice/session-2.scope", Unit: "session-2.scope"},
		{PID: 4712, Name: "a\n\x1b[31mb", UID: 1001, Cgroup: "/odd\n\x1b[2J"},
		{UID: 33, User: "www-data", Cgroup: "/docker/0123456789abcdef", Container: "docker 0123456789ab", Unit: "docker.service"},
		{UID: 0, Cgroup: "/"},
	} {
		s.add(bare("192.0.2.1:80").WithProcess(of), &flow.Connection{Action: "inspect"}, "")
	}
	for _, of := range []*flow.Device{
		{MAC: "02:00:5e:10:00:01", Name: "phone", NamedBy: "dhcp"},
		{MAC: "02:00:5e:10:00:01"},
		{Name: "odd\n\x1b[31m", NamedBy: "hosts"},
	} {
		s.add(bare("192.0.2.1:80").WithDevice(of), &flow.Connection{Action: "inspect"}, "")
	}
	return s
}

func seq(fs ...*flow.Flow) iter.Seq2[*flow.Flow, int] {
	return func(yield func(*flow.Flow, int) bool) {
		for _, f := range fs {
			if !yield(f, 0) {
				return
			}
		}
	}
}

func run(t *testing.T, o show.Options, fs ...*flow.Flow) string {
	t.Helper()
	var out bytes.Buffer
	if err := show.Run(context.Background(), &out, seq(fs...), o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDetail(t *testing.T) {
	for level := range 5 {
		t.Run(fmt.Sprintf("detail-%d", level), func(t *testing.T) {
			s := newScene(t)
			golden(t, fmt.Sprintf("detail-%d.txt", level), run(t, show.Options{Detail: level, Store: s.store}, s.flows...))
		})
	}
	t.Run("color", func(t *testing.T) {
		s := newScene(t)
		got := run(t, show.Options{Detail: 2, Store: s.store, Color: true}, s.flows...)
		golden(t, "color.txt", strings.ReplaceAll(got, "\x1b", "ESC"))
	})
	t.Run("quiet", func(t *testing.T) {
		s := newScene(t)
		if got := run(t, show.Options{Detail: 4, Store: s.store, Quiet: true}, s.flows...); got != "" {
			t.Errorf("%q", got)
		}
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s; run with -update and read the diff. Got:\n%s", path, got)
	}
}

// Nothing that a hostile peer sends reaches the terminal as it is.
func TestNothingSteersTheTerminal(t *testing.T) {
	const nasty = "\x1b]0;x\x07\r\n\x00\u202e\u0085\x9b31m\u200b\xff\U000e0041"
	s := &scene{store: store.NewMemory(store.MemoryOptions{})}
	defer s.store.Close()
	h := get("/" + nasty)
	h.Request.Method, h.Request.Authority = "G"+nasty, nasty
	h.Request.Header.Add(nasty, nasty)
	h.Response.Reason = nasty
	h.Response.Header = flow.Header{{Name: "Content-Type", Value: nasty}}
	h.Notes = []string{nasty}
	h.RequestBody, h.ResponseBody = s.body([]byte(nasty)), s.body([]byte("text \x7f\u202e\u2066"))
	c := conn()
	c.Host = nasty
	c.Layers[0].Host, c.Layers[0].TLS.ServerName, c.Layers[0].TLS.Protocol = nasty, nasty, nasty
	s.add(c, h, nasty)
	s.add(c, &flow.Connection{Reason: nasty}, nasty)
	s.add(c, &flow.HTTP{Request: &flow.RequestHead{Raw: []byte(nasty)}}, nasty)
	for level := range 5 {
		for _, asJSON := range []bool{false, true} {
			got := run(t, show.Options{Detail: level, JSON: asJSON, Store: s.store}, s.flows...)
			for i, r := range got {
				if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x2066 || r == 0xfffd && !asJSON {
					t.Fatalf("detail %d, json %v: %U at %d of %q", level, asJSON, r, i, got)
				}
			}
		}
	}
}

func TestWideAndEndless(t *testing.T) {
	for _, tc := range []struct{ name, target, want string }{
		{"wide", "/日本語", "/日本語 [10.9.0.2:443]"},
		{"marks", "/a\u0301\u0301\u0301\u0301b", "/a\u0301\u0301b "},
		{"endless", "/" + strings.Repeat("x", 5000), strings.Repeat("x", 278) + "… ["},
		{"endless-wide", "/" + strings.Repeat("語", 5000), strings.Repeat("語", 139) + "… ["},
		{"wrong", "/\xe6\x97", `/\xe6\x97 `},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &scene{}
			got := run(t, show.Options{Detail: 1}, s.add(conn(), get(tc.target), ""))
			if !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q in it", got, tc.want)
			}
		})
	}
}

func TestJSONLines(t *testing.T) {
	s := newScene(t)
	for level, want := range []int{0, 18, 28, 44, 44} {
		got := run(t, show.Options{Detail: level, JSON: true}, s.flows...)
		lines := strings.Split(strings.TrimSuffix(got, "\n"), "\n")
		if got == "" {
			lines = nil
		}
		if len(lines) != want {
			t.Errorf("detail %d: %d lines, want %d", level, len(lines), want)
		}
		for _, l := range lines {
			if !json.Valid([]byte(l)) {
				t.Errorf("not JSON: %s", l)
			}
		}
	}
}

// A flow's beginning is shown once, before its end, whichever snapshots come.
func TestBeginnings(t *testing.T) {
	s := &scene{}
	end := s.add(conn(), get("/"), "")
	open := *end
	open.Rev, open.State, open.End = 0, flow.Open, time.Time{}
	for _, tc := range []struct {
		name   string
		detail int
		news   []*flow.Flow
		want   string
	}{
		{"both", 3, []*flow.Flow{&open, end}, "start end "},
		{"replaced", 3, []*flow.Flow{end}, "start end "},
		{"twice", 3, []*flow.Flow{&open, &open, end}, "start end "},
		{"begun", 3, []*flow.Flow{&open}, "start "},
		{"ends-only", 2, []*flow.Flow{&open, end}, "end "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got strings.Builder
			for line := range strings.Lines(run(t, show.Options{Detail: tc.detail, JSON: true}, tc.news...)) {
				var l struct{ Event string }
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatal(err)
				}
				got.WriteString(l.Event + " ")
			}
			if got.String() != tc.want {
				t.Errorf("got %q, want %q", got.String(), tc.want)
			}
		})
	}
}

func TestBrotli(t *testing.T) {
	s := newScene(t)
	packed := get("/packed")
	packed.Response.Header = flow.Header{{Name: "Content-Type", Value: "text/plain"}, {Name: "Content-Encoding", Value: "br"}}
	packed.ResponseBody = s.body([]byte("\x0b\x02\x80hello\x03")) // uncompressed, as RFC 7932 lets it be
	got := run(t, show.Options{Detail: 4, Store: s.store}, s.add(conn(), packed, ""))
	if !strings.Contains(got, "hello") || !strings.Contains(got, "decoded from br") {
		t.Error(got)
	}
}

// TestFilter: of a flow either everything is shown or nothing.
func TestFilter(t *testing.T) {
	s := newScene(t)
	end := s.add(conn(), get("/"), "")
	end.Detail.(*flow.HTTP).ResponseBody = s.body([]byte("secret"))
	open, answered := *end, *end
	open.Rev, open.State, open.End = 0, flow.Open, time.Time{}
	open.Detail = &flow.HTTP{Request: end.Detail.(*flow.HTTP).Request}
	answered.State, answered.End = flow.Open, time.Time{}
	end.Rev = 2
	for _, tc := range []struct {
		filter string
		detail int
		want   string
	}{
		{"~u shop", 3, "start data end "},
		{"~u shop", 1, "end "},
		{"~u other", 3, ""},
		{"~c 200", 3, "start data end "},
		{"~c 404", 3, ""},
		{"~q", 3, "start data end "}, // it matched once
		{"~q", 1, ""},
		{"~b secret", 3, "start data end "},
		{"~b other", 3, ""},
		{"~duration >1ms", 3, "start data end "},
	} {
		t.Run(fmt.Sprint(tc.filter, tc.detail), func(t *testing.T) {
			x, err := filter.Parse(tc.filter, filter.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for line := range strings.Lines(run(t, show.Options{Detail: tc.detail, JSON: true, Store: s.store, Filter: x}, &open, &answered, end)) {
				var l struct{ Event string }
				if err := json.Unmarshal([]byte(line), &l); err != nil {
					t.Fatal(err)
				}
				got.WriteString(l.Event + " ")
			}
			if got.String() != tc.want {
				t.Errorf("got %q, want %q", got.String(), tc.want)
			}
		})
	}
}

// counted is a store that counts how often bodies are opened.
type counted struct {
	store.Store
	n int
}

func (c *counted) OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error) {
	c.n++
	return c.Store.OpenBody(ctx, ref)
}

// TestFilterGrowing: what grows is not searched anew for each byte.
func TestFilterGrowing(t *testing.T) {
	s := newScene(t)
	body := s.store.NewBody()
	defer body.Close()
	end := s.add(conn(), get("/"), "")
	var news []*flow.Flow
	for i := range 1000 {
		body.Write([]byte("x"))
		f, d := *end, *end.Detail.(*flow.HTTP)
		f.Rev, f.State, f.End, f.Detail = uint32(i+1), flow.Open, time.Time{}, &d
		d.ResponseBody = body.Ref()
		news = append(news, &f)
	}
	x, err := filter.Parse("~bs y", filter.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := &counted{Store: s.store}
	if got := run(t, show.Options{Detail: 3, Store: c, Filter: x}, news...); got != "" || c.n > 12 {
		t.Errorf("searched %d times; shown is %q", c.n, got)
	}
}

func TestMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &scene{}
		f := s.add(conn(), get("/"), "")
		news := func(yield func(*flow.Flow, int) bool) {
			for range 100 { // within a second: one line, and the rest at the end
				yield(f, 3)
			}
			time.Sleep(2 * time.Second)
			yield(f, 1)
			yield(f, 0)
		}
		err := show.Run(t.Context(), io.Discard, news, show.Options{Detail: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(log.String(), "\n"); n != 2 || !strings.Contains(log.String(), "flows=3") || !strings.Contains(log.String(), "flows=298") {
			t.Errorf("log:\n%s", log.String())
		}
	})
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Path: "stdout", Err: syscall.EPIPE}
}

func TestOutputGone(t *testing.T) {
	s := &scene{}
	f := s.add(conn(), get("/"), "")
	endless := func(yield func(*flow.Flow, int) bool) {
		for yield(f, 0) {
		}
	}
	err := show.Run(context.Background(), closedPipe{}, endless, show.Options{Detail: 1})
	if !errors.Is(err, syscall.EPIPE) {
		t.Errorf("%v", err)
	}
}

// A slow writer gets in one piece what came meanwhile; a fast one gets each
// line at once.
func TestWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{}
		f := s.add(conn(), get("/"), "")
		r, w := io.Pipe()
		news := func(yield func(*flow.Flow, int) bool) {
			yield(f, 0)
			synctest.Wait() // the first line is being written
			for range 50 {
				yield(f, 0)
			}
		}
		lines := make(chan int, 10)
		go func() {
			defer close(lines)
			buf := make([]byte, 1<<16)
			for {
				time.Sleep(time.Second)
				n, err := r.Read(buf)
				if err != nil {
					return
				}
				lines <- bytes.Count(buf[:n], []byte("\n"))
			}
		}()
		if err := show.Run(t.Context(), w, news, show.Options{Detail: 1}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if a, b := <-lines, <-lines; a != 1 || b != 50 {
			t.Errorf("writes of %d and %d lines", a, b)
		}
		<-lines
	})
}

func TestColorFor(t *testing.T) {
	if show.ColorFor(new(bytes.Buffer)) {
		t.Error("a buffer is no terminal")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if show.ColorFor(f) {
		t.Error("a file is no terminal")
	}
}

func BenchmarkLine(b *testing.B) {
	s := &scene{}
	f := s.add(conn(), get("/cart?a=1"), "")
	for _, o := range []show.Options{{Detail: 1}, {Detail: 1, JSON: true}} {
		b.Run(map[bool]string{false: "text", true: "json"}[o.JSON], func(b *testing.B) {
			b.ReportAllocs()
			news := func(yield func(*flow.Flow, int) bool) {
				for b.Loop() {
					yield(f, 0)
				}
			}
			if err := show.Run(context.Background(), io.Discard, news, o); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// TestRecordedKept: what is not there of a flow, and ought to be, its line says, of what was
// recorded and has ended.
func TestRecordedKept(t *testing.T) {
	cut, none := flow.BodyRef{Size: 9, Kept: 1, Truncated: true}, flow.BodyRef{Size: 9, Truncated: true}
	h := get("/")
	h.RequestBody, h.ResponseBody = none, cut
	flows := []*flow.Flow{
		{ID: id(1), Rev: 1, State: flow.Done, Conn: conn(), Start: began, Detail: h},
		{ID: id(2), Rev: 1, State: flow.Done, Conn: conn(), Start: began, Detail: &flow.Messages{Kind: "websocket", Bytes: [2]int64{9}, Log: cut}},
		{ID: id(3), Rev: 1, State: flow.Open, Conn: conn(), Start: began, Detail: h},
	}
	got := run(t, show.Options{Detail: 1, Recorded: true}, flows...)
	for _, want := range []string{" 9b, request's body not kept, body cut server not verified\n", ", messages cut server not verified\n"} {
		if strings.Count(got, want) != 1 {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if got := run(t, show.Options{Detail: 1}, flows[0]); strings.Contains(got, "cut") {
		t.Errorf("live:\n%s", got)
	}
}

// TestRecordedTimes: what was recorded is told in the order in which it began, whatever is
// told of it.
func TestRecordedTimes(t *testing.T) {
	end := began.Add(3 * time.Second)
	flows := []*flow.Flow{
		{ID: id(1), Rev: 1, State: flow.Done, Conn: conn(), Start: began, End: end, Detail: get("/")},
		{ID: id(2), Rev: 1, State: flow.Done, Conn: conn(), Start: began, End: end, Detail: &flow.Connection{Action: "pass", Reason: "ignored by rule", Bytes: [2]int64{1, 2}}},
	}
	for _, detail := range []int{1, 2, 4} {
		got := run(t, show.Options{Detail: detail, Recorded: true}, flows...)
		if n := strings.Count(got, " 2026-03-04 05:06:07.080 "); n != min(detail, 2) { // connections are shown from 2 on
			t.Errorf("detail %d:\n%s", detail, got)
		}
	}
}
