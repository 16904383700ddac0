package transom_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transom"
	"transom/app/show"
	"transom/exchange"
	"transom/internal/testnet"
)

// through is middleware of the kinds there are: one that only looks, one that
// changes heads, one that changes bodies as they stream.
func through() []exchange.Middleware {
	look := func(next exchange.Handler) exchange.Handler { return next }
	heads := exchange.OnResponse(func(_ context.Context, _ *exchange.Request, r *exchange.Response) error {
		r.Header.Set("X-Through", "transom")
		return nil
	})
	shout := func(r io.Reader) io.Reader { return upper{r} }
	bodies := func(next exchange.Handler) exchange.Handler {
		return exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
			if req.Body.Size() != 0 {
				req.Body.Wrap(shout)
			}
			resp, err := next.Exchange(ctx, req)
			if err == nil {
				resp.Body.Wrap(shout)
			}
			return resp, err
		})
	}
	return []exchange.Middleware{look, heads, bodies}
}

// An upper reader gives what it reads in upper case.
type upper struct{ io.Reader }

func (u upper) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	copy(p, strings.ToUpper(string(p[:n])))
	return n, err
}

// shown runs what listen --json --flow-detail 3 does, and returns what it has
// printed, once nothing moves any more, since it was asked last. finish has it
// end.
func (w *world) shown() (news func() []line, finish func()) {
	w.t.Helper()
	out := &testnet.Log{}
	flows := w.proxy.Follow(w.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := show.Run(w.t.Context(), out, flows, show.Options{Detail: 3, JSON: true, Store: w.proxy.Flows()}); err != nil {
			w.t.Error(err)
		}
	})
	read := 0
	news = func() (ls []line) {
		w.t.Helper()
		synctest.Wait()
		text := out.String()
		for l := range strings.Lines(text[read:]) {
			var one line
			if err := json.Unmarshal([]byte(l), &one); err != nil {
				w.t.Fatalf("%v in %s", err, l)
			}
			ls = append(ls, one)
		}
		read = len(text)
		return ls
	}
	return news, func() {
		w.end()
		w.proxy.Close()
		wg.Wait()
	}
}

// A line is what is looked at of a line of JSON.
type line struct {
	Type, Event, Part, From, Text string
	Time                          time.Time
	SSE                           *struct{ Event, Data, ID string }
}

func (l line) String() string {
	s := strings.TrimSpace(l.Type + " " + l.Event + " " + l.Part + l.From)
	if l.SSE != nil {
		return s + fmt.Sprintf(" %s:%s", l.SSE.Event, l.SSE.Data)
	}
	if l.Text != "" {
		s += fmt.Sprintf(" %q", l.Text)
	}
	return s
}

func (w *world) expect(got []line, want ...string) {
	w.t.Helper()
	if g := fmt.Sprint(got); g != fmt.Sprint(want) {
		w.t.Errorf("shown %s, want %s", g, want)
	}
}

// expectParts is expect for what comes both ways at once: the parts of a body
// have their order, and different bodies have none between them.
func (w *world) expectParts(got []line, want map[string]string) {
	w.t.Helper()
	parts := map[string]string{}
	for _, l := range got {
		parts[l.Part] += l.Text
	}
	if !maps.Equal(parts, want) {
		w.t.Errorf("shown %v, want %v", got, want)
	}
}

// TestEventsPassAsTheyCome has a server say something every hour. The client
// hears it, and it is shown, in the same moment.
func TestEventsPassAsTheyCome(t *testing.T) {
	for name, mw := range map[string][]exchange.Middleware{"untouched": nil, "through-middleware": through()} {
		t.Run(name, func(t *testing.T) {
			patient := func(p *transom.Proxy) { p.HTTP, p.Timeouts = mw, transom.Timeouts{Idle: -1} }
			inWorld(t, patient, func(w *world) {
				const hours = 5
				w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
					readHead(r)
					w.say(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
					for i := range hours {
						time.Sleep(time.Hour)
						event := fmt.Sprintf("event: hour\ndata: cuckoo %d\n\n", i)
						w.say(c, fmt.Sprintf("%x\r\n%s\r\n", len(event), event))
					}
					time.Sleep(time.Hour)
					w.say(c, "0\r\n\r\n")
				})
				news, finish := w.shown()
				c := w.dial(serverAddr)
				w.say(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
				r := bufio.NewReader(c)
				head, err := readHead(r)
				if err != nil {
					t.Fatal(err)
				}
				w.expect(news(), "http start")
				for i := range hours {
					began := time.Now()
					event := fmt.Sprintf("event: hour\ndata: cuckoo %d\n\n", i)
					kind, data := "hour", fmt.Sprintf("cuckoo %d", i)
					if mw != nil {
						if !strings.Contains(head, "X-Through: transom\r\n") {
							t.Fatalf("the middleware did not see %q", head)
						}
						event, kind, data = strings.ToUpper(event), "message", ""
					}
					w.hear(r, fmt.Sprintf("%x\r\n%s\r\n", len(event), event))
					if d := time.Since(began); d != time.Hour {
						t.Errorf("event %d came after %v", i, d)
					}
					got := news()
					if mw == nil {
						w.expect(got, fmt.Sprintf("http data response %s:%s", kind, data))
					} else { // as it came, and as it was sent, where no field has its name any more
						w.expect(got, fmt.Sprintf("http data original_response hour:cuckoo %d", i), fmt.Sprintf("http data response %q", event))
					}
					for _, l := range got {
						if !l.Time.Equal(began.Add(time.Hour)) {
							t.Errorf("shown at %v", l.Time)
						}
					}
				}
				w.hear(r, "0\r\n\r\n")
				c.Close()
				finish()
				w.expect(news(), "http end", "conn end")
			})
		})
	}
}

// TestBothWaysAtOnce streams a request and its response at the same time: each
// chunk is answered before the next is sent.
func TestBothWaysAtOnce(t *testing.T) {
	for name, mw := range map[string][]exchange.Middleware{"untouched": nil, "through-middleware": through()} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(p *transom.Proxy) { p.HTTP = mw }, func(w *world) {
				w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
					readHead(r)
					w.say(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
					for {
						size, err1 := r.ReadString('\n')
						data, err2 := r.ReadString('\n')
						if err1 != nil || err2 != nil || size == "0\r\n" {
							w.say(c, "0\r\n\r\n")
							return
						}
						w.say(c, size+"re"+data[2:])
					}
				})
				news, finish := w.shown()
				c := w.dial(serverAddr)
				w.say(c, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
				r := bufio.NewReader(c)
				if _, err := readHead(r); err != nil {
					t.Fatal(err)
				}
				w.expect(news(), "http start")
				for i := range 5 {
					ask, answer := fmt.Sprintf("ask %d", i), fmt.Sprintf("rek %d", i)
					sent, heard := ask, answer
					if mw != nil {
						sent, heard = strings.ToUpper(ask), strings.ToUpper(answer)
						answer = "reK " + answer[4:]
					}
					w.say(c, fmt.Sprintf("5\r\n%s\r\n", ask))
					w.hear(r, fmt.Sprintf("5\r\n%s\r\n", heard))
					if mw == nil {
						w.expectParts(news(), map[string]string{"request": ask, "response": answer})
						continue
					}
					w.expectParts(news(), map[string]string{
						"original_request": ask, "request": sent, "original_response": answer, "response": heard,
					})
				}
				w.say(c, "0\r\n\r\n")
				w.hear(r, "0\r\n\r\n")
				c.Close()
				finish()
				w.expect(news(), "http end", "conn end")
			})
		})
	}
}

// TestMessagesAreShownAsTheyCome looks at what isn't HTTP.
func TestMessagesAreShownAsTheyCome(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
			w.say(c, "220 ready\r\n")
			w.hear(r, "EHLO a\r\n")
			w.say(c, "250 hello\r\n")
		})
		news, finish := w.shown()
		c := w.dial(serverAddr)
		w.hear(c, "220 ready\r\n")
		w.expect(news(), "tcp start", `tcp data server "220 ready\r\n"`)
		time.Sleep(time.Second)
		said := time.Now()
		w.say(c, "EHLO a\r\n")
		w.hear(c, "250 hello\r\n")
		got := news()
		w.expect(got, `tcp data client "EHLO a\r\n"`, `tcp data server "250 hello\r\n"`)
		if !got[0].Time.Equal(said) {
			t.Errorf("said at %v, shown as of %v", said, got[0].Time)
		}
		c.Close()
		finish()
		w.expect(news(), "tcp end", "conn end")
	})
}
