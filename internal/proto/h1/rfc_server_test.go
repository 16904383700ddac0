package h1_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h1"
)

// TestRFC9112PipelinedRequestsGoOneByOne is section 9.3.2: answers come in the
// order of the requests, and here no request goes on before the answer to the
// one before it has been sent.
func TestRFC9112PipelinedRequestsGoOneByOne(t *testing.T) {
	requests := []string{
		"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
		"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;x\r\ny\r\n0\r\nT: v\r\n\r\n",
		"HEAD /4 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /5 HTTP/1.1\r\nHost: a\r\n\r\n",
	}
	responses := []string{
		rfcOK,
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 70\r\n\r\n",
		rfcOK,
	}
	for _, m := range rfcModes {
		t.Run(m.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{segment: m.segment})
				defer r.finish()
				rfcSend(r, strings.Join(requests, ""), m.drip)
				for i := range requests {
					r.wantOrigin(strings.Join(requests[:i+1], ""))
					r.answer(responses[i])
					r.wantClient(strings.Join(responses[:i+1], ""))
				}
				r.wantServing()
			})
		})
	}
}

// TestRFC9112NothingAfterClose is section 9.6: what a client sends after a
// request that says close is not processed.
func TestRFC9112NothingAfterClose(t *testing.T) {
	for name, first := range map[string]string{
		"request-says-close": "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"http-1.0":           "GET / HTTP/1.0\r\nHost: a\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				r.ask(first + rfcGet)
				r.wantOrigin(first)
				r.answer(rfcOK)
				r.wantClient(rfcOK)
				r.wantOrigin(first)
				r.wantEnded()
			})
		})
	}
}

// TestRFC9112BothWaysAtOnce has request and response bodies under way together.
func TestRFC9112BothWaysAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRFCRelay(t, rfcSetup{})
		defer r.finish()
		rfcPlay(r, []string{
			">POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n", ">hello",
			"<HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n", "<HELLO", ">world", "<WORLD", ">again", "<!!",
			">" + rfcGet, "<" + rfcOK,
		}, false, false)
		r.wantServing()
	})
}

// TestRFC9112ChunksAreNotHeldBack checks that the payload of each chunk goes on
// at once, with at most the framing after it still to come.
func TestRFC9112ChunksAreNotHeldBack(t *testing.T) {
	const coded = "Transfer-Encoding: chunked\r\n\r\n"
	chunks := []string{"5\r\nhello\r\n", "01;a=b\r\n,\r\n", "6\r\n world\r\n", "0\r\nT: v\r\n\r\n"}
	synctest.Test(t, func(t *testing.T) {
		r := newRFCRelay(t, rfcSetup{})
		defer r.finish()
		sent, back := "POST / HTTP/1.1\r\nHost: a\r\n"+coded, "HTTP/1.1 200 OK\r\n"+coded
		r.ask(sent)
		r.wantOrigin(sent)
		r.answer(back)
		r.wantClient(back)
		for _, c := range chunks {
			sent, back = sent+c, back+c
			r.ask(c)
			r.answer(c)
			if got, _ := r.atOrigin.settled(); !strings.HasPrefix(sent, got) || len(got) < len(sent)-len("\r\n") {
				t.Fatalf("the origin received %q of %q", got, sent)
			}
			if got, _ := r.atClient.settled(); !strings.HasPrefix(back, got) || len(got) < len(back)-len("\r\n") {
				t.Fatalf("the client received %q of %q", got, back)
			}
		}
		r.wantOrigin(sent)
		r.wantClient(back)
		r.wantServing()
	})
}

// TestRFC9112LargeBodies sends more than any buffer holds, both ways at once.
func TestRFC9112LargeBodies(t *testing.T) {
	const size = 3 << 20
	payload := strings.Repeat("0123456789abcdef", size/16)
	coded := strings.Repeat("4000\r\n"+payload[:0x4000]+"\r\n", size/0x4000) + "0\r\n\r\n"
	for name, body := range map[string]string{
		"length":  "Content-Length: 3145728\r\n\r\n" + payload,
		"chunked": "Transfer-Encoding: chunked\r\n\r\n" + coded,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				sent, back := "POST / HTTP/1.1\r\nHost: a\r\n"+body, "HTTP/1.1 200 OK\r\n"+body
				go r.ask(sent)
				go r.answer(back)
				r.wantOrigin(sent)
				r.wantClient(back)
				r.wantServing()
			})
		})
	}
}

// TestRFC9112EarlyResponse is section 9.6 of RFC 9112 and 9.3.1's duty to read
// what is left of a request: after an answer that came before the request was
// complete, the rest is read and the connection goes on, or ends; it is never
// taken for a request.
func TestRFC9112EarlyResponse(t *testing.T) {
	const early = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"
	for _, c := range []struct {
		name string
		size int
	}{{"little-is-left", 1000}, {"much-is-left", 1 << 20}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				body := strings.Repeat(rfcGet, c.size/len(rfcGet)+1)[:c.size]
				head := "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + rfcItoa(c.size) + "\r\n\r\n"
				r.ask(head + body[:100])
				r.wantOrigin(head + body[:100])
				r.answer(early)
				r.wantClient(early)
				go r.ask(body[100:] + rfcGet)
				got, _ := r.atOrigin.settled()
				switch whole := head + body + rfcGet; {
				case r.over():
					if !strings.HasPrefix(head+body, got) {
						t.Errorf("the origin received %s", rfcShow(got))
					}
					r.wantEnded()
				case got != whole:
					t.Errorf("the connection is open, and the origin received %s", rfcShow(got))
				default:
					r.answer(rfcOK)
					r.wantClient(early + rfcOK)
				}
			})
		})
	}
}

// TestRFC9110EarlyResponseAfterContinue has a client that was asked for its body
// and then answered without it: it sends on, as one does that expected nothing.
func TestRFC9110EarlyResponseAfterContinue(t *testing.T) {
	for _, begun := range []int{0, 1 << 10} {
		for _, size := range []int{10 << 10, 1 << 20} {
			t.Run(rfcItoa(begun)+"-of-"+rfcItoa(size), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRFCRelay(t, rfcSetup{})
					defer r.finish()
					const proceed = "HTTP/1.1 100 Continue\r\n\r\n"
					head, body := "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: "+rfcItoa(size)+"\r\n\r\n", strings.Repeat("x", size)
					r.ask(head)
					r.wantOrigin(head)
					r.answer(proceed)
					r.wantClient(proceed)
					r.ask(body[:begun])
					r.wantOrigin(head + body[:begun])
					r.answer(rfcOK)
					r.wantClient(proceed + rfcOK)
					go r.ask(body[begun:] + rfcGet)
					r.wantOrigin(head + body + rfcGet)
					r.answer(rfcOK)
					r.wantClient(proceed + rfcOK + rfcOK)
					r.wantServing()
				})
			})
		}
	}
}

// TestRFC9112HandlerLeavesTheBody is the same with a handler that answers by
// itself.
func TestRFC9112HandlerLeavesTheBody(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		ends bool
	}{{"nothing", 0, false}, {"little", 1000, false}, {"not-too-much", 200 << 10, false}, {"more", 300 << 10, true}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := func(exchange.Handler) exchange.Handler {
					return exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
						return exchange.Text(200, "mine"), nil
					})
				}
				r := newRFCRelay(t, rfcSetup{between: answer})
				defer r.finish()
				go r.ask("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: " + rfcItoa(c.size) + "\r\n\r\n" +
					strings.Repeat("x", c.size) + "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
				got, _ := r.atClient.settled()
				if n := strings.Count(got, "HTTP/1.1 200 "); c.ends && n != 1 || !c.ends && n != 2 {
					t.Errorf("the client received %q%s", got, r.state())
				}
				if c.ends {
					r.wantEnded()
				}
			})
		})
	}
}

// TestRFC9112MiddlewareReads checks what a handler sees of a message.
func TestRFC9112MiddlewareReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var body []byte
		var trailer flow.Header
		read := func(next exchange.Handler) exchange.Handler {
			return exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
				body, _ = req.Body.Bytes(ctx, 1<<20)
				trailer = req.Body.Trailer()
				if req.Conn == nil || req.Conn.Client != rfcPhone {
					t.Errorf("conn %+v", req.Conn)
				}
				return next.Exchange(ctx, req)
			})
		}
		r := newRFCRelay(t, rfcSetup{between: read, options: h1.Options{Scheme: "https"}})
		defer r.finish()
		in := "PoST /a?b HTTP/1.1\r\nX:  1 \r\nhOST: a:8443\r\nX:\r\nTransfer-Encoding: chunked\r\n\r\n3;e\r\nabc\r\n2\r\nde\r\n0\r\nT-One: \tv \r\nt:\r\n\r\n"
		rfcPlay(r, []string{">" + in, "<" + rfcOK}, false, false)
		h := r.seen[0]
		want := flow.RequestHead{
			Method: "PoST", Scheme: "https", Authority: "a:8443", Target: "/a?b", Proto: flow.HTTP11,
			Header: flow.Header{{Name: "X", Value: "1"}, {Name: "hOST", Value: "a:8443"}, {Name: "X"}, {Name: "Transfer-Encoding", Value: "chunked"}},
		}
		if !h.Equal(&want) {
			t.Errorf("head %+v", h)
		}
		if string(h.Raw) != in[:strings.Index(in, "3;e")] {
			t.Errorf("raw %q", h.Raw)
		}
		if string(body) != "abcde" || !trailer.Equal(flow.Header{{Name: "T-One", Value: "v"}, {Name: "t"}}) {
			t.Errorf("body %q, trailer %v", body, trailer)
		}
	})
}

// TestRFC9112Authority is section 3.3: whom a request is for.
func TestRFC9112Authority(t *testing.T) {
	for raw, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: a.example:80\r\n\r\n":                          "a.example:80",
		"GET / HTTP/1.1\r\nHost:\r\n\r\n":                                       "",
		"GET / HTTP/1.0\r\n\r\n":                                                "",
		"GET http://b.example:8080/x HTTP/1.1\r\nHost: a.example\r\n\r\n":       "b.example:8080",
		"GET http://b.example HTTP/1.1\r\nHost: a.example\r\n\r\n":              "b.example",
		"GET http://b.example?q HTTP/1.1\r\nHost: a.example\r\n\r\n":            "b.example",
		"GET https://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n":            "b.example",
		"GET HTTP://B.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n":             "B.example",
		"CONNECT c.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n":             "c.example:443",
		"OPTIONS * HTTP/1.1\r\nHost: a.example\r\n\r\n":                         "a.example",
		"GET /http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n":            "a.example",
		"GET //b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n":                  "a.example",
		"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\nX-Host: b.example\r\n\r\n": "[2001:db8::1]:80",
	} {
		h, err := h1.ParseRequest([]byte(raw), h1.Limits{})
		if err != nil {
			t.Errorf("%q: %v", raw, err)
		} else if h.Authority != want {
			t.Errorf("%q is for %q, want %q", raw, h.Authority, want)
		}
	}
}

// TestRFC9112OwnResponses reads what the server makes of responses that no
// origin framed, with net/http.
func TestRFC9112OwnResponses(t *testing.T) {
	stream := func() *exchange.Response {
		resp := exchange.Text(200, "")
		resp.Header.Del("Content-Length")
		resp.Body.Wrap(func(io.Reader) io.Reader { return strings.NewReader("streamed") })
		return resp
	}
	endsWithData := func() *exchange.Response { // as readers may, and decoders do
		resp := stream()
		resp.Body.Wrap(iotest.DataErrReader)
		return resp
	}
	for _, c := range []struct {
		name, method, proto string
		resp                *exchange.Response
		status              int
		body                string
		stays               bool
	}{
		{"text", "GET", "HTTP/1.1", exchange.Text(200, "hello"), 200, "hello", true},
		{"empty-text", "GET", "HTTP/1.1", exchange.Text(200, ""), 200, "", true},
		{"bytes", "POST", "HTTP/1.1", exchange.Bytes(404, "a/b", []byte{0, 1}), 404, "\x00\x01", true},
		{"head", "HEAD", "HTTP/1.1", exchange.Text(200, "hello"), 200, "", true},
		{"no-content", "GET", "HTTP/1.1", exchange.Text(204, ""), 204, "", true},
		{"not-modified", "GET", "HTTP/1.1", exchange.Text(304, "hello"), 304, "", true},
		{"http-1.0", "GET", "HTTP/1.0", exchange.Text(200, "hello"), 200, "hello", false},
		{"stream", "GET", "HTTP/1.1", stream(), 200, "streamed", true},
		{"stream-ends-with-data", "GET", "HTTP/1.1", endsWithData(), 200, "streamed", true},
		{"stream-to-http-1.0", "GET", "HTTP/1.0", stream(), 200, "streamed", false},
		{"stream-to-head", "HEAD", "HTTP/1.1", stream(), 200, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{between: func(exchange.Handler) exchange.Handler {
					return exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) { return c.resp, nil })
				}})
				defer r.finish()
				r.ask(c.method + " / " + c.proto + "\r\nHost: a\r\n\r\n")
				got, _ := r.atClient.settled()
				br := bufio.NewReader(strings.NewReader(got))
				resp, err := http.ReadResponse(br, &http.Request{Method: c.method})
				if err != nil {
					t.Fatalf("%q: %v", got, err)
				}
				body, err := io.ReadAll(resp.Body)
				rest, _ := io.ReadAll(br)
				if err != nil || string(body) != c.body || resp.StatusCode != c.status || len(rest) > 0 {
					t.Errorf("read %d, %q, %v, then %q from %q", resp.StatusCode, body, err, rest, got)
				}
				if c.proto == "HTTP/1.0" && len(resp.TransferEncoding) > 0 {
					t.Errorf("section 6.1: a coding for an HTTP/1.0 client: %q", got)
				}
				if c.status == 204 && strings.Contains(strings.ToLower(got), "content-length") {
					t.Errorf("RFC 9110, section 8.6: a length in a 204: %q", got)
				}
				if c.stays {
					r.wantServing()
				} else {
					r.wantEnded()
				}
			})
		})
	}
}

// TestRFC9112ChangedMessages changes what passes, and reads the outcome with
// net/http at both ends.
func TestRFC9112ChangedMessages(t *testing.T) {
	upper := func(r io.Reader) io.Reader {
		b, _ := io.ReadAll(r)
		return strings.NewReader(strings.ToUpper(string(b)))
	}
	framings := map[string]string{
		"length":  "Content-Length: 5\r\n\r\nhello",
		"chunked": "Transfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\nT: v\r\n\r\n",
	}
	changes := map[string]struct {
		head func(*flow.Header)
		body func(*exchange.Body)
		want string
	}{
		"field-added":  {func(h *flow.Header) { h.Add("X-New", "1") }, func(*exchange.Body) {}, "hello"},
		"body-set":     {func(*flow.Header) {}, func(b *exchange.Body) { b.Set([]byte("changed\r\n")) }, "changed\r\n"},
		"body-emptied": {func(*flow.Header) {}, func(b *exchange.Body) { b.Set(nil) }, ""},
		"body-wrapped": {func(*flow.Header) {}, func(b *exchange.Body) { b.Wrap(upper) }, "HELLO"},
		"both":         {func(h *flow.Header) { h.Set("Host", "b") }, func(b *exchange.Body) { b.Set([]byte("x")) }, "x"},
	}
	for framing, body := range framings {
		for name, change := range changes {
			t.Run(framing+"-"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRFCRelay(t, rfcSetup{between: exchange.Chain(
						exchange.OnRequest(func(_ context.Context, req *exchange.Request) error {
							change.head(&req.Header)
							change.body(req.Body)
							return nil
						}),
						exchange.OnResponse(func(_ context.Context, _ *exchange.Request, resp *exchange.Response) error {
							change.head(&resp.Header)
							change.body(resp.Body)
							return nil
						}),
					)})
					defer r.finish()
					for range 2 {
						r.ask("POST / HTTP/1.1\r\nHost: a\r\n" + body)
						synctest.Wait()
						r.answer("HTTP/1.1 200 OK\r\n" + body)
						synctest.Wait()
					}
					got, _ := r.atOrigin.settled()
					br := bufio.NewReader(strings.NewReader(got))
					for range 2 {
						req, err := http.ReadRequest(br)
						if err != nil {
							t.Fatalf("the origin received %q: %v", got, err)
						}
						rfcCheckChanged(t, got, req.Header, req.Body, change.want, name)
					}
					if rest, _ := io.ReadAll(br); len(rest) > 0 {
						t.Errorf("after the requests came %q", rest)
					}
					got, _ = r.atClient.settled()
					br = bufio.NewReader(strings.NewReader(got))
					for range 2 {
						resp, err := http.ReadResponse(br, nil)
						if err != nil {
							t.Fatalf("the client received %q: %v", got, err)
						}
						rfcCheckChanged(t, got, resp.Header, resp.Body, change.want, name)
					}
					if framing == "chunked" && name == "field-added" && !strings.Contains(got, framings[framing][len("Transfer-Encoding: chunked\r\n\r\n"):]) {
						t.Errorf("the framing of an untouched body has changed: %q", got)
					}
					r.wantServing()
				})
			})
		}
	}
}

func rfcCheckChanged(t *testing.T, wire string, h http.Header, body io.Reader, want, name string) {
	t.Helper()
	b, err := io.ReadAll(body)
	if err != nil || string(b) != want {
		t.Errorf("body %q, %v in %q", b, err, wire)
	}
	if (name == "field-added") != (h.Get("X-New") == "1") {
		t.Errorf("fields %v", h)
	}
}

// TestRFC9112HandlerFails checks that no response is made up.
func TestRFC9112HandlerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("broken")
		r := newRFCRelay(t, rfcSetup{between: func(exchange.Handler) exchange.Handler {
			return exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) { return nil, broken })
		}})
		defer r.finish()
		r.ask(rfcGet + rfcGet)
		r.wantClient("")
		r.wantEnded()
		if !errors.Is(r.err, broken) || len(r.seen) != 1 || len(r.refused) > 0 {
			t.Errorf("Serve returned %v after %d exchanges, refused %v", r.err, len(r.seen), r.refused)
		}
	})
}

// TestRFC9112HandsOver checks that a declined request leaves as it came, with
// all that follows it.
func TestRFC9112HandsOver(t *testing.T) {
	declined := "\r\nPOST /no HTTP/1.1\r\nhost: a\r\nContent-Length: 5\r\n\r\nhello"
	for _, before := range []string{"", rfcGet, rfcGet + "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"} {
		for _, m := range rfcModes {
			t.Run(rfcItoa(len(before))+"-before-"+m.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var asked []string
					r := newRFCRelay(t, rfcSetup{segment: m.segment, options: h1.Options{Decide: func(h *flow.RequestHead) bool {
						asked = append(asked, h.Target)
						return h.Target != "/no"
					}}})
					defer r.finish()
					rfcSend(r, before+declined+rfcGet, m.drip)
					var back string
					for range strings.Count(before, " HTTP/1.1") {
						synctest.Wait()
						r.answer(rfcOK)
						back += rfcOK
					}
					r.wantOrigin(before)
					r.wantClient(back)
					if !errors.Is(r.err, h1.ErrHandOver) {
						t.Fatalf("asked about %q%s", asked, r.state())
					}
					rest, all := string(r.server.Unread()), declined+rfcGet
					if !strings.HasPrefix(all, rest) || len(rest) < strings.Index(all, "hello") {
						t.Errorf("unread %q of %q", rest, all)
					}
					if last := asked[len(asked)-1]; last != "/no" || len(asked) != 1+strings.Count(before, " HTTP/1.1") {
						t.Errorf("asked about %q", asked)
					}
				})
			})
		}
	}
}

// TestRFC9112Timeouts are in fake time.
func TestRFC9112Timeouts(t *testing.T) {
	const head, idle = 10 * time.Second, time.Minute
	setup := rfcSetup{options: h1.Options{HeadTimeout: head, IdleTimeout: idle}}
	t.Run("head", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, setup)
			defer r.finish()
			r.ask("GET / HTTP/1.1\r\nHo")
			time.Sleep(head - time.Second)
			r.wantServing()
			time.Sleep(2 * time.Second)
			rfcWantRefusal(r, "GET / HTTP/1.1\r\nHo", []int{408})
			r.wantOrigin("")
		})
	})
	t.Run("head-byte-by-byte", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, setup)
			defer r.finish()
			start := time.Now()
			for i := 0; i < len(rfcGet) && !r.over(); i++ {
				r.ask(rfcGet[i : i+1])
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if d := time.Since(start); d > head+2*time.Second {
				t.Errorf("refused after %v only", d)
			}
			rfcWantRefusal(r, rfcGet, []int{408})
		})
	})
	t.Run("second-head", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, setup)
			defer r.finish()
			rfcPlay(r, []string{">" + rfcGet, "<" + rfcOK}, false, false)
			time.Sleep(2 * head) // idle is not slow
			r.wantServing()
			r.ask("GET")
			time.Sleep(head + time.Second)
			got, _ := r.atClient.settled()
			if !strings.HasPrefix(got, rfcOK+"HTTP/1.1 408 ") {
				t.Errorf("the client received %q%s", got, r.state())
			}
			r.wantEnded()
		})
	})
	t.Run("slow-origin-is-not-a-slow-head", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, setup)
			defer r.finish()
			r.ask(rfcGet)
			time.Sleep(3 * head)
			r.answer(rfcOK)
			r.wantClient(rfcOK)
			r.wantServing()
		})
	})
	t.Run("idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, setup)
			defer r.finish()
			rfcPlay(r, []string{">" + rfcGet, "<" + rfcOK}, false, false)
			time.Sleep(idle - time.Second)
			r.wantServing()
			time.Sleep(2 * time.Second)
			r.wantClient(rfcOK)
			r.wantEnded()
		})
	})
	t.Run("never-a-word", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, setup)
			defer r.finish()
			time.Sleep(idle + time.Second)
			r.wantClient("")
			r.wantEnded()
		})
	})
}

// TestRFC9112Drain asks the server to end when it can.
func TestRFC9112Drain(t *testing.T) {
	for _, c := range []struct {
		name   string
		before []string
		after  []string
	}{
		{"before-anything", nil, nil},
		{"idle", []string{">" + rfcGet, "<" + rfcOK}, nil},
		{"waiting-for-the-origin", []string{">" + rfcGet}, []string{"<" + rfcOK}},
		{"in-a-response", []string{">" + rfcGet, "<" + rfcOK[:len(rfcOK)-1]}, []string{"<k"}},
		{"in-a-request", []string{">POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh"}, []string{">i", "<" + rfcOK}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				rfcPlay(r, c.before, false, false)
				r.server.Drain()
				for _, line := range c.after {
					r.wantServing()
					if line[0] == '<' {
						r.answer(line[1:])
					} else {
						r.ask(line[1:])
					}
					synctest.Wait()
				}
				got, _ := r.atClient.settled()
				if n := strings.Count(got, "HTTP/1.1 200"); n > 1 || n == 1 && !strings.HasSuffix(got, "\r\n\r\nok") {
					t.Errorf("the client received %q", got)
				}
				r.wantEnded()
				r.wantErr(false)
			})
		})
	}
}

// TestRFC9112Interrupt ends an idle connection only.
func TestRFC9112Interrupt(t *testing.T) {
	why := errors.New("why")
	for _, before := range [][]string{nil, {">" + rfcGet, "<" + rfcOK}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRFCRelay(t, rfcSetup{})
			defer r.finish()
			rfcPlay(r, before, false, false)
			r.server.Interrupt(why)
			r.wantEnded()
			if !errors.Is(r.err, why) {
				t.Errorf("Serve returned %v", r.err)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRFCRelay(t, rfcSetup{})
		defer r.finish()
		r.ask(rfcGet)
		synctest.Wait()
		r.server.Interrupt(why)
		r.wantServing()
		r.answer(rfcOK)
		r.wantClient(rfcOK)
		r.ask(rfcGet)
		r.wantOrigin(rfcGet + rfcGet)
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRFCRelay(t, rfcSetup{})
		defer r.finish()
		r.ask(rfcGet[:9])
		synctest.Wait()
		r.server.Interrupt(why)
		r.ask(rfcGet[9:])
		r.wantOrigin(rfcGet)
	})
}

// TestRFC9112Quiet checks when somebody may look after the origin instead.
func TestRFC9112Quiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls []string
		r := newRFCRelay(t, rfcSetup{
			options: h1.Options{QuietAfter: time.Second, Quiet: func() func() {
				calls = append(calls, "quiet")
				return func() { calls = append(calls, "stop") }
			}},
			between: exchange.OnRequest(func(context.Context, *exchange.Request) error {
				calls = append(calls, "request")
				return nil
			}),
		})
		defer r.finish()
		step := func(want string) {
			t.Helper()
			synctest.Wait()
			if got := strings.Join(calls, " "); got != want {
				t.Fatalf("calls %q, want %q", got, want)
			}
		}
		time.Sleep(900 * time.Millisecond)
		step("")
		r.ask(rfcGet)
		step("request")
		time.Sleep(5 * time.Second) // the origin's time, not the client's
		step("request")
		r.answer(rfcOK)
		time.Sleep(2 * time.Second)
		step("request quiet")
		time.Sleep(5 * time.Second)
		step("request quiet")
		r.ask(rfcGet)
		step("request quiet stop request")
		r.answer(rfcOK)
		time.Sleep(2 * time.Second)
		step("request quiet stop request quiet")
		_ = r.client.CloseWrite()
		step("request quiet stop request quiet stop")
		r.wantEnded()
	})
}

// TestRFC9112Cancel ends Serve wherever it is.
func TestRFC9112Cancel(t *testing.T) {
	why := errors.New("why")
	for name, script := range map[string][]string{
		"before-anything":        nil,
		"in-a-head":              {},
		"idle":                   {">" + rfcGet, "<" + rfcOK},
		"waiting-for-the-origin": {">" + rfcGet},
		"in-a-request":           {">POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"},
		"in-a-response":          {">" + rfcGet, "<" + rfcOK[:len(rfcOK)-1]},
		"in-both":                {">POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx", "<" + rfcOK[:len(rfcOK)-1]},
		"in-a-tunnel":            {">CONNECT b:1 HTTP/1.1\r\n\r\n", "<HTTP/1.1 200 OK\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCRelay(t, rfcSetup{})
				defer r.finish()
				rfcPlay(r, script, false, false)
				if name == "in-a-head" {
					r.ask("GET / HT")
					synctest.Wait()
				}
				r.cancel(why)
				r.wantEnded()
				if !errors.Is(r.err, why) {
					t.Errorf("Serve returned %v", r.err)
				}
			})
		})
	}
}
