package h1_test

import (
	"context"
	"net/netip"
	"testing"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h1"
	"transom/internal/testnet"
)

// TestUntranslatableRequests: what HTTP/1.1 has no words for is not sent in
// others, which a server would take for another request.
func TestUntranslatableRequests(t *testing.T) {
	for name, head := range map[string]flow.RequestHead{
		"extended-connect": {Method: "CONNECT", Protocol: "websocket", Scheme: "https", Authority: "a.test", Target: "/chat"},
		"other-scheme":     {Method: "GET", Scheme: "ftp", Authority: "a.test", Target: "http://b.test/"},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
			defer far.Close()
			c := h1.NewClient(near, h1.ClientOptions{})
			defer c.Close()
			_ = far.CloseWrite() // who sends it sees no answer
			head.Proto = flow.HTTP2
			if _, err := c.Exchange(context.Background(), &exchange.Request{RequestHead: head, Body: exchange.NoBody()}); err == nil {
				t.Error("no error")
			}
			if n := far.Buffered(); n > 0 || !c.Usable() {
				t.Errorf("the server received %d bytes; usable %v", n, c.Usable())
			}
		})
	}
}
