package h2_test

import (
	"context"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/internal/proto/h2"
)

// An rfcFlood is what costs a peer little and us something: step is done until
// the connection ends, which has to be soon. i counts from 0.
type rfcFlood struct {
	name  string
	step  func(p *rfcPeer, i uint32)
	deaf  bool // the peer reads nothing
	codes []http2.ErrCode
}

var rfcFloods = []rfcFlood{
	{"rapid-reset", func(p *rfcPeer, i uint32) { p.head(1+2*i, true, rfcGet...); p.reset(1+2*i, cancelled) }, false, codes(calm)}, // CVE-2023-44487
	{"rapid-reset-of-open", func(p *rfcPeer, i uint32) { p.head(1+2*i, false, rfcPost...); p.reset(1+2*i, cancelled) }, false, codes(calm)},
	{"made-you-reset-by-window", func(p *rfcPeer, i uint32) { p.head(1+2*i, true, rfcGet...); p.window(1+2*i, 0) }, false, codes(calm, protocol)}, // CVE-2025-8671
	{"made-you-reset-by-data", func(p *rfcPeer, i uint32) { p.head(1+2*i, true, rfcGet...); p.data(1+2*i, true, "x") }, false, codes(calm, closedStream)},
	{"made-you-reset-by-overflow", func(p *rfcPeer, i uint32) { p.head(1+2*i, true, rfcGet...); p.window(1+2*i, 1<<31-1) }, false, codes(calm, flowControl)},
	{"malformed-requests", func(p *rfcPeer, i uint32) { p.head(1+2*i, true, with(rfcGet, "A=b")...) }, false, codes(calm)},
	{"refused-streams", func(p *rfcPeer, i uint32) { p.head(1+2*i, true, rfcGet...) }, false, codes(calm)},
	{"settings", func(p *rfcPeer, _ uint32) { p.settings(initialWindow(65535)) }, false, codes(calm)}, // CVE-2019-9515
	{"empty-settings", func(p *rfcPeer, _ uint32) { p.settings() }, false, codes(calm)},
	{"settings-unread", func(p *rfcPeer, _ uint32) { p.settings() }, true, codes(calm)},
	{"ping", func(p *rfcPeer, _ uint32) { p.ping("12345678") }, false, codes(calm)}, // CVE-2019-9512
	{"ping-unread", func(p *rfcPeer, _ uint32) { p.ping("12345678") }, true, codes(calm)},
	{"pong", func(p *rfcPeer, _ uint32) { _ = p.fr.WritePing(true, [8]byte{}) }, false, codes(calm)},
	{"empty-data", steppedOn(func(p *rfcPeer) { p.data(1, false, "") }), false, codes(calm)}, // CVE-2019-9518
	{"padding-alone", steppedOn(func(p *rfcPeer) { p.raw(http2.FrameData, padded, 1, "\x00") }), false, codes(calm, flowControl)},
	{"priority", func(p *rfcPeer, i uint32) { p.raw(http2.FramePriority, 0, 1+2*(i%500), "\x00\x00\x00\x00\x05") }, false, codes(calm)},
	{"priority-update", func(p *rfcPeer, i uint32) { p.raw(0x10, 0, 0, "\x00\x00\x00\x01u=1") }, false, codes(calm)},
	{"unknown", func(p *rfcPeer, _ uint32) { p.raw(0x60, 0, 0, "") }, false, codes(calm)},
	{"tiny-windows", func(p *rfcPeer, _ uint32) { p.window(0, 1) }, false, codes(calm)},
	{"tiny-windows-of-stream", steppedOn(func(p *rfcPeer) { p.window(1, 1) }), false, codes(calm)},
	{"goaway", func(p *rfcPeer, _ uint32) { _ = p.fr.WriteGoAway(0, noError, nil) }, false, codes(calm)},
	{"continuation", begun("\x82", func(p *rfcPeer) { p.raw(http2.FrameContinuation, 0, 1, "\x00\x01a\x01b") }), false, codes(calm)}, // CVE-2024-27316
	{"empty-continuation", begun("\x82", func(p *rfcPeer) { p.raw(http2.FrameContinuation, 0, 1, "") }), false, codes(calm)},
	{"large-continuation", begun("\x82", func(p *rfcPeer) {
		p.raw(http2.FrameContinuation, 0, 1, "\x00\x01a\x7f\x81\x7f"+strings.Repeat("b", 16000))
	}), false, codes(calm, compression)},
	{"reset-of-closed", steppedOn(func(p *rfcPeer) { p.reset(1, cancelled) }), false, codes(calm, closedStream)},
	{"window-of-closed", steppedOn(func(p *rfcPeer) { p.window(1, 1) }), false, codes(calm)},
	{"requests-unread", func(p *rfcPeer, i uint32) { p.head(1+2*i, true, rfcGet...) }, true, codes(calm)},
}

// steppedOn opens stream 1 first.
func steppedOn(do func(p *rfcPeer)) func(*rfcPeer, uint32) {
	return func(p *rfcPeer, i uint32) {
		if i == 0 {
			p.head(1, false, rfcPost...)
		}
		do(p)
	}
}

// begun begins a header block first.
func begun(block string, do func(p *rfcPeer)) func(*rfcPeer, uint32) {
	return func(p *rfcPeer, i uint32) {
		if i == 0 {
			p.raw(http2.FrameHeaders, endStream, 1, block)
		}
		do(p)
	}
}

// TestFloodsEnd has each flood end its connection, with a code that says why,
// in bounded memory. A hundred thousand frames in a second are a flood.
func TestFloodsEnd(t *testing.T) {
	for _, f := range rfcFloods {
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetServer(t, rfcWaits, h2.Options{})
				defer w.finish()
				w.client.mute = true
				if f.deaf {
					w.client.hold()
				}
				before := heap()
				i := rfcPour(w, f)
				if grown := heap() - before; grown > 16<<20 {
					t.Errorf("%d bytes were taken after %d steps", grown, i)
				}
				w.client.stop()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if !w.over {
					t.Fatalf("%d steps and ten minutes later Serve goes on", i)
				}
				if f.deaf {
					return // it may never learn why
				}
				w.client.wantGoAway(f.codes...)
			})
		})
	}
}

// rfcPour does the steps of a flood until the connection ends or is stuck.
func rfcPour(w *rfcServer, f rfcFlood) (i uint32) {
	for ; i < 100000; i++ {
		f.step(w.client, i)
		if i%16 == 0 {
			synctest.Wait()
			if w.over {
				return i
			}
		}
		if f.deaf && w.near.Buffered() > 60<<10 {
			return i // it has stopped to read us
		}
	}
	return i
}

// heap is what is in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestBombIsDefused: a block that is small on the wire and huge when decoded
// takes no memory (RFC 7541, section 7.3).
func TestBombIsDefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcOK, h2.Options{})
		defer w.finish()
		before := heap()
		block := rfcBlock + "\x40\x01a\x7f\xa1\x1e" + strings.Repeat("b", 0x7f+0xf21) + strings.Repeat("\xbe", 12000)
		w.client.raw(http2.FrameHeaders, endHeaders|endStream, 1, block) // 12000 times 4000 bytes
		w.client.settle()
		if grown := heap() - before; grown > 4<<20 {
			t.Errorf("%d bytes were taken", grown)
		}
		if s := w.client.stream(1); !strings.HasPrefix(s, "RST") && !strings.HasPrefix(s, ":status=431") && w.client.end == nil {
			t.Errorf("received %.100q", s)
		}
	})
}

// TestPeersThatNeverRead are given up, and hold no memory beyond the windows.
func TestPeersThatNeverRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcSends(1<<20), h2.Options{IdleTimeout: time.Minute}, initialWindow(1<<31-1))
		defer w.finish()
		w.client.window(0, 1<<30)
		w.client.settle()
		w.client.hold()
		before := heap()
		for i := range uint32(50) {
			get(1 + 2*i)(w.client)
		}
		time.Sleep(time.Second)
		if grown := heap() - before; grown > 60<<20 {
			t.Errorf("%d bytes are held for a client that does not read", grown)
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if !w.over {
			t.Error("ten minutes of a client that does not read, and Serve goes on")
		}
		w.client.stop()
	})
}

// TestFloodsOfAServer are those that an upstream can send.
func TestFloodsOfAServer(t *testing.T) {
	for _, f := range rfcFloods {
		switch {
		case f.deaf, strings.Contains(f.name, "reset"), strings.Contains(f.name, "request"), strings.Contains(f.name, "streams"), strings.Contains(f.name, "priority"):
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetClient(t, h2.ClientOptions{})
				defer w.finish()
				w.server.mute = true
				call := w.ask(rfcAsk("GET", nil))
				before := heap()
				i := uint32(0)
				for ; i < 100000 && call.failure() == nil; i++ {
					if i == 0 && strings.HasSuffix(f.name, "data") {
						w.server.head(1, false, ":status=200")
					}
					if i > 0 || !strings.Contains(f.name, "window") && !strings.HasSuffix(f.name, "data") && f.name != "padding-alone" {
						f.step(w.server, i)
					}
					if i%16 == 0 {
						synctest.Wait()
					}
				}
				if grown := heap() - before; grown > 16<<20 {
					t.Errorf("%d bytes were taken after %d steps", grown, i)
				}
				synctest.Wait()
				if call.failure() == nil {
					t.Errorf("%d steps later the client goes on: %q", i, call.said())
				}
			})
		})
	}
}

// TestHeavyUseIsNoFlood: many requests, many of them cancelled by people, many
// windows during a download, pings to keep a connection alive.
func TestHeavyUseIsNoFlood(t *testing.T) {
	t.Run("requests", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := greetServer(t, func(context.Context, *exchange.Request) (*exchange.Response, error) { return rfcAnswer(""), nil }, h2.Options{})
			defer w.finish()
			for i := range uint32(100000) {
				get(1 + 2*i)(w.client)
				if i%64 == 0 {
					w.client.settle()
					w.client.forget()
				}
			}
			w.client.wantAlive()
		})
	})
	t.Run("windows-of-a-download", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { rfcDownload(t, rfcSends(32<<20), 32<<20, 4096) })
	})
	t.Run("windows-for-each-piece", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rfcDownload(t, func(context.Context, *exchange.Request) (*exchange.Response, error) {
				r := rfcAnswer("")
				r.Body = exchange.NewBody(&rfcSource{Reader: &dribble{left: 20000, piece: 20}}, -1, nil)
				return r, nil
			}, 400000, 20)
		})
	})
	t.Run("pings", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := greetServer(t, rfcOK, h2.Options{})
			defer w.finish()
			for range 20000 {
				time.Sleep(100 * time.Millisecond)
				w.client.ping("12345678")
			}
			w.client.wantAlive()
		})
	})
	t.Run("cancellations", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := greetServer(t, rfcWaits, h2.Options{})
			defer w.finish()
			for i := range uint32(1000) {
				get(1 + 2*i)(w.client)
				if i%20 == 19 { // a page is left
					time.Sleep(time.Second)
					for j := range uint32(20) {
						w.client.reset(1+2*(i-j), cancelled)
					}
				}
			}
			w.client.wantAlive()
		})
	})
	t.Run("small-pieces", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := greetServer(t, rfcOK, h2.Options{})
			defer w.finish()
			open(1)(w.client)
			for range 50000 { // a stream of messages of a byte each
				w.client.data(1, false, "x")
			}
			w.client.data(1, true, "")
			w.client.wantStream(1, ":status=200|ok|END")
			w.client.wantAlive()
		})
	})
	t.Run("long-head", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := greetServer(t, rfcOK, h2.Options{})
			defer w.finish()
			w.client.pieces(1, string(w.client.encode(with(rfcGet, "a="+strings.Repeat("~", 40000))...)), 1<<12)
			w.client.wantStream(1, ":status=200|ok|END")
			w.client.wantAlive()
		})
	})
}

// rfcDownload reads a response of size bytes, and gives back the windows of
// stream and connection for each piece of it.
func rfcDownload(t *testing.T, h exchange.HandlerFunc, size, piece int) {
	w := greetServer(t, h, h2.Options{}, initialWindow(1<<16))
	defer w.finish()
	get(1)(w.client)
	total := 0
	for total < size && !w.over {
		time.Sleep(time.Millisecond)
		synctest.Wait()
		n := w.client.got(1)
		w.client.forget()
		if total += n; n == 0 {
			break
		}
		for ; n > 0; n -= piece {
			w.client.window(0, uint32(min(n, piece)))
			w.client.window(1, uint32(min(n, piece)))
		}
	}
	if total != size {
		t.Errorf("%d bytes of %d have come; Serve %v", total, size, w.err)
	}
}

// A dribble is pieces, one each millisecond.
type dribble struct{ left, piece int }

func (d *dribble) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(time.Millisecond)
	d.left--
	return copy(p, strings.Repeat("x", d.piece)), nil
}

// TestStarvedStreamsAreForgotten: responses wait for a window that the client
// never gives, and are reset. Nothing is left of them.
func TestStarvedStreamsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcSends(1<<20), h2.Options{}, initialWindow(1<<20))
		defer w.finish()
		large := strings.Repeat("~", 8<<10)
		var before int64
		for i := range uint32(200) {
			if i == 20 {
				before = heap()
			}
			w.client.head(1+2*i, true, with(rfcGet, "large="+large)...)
			w.client.settle()
			w.client.reset(1+2*i, http2.ErrCodeCancel)
			time.Sleep(time.Second)
			w.client.settle()
			w.client.forget()
		}
		w.client.wantAlive()
		if grown := heap() - before; grown > 1<<20 {
			t.Errorf("180 streams later %d bytes more are in use", grown)
		}
	})
}

// TestSettingsThatNobodyFollows: settings that are passed on are remembered until
// they are acknowledged. Who never does is not waited for, however well the
// sender pays for them with payload.
func TestSettingsThatNobodyFollows(t *testing.T) {
	for _, deaf := range []string{"server", "client"} {
		t.Run(deaf, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetJoin(t)
				defer w.finish()
				from, to := w.client, w.server
				if deaf == "client" {
					from, to = to, from
				}
				open(1)(w.client)
				w.settle()
				open(1)(w.server)
				w.settle()
				to.mute = true
				for i := range uint32(6000) {
					from.settings(http2.Setting{ID: 0x7777, Val: i})
					from.data(1, false, "x")
					if i%16 == 0 {
						w.settle()
					}
					if i%64 == 0 {
						from.forget()
						to.forget()
					}
				}
				w.settle()
				if !w.over || w.err == nil || !strings.Contains(w.err.Error(), "SETTINGS") {
					t.Errorf("6000 unanswered SETTINGS later: over %v, %v", w.over, w.err)
				}
			})
		})
	}
}
