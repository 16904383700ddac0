package ws_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"transom/flow"
	"transom/internal/proto/ws"
	"transom/message"
)

func TestInject(t *testing.T) {
	for mode, o := range modes {
		t.Run(mode, func(t *testing.T) {
			l := open(t, "", o)
			for _, m := range []message.Message{{Dir: up, Op: 1, Payload: []byte("hi")}, {Dir: down, Op: 2, Payload: []byte("ho")}, {Dir: down, Op: 9}} {
				if err := l.Inject(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			got := l.heard(up)
			compare(t, messages(t, got, nil), []string{"0x1 hi"})
			if fs := unframe(t, got); !fs[0].masked {
				t.Error("a frame to the server without mask")
			}
			if got, want := l.heard(down), fromServer(0x82, "ho")+fromServer(0x89, ""); got != want {
				t.Errorf("the client got %q", got)
			}
			if got, want := l.rec.String(), "> text \"hi\" injected\n< binary \"ho\" injected\n< ping \"\" injected\n"; got != want {
				t.Errorf("recorded\n%s", got)
			}
		})
	}
}

// Inside a message nothing can be put: it waits for the end, wherever that is.
func TestInjectWaitsForTheMessage(t *testing.T) {
	rest := fromServer(0x00, "b") + fromServer(0x89, "") + fromServer(0x80, "c") + fromServer(0x81, "next")
	for name, cut := range map[string]int{"in-a-header": 1, "in-a-payload": 3, "between-fragments": 4} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := open(t, "", ws.Options{})
				first := "\x01\x02a!"
				l.say(down, first[:cut], 0)
				done := make(chan error, 1)
				go func() {
					done <- l.Inject(t.Context(), message.Message{Dir: down, Op: 1, Payload: []byte("injected")})
				}()
				synctest.Wait()
				l.say(down, first[cut:]+rest, 0)
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				end := strings.Index(rest, "\x81")
				if got, want := l.heard(down), first+rest[:end]+fromServer(0x81, "injected")+rest[end:]; got != want {
					t.Errorf("sent %q, want %q", got, want)
				}
			})
		})
	}
}

func TestInjectErrors(t *testing.T) {
	hi := message.Message{Dir: up, Op: 1, Payload: []byte("hi")}
	for _, tc := range []struct {
		name, ext, sent string
		m               message.Message
		end             bool
		want            error
	}{
		{"ended", "", "", hi, true, message.ErrEnded},
		{"closing", "", fromClient(0x88, ""), hi, false, message.ErrEnded},
		{"extension", "mux", "", hi, false, message.ErrOpaque},
		{"undecidable", "", "\x81\xff\xff", hi, false, message.ErrOpaque},
		{"opcode", "", "", message.Message{Op: 3}, false, message.ErrInvalid},
		{"long-ping", "", "", message.Message{Op: 9, Payload: make([]byte, 126)}, false, message.ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, o := range modes {
				l := open(t, tc.ext, o)
				l.say(up, tc.sent, 0)
				if tc.end {
					l.end()
				}
				l.heard(up)
				if err := l.Inject(t.Context(), tc.m); !errors.Is(err, tc.want) {
					t.Errorf("got %v", err)
				}
				if got := l.heard(up); got != "" {
					t.Errorf("sent %q", got)
				}
			}
		})
	}
}

// What waits can be given up, is bounded, and ends with the conversation.
func TestInjectGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := open(t, "", ws.Options{})
		l.say(up, fromClient(0x01, "a"), 0)
		enough := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		results := make(chan error, 200)
		inject := func(ctx context.Context, n int) {
			for range n {
				wg.Go(func() { results <- l.Inject(ctx, message.Message{Op: 1, Payload: []byte("x")}) })
			}
			synctest.Wait()
		}
		inject(ctx, 10)
		inject(t.Context(), 60)
		cancel(enough)
		synctest.Wait()
		inject(t.Context(), 3)
		l.end()
		wg.Wait()
		close(results)
		count := map[error]int{}
		for err := range results {
			count[err]++
		}
		if count[enough] != 10 || count[message.ErrBusy] != 6 || count[message.ErrEnded] != 57 {
			t.Errorf("%v", count)
		}
		if got := l.heard(up); got != fromClient(0x01, "a") {
			t.Errorf("sent %q", got)
		}
	})
}

// Everybody writes at once; frames stay whole, and so do messages.
func TestInjectBesideTraffic(t *testing.T) {
	for mode, o := range modes {
		t.Run(mode, func(t *testing.T) {
			l := open(t, "permessage-deflate", o)
			p := newPacker(6, true)
			var stream strings.Builder
			for range 200 {
				packed := p.pack("a message that compresses, compresses, compresses")
				stream.WriteString(fromClient(0x41, packed[:2]) + fromClient(0x89, "p") + fromClient(0x80, packed[2:]))
			}
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					for range 100 {
						if err := l.Inject(t.Context(), message.Message{Op: 2, Payload: []byte("injected")}); err != nil {
							t.Error(err)
						}
					}
				})
			}
			l.say(up, stream.String(), 23)
			wg.Wait()
			l.end()
			count := map[string]int{}
			for _, m := range messages(t, l.heard(up), &unpacker{takeover: true}) {
				count[m]++
			}
			if count["0x1 a message that compresses, compresses, compresses"] != 200 || count["0x2 injected"] != 400 || count["0x9 p"] != 200 {
				t.Errorf("%v", count)
			}
		})
	}
}

// A peer that takes nothing holds up who writes to it, and nobody else.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		c := ws.New(new(wire), w, ws.Options{Handlers: func(next message.Handler) message.Handler {
			return message.HandlerFunc(func(ctx context.Context, c *flow.Conn, m *message.Message) error {
				if m.Dir == down {
					next.Message(ctx, c, &message.Message{Dir: up, Op: 1, Payload: []byte("!")}) // the stuck one
				}
				return next.Message(ctx, c, m)
			})
		}})
		done := make(chan error, 1)
		go func() { done <- c.Pass(t.Context(), up, []byte(fromClient(0x81, "a"))) }()
		synctest.Wait()
		for range 100 {
			if err := c.Pass(t.Context(), down, []byte(fromServer(0x81, "b"))); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Inject(t.Context(), message.Message{Dir: up, Op: 1}); !errors.Is(err, message.ErrBusy) {
			t.Error(err)
		}
		r.Close()
		if err := <-done; err != io.ErrClosedPipe {
			t.Error(err)
		}
		c.Finish(up)
		c.Finish(down)
	})
}
