package h2_test

import (
	"context"
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

// rfcWaits never answers, and ends with its context.
func rfcWaits(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
}

// TestRFC9113StreamErrors are errors that end one stream and no more. Handlers
// wait, so a stream that its client has ended is half-closed.
func TestRFC9113StreamErrors(t *testing.T) {
	reset := raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08")
	for _, c := range []rfcBreach{
		{"5.1-data-on-half-closed", steps(get(1), raw(http2.FrameData, 0, 1, "x")), codes(closedStream)},
		{"5.1-empty-data-on-half-closed", steps(get(1), raw(http2.FrameData, 1, 1, "")), codes(closedStream)},
		{"5.1-headers-on-half-closed", steps(get(1), get(1)), codes(closedStream)},
		{"6.9-no-increment-on-stream", steps(open(1), raw(http2.FrameWindowUpdate, 0, 1, "\x00\x00\x00\x00")), codes(protocol)},
		{"6.9.1-window-of-stream-overflows", steps(open(1), raw(http2.FrameWindowUpdate, 0, 1, "\x7f\xff\xff\xff")), codes(flowControl)},
		{"8.1-second-headers-without-end", steps(open(1), func(p *rfcPeer) { p.head(1, false, "a=b") }), codes(protocol)},
		{"8.1-pseudo-in-trailers", steps(open(1), func(p *rfcPeer) { p.head(1, true, ":path=/") }), codes(protocol)},
		{"8.1-uppercase-in-trailers", steps(open(1), func(p *rfcPeer) { p.head(1, true, "A=b") }), codes(protocol)},
		{"8.1-connection-in-trailers", steps(open(1), func(p *rfcPeer) { p.head(1, true, "connection=close") }), codes(protocol)},
		{"8.1.1-more-than-length", steps(func(p *rfcPeer) { p.head(1, false, with(rfcPost, "content-length=1")...) }, raw(http2.FrameData, 1, 1, "xy")), codes(protocol)},
		{"8.1.1-more-than-length-in-two", steps(func(p *rfcPeer) { p.head(1, false, with(rfcPost, "content-length=1")...) }, raw(http2.FrameData, 0, 1, "x"), raw(http2.FrameData, 1, 1, "y")), codes(protocol)},
		{"8.1.1-more-than-length-without-end", steps(func(p *rfcPeer) { p.head(1, false, with(rfcPost, "content-length=1")...) }, raw(http2.FrameData, 0, 1, "xy")), codes(protocol)},
		{"8.1.1-less-than-length", steps(func(p *rfcPeer) { p.head(1, false, with(rfcPost, "content-length=3")...) }, raw(http2.FrameData, 1, 1, "xy")), codes(protocol)},
		{"8.1.1-less-than-length-in-two", steps(func(p *rfcPeer) { p.head(1, false, with(rfcPost, "content-length=3")...) }, raw(http2.FrameData, 0, 1, "xy"), raw(http2.FrameData, 1, 1, "")), codes(protocol)},
		{"8.1.1-less-than-length-and-trailers", steps(func(p *rfcPeer) { p.head(1, false, with(rfcPost, "content-length=3")...) }, func(p *rfcPeer) { p.head(1, true, "a=b") }), codes(protocol)},
		{"8.1.1-no-length-zero-and-content", steps(func(p *rfcPeer) { p.head(1, false, with(rfcPost, "content-length=0")...) }, raw(http2.FrameData, 1, 1, "x")), codes(protocol)},
		{"6.9-flow-control-of-stream", steps(open(1), func(p *rfcPeer) { rfcOverflow(p, 1) }), codes(flowControl)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, rfcWaits, h2.Options{})
				defer w.finish()
				c.do(w.client)
				w.client.wantStream(1, "RST "+c.codes[0].String())
				reset(w.client)
				w.client.wantAlive()
			})
		})
	}
}

// rfcOverflow sends more than a stream's window, however large it is, to a
// handler that does not read, unless the connection is closed first.
func rfcOverflow(p *rfcPeer, id uint32) {
	for range 2000 {
		p.data(id, false, strings.Repeat("x", 16000))
		synctest.Wait()
		if p.stream(id) != "" || p.end != nil {
			return
		}
	}
}

// TestRFC9113FramesOnClosedStreams is section 5.1: what comes on a stream that
// the peer has closed is an error of the stream or the connection, what comes
// after our reset is none.
func TestRFC9113FramesOnClosedStreams(t *testing.T) {
	for name, after := range map[string]func(p *rfcPeer){
		"data":    raw(http2.FrameData, 0, 1, "x"),
		"headers": get(1),
	} {
		for how, closing := range map[string]func(p *rfcPeer){
			"ended": get(1),
			"reset": steps(open(1), raw(http2.FrameRSTStream, 0, 1, "\x00\x00\x00\x08")),
		} {
			t.Run(name+"-after-"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := greetServer(t, rfcOK, h2.Options{})
					defer w.finish()
					closing(w.client)
					w.client.settle()
					after(w.client)
					w.client.settle()
					if s := w.client.stream(1); !strings.HasSuffix(s, "RST STREAM_CLOSED") {
						w.client.wantGoAway(closedStream)
					}
				})
			})
		}
	}
}

// TestRFC9113LateFramesAfterOurReset have been on their way: they are ignored,
// compression and flow control apart.
func TestRFC9113LateFramesAfterOurReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return nil, &h2.StreamError{Code: h2.RefusedStream}
		}, h2.Options{})
		defer w.finish()
		w.client.head(1, false, rfcPost...)
		w.client.wantStream(1, "RST REFUSED_STREAM")
		for range 40 {
			w.client.data(1, false, strings.Repeat("x", 10000))
			w.client.settle()
		}
		w.client.window(1, 10)
		w.client.head(1, true, "late=trailer")
		w.client.head(3, true, with(rfcGet, "late=trailer")...)
		w.client.wantStream(3, "RST REFUSED_STREAM")
		w.client.wantAlive()
		if s := w.client.stream(1); s != "RST REFUSED_STREAM" {
			t.Errorf("stream 1 received %q", s)
		}
	})
}

// TestRFC9113SelfDependency is section 5.3.1 of RFC 7540, which RFC 9113 has
// dropped: at most the stream is reset.
func TestRFC9113SelfDependency(t *testing.T) {
	for name, do := range map[string]func(p *rfcPeer){
		"headers": func(p *rfcPeer) {
			p.raw(http2.FrameHeaders, endHeaders|endStream|priority, 1, "\x00\x00\x00\x01\x05"+string(p.encode(rfcGet...)))
		},
		"priority": steps(get(1), raw(http2.FramePriority, 0, 1, "\x00\x00\x00\x01\x05")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, rfcOK, h2.Options{})
				defer w.finish()
				do(w.client)
				w.client.settle()
				if s := w.client.stream(1); s != ":status=200|ok|END" && s != "RST PROTOCOL_ERROR" {
					t.Errorf("received %q", s)
				}
				w.client.wantAlive()
			})
		})
	}
}

// TestRFC9113NothingIsSentOnIdleStreams whatever comes on them.
func TestRFC9113NothingIsSentOnIdleStreams(t *testing.T) {
	for name, do := range map[string]func(p *rfcPeer){
		"self-dependency":          raw(http2.FramePriority, 0, 9, "\x00\x00\x00\x09\x05"),
		"priority-of-wrong-length": raw(http2.FramePriority, 0, 9, "\x00\x00\x00\x01"),
		"unknown":                  raw(0x60, 0, 9, ""),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, rfcOK, h2.Options{})
				defer w.finish()
				do(w.client)
				w.client.settle()
				if s := w.client.stream(9); s != "" {
					t.Errorf("received %q on a stream that is idle", s)
				}
			})
		})
	}
}

// TestRFC9113PriorityOfWrongLength is section 6.3: a stream error, of a stream
// or of none.
func TestRFC9113PriorityOfWrongLength(t *testing.T) {
	for _, payload := range []string{"\x00\x00\x00\x00", "\x00\x00\x00\x00\x05\x05", ""} {
		t.Run(fmt.Sprint(len(payload)), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, rfcWaits, h2.Options{})
				defer w.finish()
				open(1)(w.client)
				w.client.settle()
				w.client.raw(http2.FramePriority, 0, 1, payload)
				w.client.settle()
				if s := w.client.stream(1); s != "RST FRAME_SIZE_ERROR" {
					w.client.wantGoAway(frameSize) // which section 5.4.2 allows
				}
			})
		})
	}
}

// TestRFC9113Concurrency is section 5.1.2: a stream beyond the limit is refused,
// and there is room again when one has ended.
func TestRFC9113Concurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		w := greetServer(t, func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
			<-release
			return rfcAnswer("ok"), nil
		}, h2.Options{})
		defer w.finish()
		limit := uint32(0)
		for _, s := range strings.Fields(strings.Join(w.client.settingsSeen(), " ")) {
			_, _ = fmt.Sscanf(s, "3=%d", &limit)
		}
		if limit == 0 || limit > 10000 {
			t.Fatalf("the server's SETTINGS are %q: no limit for streams", w.client.settingsSeen())
		}
		for i := range limit {
			w.client.head(1+2*i, true, rfcGet...)
		}
		w.client.settle()
		w.client.head(1+2*limit, true, rfcGet...)
		w.client.settle()
		if s := w.client.stream(1 + 2*limit); s != "RST REFUSED_STREAM" && s != "RST PROTOCOL_ERROR" {
			t.Errorf("of the stream beyond the limit %q was received", s)
		}
		close(release)
		w.client.wantStream(2*limit-1, ":status=200|ok|END")
		w.client.head(3+2*limit, true, rfcGet...)
		w.client.wantStream(3+2*limit, ":status=200|ok|END")
		w.client.wantAlive()
	})
}

// TestRFC9113Trailers go both ways.
func TestRFC9113Trailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, func(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
			body, err := io.ReadAll(req.Body)
			if err != nil {
				return nil, err
			}
			resp := rfcAnswer("")
			resp.Body = exchange.NewBody(&rfcSource{Reader: strings.NewReader(string(body)), trailer: req.Body.Trailer()}, -1, nil)
			return resp, nil
		}, h2.Options{})
		defer w.finish()
		w.client.head(1, false, with(rfcPost, "content-length=5")...)
		w.client.data(1, false, "hello")
		w.client.head(1, true, "t=1", "u=2", "t=3")
		w.client.wantStream(1, ":status=200|hello|t=1 u=2 t=3|END")
		w.client.head(3, false, rfcPost...)
		w.client.head(3, true, "t=1")
		w.client.wantStream(3, ":status=200|t=1|END")
		w.client.head(5, false, rfcPost...)
		w.client.head(5, true)
		w.client.settle()
		if s := w.client.stream(5); !strings.HasSuffix(s, "|END") {
			t.Errorf("with an empty trailer section: %q", s)
		}
		w.client.wantAlive()
	})
}

// TestRFC9113OwnResponses checks how a response that never was HTTP/2 leaves.
func TestRFC9113OwnResponses(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		resp   func() *exchange.Response
		want   string
	}{
		"names-are-lowered": {"GET", func() *exchange.Response { return exchange.Text(404, "no") }, ":status=404 content-type=text/plain; charset=utf-8 content-length=2|no|END"},
		"connection-fields-are-left-out": {"GET", func() *exchange.Response {
			r := rfcAnswer("ok")
			r.Proto, r.Reason = flow.HTTP11, "Fine"
			r.Header = flow.Header{{Name: "Connection", Value: "X-Hop, close"}, {Name: "X-Hop", Value: "1"}, {Name: "Transfer-Encoding", Value: "chunked"}, {Name: "Keep-Alive", Value: "1"}, {Name: "Proxy-Connection", Value: "close"}, {Name: "Upgrade", Value: "x"}, {Name: "X-A", Value: "b"}}
			return r
		}, ":status=200 x-a=b|ok|END"},
		"nothing-for-head": {"HEAD", func() *exchange.Response { return exchange.Text(200, "body") }, ":status=200 content-type=text/plain; charset=utf-8 content-length=4|END"},
		"nothing-for-204":  {"GET", func() *exchange.Response { r := rfcAnswer("body"); r.Status = 204; return r }, ":status=204|END"},
		"nothing-for-304":  {"GET", func() *exchange.Response { r := rfcAnswer("body"); r.Status = 304; return r }, ":status=304|END"},
		"empty":            {"GET", func() *exchange.Response { return rfcAnswer("") }, ":status=200|END"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, func(context.Context, *exchange.Request) (*exchange.Response, error) { return c.resp(), nil }, h2.Options{})
				defer w.finish()
				w.client.head(1, true, with([]string{":method=" + c.method}, rfcGet[1:]...)...)
				w.client.wantStream(1, c.want)
				w.client.wantAlive()
			})
		})
	}
}
