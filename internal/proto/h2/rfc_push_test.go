package h2_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// promise is a PUSH_PROMISE on stream 1 for stream id.
func (p *rfcPeer) promise(id uint32, fields ...string) {
	p.patient()
	_ = p.fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: id, EndHeaders: true, BlockFragment: p.encode(fields...)})
}

// TestPushIsRefused is section 8.4.1: where the client's SETTINGS allowed it, a
// promise is decoded, for the compression's sake, and its stream refused;
// nothing else is disturbed, and the client learns nothing.
func TestPushIsRefused(t *testing.T) {
	for name, settings := range map[string][]http2.Setting{
		"allowed-by-default": nil,
		"allowed":            {{ID: http2.SettingEnablePush, Val: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newJoin(t, nil)
				defer w.finish()
				w.server.settings()
				w.client.preface(settings...)
				w.settle()
				get(1)(w.client)
				w.settle()
				w.server.promise(2, with(rfcGet, "pushed=field")...)
				w.server.head(1, false, ":status=200", "pushed=field")
				w.server.head(2, false, ":status=200", "another=field") // before it knows
				w.server.data(2, true, strings.Repeat("x", 1000))
				w.server.data(1, true, "page")
				w.settle()
				w.client.wantStream(1, ":status=200 pushed=field|page|END")
				if s := w.server.stream(2); s != "RST CANCEL" && s != "RST REFUSED_STREAM" {
					t.Errorf("of the pushed stream the server received %q", s)
				}
				if w.wantJoined(); t.Failed() {
					return
				}
				for i := range uint32(100) { // its window is given back
					id := 4 + 2*i
					get(3 + 2*i)(w.client)
					w.settle()
					_ = w.server.fr.WritePushPromise(http2.PushPromiseParam{StreamID: 3 + 2*i, PromiseID: id, EndHeaders: true, BlockFragment: w.server.encode(rfcGet...)})
					w.server.head(id, false, ":status=200")
					if n := min(10000, w.server.room(0)); n > 0 {
						w.server.data(id, true, strings.Repeat("x", n))
						w.server.sent(0, n)
					}
					w.server.head(3+2*i, true, ":status=200", "another=field")
					w.settle()
					w.client.wantStream(3+2*i, ":status=200 another=field|END")
				}
				w.wantJoined()
			})
		})
	}
}

// TestPushIsABreach where the client's SETTINGS forbade it.
func TestPushIsABreach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newJoin(t, nil)
		defer w.finish()
		w.server.settings()
		w.client.preface(http2.Setting{ID: http2.SettingEnablePush, Val: 0})
		w.settle()
		get(1)(w.client)
		w.settle()
		w.server.promise(2, rfcGet...)
		w.server.wantGoAway(protocol)
	})
}

// TestPushThatIsWrong is section 6.6: a promise on no stream of ours, or of an
// odd or an old number, ends the connection.
func TestPushThatIsWrong(t *testing.T) {
	for name, do := range map[string]func(p *rfcPeer){
		"on-0":    raw(http2.FramePushPromise, endHeaders, 0, "\x00\x00\x00\x02\x82"),
		"on-idle": raw(http2.FramePushPromise, endHeaders, 3, "\x00\x00\x00\x02"+rfcBlock),
		"odd":     raw(http2.FramePushPromise, endHeaders, 1, "\x00\x00\x00\x05"+rfcBlock),
		"of-0":    raw(http2.FramePushPromise, endHeaders, 1, "\x00\x00\x00\x00"+rfcBlock),
		"old":     steps(raw(http2.FramePushPromise, endHeaders, 1, "\x00\x00\x00\x04"+rfcBlock), raw(http2.FramePushPromise, endHeaders, 1, "\x00\x00\x00\x02"+rfcBlock)),
		"cut":     raw(http2.FramePushPromise, endHeaders, 1, "\x00\x00\x00"),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetJoin(t)
				defer w.finish()
				get(1)(w.client)
				w.settle()
				do(w.server)
				w.server.wantGoAway(protocol, frameSize)
			})
		})
	}
}

// TestPushInPieces is section 6.10: a promise's block goes on in CONTINUATION
// frames as well, with nothing between.
func TestPushInPieces(t *testing.T) {
	for name, between := range map[string]func(p *rfcPeer){
		"nothing":      nil,
		"ping":         func(p *rfcPeer) { p.ping("between!") },
		"data":         func(p *rfcPeer) { p.data(1, false, "x") },
		"other-stream": raw(http2.FrameContinuation, endHeaders, 3, ""),
		"other-block":  func(p *rfcPeer) { p.head(1, false, ":status=200") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetJoin(t)
				defer w.finish()
				get(1)(w.client)
				w.settle()
				block := string(w.server.encode(with(rfcGet, "pushed=field")...))
				w.server.raw(http2.FramePushPromise, 0, 1, "\x00\x00\x00\x02"+block[:4])
				if between != nil {
					between(w.server)
					w.server.wantGoAway(protocol)
					return
				}
				w.server.raw(http2.FrameContinuation, 0, 1, block[4:9])
				w.server.raw(http2.FrameContinuation, endHeaders, 1, block[9:])
				w.server.head(1, true, ":status=200", "pushed=field")
				w.settle()
				w.client.wantStream(1, ":status=200 pushed=field|END")
				if s := w.server.stream(2); s != "RST CANCEL" {
					t.Errorf("of the pushed stream the server received %q", s)
				}
			})
		})
	}
}
