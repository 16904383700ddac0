package h2_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"transom/internal/proto/h2"
)

// A rfcWay is one direction of a joined pair: who sends and who receives.
type rfcWay struct {
	name  string
	begin func(w *rfcJoin, id uint32) // opens stream id in this direction
	pair  func(w *rfcJoin) (from, to *rfcPeer)
}

var rfcWays = []rfcWay{
	{"upload", func(w *rfcJoin, id uint32) { open(id)(w.client); w.settle() }, func(w *rfcJoin) (from, to *rfcPeer) { return w.client, w.server }},
	{"download", func(w *rfcJoin, id uint32) {
		get(id)(w.client)
		w.settle()
		w.server.head(id, false, ":status=200")
		w.settle()
	}, func(w *rfcJoin) (from, to *rfcPeer) { return w.server, w.client }},
}

// fillJoin is fill with both ends at work.
func (w *rfcJoin) fill(from *rfcPeer, id uint32, n int) int {
	sent := 0
	for sent < n {
		w.settle()
		room := min(from.room(0), from.room(id), 1<<14, n-sent)
		if room <= 0 {
			break
		}
		from.data(id, false, strings.Repeat("x", room))
		from.sent(id, room)
		sent += room
	}
	w.settle()
	return sent
}

// TestStallIsOfOneStream: the receiver gives no window for one stream, and
// another comes through beside it; what we hold is bounded; and the stalled one
// goes on when it may, all of it.
func TestStallIsOfOneStream(t *testing.T) {
	for _, way := range rfcWays {
		for _, window := range []uint32{0, 1, 1000, 65535, 1 << 20} {
			t.Run(fmt.Sprint(way.name, "-", window), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := greetJoin(t, initialWindow(window))
					defer w.finish()
					from, to := way.pair(w)
					to.window(0, 1<<30)
					w.settle()
					way.begin(w, 1)
					stalled := w.fill(from, 1, 8<<20)
					if stalled >= 8<<20 || to.got(1) != min(int(window), stalled) {
						t.Fatalf("sent %d to one who takes %d, who received %d", stalled, window, to.got(1))
					}
					if held := stalled - to.got(1); held > 1<<20 {
						t.Errorf("%d bytes are held", held)
					}
					way.begin(w, 3)
					to.window(3, 1<<20)
					more := min(1<<20, 100*max(10, int(window)))
					if n := w.fill(from, 3, more); n != more || to.got(3) != n {
						t.Errorf("beside the stalled stream %d of %d bytes have gone, %d have come", n, more, to.got(3))
					}
					to.window(1, 64<<20)
					n := w.fill(from, 1, more)
					if n != more || to.got(1) != stalled+n {
						t.Errorf("of %d bytes more %d have gone, and %d have come in all", more, n, to.got(1))
					}
					from.data(1, true, "")
					w.settle()
					if s := to.shape(1); !strings.HasSuffix(s, "*") {
						t.Error("the end has not come")
					}
					w.wantJoined()
				})
			})
		}
	}
}

// TestWindowsOfStreamsPass: what a receiver grants a stream beyond the first
// window is granted to the sender, or a long way makes the stream slow.
func TestWindowsOfStreamsPass(t *testing.T) {
	for _, way := range rfcWays {
		for _, window := range []uint32{1, 65535, 131072} {
			t.Run(fmt.Sprint(way.name, "-", window), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := greetJoin(t, initialWindow(window))
					defer w.finish()
					from, to := way.pair(w)
					to.window(0, 1<<30)
					way.begin(w, 1)
					to.window(1, 12451840)
					w.settle()
					if room := from.room(1); room < 1<<20 {
						t.Errorf("of 12451840 bytes the receiver has granted the sender may send %d", room)
					}
				})
			})
		}
	}
}

// TestStallOfAll: the receiver gives no window for the connection.
func TestStallOfAll(t *testing.T) {
	for _, way := range rfcWays {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetJoin(t, initialWindow(1<<20))
				defer w.finish()
				from, to := way.pair(w)
				total := 0
				for id := uint32(1); id < 60; id += 2 {
					way.begin(w, id)
					total += w.fill(from, id, 1<<18)
				}
				to.ping("passing!")
				from.ping("on ahead")
				w.settle()
				if len(from.texts(http2.FramePing)) != 1 || len(to.texts(http2.FramePing)) != 1 {
					t.Error("PING does not pass what is stalled")
				}
				come := func() (n int) {
					for id := uint32(1); id < 60; id += 2 {
						n += to.got(id)
					}
					return n
				}
				if n := come(); n != min(65535, total) {
					t.Errorf("%d bytes have come, want 65535", n)
				}
				to.window(0, 1<<30)
				w.settle()
				if n := come(); n != total {
					t.Errorf("%d bytes have come of %d", n, total)
				}
				w.wantJoined()
			})
		})
	}
}

// TestWindowsAreNotLost by what is padding, reset or left unread.
func TestWindowsAreNotLost(t *testing.T) {
	for _, way := range rfcWays {
		for _, how := range []string{"padding", "reset-by-sender", "reset-by-receiver"} {
			t.Run(way.name+"-"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := greetJoin(t)
					defer w.finish()
					from, to := way.pair(w)
					to.window(0, 1<<30)
					for i := range uint32(100) {
						id := 1 + 2*i
						way.begin(w, id)
						n := min(10000, from.room(0), from.room(id))
						if n < 1000 {
							t.Fatalf("before stream %d only %d bytes are left of the connection's window, %d of the stream's", id, from.room(0), from.room(id))
						}
						switch how {
						case "padding":
							for range n / 256 {
								from.raw(http2.FrameData, padded, id, "\xfe"+strings.Repeat("\x00", 255))
							}
							from.sent(id, n/256*256)
						default:
							from.data(id, false, strings.Repeat("x", n))
							from.sent(id, n)
						}
						if i%2 == 0 {
							w.settle()
						}
						if how == "reset-by-receiver" {
							to.reset(id, cancelled)
						} else {
							from.reset(id, cancelled)
						}
						w.settle()
					}
					w.wantJoined()
				})
			})
		}
	}
}

// TestWindowsOfStreamsComeBack while a long body goes by, padded or not.
func TestWindowsOfStreamsComeBack(t *testing.T) {
	for _, way := range rfcWays {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetJoin(t)
				defer w.finish()
				from, to := way.pair(w)
				to.window(0, 1<<30)
				way.begin(w, 1)
				to.window(1, 1<<30)
				for i := range 3000 {
					w.settle()
					if from.room(0) < 300 || from.room(1) < 300 {
						t.Fatalf("after %d frames of a padded body the windows are %d and %d", i, from.room(0), from.room(1))
					}
					from.raw(http2.FrameData, padded, 1, "\xc8"+strings.Repeat("x", 55)+strings.Repeat("\x00", 200))
					from.sent(1, 256)
				}
				w.settle()
				if n := to.got(1); n != 3000*55 {
					t.Errorf("%d bytes have come", n)
				}
				w.wantJoined()
			})
		})
	}
}

// TestClientKeepsToWindows of the server, as TestRFC9113WindowsAreKept does.
func TestClientKeepsToWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetClient(t, h2.ClientOptions{}, initialWindow(10))
		defer w.finish()
		a := w.ask(rfcAsk("POST", strings.NewReader(strings.Repeat("x", 100))))
		w.server.wantGot(1, 10)
		w.server.settings(initialWindow(3))
		w.server.wantGot(1, 10)
		w.server.window(1, 8)
		w.server.wantGot(1, 11)
		w.server.settings(initialWindow(20))
		w.server.wantGot(1, 28)
		b := w.ask(rfcAsk("POST", strings.NewReader(strings.Repeat("y", 200000))))
		w.server.wantGot(3, 20)
		w.server.settings(initialWindow(1 << 20))
		w.server.settle()
		if n := w.server.got(1) + w.server.got(3); n != 65535 {
			t.Errorf("%d bytes have come of a window of 65535", n)
		}
		w.server.window(0, 1<<20)
		w.server.wantGot(1, 100)
		w.server.wantGot(3, 200000)
		w.server.head(1, true, ":status=200")
		w.server.head(3, true, ":status=200")
		w.server.settle()
		wantSaid(t, a, "200|END")
		wantSaid(t, b, "200|END")
		w.server.wantAlive()
	})
}

// TestClientOfUnreadResponses holds what the windows allow, and no more.
func TestClientOfUnreadResponses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetClient(t, h2.ClientOptions{})
		defer w.finish()
		left := make(chan struct{})
		defer close(left)
		go func() {
			resp, err := w.up.Exchange(t.Context(), rfcAsk("GET", nil))
			if err != nil {
				t.Error(err)
				return
			}
			<-left
			resp.Body.Close()
		}()
		w.server.settle()
		w.server.head(1, false, ":status=200")
		n := w.server.fill(1, 64<<20)
		if n == 0 || n > 16<<20 {
			t.Errorf("of a response that nobody reads %d bytes were taken", n)
		}
		c := w.ask(rfcAsk("GET", nil))
		w.server.head(3, false, ":status=200")
		if n := w.server.fill(3, 1<<20); n != 1<<20 {
			t.Errorf("beside it %d bytes of %d went through", n, 1<<20)
		}
		w.server.data(3, true, "")
		w.server.settle()
		if len(c.body) != 1<<20 {
			t.Errorf("received %d", len(c.body))
		}
	})
}

// TestReaderOfNothing grants all windows and does not read: what we hold for it
// is bounded all the same.
func TestReaderOfNothing(t *testing.T) {
	for _, way := range rfcWays {
		t.Run(way.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetJoin(t, initialWindow(1<<31-1))
				defer w.finish()
				from, to := way.pair(w)
				to.window(0, 1<<30)
				way.begin(w, 1)
				to.hold()
				defer to.stop()
				before, taken := heap(), 0
				for from.room(0) > 1<<14 && from.room(1) > 1<<14 {
					_ = from.c.SetWriteDeadline(time.Now().Add(time.Minute))
					if err := from.fr.WriteData(1, false, make([]byte, 1<<14)); err != nil {
						break
					}
					from.sent(1, 1<<14)
					taken += 1 << 14
				}
				if grown := heap() - before; taken > 20<<20 || grown > 24<<20 {
					t.Errorf("%d bytes are held of %d taken", grown, taken)
				}
			})
		})
	}
}
