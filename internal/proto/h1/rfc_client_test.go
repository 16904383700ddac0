package h1_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h1"
	"transom/internal/testnet"
)

// An rfcOrigin is an h1.Client and the other end of its connection.
type rfcOrigin struct {
	c   *h1.Client
	end *testnet.Conn
	got rfcTap
}

func newRFCOrigin(segment int, o h1.ClientOptions) *rfcOrigin {
	dialled, end := testnet.Pipe(rfcGate, rfcSite)
	dialled.SetSegment(segment)
	r := &rfcOrigin{c: h1.NewClient(dialled, o), end: end}
	go r.got.collect(end)
	return r
}

func (r *rfcOrigin) close() {
	r.c.Close()
	r.end.Close()
	synctest.Wait()
}

// rfcRequest is what a request looks like to a client.
func rfcRequest(t testing.TB, raw string) *exchange.Request {
	head, err := h1.ParseRequest([]byte(raw), h1.Limits{})
	if err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return &exchange.Request{RequestHead: *head, Body: exchange.NoBody()}
}

// exchange performs one request while the origin says answer, and then FIN if
// fin. It returns the body as far as it could be read.
func (r *rfcOrigin) exchange(t testing.TB, request, answer string, fin bool) (resp *exchange.Response, body string, err, bodyErr error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		resp, err = r.c.Exchange(context.Background(), rfcRequest(t, request))
		if err != nil {
			return
		}
		var b []byte
		b, bodyErr = io.ReadAll(resp.Body)
		body = string(b)
		resp.Body.Close()
	}()
	synctest.Wait()
	_, _ = io.WriteString(r.end, answer)
	if fin {
		_ = r.end.CloseWrite()
	}
	synctest.Wait()
	select {
	case <-done:
	default:
		t.Errorf("still waiting after %q", answer)
		r.end.Close()
		<-done
	}
	return resp, body, err, bodyErr
}

// respWith is a response whose head has more fields.
func respWith(name, fields string) [2]string {
	return [2]string{name, "HTTP/1.1 200 OK\r\n" + fields + "\r\n"}
}

var rfcBadResponses = [][2]string{
	{"2.2-bare-lf-everywhere", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"},
	{"2.2-bare-lf-after-the-status-line", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n"},
	{"2.2-bare-lf-as-the-empty-line", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n"},
	{"2.2-bare-cr-in-the-status-line", "HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n"},
	{"2.2-empty-line-first", "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"2.2-white-space-before-the-first-field", "HTTP/1.1 200 OK\r\n Content-Length: 0\r\n\r\n"},
	{"2.3-http-2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"2.3-http-0.9", "HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"2.3-lower-case", "http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"2.3-another-protocol", "ICY 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"2.3-ssh", "SSH-2.0-OpenSSH_9.2\r\n\r\n"},
	{"4-status-of-two-digits", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"},
	{"4-status-of-four-digits", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"},
	{"4-status-is-a-word", "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"},
	{"4-negative-status", "HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n"},
	{"4-two-spaces", "HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"4-tab", "HTTP/1.1\t200 OK\r\nContent-Length: 0\r\n\r\n"},
	{"4-no-status", "HTTP/1.1\r\nContent-Length: 0\r\n\r\n"},
	{"4-nul-in-the-reason", "HTTP/1.1 200 O\x00K\r\nContent-Length: 0\r\n\r\n"},
	{"4-escape-in-the-reason", "HTTP/1.1 200 \x1b[1m\r\nContent-Length: 0\r\n\r\n"},
	respWith("5.1-space-before-the-colon", "Content-Length : 0\r\n"),
	respWith("5.1-no-colon", "X\r\n"),
	respWith("5.1-no-name", ": x\r\n"),
	respWith("5.1-name-is-no-token", "X Y: z\r\n"),
	respWith("5.2-folded", "X: a\r\n b\r\n"),
	respWith("9110-5.5-nul-in-a-value", "X: a\x00\r\n"),
	respWith("9110-5.5-bare-cr-in-a-value", "X: a\rSet-Cookie: b\r\n"),
	respWith("9110-5.5-del-in-a-value", "X: \x7f\r\n"),
	respWith("6.3-two-lengths", "Content-Length: 0\r\nContent-Length: 1\r\n"),
	respWith("6.3-two-lengths-in-a-list", "Content-Length: 0, 1\r\n"),
	respWith("6.2-length-with-a-plus", "Content-Length: +0\r\n"),
	respWith("6.2-negative-length", "Content-Length: -1\r\n"),
	respWith("6.2-empty-length", "Content-Length:\r\n"),
	respWith("6.2-length-beyond-64-bits", "Content-Length: 18446744073709551616\r\n"),
	respWith("6.3-length-and-coding", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
	respWith("6.3-coding-and-length", "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
	respWith("6.3-unknown-coding", "Transfer-Encoding: x\r\n"),
	respWith("6.3-coding-identity", "Transfer-Encoding: identity\r\n"),
	respWith("6.3-chunked-is-not-final", "Transfer-Encoding: chunked, gzip\r\n"),
	respWith("6.1-chunked-twice", "Transfer-Encoding: chunked, chunked\r\n"),
	respWith("6.1-vertical-tab-before-chunked", "Transfer-Encoding: \x0bchunked\r\n"),
	{"6.1-coding-with-http-1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"9110-15.2-malformed-1xx", "HTTP/1.1 103 Early Hints\r\nX : y\r\n\r\n" + rfcOK},
	{"9110-15.2-malformed-after-1xx", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nX : y\r\n\r\n"},
}

// TestRFC9112RefusesBadResponses checks that such a response is an error that
// says so, and that the connection is not used again.
func TestRFC9112RefusesBadResponses(t *testing.T) {
	for _, c := range rfcBadResponses {
		t.Run(c[0], func(t *testing.T) {
			for _, m := range rfcModes {
				if m.drip {
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					r := newRFCOrigin(m.segment, h1.ClientOptions{})
					defer r.close()
					resp, _, err, _ := r.exchange(t, rfcGet, c[1]+"\r\n\r\n", false)
					var bad *h1.MalformedError
					if !errors.As(err, &bad) {
						t.Fatalf("%s: got %+v, %v", m.name, resp, err)
					}
					if bad.Where == "" || bad.What == "" {
						t.Errorf("error %+v does not say what is wrong", bad)
					}
					if r.c.Usable() {
						t.Error("the connection is still usable")
					}
				})
			}
		})
	}
}

// TestRFC9112ResponseLimits bounds what a server may say before its response.
func TestRFC9112ResponseLimits(t *testing.T) {
	for name, answer := range map[string]string{
		"head":   "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 65<<10) + "\r\n\r\n",
		"line":   "HTTP/1.1 200 " + strings.Repeat("y", 65<<10) + "\r\n\r\n",
		"fields": "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 257) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCOrigin(0, h1.ClientOptions{})
				defer r.close()
				go func() { _, _ = io.WriteString(r.end, answer) }()
				_, err := r.c.Exchange(context.Background(), rfcRequest(t, rfcGet))
				var bad *h1.MalformedError
				if !errors.As(err, &bad) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestRFC9112ReadsResponses checks what a caller sees of a response: section
// 6.3 decides about the body.
func TestRFC9112ReadsResponses(t *testing.T) {
	const head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
	for _, c := range []struct {
		name, request, answer string
		fin                   bool
		body                  string
		usable                bool
	}{
		{"length", rfcGet, rfcOK, false, "ok", true},
		{"length-zero", rfcGet, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, "", true},
		{"chunked", rfcGet, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a\r\nok\r\n1\r\n!\r\n0\r\nT: v\r\n\r\n", false, "ok!", true},
		{"until-close", rfcGet, "HTTP/1.1 200 OK\r\n\r\nok", true, "ok", false},
		{"head", head, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false, "", true},
		{"no-content", rfcGet, "HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n", false, "", true},
		{"not-modified", rfcGet, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, "", true},
		{"close", rfcGet, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false, "ok", false},
		{"http-1.0", rfcGet, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, "ok", false},
		{"http-1.0-keep-alive", rfcGet, "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", false, "ok", true},
		{"we-said-close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", rfcOK, false, "ok", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCOrigin(0, h1.ClientOptions{})
				defer r.close()
				resp, body, err, bodyErr := r.exchange(t, c.request, c.answer, c.fin)
				if err != nil || bodyErr != nil || body != c.body {
					t.Fatalf("body %q, %v, %v", body, err, bodyErr)
				}
				if !strings.HasPrefix(c.answer, string(resp.Raw)) || !bytes.HasSuffix(resp.Raw, []byte("\r\n\r\n")) {
					t.Errorf("raw %q", resp.Raw)
				}
				if c.name == "chunked" && !resp.Body.Trailer().Equal(flow.Header{{Name: "T", Value: "v"}}) {
					t.Errorf("trailer %v", resp.Body.Trailer())
				}
				if r.c.Usable() != c.usable {
					t.Errorf("usable %v, want %v", r.c.Usable(), c.usable)
				}
				if got, _ := r.got.settled(); got != c.request {
					t.Errorf("the origin received %q", got)
				}
			})
		})
	}
}

// TestRFC9112TruncatedResponses is section 8: a response that was cut short is
// not complete, whoever asks.
func TestRFC9112TruncatedResponses(t *testing.T) {
	for _, whole := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
	} {
		for cut := range len(whole) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCOrigin(0, h1.ClientOptions{})
				defer r.close()
				_, _, err, bodyErr := r.exchange(t, rfcGet, whole[:cut], true)
				if err == nil && bodyErr == nil {
					t.Errorf("%q passes for a whole response", whole[:cut])
				}
				var bad *h1.MalformedError
				if cut == 0 && (!errors.Is(err, io.EOF) || errors.As(err, &bad)) {
					t.Errorf("a server that ends instead of answering gives %v", err)
				}
				if r.c.Usable() {
					t.Errorf("usable after %q and FIN", whole[:cut])
				}
			})
		}
	}
}

// TestRFC9112ResetInsteadOfAResponse checks that the reason can be found out.
func TestRFC9112ResetInsteadOfAResponse(t *testing.T) {
	for _, said := range []string{"", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", "HTTP/1.1 200 OK\r\n\r\nhe"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRFCOrigin(0, h1.ClientOptions{})
			defer r.close()
			go func() {
				synctest.Wait()
				_, _ = io.WriteString(r.end, said)
				_ = r.end.SetLinger(0)
				r.end.Close()
			}()
			resp, err := r.c.Exchange(context.Background(), rfcRequest(t, rfcGet))
			if err == nil {
				_, err = io.ReadAll(resp.Body)
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("after %q: %v", said, err)
			}
		})
	}
}

// TestRFC9112UnsolicitedResponses is section 9.2: what a server says unasked is
// never taken for the answer to a later request.
func TestRFC9112UnsolicitedResponses(t *testing.T) {
	const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
	for name, first := range map[string]string{
		"after-length":   rfcOK,
		"after-nothing":  "HTTP/1.1 204 No Content\r\n\r\n",
		"after-not-much": "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n",
		"after-chunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"body-of-a-204":  "HTTP/1.1 204 No Content\r\nContent-Length: 44\r\n\r\n",
		"later":          rfcOK,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRFCOrigin(0, h1.ClientOptions{})
				defer r.close()
				later := name == "later"
				said := first
				if !later {
					said += forged
				}
				if _, _, err, bodyErr := r.exchange(t, rfcGet, said, false); err != nil || bodyErr != nil {
					t.Fatal(err, bodyErr)
				}
				if later {
					_, _ = io.WriteString(r.end, forged)
					synctest.Wait()
				}
				if err := r.c.Wait(context.Background()); !errors.Is(err, h1.ErrUnsolicited) {
					t.Errorf("Wait returned %v", err)
				}
				if got := string(r.c.Unread()); got != forged {
					t.Errorf("unread %q", got)
				}
				if r.c.Usable() {
					t.Error("usable")
				}
				go r.end.CloseWrite()
				resp, err := r.c.Exchange(context.Background(), rfcRequest(t, rfcGet))
				if err == nil {
					body, _ := io.ReadAll(resp.Body)
					t.Errorf("the next request was answered with %q", body)
				}
			})
		})
	}
}

// TestRFC9112ClientWaits covers what may happen between exchanges.
func TestRFC9112ClientWaits(t *testing.T) {
	reset := func(c *testnet.Conn) { _ = c.SetLinger(0); c.Close() }
	for _, c := range []struct {
		name string
		then func(*testnet.Conn)
		want error
	}{
		{"fin", func(c *testnet.Conn) { _ = c.CloseWrite() }, io.EOF},
		{"reset", reset, syscall.ECONNRESET},
		{"a-word", func(c *testnet.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n") }, h1.ErrUnsolicited},
		{"nothing", func(*testnet.Conn) {}, nil},
	} {
		for _, used := range []bool{false, true} {
			t.Run(c.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRFCOrigin(0, h1.ClientOptions{})
					defer r.close()
					if used {
						r.exchange(t, rfcGet, rfcOK, false)
					}
					ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
					defer cancel()
					go func() {
						synctest.Wait()
						c.then(r.end)
					}()
					if err := r.c.Wait(ctx); !errors.Is(err, c.want) || err != nil && c.want == nil {
						t.Errorf("Wait returned %v", err)
					}
					if (c.want == nil) != r.c.Usable() {
						t.Errorf("usable %v", r.c.Usable())
					}
					if c.want == nil {
						if _, body, err, _ := r.exchange(t, rfcGet, rfcOK, false); err != nil || body != "ok" {
							t.Errorf("the exchange after it: %q, %v", body, err)
						}
					}
				})
			})
		}
	}
}

// TestRFC9112ClientCancel ends an exchange in each of its phases.
func TestRFC9112ClientCancel(t *testing.T) {
	why := errors.New("why")
	synctest.Test(t, func(t *testing.T) {
		r := newRFCOrigin(0, h1.ClientOptions{})
		defer r.close()
		ctx, cancel := context.WithCancelCause(context.Background())
		go func() {
			time.Sleep(time.Second)
			cancel(why)
		}()
		_, err := r.c.Exchange(ctx, rfcRequest(t, rfcGet))
		if !errors.Is(err, why) || r.c.Usable() {
			t.Errorf("Exchange returned %v, usable %v", err, r.c.Usable())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRFCOrigin(0, h1.ClientOptions{})
		defer r.close()
		go func() {
			synctest.Wait()
			_, _ = io.WriteString(r.end, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
		}()
		resp, err := r.c.Exchange(context.Background(), rfcRequest(t, rfcGet))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			resp.Body.Close()
		}()
		_, err = io.ReadAll(resp.Body)
		synctest.Wait() // for Close to return
		if err == nil || r.c.Usable() {
			t.Errorf("reading a closed body gave %v, usable %v", err, r.c.Usable())
		}
	})
}

// TestRFC9112InterimResponses checks their order and that they can be refused.
func TestRFC9112InterimResponses(t *testing.T) {
	const said = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + rfcOK
	synctest.Test(t, func(t *testing.T) {
		r := newRFCOrigin(0, h1.ClientOptions{})
		defer r.close()
		req := rfcRequest(t, rfcGet)
		var seen string
		req.Interim = func(h flow.ResponseHead) error {
			seen += string(h.Raw)
			return nil
		}
		go func() { _, _ = io.WriteString(r.end, said) }()
		resp, err := r.c.Exchange(context.Background(), req)
		if err != nil || resp.Status != 200 {
			t.Fatal(resp, err)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || seen+string(resp.Raw)+string(body) != said {
			t.Errorf("seen %q", seen)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRFCOrigin(0, h1.ClientOptions{})
		defer r.close()
		go func() { _, _ = io.WriteString(r.end, said) }()
		resp, err := r.c.Exchange(context.Background(), rfcRequest(t, rfcGet)) // Interim is nil
		if err != nil || resp.Status != 200 {
			t.Fatal(resp, err)
		}
	})
}
