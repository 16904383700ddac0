package h2_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"

	"transom/internal/proto/h2"
	"transom/internal/testnet"
)

// TestPings has a client ping whenever payload has come, as some do to find how
// large its windows should be. What the server sent at once comes to the client
// piece by piece, and a server may end a connection on which it is pinged more
// often than it sends something.
func TestPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, near := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
		far, server := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
		up := h2.NewClient(far, nil, h2.ClientOptions{Mirror: true})
		srv := h2.NewServer(near, nil, up, h2.Options{Upstream: up})
		done := make(chan error, 1)
		go func() { done <- srv.Serve(context.Background()) }()
		pinged := make(chan byte, 10)
		go func() {
			defer close(pinged)
			servePings(server, pinged)
		}()

		io.WriteString(client, http2.ClientPreface)
		c := http2.NewFramer(client, client)
		c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: block(
			":method", "GET", ":scheme", "http", ":authority", "shop.test", ":path", "/")})
		want := func(kind http2.FrameType) {
			t.Helper()
			for {
				f, err := c.ReadFrame()
				if err != nil {
					t.Fatalf("waiting for %v: %v", kind, err)
				}
				if f.Header().Type == kind {
					return
				}
			}
		}
		ping := func(n byte) {
			t.Helper()
			c.WritePing(false, [8]byte{n})
			want(http2.FramePing)
		}
		for n := byte(1); n <= 3; n++ { // 30 bytes come in three
			c.WriteWindowUpdate(1, 10)
			want(http2.FrameData)
			ping(n)
		}
		ping(4) // nothing has come: is the server still there?
		client.Close()
		<-done
		near.Close()
		up.Close()
		server.Close()
		var seen []byte
		for n := range pinged {
			seen = append(seen, n)
		}
		if !slices.Equal(seen, []byte{1, 4}) {
			t.Errorf("the server has got the pings %v, want 1 and 4", fmt.Sprint(seen))
		}
	})
}

// servePings answers the first request at once, as far as it is let, and pings.
func servePings(nc *testnet.Conn, pinged chan<- byte) {
	io.ReadFull(nc, make([]byte, len(http2.ClientPreface)))
	fr := http2.NewFramer(nc, nc)
	fr.WriteSettings()
	for answered := false; ; {
		f, err := fr.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				fr.WriteSettingsAck()
			}
		case *http2.WindowUpdateFrame: // its reader waits; it is as large as we need
			if answered {
				continue
			}
			answered = true
			fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "200")})
			fr.WriteData(1, true, make([]byte, 30))
		case *http2.PingFrame:
			if !f.IsAck() {
				pinged <- f.Data[0]
				fr.WritePing(true, f.Data)
			}
		}
	}
}
