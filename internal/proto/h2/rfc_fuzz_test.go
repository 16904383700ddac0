package h2_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"transom/exchange"
	"transom/internal/proto/h2"
)

// rfcScript is what a peer would send to do that.
func rfcScript(do func(p *rfcPeer)) []byte {
	c, other := rfcPipe()
	_ = other.SetReadBuffer(1 << 26)
	p := &rfcPeer{c: c, fr: http2.NewFramer(c, c), dry: true}
	p.fr.AllowIllegalWrites = true
	p.enc = hpack.NewEncoder(&p.buf)
	do(p)
	c.Close()
	b, _ := io.ReadAll(other)
	return b
}

// rfcEcho answers with what it is sent, as it comes, trailers too.
func rfcEcho(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
	r := rfcAnswer("")
	r.Body = exchange.NewBody(&echo{req.Body}, -1, nil)
	r.Header = req.Header
	return r, nil
}

// An echo is a request's body as the source of a response's.
type echo struct{ *exchange.Body }

func (e *echo) Close() error { return nil }

// rfcSeeds are what a client sends after the handshake.
func rfcSeeds() (seeds [][]byte) {
	for _, c := range append(rfcBreaches[:len(rfcBreaches):len(rfcBreaches)], rfcServerBreaches...) {
		if s := rfcScript(c.do); len(s) < 1<<12 {
			seeds = append(seeds, s)
		}
	}
	for _, f := range rfcFloods {
		seeds = append(seeds, rfcScript(func(p *rfcPeer) {
			for i := range uint32(5) {
				f.step(p, i)
			}
		}))
	}
	return append(seeds, rfcScript(func(p *rfcPeer) {
		p.head(1, false, with(rfcPost, "content-length=5", "te=trailers")...)
		p.data(1, false, "hello")
		p.head(1, true, "t=v")
		p.head(3, false, rfcConnect...)
		p.data(3, true, "x")
		p.head(5, true, rfcGet...)
		p.window(5, 100)
		p.settings(initialWindow(10), initialWindow(1<<31-1))
		_ = p.fr.WriteGoAway(0, noError, nil)
	}), rfcScript(func(p *rfcPeer) {
		p.head(1, false, ":status=103")
		p.head(1, false, ":status=200", "content-length=5")
		p.data(1, false, "hello")
		p.head(1, true, "t=v")
		p.promise(2, rfcGet...)
		p.head(3, true, ":status=204")
		_ = p.fr.WriteGoAway(3, calm, []byte("why"))
	}))
}

// wantLegal checks that what a peer was sent are frames, in an order that is
// allowed.
func (p *rfcPeer) wantLegal() {
	p.t.Helper()
	synctest.Wait()
	p.take()
	var ce http2.ConnectionError
	var se http2.StreamError
	if errors.As(p.end, &ce) || errors.As(p.end, &se) || errors.Is(p.end, http2.ErrFrameTooLarge) {
		p.t.Errorf("we sent what is illegal: %v; before it %v", p.end, p.frames)
	}
}

// FuzzServer has a client send anything.
func FuzzServer(f *testing.F) {
	for _, s := range rfcSeeds() {
		f.Add(s, uint16(0))
		f.Add(s, uint16(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, segment uint16) {
		synctest.Test(t, func(t *testing.T) {
			w := greetServer(t, rfcEcho, h2.Options{IdleTimeout: time.Minute})
			defer w.finish()
			w.near.SetSegment(int(segment))
			w.client.patient()
			_, _ = w.client.c.Write(in)
			w.client.settle()
			time.Sleep(time.Second)
			w.client.wantLegal()
			_ = w.client.c.CloseWrite()
			time.Sleep(time.Hour)
			synctest.Wait()
			if !w.over {
				t.Errorf("an hour after the client's end Serve goes on")
			}
		})
	})
}

// FuzzPreface has a client begin with anything.
func FuzzPreface(f *testing.F) {
	f.Add([]byte(http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"))
	f.Add([]byte(http2.ClientPreface[:10]))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		synctest.Test(t, func(t *testing.T) {
			w := newServer(t, rfcEcho, h2.Options{IdleTimeout: time.Minute})
			defer w.finish()
			w.client.patient()
			_, _ = w.client.c.Write(in)
			w.client.settle()
			w.client.wantLegal()
			if len(w.client.streams()) > 0 && !strings.HasPrefix(string(in), http2.ClientPreface) {
				t.Error("a request was answered without a preface")
			}
		})
	})
}

// FuzzClient has a server send anything, while two exchanges are under way.
func FuzzClient(f *testing.F) {
	for _, s := range rfcSeeds() {
		f.Add(s, uint16(0))
		f.Add(s, uint16(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, segment uint16) {
		synctest.Test(t, func(t *testing.T) {
			w := greetClient(t, h2.ClientOptions{IdleTimeout: time.Minute})
			defer w.finish()
			w.far.SetSegment(int(segment))
			a := w.ask(rfcAsk("GET", nil))
			b := w.ask(rfcAsk("POST", strings.NewReader(strings.Repeat("x", 100000))))
			w.server.patient()
			_, _ = w.server.c.Write(in)
			w.server.settle()
			time.Sleep(time.Second)
			w.server.wantLegal()
			_ = w.server.c.CloseWrite()
			time.Sleep(time.Hour)
			synctest.Wait()
			for _, c := range []*rfcCall{a, b} {
				if !c.done || c.err == nil && c.bodyErr == nil {
					t.Errorf("an hour after the server's end an exchange goes on: %q", c.said())
				}
			}
		})
	})
}

// FuzzBothSides has a client and a server send anything, with us between.
func FuzzBothSides(f *testing.F) {
	seeds := rfcSeeds()
	for i, s := range seeds {
		f.Add(s, seeds[len(seeds)-1])
		f.Add(seeds[len(seeds)-2], s)
		f.Add(s, seeds[i/2])
	}
	f.Fuzz(func(t *testing.T, client, server []byte) {
		synctest.Test(t, func(t *testing.T) {
			w := greetJoin(t)
			defer w.finish()
			w.client.patient()
			_, _ = w.client.c.Write(client)
			synctest.Wait()
			w.server.patient()
			_, _ = w.server.c.Write(server)
			w.settle()
			w.client.wantLegal()
			w.server.wantLegal()
			_ = w.client.c.CloseWrite()
			time.Sleep(time.Hour)
			synctest.Wait()
			if !w.over {
				t.Error("an hour after the client's end Serve goes on")
			}
			w.server.wantLegal()
		})
	})
}
