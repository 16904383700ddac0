package h2_test

import (
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// promise is a PUSH_PROMISE on stream 1 for stream id.
func (p *rfcPeer) promise(id uint32, fields ...string) {
	p.patient()
	_ = p.fr.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: id, EndHeaders: true, BlockFragment: p.encode(fields...)})
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
