package h1_test

import (
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"

	"transom/exchange"
	"transom/flow"
	"transom/internal/proto/h1"
	"transom/internal/testnet"
)

// rawValues are those that two sides of HTTP/2 may have agreed to.
var rawValues = map[string]flow.Header{
	"nul":   {{Name: "a-bin", Value: "\x00"}},
	"lines": {{Name: "a-bin", Value: "a\r\nb: c"}},
	"cr":    {{Name: "a-bin", Value: "a\r"}},
	"space": {{Name: "a-bin", Value: " a"}},
}

// A bodyOf is a body with a trailer section.
type bodyOf struct {
	io.Reader
	trailer flow.Header
}

func (bodyOf) Close() error           { return nil }
func (b bodyOf) Trailer() flow.Header { return b.trailer }

func trailed(t flow.Header) *exchange.Body {
	b := &exchange.Body{}
	b.Reset(bodyOf{strings.NewReader("body"), t}, -1, nil)
	return b
}

func binaryPipe() (near, far *testnet.Conn) {
	return testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2"))
}

// TestBinaryRequests are not written, for their values would be lines.
func TestBinaryRequests(t *testing.T) {
	for name, fields := range rawValues {
		t.Run(name, func(t *testing.T) {
			for part, req := range map[string]*exchange.Request{
				"head":    {RequestHead: flow.RequestHead{Header: fields}, Body: exchange.NoBody()},
				"trailer": {Body: trailed(fields)},
			} {
				near, far := binaryPipe()
				c := h1.NewClient(near, h1.ClientOptions{})
				_ = far.CloseWrite() // who sends it sees no answer
				req.Method, req.Scheme, req.Authority, req.Target, req.Proto = "POST", "https", "a.test", "/", flow.HTTP2
				_, err := c.Exchange(context.Background(), req)
				c.Close()
				got, _ := io.ReadAll(far)
				if err == nil || strings.Contains(string(got), "a-bin") || strings.HasSuffix(string(got), "0\r\n\r\n") {
					t.Errorf("%s: the server received %q, %v", part, got, err)
				}
				far.Close()
			}
		})
	}
}

// TestBinaryResponses are not written either.
func TestBinaryResponses(t *testing.T) {
	for name, fields := range rawValues {
		t.Run(name, func(t *testing.T) {
			for part, resp := range map[string]*exchange.Response{
				"head":    {ResponseHead: flow.ResponseHead{Header: fields}, Body: exchange.NoBody()},
				"trailer": {Body: trailed(fields)},
			} {
				near, far := binaryPipe()
				resp.Status, resp.Proto = 200, flow.HTTP2
				s := h1.NewServer(near, nil, exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
					return resp, nil
				}), h1.Options{})
				io.WriteString(far, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
				err := s.Serve(context.Background())
				near.Close()
				got, _ := io.ReadAll(far)
				if err == nil || strings.Contains(string(got), "a-bin") || strings.HasSuffix(string(got), "0\r\n\r\n") {
					t.Errorf("%s: the client received %q, %v", part, got, err)
				}
				far.Close()
			}
		})
	}
}
