package h2_test

import (
	"context"
	"io"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/internal/proto/h2"
	"transom/internal/testnet"
)

// TestMemoryIsShared: what connections hold together is bounded, each has its
// share, and when it is read everything goes on.
func TestMemoryIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const conns, uploads, size, limit = 4, 30, 200 << 10, 1 << 20
		memory := h2.NewMemory(limit)
		goOn := make(chan struct{})
		slow := exchange.HandlerFunc(func(_ context.Context, req *exchange.Request) (*exchange.Response, error) {
			<-goOn
			if n, err := io.Copy(io.Discard, req.Body); n != size || err != nil {
				t.Errorf("read %d bytes, %v", n, err)
			}
			return exchange.Text(204, ""), nil
		})
		var wg sync.WaitGroup
		for range conns {
			client, near := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
			wg.Go(func() {
				_ = h2.NewServer(near, nil, slow, h2.Options{Memory: memory}).Serve(context.Background()) // the client's end
				near.Close()
			})
			p := &pourer{c: client, room: 65535}
			p.cond.L = &p.mu
			answered := make(chan int, 1)
			wg.Go(func() { answered <- p.read(uploads) })
			wg.Go(func() {
				p.pour(uploads, size)
				if n := <-answered; n != uploads {
					t.Errorf("%d of %d uploads were answered", n, uploads)
				}
				client.Close()
			})
		}
		synctest.Wait()
		const most = limit + conns*(256<<10+64<<10)
		if used := memory.Used(); used < limit || used > most {
			t.Errorf("%d bytes are held, want %d to %d", used, limit, most)
		}
		close(goOn)
		wg.Wait()
		if used := memory.Used(); used != 0 {
			t.Errorf("%d bytes are still held", used)
		}
	})
}

// A pourer uploads as fast as the connection's window allows.
type pourer struct {
	c    *testnet.Conn
	mu   sync.Mutex
	cond sync.Cond
	room int
}

func (p *pourer) pour(uploads, size int) {
	fr := http2.NewFramer(p.c, nil)
	io.WriteString(p.c, http2.ClientPreface)
	fr.WriteSettings()
	for i := range uint32(uploads) {
		id := 1 + 2*i
		fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: block(
			":method", "POST", ":scheme", "http", ":authority", "shop.test", ":path", "/")})
		for left := size; left > 0; {
			n := min(left, 16<<10)
			p.mu.Lock()
			for p.room < n {
				p.cond.Wait()
			}
			p.room -= n
			p.mu.Unlock()
			left -= n
			fr.WriteData(id, left == 0, make([]byte, n))
		}
	}
}

// read counts answers, until there are want of them.
func (p *pourer) read(want int) (n int) {
	fr := http2.NewFramer(nil, p.c)
	for n < want {
		f, err := fr.ReadFrame()
		if err != nil {
			return n
		}
		switch f := f.(type) {
		case *http2.WindowUpdateFrame:
			if f.StreamID == 0 {
				p.mu.Lock()
				p.room += int(f.Increment)
				p.mu.Unlock()
				p.cond.Broadcast()
			}
		case *http2.HeadersFrame:
			n++
		}
	}
	return n
}
