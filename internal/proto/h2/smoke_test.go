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

	"golang.org/x/net/http2"

	"transom/internal/proto/h2"
	"transom/internal/testnet"
)

// through serves handler's HTTP/2 with x/net behind a Client and a Server of
// ours, and returns a transport of x/net for it.
func through(t *testing.T, handler http.Handler) *http2.Transport {
	client, near := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
	far, server := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
	up := h2.NewClient(far, nil, h2.ClientOptions{Mirror: true})
	srv := h2.NewServer(near, nil, up, h2.Options{Scheme: "http", Upstream: up})
	go (&http2.Server{}).ServeConn(server, &http2.ServeConnOpts{Handler: handler})
	done := make(chan error, 1)
	go func() { done <- srv.Serve(context.Background()) }()
	tr := &http2.Transport{AllowHTTP: true, DialTLSContext: nil}
	cc, err := tr.NewClientConn(client)
	if err != nil {
		t.Fatal(err)
	}
	tr.ConnPool = pool{cc}
	t.Cleanup(func() {
		client.Close()
		t.Log(<-done)
		near.Close()
		up.Close()
	})
	return tr
}

type pool struct{ cc *http2.ClientConn }

func (p pool) GetClientConn(*http.Request, string) (*http2.ClientConn, error) { return p.cc, nil }
func (p pool) MarkDead(*http2.ClientConn)                                     {}

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

var _ net.Conn
