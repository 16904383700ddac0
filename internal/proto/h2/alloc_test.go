package h2_test

import (
	"context"
	"strings"
	"testing"

	"transom/internal/proto/h2"
)

// TestExchangeAllocates pins what a request without a body and its small
// response cost between the client's connection and the server's, recording and
// TLS apart.
func TestExchangeAllocates(t *testing.T) {
	if racing {
		return // pools forget at random
	}
	l := newLoop(t, 0)
	l.fly(1)
	if n := testing.AllocsPerRun(2000, l.one); n > 11 {
		t.Errorf("%v allocations an exchange, want at most 11", n)
	}
}

// BenchmarkExchange is exchanges from the client's frames to the origin's and
// back, over pipes in memory, with as many streams open at a time as the name
// says. The peers allocate nothing, and send what is ready in one write.
func BenchmarkExchange(b *testing.B) {
	for _, body := range []struct {
		name string
		size int
	}{{"empty", 0}, {"1KiB", 1 << 10}, {"64KiB", 64 << 10}} {
		for _, streams := range []struct {
			name string
			n    int
		}{{"1", 1}, {"100", 100}} {
			b.Run("body="+body.name+"/streams="+streams.name, func(b *testing.B) {
				l := newLoop(b, body.size)
				l.fly(streams.n)
				if body.size > 0 {
					b.SetBytes(int64(body.size))
				}
				b.ReportAllocs()
				for b.Loop() {
					l.one()
				}
			})
		}
	}
}

// A loop is a client and an origin of raw frames, with a Server and a Client of
// ours between them.
type loop struct {
	t        testing.TB
	client   *rawPeer
	requests int // to be written
	open     int // requests on their way
	answered int // and not yet counted
	settled  bool
	next     uint32
	first    []byte // the head of the first request, which fills the table
	head     []byte
	body     string
}

func newLoop(t testing.TB, body int) *loop {
	client, front := quickPipe()
	back, origin := quickPipe()
	up := h2.NewClient(back, nil, h2.ClientOptions{Mirror: true})
	srv := h2.NewServer(front, nil, up, h2.Options{Upstream: up})
	served, answered := make(chan error, 1), make(chan struct{})
	go func() { served <- srv.Serve(context.Background()) }()
	go func() {
		defer close(answered)
		newRawPeer(origin).answer()
	}()
	l := &loop{t: t, client: newRawPeer(client), next: 1, body: strings.Repeat("x", body)}
	l.first, l.head = requestBlocks(body)
	l.client.greet()
	for !l.settled { // the windows are too small before
		l.wait()
	}
	t.Cleanup(func() {
		for l.open > 0 && !t.Failed() {
			l.wait()
		}
		client.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
		up.Close()
		<-answered
	})
	return l
}

// fly has n requests be on their way from now on, and the first behind it, so
// that nothing is begun any more.
func (l *loop) fly(n int) {
	l.requests = 1
	l.one()
	l.requests = n
	for range 3 * n {
		l.one()
	}
}

// one waits for an answer and has another request follow it.
func (l *loop) one() {
	for l.answered == 0 {
		l.flush()
		l.wait()
	}
	l.answered--
	l.requests++
}

// flush writes the requests that are due.
func (l *loop) flush() {
	for ; l.requests > 0; l.requests-- {
		head := l.head
		if l.next == 1 {
			head = l.first
		}
		l.client.message(l.next, head, l.body)
		l.open++
		l.next += 2
	}
	l.client.flush()
}

// wait reads what has come.
func (l *loop) wait() {
	if !l.client.read(func(kind, flags byte, id uint32, n int) {
		switch {
		case kind <= 1 && flags&1 != 0:
			l.answered++
			l.open--
		case kind == 4:
			l.settled = true
		case kind == 3 || kind == 7:
			l.t.Fatalf("stream %d was ended", id)
		}
	}) {
		l.t.Fatal("the connection ended")
	}
}
