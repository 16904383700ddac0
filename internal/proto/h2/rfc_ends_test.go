package h2_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/internal/proto/h2"
)

// TestClientEnds by FIN and by RST in every state; what had come is delivered
// and the server's connection ends.
func TestClientEnds(t *testing.T) {
	for state, do := range map[string]func(w *rfcJoin){
		"idle":          func(w *rfcJoin) { get(1)(w.client); w.settle(); w.server.head(1, true, ":status=200") },
		"nothing-asked": func(*rfcJoin) {},
		"waiting":       func(w *rfcJoin) { get(1)(w.client) },
		"in-request":    func(w *rfcJoin) { open(1)(w.client); w.client.data(1, false, "so far") },
		"in-response": func(w *rfcJoin) {
			get(1)(w.client)
			w.settle()
			w.server.head(1, false, ":status=200")
			w.server.data(1, false, "so far")
		},
		"in-both": func(w *rfcJoin) {
			open(1)(w.client)
			w.settle()
			w.server.head(1, false, ":status=200")
			w.client.data(1, false, "so far")
		},
		"inside-block": func(w *rfcJoin) { w.client.raw(http2.FrameHeaders, 0, 1, "\x82") },
		"inside-frame": func(w *rfcJoin) { _, _ = w.client.c.Write([]byte("\x00\x00\x08\x06\x00\x00\x00\x00\x00123")) },
	} {
		for _, how := range []string{"fin", "rst"} {
			t.Run(state+"-"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := greetJoin(t)
					defer w.finish()
					do(w)
					w.settle()
					if how == "rst" {
						_ = w.client.c.SetLinger(0)
						w.client.c.Close()
					} else {
						_ = w.client.c.CloseWrite()
					}
					w.settle()
					time.Sleep(time.Minute)
					synctest.Wait()
					if !w.over {
						t.Fatal("a minute after the client's end Serve goes on")
					}
					clean := how == "fin" && (state == "idle" || state == "nothing-asked")
					if (w.err == nil) != clean || clean != w.srv.Finished() {
						t.Errorf("Serve: %v, finished %v", w.err, w.srv.Finished())
					}
					var ce *h2.ClientError
					var pe *h2.ConnError
					if !clean && !errors.As(w.err, &ce) && !errors.As(w.err, &pe) {
						t.Errorf("Serve: %v, want a *ClientError", w.err)
					}
					if s := w.server.stream(1); state == "in-request" && strings.HasSuffix(s, "|END") {
						t.Errorf("the server received %q: an end that the client did not say", s)
					}
				})
			})
		}
	}
}

// TestClientEndsBehindTheResponse before the handler of it has returned: to the
// client nothing is under way.
func TestClientEndsBehindTheResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, func(context.Context, *exchange.Request) (*exchange.Response, error) {
			resp := rfcAnswer("")
			resp.Body = exchange.NewBody(&slowToClose{rfcSource{Reader: strings.NewReader("ok")}}, -1, nil)
			return resp, nil
		}, h2.Options{})
		defer w.finish()
		get(1)(w.client)
		w.client.settle()
		if s := w.client.stream(1); s != ":status=200|ok|END" {
			t.Fatalf("received %q", s)
		}
		_ = w.client.c.CloseWrite()
		time.Sleep(time.Minute) // fake time, longer than the Close below takes
		w.client.settle()
		if !w.over || w.err != nil || !w.srv.Finished() {
			t.Errorf("Serve: over %v, error %v, finished %v", w.over, w.err, w.srv.Finished())
		}
	})
}

type slowToClose struct{ rfcSource }

func (*slowToClose) Close() error {
	time.Sleep(time.Second) // fake time
	return nil
}

// TestServerEnds by FIN, RST and GOAWAY with streams open: the client receives
// what had come, and its connection ends alike.
func TestServerEnds(t *testing.T) {
	for _, how := range []string{"fin", "rst"} {
		for state, do := range map[string]func(w *rfcJoin){
			"idle":    func(w *rfcJoin) { get(1)(w.client); w.settle(); w.server.head(1, true, ":status=200") },
			"waiting": func(w *rfcJoin) { get(1)(w.client) },
			"in-response": func(w *rfcJoin) {
				get(1)(w.client)
				w.settle()
				w.server.head(1, false, ":status=200")
				w.server.data(1, false, "so far")
			},
			"all-come": func(w *rfcJoin) {
				get(1)(w.client)
				w.settle()
				w.server.head(1, false, ":status=200")
				w.server.data(1, true, "all")
			},
		} {
			t.Run(state+"-"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := greetJoin(t)
					defer w.finish()
					do(w)
					if how == "rst" {
						_ = w.server.c.SetLinger(0)
						w.server.c.Close()
					} else {
						_ = w.server.c.CloseWrite()
					}
					w.settle()
					time.Sleep(time.Minute)
					synctest.Wait()
					if !w.over {
						t.Fatal("a minute after the server's end Serve goes on")
					}
					want := map[string]string{"idle": ":status=200|END", "in-response": ":status=200|so far", "all-come": ":status=200|all|END"}[state]
					if s := w.client.stream(1); s != want && (strings.HasSuffix(want, "END") || !strings.HasPrefix(s, want)) {
						t.Errorf("the client received %q, want %q", s, want)
					}
					if s := w.client.stream(1); !strings.HasSuffix(want, "END") && strings.HasSuffix(s, "END") {
						t.Errorf("the client received %q: an end that the server did not say", s)
					}
					if w.up.Usable() {
						t.Error("the client is usable")
					}
					if want := how == "rst"; errors.Is(w.err, syscall.ECONNRESET) != want && w.err != nil {
						t.Errorf("Serve: %v", w.err)
					}
				})
			})
		}
	}
}

// TestGoAwayOfTheServer reaches the client with the last stream in its own
// numbers; streams up to that go on, those above are refused (section 6.8).
func TestGoAwayOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		get(1)(w.client)
		get(3)(w.client)
		get(5)(w.client)
		w.settle()
		_ = w.server.fr.WriteGoAway(3, noError, []byte("debug"))
		w.settle()
		if got := w.client.texts(http2.FrameGoAway); !slices.Equal(got, []string{"3 NO_ERROR debug"}) {
			t.Errorf("GOAWAY %q", got)
		}
		if w.up.Usable() {
			t.Error("the client is usable after GOAWAY")
		}
		w.server.head(3, true, ":status=203")
		w.server.head(1, false, ":status=201")
		w.server.data(1, true, "one")
		w.settle()
		w.client.wantStream(1, ":status=201|one|END")
		w.client.wantStream(3, ":status=203|END")
		if s := w.client.stream(5); s != "" && s != "RST REFUSED_STREAM" {
			t.Errorf("stream 5, which the server will not look at, received %q", s)
		}
	})
}

// TestGoAwayInTwoSteps is the graceful end of section 6.8.
func TestGoAwayInTwoSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		get(1)(w.client)
		w.settle()
		_ = w.server.fr.WriteGoAway(1<<31-1, noError, nil)
		w.settle()
		if got := w.client.texts(http2.FrameGoAway); !slices.Equal(got, []string{"2147483647 NO_ERROR "}) {
			t.Errorf("GOAWAY %q", got)
		}
		get(3)(w.client) // had been on its way
		w.settle()
		w.server.head(3, true, ":status=203")
		_ = w.server.fr.WriteGoAway(3, noError, nil)
		w.settle()
		w.server.head(1, true, ":status=201")
		w.settle()
		if got := w.client.texts(http2.FrameGoAway); len(got) != 2 || got[1] != "3 NO_ERROR " {
			t.Errorf("GOAWAY %q", got)
		}
		w.client.wantStream(1, ":status=201|END")
		w.client.wantStream(3, ":status=203|END")
	})
}

// TestGoAwayCodesPass in both directions.
func TestGoAwayCodesPass(t *testing.T) {
	for _, code := range []http2.ErrCode{noError, protocol, calm, http2.ErrCodeInadequateSecurity, 0x77} {
		for _, who := range []string{"client", "server"} {
			t.Run(fmt.Sprint(who, "-", code), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := greetJoin(t)
					defer w.finish()
					get(1)(w.client)
					w.settle()
					from, to := w.client, w.server
					if who == "server" {
						from, to = w.server, w.client
					}
					_ = from.fr.WriteGoAway(0, code, []byte("why"))
					w.settle()
					from.c.Close()
					w.settle()
					if got := to.texts(http2.FrameGoAway); len(got) == 0 || got[0] != fmt.Sprintf("0 %v why", code) {
						t.Errorf("GOAWAY %q", got)
					}
				})
			})
		}
	}
}

// TestGoAwayOfAClientIsNotItsEnd: what it had asked is answered.
func TestGoAwayOfAClientIsNotItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetJoin(t)
		defer w.finish()
		get(1)(w.client)
		w.settle()
		_ = w.client.fr.WriteGoAway(0, noError, nil)
		w.settle()
		w.server.head(1, false, ":status=200")
		w.server.data(1, true, "ok")
		w.settle()
		w.client.wantStream(1, ":status=200|ok|END")
	})
}

// TestClientOfGoAway checks what Exchange says of it.
func TestClientOfGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetClient(t, h2.ClientOptions{})
		defer w.finish()
		a, b := w.ask(rfcAsk("GET", nil)), w.ask(rfcAsk("GET", nil))
		_ = w.server.fr.WriteGoAway(1, calm, nil)
		w.server.settle()
		var g *h2.GoAwayError
		if err := b.failure(); !errors.As(err, &g) || g.Code != h2.EnhanceYourCalm {
			t.Errorf("above the last stream: %v", err)
		}
		w.server.head(1, true, ":status=200")
		w.server.settle()
		wantSaid(t, a, "200|END")
		c := w.ask(rfcAsk("GET", nil))
		if err := c.failure(); err == nil || w.up.Usable() {
			t.Errorf("after GOAWAY: %v, usable %v", err, w.up.Usable())
		}
	})
}

// TestClientOfEnds checks the errors of a connection that ends.
func TestClientOfEnds(t *testing.T) {
	for _, how := range []string{"fin", "rst", "close"} {
		t.Run(how, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := greetClient(t, h2.ClientOptions{})
				defer w.finish()
				a, b := w.ask(rfcAsk("GET", nil)), w.ask(rfcAsk("GET", nil))
				w.server.head(3, false, ":status=200")
				w.server.data(3, false, "so far")
				synctest.Wait()
				switch how {
				case "rst":
					_ = w.server.c.SetLinger(0)
					w.server.c.Close()
				case "fin":
					_ = w.server.c.CloseWrite()
				default:
					w.up.Close()
				}
				synctest.Wait()
				var g *h2.GoneError
				if err := a.failure(); !errors.As(err, &g) {
					t.Errorf("before the head: %v, want a *GoneError", err)
				} else if how == "fin" && !errors.Is(err, io.EOF) || how == "rst" && !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("before the head: %v", err)
				}
				if err := b.failure(); err == nil || string(b.body) != "so far" {
					t.Errorf("in the body: %v after %q", err, b.body)
				}
				if err := w.ask(rfcAsk("GET", nil)).failure(); !errors.As(err, &g) || w.up.Usable() {
					t.Errorf("afterwards: %v, usable %v", err, w.up.Usable())
				}
			})
		})
	}
}

// TestDrain lets what is under way finish, and begins nothing more.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, func(context.Context, *exchange.Request) (*exchange.Response, error) {
			time.Sleep(time.Second)
			return rfcAnswer("ok"), nil
		}, h2.Options{})
		defer w.finish()
		get(1)(w.client)
		w.client.settle()
		w.srv.Drain()
		w.srv.Drain()
		w.client.settle()
		if got := w.client.texts(http2.FrameGoAway); len(got) == 0 || !strings.Contains(got[0], "NO_ERROR") {
			t.Errorf("GOAWAY %q", got)
		}
		time.Sleep(time.Minute)
		w.client.settle()
		if s := w.client.stream(1); s != ":status=200|ok|END" {
			t.Errorf("received %q", s)
		}
		if !w.over || w.err != nil || w.srv.Finished() {
			t.Errorf("Serve: over %v, error %v, finished %v", w.over, w.err, w.srv.Finished())
		}
	})
}

// TestDrainOfAnIdleConnection ends it soon.
func TestDrainOfAnIdleConnection(t *testing.T) {
	for _, joined := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var w *rfcServer
			if joined {
				j := greetJoin(t)
				defer j.finish()
				get(1)(j.client)
				j.settle()
				j.server.head(1, true, ":status=200")
				j.settle()
				w = j.rfcServer
			} else {
				w = greetServer(t, rfcOK, h2.Options{})
				defer w.finish()
			}
			w.srv.Drain()
			time.Sleep(time.Minute)
			w.client.settle()
			if !w.over || w.err != nil {
				t.Errorf("joined %v: Serve: over %v, error %v", joined, w.over, w.err)
			}
			if got := w.client.texts(http2.FrameGoAway); len(got) == 0 {
				t.Errorf("joined %v: no GOAWAY", joined)
			}
		})
	}
}

// TestServeEndsWithItsContext tells handlers why.
func TestServeEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("shut down")
		var why error
		client, near := rfcPipe()
		p := newPeer(t, client, false)
		srv := h2.NewServer(near, nil, exchange.HandlerFunc(func(ctx context.Context, _ *exchange.Request) (*exchange.Response, error) {
			<-ctx.Done()
			why = context.Cause(ctx)
			return nil, why
		}), h2.Options{})
		ctx, cancel := context.WithCancelCause(context.Background())
		done := make(chan error, 1)
		go func() { done <- srv.Serve(ctx); near.Close() }()
		p.preface()
		get(1)(p)
		p.settle()
		cancel(gone)
		if err := <-done; err == nil || why == nil {
			t.Errorf("Serve: %v, the handler's context: %v", err, why)
		}
		client.Close()
	})
}

// TestIdleTimeout ends connections on which nothing moves, and no others.
func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcOK, h2.Options{IdleTimeout: time.Minute})
		defer w.finish()
		for i := range uint32(5) {
			time.Sleep(50 * time.Second)
			get(1 + 2*i)(w.client)
			w.client.wantStream(1+2*i, ":status=200|ok|END")
		}
		time.Sleep(2 * time.Minute)
		w.client.settle()
		if !w.over {
			t.Error("Serve goes on after two minutes of silence")
		}
	})
}

// TestClientEndsBehindItsResponse: the server has answered and takes no more of
// the request, all of which we have. The client's end is then the upload's.
func TestClientEndsBehindItsResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newJoin(t, nil)
		defer w.finish()
		w.server.settings(initialWindow(100))
		w.client.preface()
		w.settle()
		open(1)(w.client)
		w.settle()
		w.client.data(1, false, strings.Repeat("x", 100))
		w.settle()
		w.client.data(1, true, strings.Repeat("x", 100))
		w.settle()
		w.server.head(1, true, ":status=200")
		w.client.wantStream(1, ":status=200|END")
		w.client.c.Close()
		time.Sleep(time.Minute)
		synctest.Wait()
		if !w.over {
			t.Error("a minute after the client's end Serve goes on")
		}
	})
}

// TestEndsOfOneWhoDoesNotRead: handlers have more to say than is taken, or than
// waits for a server that has not said its first word. The client's end, and
// that of the context, are the end all the same.
func TestEndsOfOneWhoDoesNotRead(t *testing.T) {
	for _, how := range []string{"fin", "context"} {
		for _, server := range []string{"silent", "none"} {
			t.Run(how+"-server-"+server, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { rfcEndsUnread(t, how == "fin", server == "silent") })
			})
		}
	}
}

func rfcEndsUnread(t *testing.T, fin, silent bool) {
	o := h2.Options{}
	if silent {
		behind := newClient(t, h2.ClientOptions{Mirror: true})
		defer behind.finish()
		o.Upstream = behind.up
	}
	client, near := rfcPipe()
	p := newPeer(t, client, false)
	p.hold()
	srv := h2.NewServer(near, nil, rfcSends(1<<20), o)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	over := false
	go func() { _ = srv.Serve(ctx); over = true; near.Close() }()
	p.preface(initialWindow(1 << 24))
	p.window(0, 1<<24)
	get(1)(p)
	synctest.Wait()
	if fin {
		_ = client.CloseWrite()
	} else {
		cancel()
	}
	time.Sleep(time.Minute)
	synctest.Wait()
	if !over {
		t.Error("a minute after the end Serve goes on")
	}
	client.Close()
	p.stop()
}

// TestIdleTimeoutOfTheFull: so much has been received that nobody reads that we
// read no more, and nothing moves. That is as idle as silence.
func TestIdleTimeoutOfTheFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := greetServer(t, rfcWaits, h2.Options{IdleTimeout: time.Minute})
		defer w.finish()
		full := false
		for i := range uint32(100) {
			open(1 + 2*i)(w.client)
			w.client.fill(1+2*i, 256<<10)
			w.client.settle()
			if full = w.near.Buffered() > 0 || w.over; full {
				break
			}
		}
		if !full {
			t.Fatal("all is read")
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if !w.over {
			t.Error("three minutes without a move later Serve goes on")
		}
	})
}
