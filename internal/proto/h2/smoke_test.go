package h2_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"transom/internal/proto/h2"
	"transom/internal/testnet"
)

// through serves handler's HTTP/2 with x/net behind a Client and a Server of
// ours, and returns a transport of x/net for it.
func through(t *testing.T, handler http.Handler) *http.Transport {
	client, near := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
	far, server := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
	up := h2.NewClient(far, nil, h2.ClientOptions{Mirror: true})
	srv := h2.NewServer(near, nil, up, h2.Options{Upstream: up})
	origin := &http.Server{Handler: handler, Protocols: new(http.Protocols)}
	origin.Protocols.SetUnencryptedHTTP2(true)
	l := &once{conn: make(chan net.Conn, 1)}
	l.conn <- server
	go origin.Serve(l)
	t.Cleanup(func() { origin.Close() })
	done := make(chan error, 1)
	go func() { done <- srv.Serve(context.Background()) }()
	tr := &http.Transport{
		Protocols:   new(http.Protocols),
		DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil },
	}
	tr.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(func() {
		client.Close()
		t.Log(<-done)
		near.Close()
		up.Close()
	})
	return tr
}

// once accepts one connection.
type once struct{ conn chan net.Conn }

func (o *once) Accept() (net.Conn, error) {
	c, ok := <-o.conn
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (o *once) Close() error   { close(o.conn); return nil }
func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

func TestThrough(t *testing.T) {
	tr := through(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-T")
		fmt.Fprintf(w, "%s %s %d %s", r.Method, r.Host, len(b), r.Header.Get("x-a"))
		w.Header().Set("X-T", "v")
	}))
	for range 3 {
		req, _ := http.NewRequest("POST", "http://shop.test/x", strings.NewReader(strings.Repeat("x", 300000)))
		req.Header.Set("X-A", "b")
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil || string(b) != "POST shop.test 300000 b" || resp.Trailer.Get("X-T") != "v" {
			t.Errorf("%q %v %v", b, err, resp.Trailer)
		}
	}
}
