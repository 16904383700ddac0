package record_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"transom/exchange"
	"transom/flow"
	"transom/internal/engine/bus"
	"transom/internal/engine/record"
	"transom/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A spy is a store that remembers each Put, and fails on demand.
type spy struct {
	*store.Memory
	mu   sync.Mutex
	puts []*flow.Flow
	err  error
}

func (s *spy) Put(ctx context.Context, f *flow.Flow) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.puts = append(s.puts, f)
	return s.Memory.Put(ctx, f)
}

func (s *spy) take() []*flow.Flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.puts
	s.puts = nil
	return out
}

func (s *spy) body(t *testing.T, ref flow.BodyRef) string {
	t.Helper()
	r, err := s.OpenBody(context.Background(), ref)
	if err != nil {
		t.Fatalf("open body: %v", err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read body: %v", err)
	}
	return string(p)
}

func newRecorder(t *testing.T) (*record.Recorder, *spy) {
	t.Helper()
	s := &spy{Memory: store.NewMemory(store.MemoryOptions{})}
	t.Cleanup(func() { s.Close() })
	return &record.Recorder{Bus: new(bus.Bus), Store: s}, s
}

func newInfo() *flow.Conn {
	now := time.Now()
	return &flow.Conn{ID: flow.NewID(now), Start: now, Network: "tcp", Via: "redirect"}
}

// A source is a body as a codec gives it.
type source struct {
	io.Reader
	trailer flow.Header
}

func (s *source) Close() error         { return nil }
func (s *source) Trailer() flow.Header { return s.trailer }

func streamed(s string) *exchange.Body {
	return exchange.NewBody(&source{Reader: strings.NewReader(s)}, -1, nil)
}

func sized(s string) *exchange.Body {
	return exchange.NewBody(&source{Reader: strings.NewReader(s)}, int64(len(s)), nil)
}

func cutAfter(s string, err error) *exchange.Body {
	return exchange.NewBody(&source{Reader: io.MultiReader(strings.NewReader(s), failing{err})}, -1, nil)
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func request(method string, body *exchange.Body) *exchange.Request {
	return &exchange.Request{
		RequestHead: flow.RequestHead{
			Method: method, Scheme: "https", Authority: "shop.example", Target: "/cart", Proto: flow.HTTP11,
			Header: flow.Header{{Name: "Host", Value: "shop.example"}},
		},
		Body: body,
	}
}

func response(status int, body *exchange.Body) *exchange.Response {
	return &exchange.Response{ResponseHead: flow.ResponseHead{Status: status, Proto: flow.HTTP11}, Body: body}
}

// serve does what a codec does: performs the exchange, and sends the response.
func serve(h exchange.Handler, req *exchange.Request) (string, error) {
	resp, err := h.Exchange(context.Background(), req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	p, err := io.ReadAll(resp.Body)
	req.Body.Close()
	return string(p), err
}

// server reads the request and answers with resp.
func server(resp func() *exchange.Response) exchange.Handler {
	return exchange.HandlerFunc(func(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
		if _, err := io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		return resp(), nil
	})
}

func ok(body string) exchange.Handler {
	return server(func() *exchange.Response { return response(200, streamed(body)) })
}

// ended returns the only flow that was recorded, as it ended.
func ended(t *testing.T, s *spy) (*flow.Flow, *flow.HTTP) {
	t.Helper()
	fs := s.take()
	if len(fs) != 2 {
		t.Fatalf("%d snapshots, want 2", len(fs))
	}
	start, end := fs[0], fs[1]
	if start.ID != end.ID || start.Rev != 0 || end.Rev != 1 || start.State != flow.Open || !start.End.IsZero() || end.End.IsZero() {
		t.Errorf("snapshots %+v and %+v", start, end)
	}
	return end, end.Detail.(*flow.HTTP)
}

func TestExchange(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	body, err := serve(c.HTTP(nil)(ok("hello")), request("POST", streamed("ping")))
	if body != "hello" || err != nil {
		t.Fatalf("%q, %v", body, err)
	}
	f, h := ended(t, s)
	if f.State != flow.Done || f.Err != "" || len(h.Notes) != 0 || h.FirstByte.IsZero() {
		t.Errorf("%+v %+v", f, h)
	}
	if h.Request.Method != "POST" || h.Response.Status != 200 || h.OriginalRequest != nil || h.OriginalResponse != nil ||
		h.OriginalRequestBody != nil || h.OriginalResponseBody != nil {
		t.Errorf("%+v", h)
	}
	if in, out := s.body(t, h.RequestBody), s.body(t, h.ResponseBody); in != "ping" || out != "hello" {
		t.Errorf("bodies %q and %q", in, out)
	}
	if h.RequestBody.Size != 4 || h.ResponseBody.Kept != 5 {
		t.Errorf("refs %+v and %+v", h.RequestBody, h.ResponseBody)
	}
}

func TestWithoutBodies(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	h := c.HTTP(nil)(server(func() *exchange.Response { return response(204, exchange.NoBody()) }))
	if _, err := serve(h, request("GET", exchange.NoBody())); err != nil {
		t.Fatal(err)
	}
	f, d := ended(t, s)
	if f.State != flow.Done || d.RequestBody != (flow.BodyRef{}) || d.ResponseBody != (flow.BodyRef{}) {
		t.Errorf("%+v %+v", f, d)
	}
}

func TestStartIsPublishedFirst(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	h := c.HTTP(nil)(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		fs := s.take()
		if len(fs) != 1 || fs[0].Detail.(*flow.HTTP).Request.Target != "/cart" {
			t.Errorf("%d flows when the request was sent", len(fs))
		}
		if ref := fs[0].Detail.(*flow.HTTP).RequestBody; ref.Segment == 0 {
			t.Error("the body has no name yet")
		}
		return response(204, exchange.NoBody()), nil
	}))
	serve(h, request("POST", streamed("x")))
}

func TestChanges(t *testing.T) {
	upper := func(r io.Reader) io.Reader {
		p, _ := io.ReadAll(r)
		return bytes.NewReader(bytes.ToUpper(p))
	}
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	mw := func(next exchange.Handler) exchange.Handler {
		return exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
			req.Target = "/changed"
			req.Body.Set([]byte("set"))
			resp, err := next.Exchange(ctx, req)
			if err != nil {
				return nil, err
			}
			resp.Header.Add("X", "1")
			resp.Body.Wrap(upper)
			return resp, nil
		})
	}
	got, err := serve(c.HTTP(mw)(ok("hello")), request("POST", streamed("ping")))
	if got != "HELLO" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	f, h := ended(t, s)
	if f.State != flow.Done {
		t.Errorf("%+v", f)
	}
	if h.Request.Target != "/changed" || h.OriginalRequest.Target != "/cart" {
		t.Errorf("requests %+v, %+v", h.Request, h.OriginalRequest)
	}
	if len(h.Response.Header) != 1 || len(h.OriginalResponse.Header) != 0 {
		t.Errorf("responses %+v, %+v", h.Response, h.OriginalResponse)
	}
	for _, b := range []struct {
		name string
		ref  flow.BodyRef
		want string
	}{
		{"request", h.RequestBody, "set"},
		{"original-request", *h.OriginalRequestBody, ""}, // nobody read it
		{"response", h.ResponseBody, "HELLO"},
		{"original-response", *h.OriginalResponseBody, "hello"},
	} {
		if got := s.body(t, b.ref); got != b.want {
			t.Errorf("%s body %q, want %q", b.name, got, b.want)
		}
	}
}

func TestReadByMiddleware(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	mw := exchange.OnResponse(func(ctx context.Context, _ *exchange.Request, resp *exchange.Response) error {
		_, err := resp.Body.Bytes(ctx, 100)
		return err
	})
	if got, err := serve(c.HTTP(mw)(ok("hello")), request("GET", exchange.NoBody())); got != "hello" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	if _, h := ended(t, s); s.body(t, h.ResponseBody) != "hello" || h.OriginalResponseBody != nil {
		t.Errorf("%+v", h)
	}
}

func TestAnsweredByMiddleware(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	mock := func(exchange.Handler) exchange.Handler {
		return exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return exchange.Text(418, "teapot"), nil
		})
	}
	if got, err := serve(c.HTTP(mock)(nil), request("POST", streamed("ping"))); got != "teapot" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	f, h := ended(t, s)
	if f.State != flow.Done || h.Response.Status != 418 || h.OriginalResponse != nil || s.body(t, h.ResponseBody) != "teapot" {
		t.Errorf("%+v %+v", f, h)
	}
	if len(h.Notes) != 1 {
		t.Errorf("notes %q", h.Notes)
	}
}

func TestTriedAgain(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	retry := func(next exchange.Handler) exchange.Handler {
		return exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
			req.Body.Set([]byte("one"))
			resp, err := next.Exchange(ctx, req)
			if err != nil {
				return nil, err
			}
			resp.Body.Close()
			req.Body.Set([]byte("two"))
			return next.Exchange(ctx, req)
		})
	}
	if _, err := serve(c.HTTP(retry)(ok("hello")), request("POST", streamed("ping"))); err != nil {
		t.Fatal(err)
	}
	if f, h := ended(t, s); f.State != flow.Done || s.body(t, h.RequestBody) != "two" || s.body(t, h.ResponseBody) != "hello" {
		t.Errorf("%+v %+v", f, h)
	}
	if n := s.Stats().Bodies; n != 3 {
		t.Errorf("%d bodies are kept, want 3", n)
	}
}

func TestFailures(t *testing.T) {
	refused, cut := errors.New("refused"), errors.New("cut")
	for _, tc := range []struct {
		name   string
		server exchange.Handler
		req    *exchange.Body
		err    string
		status int
	}{
		{"no-response", exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return nil, refused
		}), exchange.NoBody(), "refused", 0},
		{
			"response-cut", server(func() *exchange.Response { return response(200, cutAfter("he", cut)) }),
			exchange.NoBody(), "response body: cut", 200,
		},
		{"request-cut", ok(""), cutAfter("pi", cut), "cut", 0},
		{"request-cut-yet-answered", exchange.HandlerFunc(func(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
			io.Copy(io.Discard, req.Body)
			return response(400, streamed("no")), nil
		}), cutAfter("pi", cut), "request body: cut", 400},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, s := newRecorder(t)
			c := r.Conn(newInfo())
			serve(c.HTTP(nil)(tc.server), request("POST", tc.req))
			f, h := ended(t, s)
			if f.State != flow.Failed || f.Err != tc.err {
				t.Errorf("state %v, error %q, want %q", f.State, f.Err, tc.err)
			}
			if tc.status == 0 && h.Response != nil || tc.status != 0 && h.Response.Status != tc.status {
				t.Errorf("response %+v", h.Response)
			}
		})
	}
}

func TestResponseGivenUp(t *testing.T) {
	for _, tc := range []struct {
		name  string
		body  *exchange.Body
		read  int64
		state flow.State
	}{
		{"streamed", streamed("hello"), 2, flow.Failed},
		{"short", sized("hello"), 2, flow.Failed},
		{"all-but-its-end", sized("hello"), 5, flow.Done},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, s := newRecorder(t)
			c := r.Conn(newInfo())
			h := c.HTTP(nil)(server(func() *exchange.Response { return response(200, tc.body) }))
			resp, err := h.Exchange(context.Background(), request("GET", exchange.NoBody()))
			if err != nil {
				t.Fatal(err)
			}
			io.CopyN(io.Discard, resp.Body, tc.read)
			resp.Body.Close()
			if f, d := ended(t, s); f.State != tc.state || d.ResponseBody.Size != tc.read {
				t.Errorf("%+v %+v", f, d)
			}
		})
	}
}

func TestResponseEndsFirst(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	early := exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		return response(413, streamed("no")), nil
	})
	h := c.HTTP(nil)(early)
	req := request("POST", streamed("ping"))
	resp, _ := h.Exchange(context.Background(), req)
	io.Copy(io.Discard, resp.Body)
	if fs := s.take(); len(fs) != 1 {
		t.Fatalf("%d snapshots while the request goes on", len(fs))
	}
	io.Copy(io.Discard, req.Body)
	fs := s.take()
	if len(fs) != 1 || fs[0].State != flow.Done || s.body(t, fs[0].Detail.(*flow.HTTP).RequestBody) != "ping" {
		t.Errorf("%+v", fs)
	}

	// One that nobody reads ends with the next exchange of HTTP/1.
	resp, _ = h.Exchange(context.Background(), request("POST", streamed("ping")))
	io.Copy(io.Discard, resp.Body)
	s.take()
	serve(h, request("GET", exchange.NoBody()))
	fs = s.take()
	if len(fs) != 3 || fs[0].State != flow.Done || len(fs[0].Detail.(*flow.HTTP).Notes) != 1 {
		t.Errorf("%+v", fs)
	}
}

// A client that has its whole answer may reset what it was still sending.
func TestRequestResetAfterResponse(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	h := c.HTTP(nil)(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		return response(200, streamed("enough")), nil
	}))
	req := request("POST", cutAfter("pi", errors.New("reset")))
	resp, _ := h.Exchange(context.Background(), req)
	io.Copy(io.Discard, resp.Body)
	io.Copy(io.Discard, req.Body)
	f, d := ended(t, s)
	if f.State != flow.Done || f.Err != "" || len(d.Notes) != 1 || d.RequestBody.Size != 2 {
		t.Errorf("state %v, error %q, notes %q, %d bytes", f.State, f.Err, d.Notes, d.RequestBody.Size)
	}
}

func TestTrailersAndInterim(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	trailer := flow.Header{{Name: "Sum", Value: "1"}}
	h := c.HTTP(exchange.Chain())(exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
		req.Interim(flow.ResponseHead{Status: 103})
		record.Note(ctx, "odd")
		io.Copy(io.Discard, req.Body)
		return response(200, exchange.NewBody(&source{Reader: strings.NewReader("x"), trailer: trailer}, -1, nil)), nil
	}))
	req := request("POST", exchange.NewBody(&source{Reader: strings.NewReader("y"), trailer: trailer}, -1, nil))
	var passed []int
	req.Interim = func(h flow.ResponseHead) error { passed = append(passed, h.Status); return nil }
	serve(h, req)
	_, d := ended(t, s)
	if len(d.RequestTrailer) != 1 || len(d.ResponseTrailer) != 1 || len(d.Interim) != 1 || d.Interim[0].Status != 103 {
		t.Errorf("%+v", d)
	}
	if len(passed) != 1 || len(d.Notes) != 1 {
		t.Errorf("passed %v, notes %q", passed, d.Notes)
	}
}

func TestTakeover(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	h := c.HTTP(nil)(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		resp := response(101, streamed("never read"))
		resp.Takeover = func(context.Context, net.Conn) error { return nil }
		return resp, nil
	}))
	if _, err := h.Exchange(context.Background(), request("GET", streamed("nor this"))); err != nil {
		t.Fatal(err)
	}
	if f, _ := ended(t, s); f.State != flow.Done || f.Err != "" {
		t.Errorf("%+v", f)
	}
}

func TestBothWaysAtOnce(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	in, feed := io.Pipe()
	echo := exchange.HandlerFunc(func(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
		out, w := io.Pipe()
		go func() {
			_, err := io.Copy(w, req.Body)
			w.CloseWithError(err)
		}()
		return response(200, exchange.NewBody(&source{Reader: out}, -1, nil)), nil
	})
	resp, err := c.HTTP(nil)(echo).Exchange(context.Background(), request("POST", exchange.NewBody(&source{Reader: in}, -1, nil)))
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	for range 100 {
		feed.Write([]byte("ping"))
		if _, err := io.ReadFull(resp.Body, buf); err != nil || string(buf) != "ping" {
			t.Fatalf("%q, %v", buf, err)
		}
	}
	feed.Close()
	io.Copy(io.Discard, resp.Body)
	if f, h := ended(t, s); f.State != flow.Done || h.RequestBody.Size != 400 || h.ResponseBody.Size != 400 {
		t.Errorf("%+v %+v", f, h)
	}
}

func TestEnd(t *testing.T) {
	gone := errors.New("client went away")
	r, s := newRecorder(t)
	info := newInfo()
	c := r.Conn(info)
	h := c.HTTP(nil)(server(func() *exchange.Response { return response(200, streamed("hello")) }))
	if _, err := h.Exchange(context.Background(), request("GET", exchange.NoBody())); err != nil {
		t.Fatal(err)
	}
	m := c.Messages(info, nil)
	c.Refused([]byte("GET /\x00"), 400, errors.New("bad target"))
	s.take()
	c.End(info.With(flow.Layer{Proto: "http/1.1"}), flow.Connection{Action: "inspect", Client: flow.RST}, gone)
	m.End(flow.FIN, flow.FIN)
	fs := s.take()
	if len(fs) != 3 {
		t.Fatalf("%d flows", len(fs))
	}
	for _, f := range fs {
		if f.State != flow.Failed || !strings.Contains(f.Err, gone.Error()) {
			t.Errorf("%s: %v, %q", f.Type(), f.State, f.Err)
		}
	}
	last, d := fs[2], fs[2].Detail.(*flow.Connection)
	if last.ID != info.ID || last.Type() != "conn" || d.Flows != 3 || d.Reason != gone.Error() || d.Client != flow.RST {
		t.Errorf("%+v %+v", last, d)
	}
}

func TestConnectionTypes(t *testing.T) {
	hello := flow.Layer{Proto: "tls", TLS: &flow.TLS{}}
	opened := flow.Layer{Proto: "tls", TLS: &flow.TLS{Version: 0x0304}}
	for _, tc := range []struct {
		name string
		info *flow.Conn
		end  flow.Connection
		want string
	}{
		{"nothing", newInfo(), flow.Connection{Reason: "destination unknown"}, "conn"},
		{"hello", newInfo().With(hello), flow.Connection{Reason: "ignored by rule"}, "tls"},
		{"opened", newInfo().With(opened), flow.Connection{}, "conn"},
		{"said", newInfo(), flow.Connection{Type: "tls"}, "tls"},
		{"unknown", &flow.Conn{}, flow.Connection{}, "conn"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, s := newRecorder(t)
			r.Conn(tc.info).End(tc.info, tc.end, nil)
			fs := s.take()
			if len(fs) != 1 || fs[0].Type() != tc.want || fs[0].State != flow.Done || fs[0].ID.IsZero() || fs[0].Start.IsZero() {
				t.Errorf("%+v", fs)
			}
		})
	}
}

func TestRefused(t *testing.T) {
	r, s := newRecorder(t)
	raw := []byte("GET / HTTP/1.1\r\nHost : x\r\n\r\n")
	c := r.Conn(newInfo())
	known := newInfo().With(flow.Layer{Host: "shop.example"})
	c.Update(known)
	c.Refused(raw, 400, errors.New("space before the colon"))
	raw[0] = 'X'
	fs := s.take()
	h := fs[0].Detail.(*flow.HTTP)
	if fs[0].State != flow.Failed || fs[0].Err != "space before the colon" || fs[0].Conn != known || h.Request.Raw[0] != 'G' || h.Response.Status != 400 {
		t.Errorf("%+v %+v", fs[0], h)
	}
}

func TestRefusedHead(t *testing.T) {
	r, s := newRecorder(t)
	c := r.Conn(newInfo())
	c.RefusedHead(&flow.RequestHead{Method: "GET"}, 431, errors.New("too large"))
	c.RefusedHead(&flow.RequestHead{Method: "GET"}, 0, errors.New("malformed"))
	fs := s.take()
	answered, reset := fs[0].Detail.(*flow.HTTP), fs[1].Detail.(*flow.HTTP)
	if fs[0].State != flow.Failed || fs[0].Err != "too large" || answered.Response.Status != 431 || answered.Response.Proto != flow.HTTP2 {
		t.Errorf("%+v %+v", fs[0], answered)
	}
	if reset.Response != nil || reset.Request.Proto != flow.HTTP2 {
		t.Errorf("%+v", reset)
	}
}

func TestStoreTrouble(t *testing.T) {
	r, s := newRecorder(t)
	var log bytes.Buffer
	r.Log = slog.New(slog.NewTextHandler(&log, nil))
	sub := r.Bus.Subscribe("test", 100)
	defer sub.Close()
	c := r.Conn(newInfo())
	h := c.HTTP(nil)(server(func() *exchange.Response { return response(204, exchange.NoBody()) }))
	s.err = store.ErrFull
	for range 5 {
		if _, err := serve(h, request("GET", exchange.NoBody())); err != nil {
			t.Fatalf("traffic failed: %v", err)
		}
	}
	s.err = nil
	serve(h, request("GET", exchange.NoBody()))
	if n := r.Lost(); n != 10 {
		t.Errorf("%d lost", n)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 || !strings.Contains(log.String(), "lost=10") {
		t.Errorf("log:\n%s", log.String())
	}
	if news, _ := sub.Next(context.Background()); len(news.Flows) != 6 {
		t.Errorf("%d news", len(news.Flows))
	}
}

func TestWithoutStoreAndBus(t *testing.T) {
	r := &record.Recorder{}
	c := r.Conn(newInfo())
	if got, err := serve(c.HTTP(nil)(ok("hello")), request("POST", streamed("ping"))); got != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	m := c.Messages(newInfo(), nil)
	m.End(flow.FIN, flow.FIN)
	c.End(nil, flow.Connection{}, nil)
}

// TestAwaitNothing: the time to wait may be over before Await returns.
func TestAwaitNothing(t *testing.T) {
	for range 1000 {
		c := new(record.Recorder).Conn(&flow.Conn{})
		c.Await(0)
		c.Settle()
	}
}
