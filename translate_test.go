package transom_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"transom/exchange"
	"transom/internal/proto/h1"
	"transom/internal/proto/h2"
	"transom/internal/testnet"
)

// A served conn is a listener with one connection.
type served chan net.Conn

func (s served) Accept() (net.Conn, error) {
	if c, ok := <-s; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (s served) Close() error { close(s); return nil }
func (served) Addr() net.Addr { return &net.TCPAddr{} }

// protocols speaks HTTP/2 alone, or HTTP/1 alone.
func protocols(two bool) *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(two)
	p.SetHTTP1(!two)
	return p
}

// translated is a client of one version that reaches a server of the other
// through our codecs; both ends are the standard library's.
func translated(t *testing.T, from2 bool, origin http.HandlerFunc) *http.Client {
	a, b := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")
	client, near := testnet.Pipe(a, b)
	l := served(make(chan net.Conn, 1))
	dial := func() net.Conn {
		far, server := testnet.Pipe(a, b)
		l <- server
		return far
	}
	srv := &http.Server{Handler: origin, Protocols: protocols(!from2)}
	done := make(chan error, 2)
	go func() { done <- srv.Serve(l) }()
	var up exchange.Handler
	if from2 { // HTTP/1.1 carries one exchange at a time
		up = exchange.HandlerFunc(func(ctx context.Context, req *exchange.Request) (*exchange.Response, error) {
			c := h1.NewClient(dial(), h1.ClientOptions{})
			context.AfterFunc(ctx, func() { c.Close() })
			return c.Exchange(ctx, req)
		})
	} else {
		c := h2.NewClient(dial(), nil, h2.ClientOptions{})
		t.Cleanup(func() { c.Close() })
		up = c
	}
	go func() {
		if from2 {
			done <- h2.NewServer(near, nil, up, h2.Options{}).Serve(context.Background())
		} else {
			done <- h1.NewServer(near, nil, up, h1.Options{}).Serve(context.Background())
		}
		near.Close()
	}()
	tr := &http.Transport{
		Protocols: protocols(from2), DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil },
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		client.Close()
		srv.Close()
		<-done
		<-done
	})
	return &http.Client{Transport: tr}
}

// TestTranslation: a request of either version reaches a server of the other
// with the same meaning, and so does the response.
func TestTranslation(t *testing.T) {
	for name, from2 := range map[string]bool{"h2-to-h1": true, "h1-to-h2": false} {
		t.Run(name, func(t *testing.T) {
			c := translated(t, from2, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				w.Header().Set("X-Odd-Case", "kept")
				w.Header().Set("Trailer", "X-Sum")
				w.WriteHeader(201)
				fmt.Fprintf(w, "%s %s%s %v; te %q; cookie %q; up %q; length %d; body %d %v; trailer %q",
					r.Method, r.Host, r.URL, r.Header["X-A"], r.Header.Get("Te"), r.Header.Get("Cookie"), r.Header.Get("Upgrade"),
					r.ContentLength, len(body), err, r.Trailer.Get("X-End"))
				w.Header().Set("X-Sum", "42")
			})
			for range 2 {
				req, err := http.NewRequest("POST", "http://shop.test/a?b", io.LimitReader(strings.NewReader(strings.Repeat("x", 70000)), 70000))
				if err != nil {
					t.Fatal(err)
				}
				req.Header = http.Header{"X-A": {"1", "2"}, "Te": {"trailers"}, "Cookie": {"a=b", "c=d"}}
				req.Trailer = http.Header{"X-End": {"e"}}
				resp, err := c.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(resp.Body)
				want := `POST shop.test/a?b [1 2]; te "trailers"; cookie "a=b; c=d"; up ""; length -1; body 70000 <nil>; trailer "e"`
				if err != nil || string(got) != want {
					t.Errorf("the server understood\n%s, %v; want\n%s", got, err, want)
				}
				if resp.StatusCode != 201 || resp.Header.Get("X-Odd-Case") != "kept" || resp.Trailer.Get("X-Sum") != "42" {
					t.Errorf("the client understood %d %v %v", resp.StatusCode, resp.Header, resp.Trailer)
				}
				if v := slices.Contains(resp.TransferEncoding, "chunked"); v == from2 {
					t.Errorf("transfer encoding %v", resp.TransferEncoding)
				}
			}
			head, err := c.Head("http://shop.test/")
			if err != nil || head.StatusCode != 201 {
				t.Errorf("HEAD: %v %v", head, err)
			}
		})
	}
}
