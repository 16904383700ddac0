package h2_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/internal/proto/h2"
)

// heldJoin is greetJoin with a handler that holds requests for /held until the
// channel is closed.
func heldJoin(t rfcT) (*rfcJoin, chan struct{}) {
	gate := make(chan struct{})
	far, server := rfcPipe()
	w := &rfcJoin{server: newPeer(t, server, true), up: h2.NewClient(far, nil, h2.ClientOptions{Mirror: true})}
	w.rfcServer = newServer(t, func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
		if req.Target == "/held" {
			select {
			case <-gate:
			case <-ctx.Done():
			}
		}
		return w.up.Exchange(ctx, req)
	}, h2.Options{Upstream: w.up})
	w.server.settings()
	w.client.preface()
	w.settle()
	return w, gate
}

func (p *rfcPeer) getHeld(id uint32) {
	p.head(id, true, ":method=GET", ":scheme=https", ":authority=shop.test", ":path=/held")
}

// TestReorderedStreamsKeepTheirNames: one request was overtaken, and from there
// on the two sides number differently. Frames that name a stream name the same.
func TestReorderedStreamsKeepTheirNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, gate := heldJoin(t)
		defer w.finish()
		w.client.getHeld(1)
		for id := uint32(3); id < 7; id += 2 {
			get(id)(w.client)
			time.Sleep(time.Second)
			w.settle()
		}
		close(gate)
		w.settle()
		for id := uint32(7); id < 41; id += 2 {
			get(id)(w.client)
			w.settle()
		}
		if got := w.server.streams(); len(got) != 20 || got[0] != 3 || got[2] != 7 || got[3] != 9 {
			t.Fatalf("the server received streams %v", got)
		}
		for id := uint32(7); id < 41; id += 2 {
			w.server.raw(0x61, 0, id+2, "")
			w.client.raw(0x61, 0, id, "")
			w.settle()
			if f := w.client.find(0x61); f == nil || f.StreamID != id {
				t.Errorf("what the server said of stream %d reached the client as %v", id+2, f)
			}
			if f := w.server.find(0x61); f == nil || f.StreamID != id+2 {
				t.Errorf("what the client said of stream %d reached the server as %v", id, f)
			}
			w.client.drop(0x61)
			w.server.drop(0x61)
		}
	})
}

// TestGoAwayOfAClientFollowsItsRequests: some servers take nothing more of a
// client that has said GOAWAY.
func TestGoAwayOfAClientFollowsItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, gate := heldJoin(t)
		defer w.finish()
		w.client.getHeld(1)
		_ = w.client.fr.WriteGoAway(0, noError, nil)
		synctest.Wait()
		close(gate)
		w.settle()
		request := slices.IndexFunc(w.server.frames, func(f rfcFrame) bool { return f.Type == http2.FrameHeaders })
		goAway := slices.IndexFunc(w.server.frames, func(f rfcFrame) bool { return f.Type == http2.FrameGoAway })
		if request < 0 || goAway < request {
			t.Errorf("the request was frame %d for the server, GOAWAY frame %d", request, goAway)
		}
	})
}

// TestPingPassesAHeldRequest: whoever asks whether we live learns it, however
// long a request is thought about.
func TestPingPassesAHeldRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, gate := heldJoin(t)
		defer w.finish()
		defer close(gate)
		w.client.getHeld(1)
		w.client.ping("are you?")
		time.Sleep(time.Second)
		w.settle()
		if got := w.server.texts(http2.FramePing); len(got) != 1 {
			t.Errorf("a second later the server received PING %q", got)
		}
	})
}

// TestGoAwayOfManyRequests: the server takes the first of hundreds. That one may
// have been acted on; the client must not be told otherwise.
func TestGoAwayOfManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		for i := range uint32(400) {
			get(1 + 2*i)(w.client)
		}
		w.settle()
		_ = w.server.fr.WriteGoAway(1, noError, nil)
		w.settle()
		got := w.client.texts(http2.FrameGoAway)
		if len(got) != 1 || got[0] == "0 NO_ERROR " {
			t.Errorf("GOAWAY %q", got)
		}
		w.client.wantStream(799, "")
		w.client.wantStream(3, "RST REFUSED_STREAM")
		w.server.head(1, true, ":status=200")
		w.settle()
		w.client.wantStream(1, ":status=200|END")
	})
}
