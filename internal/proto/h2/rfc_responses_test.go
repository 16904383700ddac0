package h2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h2"
)

// An rfcCall is one Exchange of a Client and the reading of its response.
type rfcCall struct {
	cancel  context.CancelCauseFunc
	resp    *exchange.Response
	err     error // of Exchange
	interim []int
	done    bool
	body    []byte
	bodyErr error // of the body; nil as long as it goes on
}

// rfcAsk is a request of our own; a nil body is none.
func rfcAsk(method string, body io.Reader, fields ...flow.Field) *exchange.Request {
	r := &exchange.Request{Body: exchange.NoBody()}
	r.RequestHead = flow.RequestHead{Method: method, Scheme: "https", Authority: "shop.test", Target: "/", Proto: flow.HTTP2, Header: fields}
	if body != nil {
		r.Body = exchange.NewBody(&rfcSource{Reader: body}, -1, nil)
	}
	return r
}

// ask performs req and reads the response, in a goroutine.
func (w *rfcClient) ask(req *exchange.Request) *rfcCall {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := &rfcCall{cancel: cancel}
	req.Interim = func(h flow.ResponseHead) error { c.interim = append(c.interim, h.Status); return nil }
	go func() {
		defer cancel(nil)
		c.resp, c.err = w.up.Exchange(ctx, req)
		c.done = true
		if c.err != nil {
			return
		}
		p := make([]byte, 4096)
		for c.bodyErr == nil {
			var n int
			n, c.bodyErr = c.resp.Body.Read(p)
			c.body = append(c.body, p[:n]...)
		}
		c.resp.Body.Close()
	}()
	w.server.settle()
	return c
}

// said is what has come of the response: "200 a=b|body|t=v|END", or the error.
func (c *rfcCall) said() string {
	synctest.Wait()
	switch {
	case !c.done:
		return ""
	case c.err != nil:
		return "error: " + c.err.Error()
	}
	s := fmt.Sprint(c.resp.Status)
	for _, f := range c.resp.Header {
		s += " " + f.Name + "=" + f.Value
	}
	if len(c.body) > 0 {
		s += "|" + string(c.body)
	}
	switch c.bodyErr {
	case nil:
		return s
	case io.EOF:
	default:
		return s + "|error: " + c.bodyErr.Error()
	}
	if t := c.resp.Body.Trailer(); len(t) > 0 {
		var parts []string
		for _, f := range t {
			parts = append(parts, f.Name+"="+f.Value)
		}
		s += "|" + strings.Join(parts, " ")
	}
	return s + "|END"
}

// failure is what the exchange or its body failed with.
func (c *rfcCall) failure() error {
	synctest.Wait()
	if c.err == nil && c.bodyErr != io.EOF {
		return c.bodyErr
	}
	return c.err
}

func wantSaid(t *testing.T, c *rfcCall, want string) {
	t.Helper()
	if got := c.said(); got != want {
		t.Errorf("the response is %q, want %q", got, want)
	}
}

// TestRFC9113ClientAsks checks the requests that go out and the answers that
// come back.
func TestRFC9113ClientAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetClient(t, h2.ClientOptions{})
		defer w.finish()
		a := w.ask(rfcAsk("GET", nil, flow.Field{Name: "X-A", Value: "b"}))
		w.server.wantStream(1, ":method=GET :scheme=https :authority=shop.test :path=/ x-a=b|END")
		b := w.ask(rfcAsk("POST", strings.NewReader("hello")))
		w.server.wantStream(3, ":method=POST :scheme=https :authority=shop.test :path=/|hello|END")
		w.server.head(3, false, ":status=404", "b=3")
		w.server.data(3, false, "not ")
		w.server.head(1, true, ":status=204", "a=1")
		w.server.data(3, true, "here")
		w.server.settle()
		wantSaid(t, a, "204 a=1|END")
		wantSaid(t, b, "404 b=3|not here|END")
		if a.resp.Received == nil || a.resp.Proto != flow.HTTP2 || !w.up.Usable() {
			t.Errorf("received %v, %v, usable %v", a.resp.Received, a.resp.Proto, w.up.Usable())
		}
		w.server.wantAlive()
	})
}

// TestRFC9113InterimAndTrailers is section 8.1.
func TestRFC9113InterimAndTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetClient(t, h2.ClientOptions{})
		defer w.finish()
		c := w.ask(rfcAsk("GET", nil))
		w.server.head(1, false, ":status=100")
		w.server.head(1, false, ":status=103", "link=</a>")
		w.server.settle()
		if fmt.Sprint(c.interim) != "[100 103]" {
			t.Errorf("interim responses %v", c.interim)
		}
		w.server.head(1, false, ":status=200")
		w.server.data(1, false, "body")
		w.server.head(1, true, "t=1", "u=2")
		w.server.settle()
		wantSaid(t, c, "200|body|t=1 u=2|END")
		w.server.wantAlive()
	})
}

// TestRFC9113MalformedResponses is section 8.1.1 for the client.
func TestRFC9113MalformedResponses(t *testing.T) {
	say := func(end bool, fields ...string) func(*rfcPeer) { return func(p *rfcPeer) { p.head(1, end, fields...) } }
	send := func(end bool, s string) func(*rfcPeer) { return func(p *rfcPeer) { p.data(1, end, s) } }
	ok := say(false, ":status=200")
	for name, do := range map[string]func(*rfcPeer){
		"8.2.1-uppercase":                 say(true, ":status=200", "A=b"),
		"8.2.1-space-in-name":             say(true, ":status=200", "a b=c"),
		"8.2.1-lf-in-value":               say(true, ":status=200", "a=b\nc"),
		"8.2.1-cr-in-value":               say(true, ":status=200", "a=b\rc"),
		"8.2.1-nul-in-value":              say(true, ":status=200", "a=b\x00c"),
		"8.2.2-connection":                say(true, ":status=200", "connection=close"),
		"8.2.2-transfer-encoding":         say(true, ":status=200", "transfer-encoding=chunked"),
		"8.2.2-keep-alive":                say(true, ":status=200", "keep-alive=1"),
		"8.2.2-proxy-connection":          say(true, ":status=200", "proxy-connection=1"),
		"8.2.2-upgrade":                   say(true, ":status=200", "upgrade=h2c"),
		"8.3-request-pseudo":              say(true, ":status=200", ":path=/"),
		"8.3-unknown-pseudo":              say(true, ":status=200", ":a=/"),
		"8.3-pseudo-after-field":          say(true, "a=b", ":status=200"),
		"8.3.2-no-status":                 say(true, "a=b"),
		"8.3.2-no-fields":                 say(true),
		"8.3.2-two-statuses":              say(true, ":status=200", ":status=200"),
		"8.3.2-empty-status":              say(true, ":status="),
		"8.3.2-status-of-two":             say(true, ":status=20"),
		"8.3.2-status-of-four":            say(true, ":status=2000"),
		"8.3.2-status-no-number":          say(true, ":status=2x0"),
		"8.3.2-status-signed":             say(true, ":status=+20"),
		"8.3.2-status-below-100":          say(true, ":status=099"),
		"8.6-switching-protocols":         say(false, ":status=101"),
		"8.1-interim-that-ends":           say(true, ":status=103"),
		"8.1-data-before-head":            send(false, "x"),
		"8.1-data-after-interim":          steps(say(false, ":status=103"), send(false, "x")),
		"8.1-second-head":                 steps(ok, say(false, ":status=200")),
		"8.1-pseudo-in-trailers":          steps(ok, say(true, ":status=200")),
		"8.1-uppercase-in-trailers":       steps(ok, say(true, "A=b")),
		"8.1.1-more-than-length":          steps(say(false, ":status=200", "content-length=1"), send(true, "xy")),
		"8.1.1-less-than-length":          steps(say(false, ":status=200", "content-length=3"), send(true, "xy")),
		"8.1.1-less-than-length-trailers": steps(say(false, ":status=200", "content-length=3"), say(true, "a=b")),
		"8.1.1-nothing-of-length":         say(true, ":status=200", "content-length=3"),
		"8.1.1-two-lengths":               say(true, ":status=200", "content-length=3", "content-length=4"),
		"8.1.1-length-no-number":          say(true, ":status=200", "content-length=x"),
		"9110-6.4.1-content-of-204":       steps(say(false, ":status=204"), send(true, "x")),
		"9110-6.4.1-content-of-304":       steps(say(false, ":status=304"), send(true, "x")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetClient(t, h2.ClientOptions{})
				defer w.finish()
				c := w.ask(rfcAsk("GET", nil))
				do(w.server)
				w.server.settle()
				var m *h2.MalformedError
				var se *h2.StreamError // of a body that has begun
				if err := c.failure(); !errors.As(err, &m) && !(c.err == nil && errors.As(err, &se) && se.Code == h2.ProtocolError && !se.Remote) {
					t.Errorf("failed with %v, want a *MalformedError; %q", err, c.said())
				}
				if s := w.server.stream(1); !strings.HasSuffix(s, "RST PROTOCOL_ERROR") {
					t.Errorf("the server received %q", s)
				}
				w.server.wantAlive()
				c = w.ask(rfcAsk("GET", nil))
				w.server.head(3, true, ":status=200")
				w.server.settle()
				wantSaid(t, c, "200|END")
			})
		})
	}
}

// TestRFC9113OddResponsesPass break no rule.
func TestRFC9113OddResponsesPass(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		fields []string
		want   string
	}{
		"length-for-head":    {"HEAD", []string{":status=200", "content-length=5"}, "200 content-length=5|END"},
		"length-for-304":     {"GET", []string{":status=304", "content-length=5"}, "304 content-length=5|END"},
		"same-length-twice":  {"GET", []string{":status=200", "content-length=0", "content-length=0"}, "200 content-length=0 content-length=0|END"},
		"status-of-no-class": {"GET", []string{":status=799"}, "799|END"},
		"octets":             {"GET", []string{":status=200", "a=\xff"}, "200 a=\xff|END"},
		"cookies":            {"GET", []string{":status=200", "set-cookie=a", "set-cookie=b"}, "200 set-cookie=a set-cookie=b|END"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetClient(t, h2.ClientOptions{})
				defer w.finish()
				call := w.ask(rfcAsk(c.method, nil))
				w.server.head(1, true, c.fields...)
				w.server.settle()
				wantSaid(t, call, c.want)
				w.server.wantAlive()
			})
		})
	}
}

// TestRFC9113ClientEndsConnection has a server break the rules of connections.
func TestRFC9113ClientEndsConnection(t *testing.T) {
	more := []rfcBreach{
		{"6.5.2-push-by-server", raw(http2.FrameSettings, 0, 0, "\x00\x02\x00\x00\x00\x01"), codes(protocol)},
		{"5.1-headers-on-idle", func(p *rfcPeer) { p.head(3, true, ":status=200") }, codes(protocol)},
		{"5.1-headers-on-even", func(p *rfcPeer) { p.head(2, true, ":status=200") }, codes(protocol)},
		{"4.3-block-that-is-none", raw(http2.FrameHeaders, endHeaders, 1, "\x40"), codes(compression)},
		{"6.10-data-inside-block", steps(raw(http2.FrameHeaders, 0, 1, "\x88"), raw(http2.FrameData, 0, 1, "x")), codes(protocol)},
		{"6.1-padding-of-all", steps(raw(http2.FrameHeaders, endHeaders, 1, "\x88"), raw(http2.FrameData, padded, 1, "\x02x")), codes(protocol)},
	}
	for _, c := range append(rfcBreaches[:len(rfcBreaches):len(rfcBreaches)], more...) {
		if c.name == "6.4-reset-of-idle" {
			c.do = raw(http2.FrameRSTStream, 0, 3, "\x00\x00\x00\x08")
		}
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetClient(t, h2.ClientOptions{})
				defer w.finish()
				call := w.ask(rfcAsk("GET", nil))
				c.do(w.server)
				w.server.wantGoAway(c.codes...)
				var e *h2.ConnError
				if err := call.failure(); !errors.As(err, &e) {
					t.Errorf("the exchange ends with %v, want a *ConnError inside", err)
				}
				if w.up.Usable() {
					t.Error("the client says that it is usable")
				}
			})
		})
	}
}
