package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"pgregory.net/rapid"

	"transom/exchange"
	"transom/flow"
)

// A chunked source is a body as a codec would give it: pieces of payload, each with the
// framing before it, and the framing at the end.
type chunked struct {
	pieces  [][2]string // framing, payload
	end     string
	trailer flow.Header
	err     error // instead of io.EOF

	fr     []byte
	rest   string
	closed bool
}

func (s *chunked) Read(p []byte) (int, error) {
	s.fr = nil
	if s.closed {
		return 0, io.ErrClosedPipe
	}
	if s.rest == "" {
		if len(s.pieces) == 0 {
			if s.err != nil {
				return 0, s.err
			}
			s.fr = []byte(s.end)
			return 0, io.EOF
		}
		s.fr, s.rest = []byte(s.pieces[0][0]), s.pieces[0][1]
		s.pieces = s.pieces[1:]
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
func (s *chunked) Close() error                    { s.closed = true; return nil }
func (s *chunked) Trailer() flow.Header            { return s.trailer }
func (s *chunked) Framing() (before, after []byte) { return s.fr, nil }

func chunks() *chunked {
	return &chunked{
		pieces:  [][2]string{{"3;x=y\r\n", "abc"}, {"\r\n02\r\n", "de"}},
		end:     "\r\n0\r\nT: v\r\n\r\n",
		trailer: flow.Header{{Name: "T", Value: "v"}},
	}
}

const wire = "3;x=y\r\nabc\r\n02\r\nde\r\n0\r\nT: v\r\n\r\n"

// onTheWire reads b as a codec that keeps its framing would send it.
func onTheWire(t interface{ Fatal(...any) }, b *exchange.Body, size int) (sent, payload string) {
	var w, p bytes.Buffer
	buf := make([]byte, size)
	for {
		n, err := b.Read(buf)
		before, after := b.Framing()
		w.Write(before)
		w.Write(buf[:n])
		w.Write(after)
		p.Write(buf[:n])
		if err == io.EOF {
			return w.String(), p.String()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestBodyKeepsItsFraming(t *testing.T) {
	for name, touch := range map[string]func(b *exchange.Body){
		"untouched": func(*exchange.Body) {},
		"tee":       func(b *exchange.Body) { b.Tee(io.Discard) },
		"buffered":  func(b *exchange.Body) { b.Bytes(t.Context(), 100) },
		"twice":     func(b *exchange.Body) { b.Bytes(t.Context(), 100); b.Bytes(t.Context(), 100) },
		"too-large": func(b *exchange.Body) { b.Bytes(t.Context(), 2) },
		"at-limit":  func(b *exchange.Body) { b.Bytes(t.Context(), 5) },
		"too-large-then-buffered": func(b *exchange.Body) {
			b.Bytes(t.Context(), 2)
			b.Bytes(t.Context(), 100)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := exchange.NewBody(chunks(), -1, nil)
			touch(b)
			if !b.Framed() || b.Changed() {
				t.Fatalf("framed %v, changed %v", b.Framed(), b.Changed())
			}
			sent, payload := onTheWire(t, b, 2)
			if sent != wire || payload != "abcde" {
				t.Errorf("sent %q, payload %q", sent, payload)
			}
			if got := b.Trailer().Get("t"); got != "v" {
				t.Errorf("trailer %q", got)
			}
		})
	}
}

func TestChangedBodyHasNoFraming(t *testing.T) {
	set := exchange.NewBody(chunks(), -1, nil)
	set.Set([]byte("new"))
	wrap := exchange.NewBody(chunks(), -1, nil)
	wrap.Wrap(func(r io.Reader) io.Reader { return iotest.OneByteReader(r) })
	for _, c := range []struct {
		b       *exchange.Body
		payload string
		size    int64
		trailer string
	}{{set, "new", 3, ""}, {wrap, "abcde", -1, "v"}} {
		if c.b.Framed() || !c.b.Changed() || c.b.Size() != c.size {
			t.Errorf("framed %v, changed %v, size %d", c.b.Framed(), c.b.Changed(), c.b.Size())
		}
		sent, payload := onTheWire(t, c.b, 64)
		if sent != c.payload || payload != c.payload {
			t.Errorf("sent %q", sent)
		}
		if got := c.b.Trailer().Get("T"); got != c.trailer {
			t.Errorf("trailer %q", got)
		}
	}
}

func TestTeesSeeEachByteOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var came, sent bytes.Buffer
		b := exchange.NewBody(chunks(), -1, nil)
		b.Tee(&came)
		changed := false
		for range rapid.IntRange(0, 3).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				b.Bytes(context.Background(), int64(rapid.IntRange(0, 8).Draw(t, "limit")))
			case 1:
				changed = true
				b.Wrap(func(r io.Reader) io.Reader { return r })
			case 2:
				b.Size()
			}
		}
		b.Tee(&sent)
		_, payload := onTheWire(t, b, rapid.IntRange(1, 9).Draw(t, "read"))
		if payload != "abcde" || came.String() != "abcde" || b.Changed() != changed {
			t.Fatalf("payload %q, first tee %q, changed %v", payload, came.String(), b.Changed())
		}
		if !strings.HasSuffix("abcde", sent.String()) {
			t.Fatalf("second tee saw %q", sent.String())
		}
	})
}

func TestTeeAfterBufferingSeesAll(t *testing.T) {
	b := exchange.NewBody(chunks(), -1, nil)
	b.Bytes(t.Context(), 100)
	var seen bytes.Buffer
	b.Tee(&seen)
	onTheWire(t, b, 2)
	if seen.String() != "abcde" {
		t.Errorf("tee saw %q", seen.String())
	}
}

func TestBytesAndTheBudget(t *testing.T) {
	budget := exchange.NewBudget(40 << 10)
	long := strings.Repeat("x", 30<<10)
	a := exchange.NewBody(&chunked{pieces: [][2]string{{"", long}}}, int64(len(long)), budget)
	if p, err := a.Bytes(t.Context(), 1<<20); err != nil || len(p) != len(long) {
		t.Fatalf("%d bytes, %v", len(p), err)
	}
	b := exchange.NewBody(&chunked{pieces: [][2]string{{"", long}}}, int64(len(long)), budget)
	if _, err := b.Bytes(t.Context(), 1<<20); !errors.Is(err, exchange.ErrTooLarge) {
		t.Fatalf("the budget of all bodies was not kept: %v", err)
	}
	if _, payload := onTheWire(t, b, 1000); payload != long {
		t.Errorf("%d bytes streamed after the budget was spent, want %d", len(payload), len(long))
	}
	a.Close()
	if used := budget.Used(); used != 0 {
		t.Errorf("%d bytes still taken after close", used)
	}
}

func TestBytesPassesErrorsOn(t *testing.T) {
	cut := errors.New("cut")
	b := exchange.NewBody(&chunked{pieces: [][2]string{{"", "ab"}}, err: cut}, 5, nil)
	if _, err := b.Bytes(t.Context(), 100); err != cut {
		t.Fatalf("error %v", err)
	}
	p, err := io.ReadAll(b)
	if string(p) != "ab" || err != cut {
		t.Errorf("then read %q, %v", p, err)
	}
}

// blocked is a body whose peer says nothing.
type blocked struct {
	done chan struct{}
	once sync.Once
}

func (s *blocked) Read([]byte) (int, error) { <-s.done; return 0, io.ErrClosedPipe }
func (s *blocked) Close() error             { s.once.Do(func() { close(s.done) }); return nil }
func (s *blocked) Trailer() flow.Header     { return nil }

func TestBytesEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := errors.New("client gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		b := exchange.NewBody(&blocked{done: make(chan struct{})}, -1, nil)
		go cancel(gone)
		if _, err := b.Bytes(ctx, 10); err != gone {
			t.Errorf("error %v, want the context's cause", err)
		}
	})
}

func TestReadAllocates(t *testing.T) {
	b := exchange.NewBody(&chunked{}, -1, nil)
	b.Tee(io.Discard)
	p := make([]byte, 10)
	if n := testing.AllocsPerRun(100, func() { b.Read(p) }); n != 0 {
		t.Errorf("%v allocations per read, want 0", n)
	}
}

func TestChainOrder(t *testing.T) {
	var log []string
	mw := func(name string) exchange.Middleware {
		return func(next exchange.Handler) exchange.Handler {
			return exchange.HandlerFunc(func(ctx context.Context, r *exchange.Request) (*exchange.Response, error) {
				log = append(log, ">"+name)
				defer func() { log = append(log, "<"+name) }()
				return next.Exchange(ctx, r)
			})
		}
	}
	h := exchange.Chain(mw("a"), mw("b"))(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		return exchange.Text(204, ""), nil
	}))
	h.Exchange(t.Context(), &exchange.Request{Body: exchange.NoBody()})
	if got := strings.Join(log, " "); got != ">a >b <b <a" {
		t.Errorf("order %s", got)
	}
}

func BenchmarkChain(b *testing.B) {
	var mws []exchange.Middleware
	for range 8 {
		mws = append(mws, exchange.OnRequest(func(context.Context, *exchange.Request) error { return nil }))
	}
	resp := exchange.Text(200, "")
	h := exchange.Chain(mws...)(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) { return resp, nil }))
	req := &exchange.Request{Body: exchange.NoBody()}
	b.ReportAllocs()
	for b.Loop() {
		h.Exchange(b.Context(), req)
	}
}
