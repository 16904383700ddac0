package h2_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h2"
)

// rfcSends answers with n bytes whatever is asked.
func rfcSends(n int) exchange.HandlerFunc {
	return func(context.Context, *exchange.Request) (*exchange.Response, error) {
		return rfcAnswer(strings.Repeat("x", n)), nil
	}
}

func initialWindow(n uint32) http2.Setting {
	return http2.Setting{ID: http2.SettingInitialWindowSize, Val: n}
}

func (p *rfcPeer) wantGot(id uint32, n int) {
	p.t.Helper()
	p.settle()
	if got := p.got(id); got != n {
		p.t.Errorf("%d bytes of stream %d have come, want %d; GOAWAY %q", got, id, n, p.texts(http2.FrameGoAway))
	}
}

// TestRFC9113WindowsAreKept is section 6.9.1: the server sends no more than the
// windows of stream and connection allow, and goes on when they do.
func TestRFC9113WindowsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcSends(200000), h2.Options{})
		defer w.finish()
		get(1)(w.client)
		w.client.wantGot(1, 65535)
		w.client.window(1, 1000)
		w.client.wantGot(1, 65535)
		w.client.window(0, 500)
		w.client.wantGot(1, 66035)
		w.client.window(0, 1)
		w.client.wantGot(1, 66036)
		w.client.window(0, 1000000)
		w.client.wantGot(1, 66535)
		get(3)(w.client)
		w.client.wantGot(3, 65535)
		w.client.window(1, 1000000)
		w.client.wantGot(1, 200000)
		w.client.wantGot(3, 65535)
		w.client.window(3, 1000000)
		w.client.wantGot(3, 200000)
		w.client.wantAlive()
	})
}

// TestRFC9113WindowOfZero is section 6.9.2: heads and empty ends pass a window
// of zero, data does not.
func TestRFC9113WindowOfZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcSends(10), h2.Options{}, initialWindow(0))
		defer w.finish()
		get(1)(w.client)
		w.client.wantStream(1, ":status=200")
		w.client.window(1, 1)
		w.client.wantStream(1, ":status=200|x")
		w.client.window(1, 9)
		w.client.wantStream(1, ":status=200|xxxxxxxxxx|END")
		w.client.wantAlive()
	})
}

// TestRFC9113EmptyBodiesNeedNoWindow is section 6.9: only payload counts.
func TestRFC9113EmptyBodiesNeedNoWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, func(context.Context, *exchange.Request) (*exchange.Response, error) {
			r := rfcAnswer("")
			r.Body = exchange.NewBody(&rfcSource{Reader: strings.NewReader(""), trailer: flow.Header{{Name: "t", Value: "v"}}}, -1, nil)
			return r, nil
		}, h2.Options{}, initialWindow(0))
		defer w.finish()
		get(1)(w.client)
		w.client.wantStream(1, ":status=200|t=v|END")
		w.client.wantAlive()
	})
}

// TestRFC9113WindowChangesMidStream is section 6.9.2: SETTINGS change the
// windows of open streams, below zero even, and never the connection's.
func TestRFC9113WindowChangesMidStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcSends(100), h2.Options{}, initialWindow(10))
		defer w.finish()
		get(1)(w.client)
		w.client.wantGot(1, 10)
		w.client.settings(initialWindow(15))
		w.client.wantGot(1, 15)
		w.client.settings(initialWindow(3)) // the window is -12
		w.client.wantGot(1, 15)
		w.client.window(1, 12)
		w.client.wantGot(1, 15)
		w.client.window(1, 1)
		w.client.wantGot(1, 16)
		w.client.settings(initialWindow(0), initialWindow(5)) // the last counts
		w.client.wantGot(1, 18)
		get(3)(w.client)
		w.client.wantGot(3, 5)
		w.client.settings(initialWindow(0))
		w.client.wantGot(1, 18)
		get(5)(w.client)
		w.client.wantGot(5, 0)
		w.client.settings(initialWindow(1000))
		w.client.wantGot(1, 100)
		w.client.wantGot(3, 100)
		w.client.wantGot(5, 100)
		w.client.wantAlive()
	})
}

// TestRFC9113SettingsOverflowWindows is section 6.9.2: a change that takes a
// window beyond the largest is an error of the connection.
func TestRFC9113SettingsOverflowWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcWaits, h2.Options{})
		defer w.finish()
		open(1)(w.client)
		w.client.window(1, 1<<31-1-65535)
		w.client.wantAlive()
		w.client.settings(initialWindow(65536))
		w.client.wantGoAway(flowControl)
	})
}

// TestRFC9113FrameSizeIsKept is section 4.2: frames are no larger than the peer
// allows.
func TestRFC9113FrameSizeIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, func(context.Context, *exchange.Request) (*exchange.Response, error) {
			r := rfcAnswer(strings.Repeat("x", 60000))
			r.Header = flow.Header{{Name: "long", Value: strings.Repeat("~", 30000)}}
			return r, nil
		}, h2.Options{})
		defer w.finish()
		w.client.fr.SetMaxReadFrameSize(1 << 14)
		get(1)(w.client)
		w.client.wantGot(1, 60000)
		if got := w.client.stream(1); !strings.HasSuffix(got, "|END") {
			t.Errorf("received %.80q", got)
		}
		w.client.wantAlive()
	})
}

// TestRFC9113UnreadRequestStallsItself alone: others come through beside it,
// and what is held is bounded by the windows.
func TestRFC9113UnreadRequestStallsItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
			if req.Target == "/stall" {
				return rfcWaits(ctx, req)
			}
			return rfcOK(ctx, req)
		}, h2.Options{})
		defer w.finish()
		sent := map[uint32]int{}
		for id := uint32(1); id < 9; id += 2 {
			w.client.head(id, false, ":method=POST", ":scheme=https", ":authority=a", ":path=/stall")
			w.client.settle()
			sent[id] = w.client.fill(id, 4<<20)
			if sent[id] == 0 || sent[id] >= 4<<20 {
				t.Errorf("a handler that does not read was sent %d bytes", sent[id])
			}
		}
		w.client.head(9, false, rfcPost...)
		w.client.settle()
		if n := w.client.fill(9, 1<<20); n != 1<<20 {
			t.Errorf("beside stalled streams only %d bytes of 1 MiB went through", n)
		}
		w.client.data(9, true, "")
		w.client.wantStream(9, ":status=200|ok|END")
		w.client.wantAlive()
	})
}

// fill sends up to n bytes on a stream as the receiver's windows allow, and
// returns how many that were. It keeps to the windows received so far.
func (p *rfcPeer) fill(id uint32, n int) int {
	sent := 0
	for sent < n {
		p.settle()
		room := min(p.room(0), p.room(id), 1<<14, n-sent)
		if room <= 0 {
			break
		}
		p.data(id, false, strings.Repeat("x", room))
		p.sent(id, room)
		sent += room
	}
	return sent
}

// TestRFC9113WindowsAreGivenBack for what is read, for what is padding and for
// what is thrown away (sections 5.1, 6.1 and 6.9.1): none is lost to the connection.
func TestRFC9113WindowsAreGivenBack(t *testing.T) {
	for name, c := range map[string]struct {
		handler exchange.HandlerFunc
		send    func(p *rfcPeer, id uint32, n int)
	}{
		"read": {rfcOK, func(p *rfcPeer, id uint32, n int) { p.data(id, false, strings.Repeat("x", n)) }},
		"padding": {rfcOK, func(p *rfcPeer, id uint32, n int) {
			p.raw(http2.FrameData, padded, id, string(rune(0x7f))+strings.Repeat("\x00", n-1))
		}},
		"never-read": {func(context.Context, *exchange.Request) (*exchange.Response, error) { return rfcAnswer("ok"), nil }, nil},
		"refused": {func(context.Context, *exchange.Request) (*exchange.Response, error) {
			return nil, &h2.StreamError{Code: h2.Cancel}
		}, nil},
		"client-cancels": {rfcWaits, nil},
		"read-in-part": {func(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
			_, _ = io.ReadFull(req.Body, make([]byte, 10))
			return rfcAnswer("ok"), nil
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, c.handler, h2.Options{})
				defer w.finish()
				for i := range uint32(200) {
					id := 1 + 2*i
					w.client.head(id, false, rfcPost...)
					for range 3 {
						w.client.settle()
						n := min(10000, w.client.room(0), w.client.room(id))
						if c.send != nil {
							n = min(n, 128)
							c.send(w.client, id, n)
						} else if n > 0 {
							w.client.data(id, false, strings.Repeat("x", n))
						}
						w.client.sent(id, n)
					}
					w.client.settle()
					w.client.reset(id, cancelled)
				}
				w.client.wantAlive()
				if room := w.client.room(0); room < 32768 {
					t.Errorf("of the connection's window %d bytes are left", room)
				}
			})
		})
	}
}

// TestRFC9113PaddingIsGivenBack: frames of nothing but padding cost the window
// of the stream as well (section 6.1), and whoever reads it never hears of them.
func TestRFC9113PaddingIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcOK, h2.Options{})
		defer w.finish()
		w.client.head(1, false, rfcPost...)
		padding := "\xff" + strings.Repeat("\x00", 255)
		for range 1500 {
			w.client.settle()
			if w.client.room(1) < len(padding) {
				t.Fatalf("after %d bytes of padding the window is %d", w.client.spent[1], w.client.room(1))
			}
			w.client.raw(http2.FrameData, http2.FlagDataPadded, 1, padding)
			w.client.sent(1, len(padding))
		}
		w.client.data(1, true, "at last")
		w.client.wantStream(1, ":status=200|ok|END")
	})
}
