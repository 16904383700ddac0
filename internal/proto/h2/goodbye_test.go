package h2_test

import (
	"context"
	"io"
	"net/netip"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"transom/exchange"
	"transom/internal/proto/h2"
	"transom/internal/testnet"
)

// TestGoodbye ends a connection while what was said before waits for the client
// to read: that comes first, and then why it ends.
func TestGoodbye(t *testing.T) {
	hello := exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		return exchange.Text(200, "hello"), nil
	})
	for name, tc := range map[string]struct {
		end  func(c *http2.Framer, s *h2.Server)
		code http2.ErrCode
	}{
		"violation": {func(c *http2.Framer, _ *h2.Server) { c.WriteRawFrame(http2.FramePing, 0, 3, make([]byte, 8)) }, http2.ErrCodeProtocol},
		"drain":     {func(_ *http2.Framer, s *h2.Server) { s.Drain() }, http2.ErrCodeNo},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, near := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
				client.SetReadBuffer(1)
				s := h2.NewServer(near, nil, hello, h2.Options{})
				done := make(chan error, 1)
				go func() {
					done <- s.Serve(context.Background())
					near.Close()
				}()
				c := http2.NewFramer(client, client)
				io.WriteString(client, http2.ClientPreface)
				c.WriteSettings()
				c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: block(
					":method", "GET", ":scheme", "http", ":authority", "shop.test", ":path", "/")})
				synctest.Wait()
				tc.end(c, s)
				synctest.Wait()

				var body string
				code := http2.ErrCode(0xff)
				for {
					f, err := c.ReadFrame()
					if err != nil {
						break
					}
					switch f := f.(type) {
					case *http2.DataFrame:
						body += string(f.Data())
					case *http2.GoAwayFrame:
						code = f.ErrCode
					}
				}
				if body != "hello" || code != tc.code {
					t.Errorf("the client got %q and %v, want %q and %v", body, code, "hello", tc.code)
				}
				client.Close()
				<-done
			})
		})
	}
}
