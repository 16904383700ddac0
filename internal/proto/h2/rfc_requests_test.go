package h2_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h2"
)

// rfcGet and rfcPost are good requests but for what a test adds.
var (
	rfcGet  = []string{":method=GET", ":scheme=https", ":authority=shop.test", ":path=/"}
	rfcPost = []string{":method=POST", ":scheme=https", ":authority=shop.test", ":path=/"}
)

// with is base and more fields.
func with(base []string, more ...string) []string {
	return append(base[:len(base):len(base)], more...)
}

// rfcOK reads the whole request, then answers 200 and "ok".
func rfcOK(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
	if _, err := io.ReadAll(req.Body); err != nil {
		return nil, err
	}
	return rfcAnswer("ok"), nil
}

// rfcAnswer is a response of our own without any field.
func rfcAnswer(body string) *exchange.Response {
	r := &exchange.Response{ResponseHead: flow.ResponseHead{Status: 200, Proto: flow.HTTP2}, Body: exchange.NoBody()}
	if body != "" {
		r.Body = exchange.NewBody(&rfcSource{Reader: strings.NewReader(body)}, -1, nil)
	}
	return r
}

// An rfcSource is the source of a body.
type rfcSource struct {
	io.Reader
	trailer flow.Header
	closed  bool
}

func (s *rfcSource) Close() error         { s.closed = true; return nil }
func (s *rfcSource) Trailer() flow.Header { return s.trailer }

// TestRFC9113MalformedRequests is section 8.1.1: a malformed request is a
// stream error, reaches no handler, and leaves the connection usable.
func TestRFC9113MalformedRequests(t *testing.T) {
	for name, fields := range map[string][]string{
		"8.2.1-uppercase-name":         with(rfcGet, "X-Test=a"),
		"8.2.1-uppercase-inside":       with(rfcGet, "x-Test=a"),
		"8.2.1-empty-name":             with(rfcGet, "=a"),
		"8.2.1-space-in-name":          with(rfcGet, "a b=a"),
		"8.2.1-control-in-name":        with(rfcGet, "a\x01=a"),
		"8.2.1-delete-in-name":         with(rfcGet, "a\x7f=a"),
		"8.2.1-high-octet-in-name":     with(rfcGet, "a\xff=a"),
		"8.2.1-colon-in-name":          with(rfcGet, "a:b=a"),
		"8.2.1-nul-in-value":           with(rfcGet, "a=b\x00c"),
		"8.2.1-lf-in-value":            with(rfcGet, "a=b\nc"),
		"8.2.1-cr-in-value":            with(rfcGet, "a=b\rc"),
		"8.2.2-connection":             with(rfcGet, "connection=keep-alive"),
		"8.2.2-connection-close":       with(rfcGet, "connection=close"),
		"8.2.2-keep-alive":             with(rfcGet, "keep-alive=1"),
		"8.2.2-proxy-connection":       with(rfcGet, "proxy-connection=keep-alive"),
		"8.2.2-transfer-encoding":      with(rfcGet, "transfer-encoding=chunked"),
		"8.2.2-upgrade":                with(rfcGet, "upgrade=websocket"),
		"8.2.2-te-gzip":                with(rfcGet, "te=gzip"),
		"8.2.2-te-trailers-and-more":   with(rfcGet, "te=trailers, gzip"),
		"8.3-unknown-pseudo":           with(rfcGet[:4:4], ":test=a"),
		"8.3-unknown-pseudo-first":     append([]string{":test=a"}, rfcGet...),
		"8.3-response-pseudo":          with(rfcGet, ":status=200"),
		"8.3-pseudo-after-field":       {":method=GET", ":scheme=https", ":path=/", "a=b", ":authority=shop.test"},
		"8.3.1-no-method":              rfcGet[1:],
		"8.3.1-no-scheme":              {":method=GET", ":authority=shop.test", ":path=/"},
		"8.3.1-no-path":                rfcGet[:3],
		"8.3.1-empty-path":             {":method=GET", ":scheme=https", ":authority=shop.test", ":path="},
		"8.3.1-empty-method":           {":method=", ":scheme=https", ":authority=shop.test", ":path=/"},
		"8.3.1-space-in-method":        {":method=GET /a", ":scheme=https", ":authority=shop.test", ":path=/"},
		"8.3.1-crlf-in-method":         {":method=GET\r\n", ":scheme=https", ":authority=shop.test", ":path=/"},
		"8.3.1-space-in-path":          {":method=GET", ":scheme=https", ":authority=shop.test", ":path=/a b"},
		"8.3.1-lf-in-path":             {":method=GET", ":scheme=https", ":authority=shop.test", ":path=/a\nb"},
		"8.3.1-two-methods":            with(rfcGet, ":method=GET"),
		"8.3.1-two-schemes":            with(rfcGet, ":scheme=https"),
		"8.3.1-two-paths":              with(rfcGet, ":path=/"),
		"8.3.1-two-authorities":        with(rfcGet, ":authority=shop.test"),
		"8.3.1-space-in-authority":     {":method=GET", ":scheme=https", ":authority=shop.test a", ":path=/"},
		"8.5-connect-with-scheme":      {":method=CONNECT", ":scheme=https", ":authority=shop.test:443"},
		"8.5-connect-with-path":        {":method=CONNECT", ":path=/", ":authority=shop.test:443"},
		"8.5-connect-to-nothing":       {":method=CONNECT"},
		"8441-4-protocol-for-get":      with(rfcGet, ":protocol=websocket"),
		"9110-8.6-length-no-number":    with(rfcPost, "content-length=a"),
		"9110-8.6-length-signed":       with(rfcPost, "content-length=+0"),
		"9110-8.6-length-negative":     with(rfcPost, "content-length=-1"),
		"9110-8.6-length-hex":          with(rfcPost, "content-length=0x0"),
		"9110-8.6-length-empty":        with(rfcPost, "content-length="),
		"9110-8.6-two-lengths":         with(rfcPost, "content-length=0", "content-length=1"),
		"9110-8.6-list-of-lengths":     with(rfcPost, "content-length=0, 1"),
		"9110-8.6-length-overflows":    with(rfcPost, "content-length=18446744073709551616"),
		"8.1.1-length-without-content": with(rfcPost, "content-length=5"),
	} {
		t.Run(name, func(t *testing.T) { rfcMalformed(t, fields) })
	}
}

// rfcMalformed sends a malformed request and a good one.
func rfcMalformed(t *testing.T, fields []string) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		w := greetServer(t, func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
			calls++
			return rfcOK(ctx, req)
		}, h2.Options{})
		defer w.finish()
		w.client.head(1, true, fields...)
		w.client.wantStream(1, "RST PROTOCOL_ERROR")
		w.client.head(3, true, rfcGet...)
		w.client.wantStream(3, ":status=200|ok|END")
		w.client.wantAlive()
		if calls != 1 {
			t.Errorf("%d requests were handled, want the good one alone", calls)
		}
		var m *h2.MalformedError
		if len(w.refused) != 1 || !errors.As(w.refused[0], &m) {
			t.Errorf("told of refusals: %v, want one *MalformedError", w.refused)
		}
	})
}

// TestRFC9113OddRequestsPass are requests that break no rule.
func TestRFC9113OddRequestsPass(t *testing.T) {
	for name, fields := range map[string][]string{
		"pseudo-in-any-order":     {":path=/", ":method=GET", ":authority=shop.test", ":scheme=https"},
		"no-authority":            {":method=GET", ":scheme=https", ":path=/", "host=shop.test"},
		"neither-authority":       {":method=GET", ":scheme=https", ":path=/"},
		"same-host":               with(rfcGet, "host=shop.test"),
		"te-trailers":             with(rfcGet, "te=trailers"),
		"empty-value":             with(rfcGet, "a="),
		"octets-in-value":         with(rfcGet, "a=\x80\xff"),
		"space-inside-value":      with(rfcGet, "a=b \tc"),
		"options-star":            {":method=OPTIONS", ":scheme=https", ":authority=shop.test", ":path=*"},
		"other-method":            {":method=brew!", ":scheme=https", ":authority=shop.test", ":path=/"},
		"other-scheme":            {":method=GET", ":scheme=coap", ":authority=shop.test", ":path=/"},
		"other-scheme-http":       {":method=GET", ":scheme=http", ":authority=shop.test", ":path=/"},
		"authority-with-port":     {":method=GET", ":scheme=https", ":authority=shop.test:8443", ":path=/"},
		"authority-ipv6":          {":method=GET", ":scheme=https", ":authority=[2001:db8::1]:8443", ":path=/"},
		"query":                   {":method=GET", ":scheme=https", ":authority=shop.test", ":path=/a?b=c&d=%20"},
		"cookie-crumbs":           with(rfcGet, "cookie=a=1", "cookie=b=2"),
		"length-zero":             with(rfcPost, "content-length=0"),
		"same-length-twice":       with(rfcPost, "content-length=0", "content-length=0"),
		"http2-settings-is-field": with(rfcGet, "http2-settings=a"),
		"every-token-character":   with(rfcGet, "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz=a"),
		"expect":                  with(rfcGet, "expect=100-continue"),
		"priority-9218":           with(rfcGet, "priority=u=1, i"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, rfcOK, h2.Options{})
				defer w.finish()
				w.client.head(1, true, fields...)
				w.client.settle()
				if got := w.client.stream(1); !strings.HasSuffix(got, ":status=200|ok|END") {
					t.Errorf("received %q; refused %v", got, w.refused)
				}
				w.client.wantAlive()
			})
		})
	}
}

// TestRFC9113HeadsAreRead checks what a handler is given.
func TestRFC9113HeadsAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got flow.RequestHead
		w := greetServer(t, func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
			got = req.RequestHead
			if req.Received == nil || !req.Received.Equal(&req.RequestHead) {
				t.Error("what was received is not what is asked for")
			}
			return rfcOK(ctx, req)
		}, h2.Options{})
		defer w.finish()
		w.client.head(1, true, with(rfcGet, "a=1", "b=2", "a=3", "cookie=x", "cookie=y")...)
		w.client.wantStream(1, ":status=200|ok|END")
		if got.Method != "GET" || got.Scheme != "https" || got.Authority != "shop.test" || got.Target != "/" || got.Proto != flow.HTTP2 {
			t.Errorf("%+v", got)
		}
		var fields []string
		for _, f := range got.Header {
			fields = append(fields, f.Name+"="+f.Value)
		}
		if s := strings.Join(fields, " "); s != "a=1 b=2 a=3 cookie=x cookie=y" {
			t.Errorf("fields %q", s)
		}
	})
}
