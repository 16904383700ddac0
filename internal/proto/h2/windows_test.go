package h2_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"transom/internal/proto/h2"
	"transom/internal/testnet"
)

// TestWindowAnnouncedTwice has a client make its windows smaller and then larger
// before its server has acknowledged either: what the server may send is the
// larger one, once it has.
func TestWindowAnnouncedTwice(t *testing.T) {
	for range 20 { // a reader that waits opens the window by itself, if it comes first
		client, near := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
		far, server := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
		up := h2.NewClient(far, nil, h2.ClientOptions{Mirror: true})
		srv := h2.NewServer(near, nil, up, h2.Options{Upstream: up})
		done := make(chan error, 1)
		go func() { done <- srv.Serve(context.Background()) }()

		io.WriteString(client, http2.ClientPreface)
		c := http2.NewFramer(client, client)
		c.WriteSettings()
		c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 5})
		c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: true, EndHeaders: true, BlockFragment: block(
			":method", "GET", ":scheme", "http", ":authority", "shop.test", ":path", "/")})
		serve5(t, server)
		c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
		if got := payload(t, c); got != "hello" {
			t.Errorf("the client got %q", got)
		}
		client.Close()
		<-done
		near.Close()
		up.Close()
		server.Close()
	}
}

// serve5 answers a request with as much as the client's last settings allow.
func serve5(t *testing.T, nc net.Conn) {
	t.Helper()
	if _, err := io.ReadFull(nc, make([]byte, len(http2.ClientPreface))); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	fr := http2.NewFramer(&out, nc)
	fr.WriteSettings()
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			fr.WriteSettingsAck()
		}
		if f.Header().Type == http2.FrameHeaders {
			break
		}
	}
	fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, BlockFragment: block(":status", "200")})
	fr.WriteData(1, true, []byte("hello"))
	nc.Write(out.Bytes())
}

// payload returns the payload of one stream, or how it was reset.
func payload(t *testing.T, fr *http2.Framer) (got string) {
	t.Helper()
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch f := f.(type) {
		case *http2.DataFrame:
			if got += string(f.Data()); f.StreamEnded() {
				return got
			}
		case *http2.RSTStreamFrame:
			return f.ErrCode.String()
		}
	}
}

func block(fields ...string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}
