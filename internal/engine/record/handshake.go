package record

import (
	"context"
	"net"
	"time"

	"transom/exchange"
	"transom/flow"
)

// A Handshake is an exchange whose response had something take over what carried
// it: 101, or 2xx to a CONNECT. Its values must not be changed.
type Handshake struct {
	ID       flow.ID            // of its flow
	Began    flow.ID            // of the flow of what took over; zero for a tunnel, which is a connection
	Conn     *flow.Conn         // it was on
	Request  *flow.RequestHead  // as it was sent
	Response *flow.ResponseHead // as it came; nil if it did not come from a server
}

type handshakeKey struct{}

// HandshakeOf returns the exchange whose Takeover was given ctx, or nil if it is
// not recorded.
func HandshakeOf(ctx context.Context) *Handshake {
	h, _ := ctx.Value(handshakeKey{}).(*Handshake)
	return h
}

// handshake tells who takes over which exchange it was.
func (x *live) handshake(resp *exchange.Response) {
	take, h := resp.Takeover, &Handshake{ID: x.start.flow.ID}
	x.mu.Lock()
	h.Conn, h.Request = x.conn, &x.kept.req
	if x.sent != nil {
		h.Request = x.sent
	}
	if x.respIn != nil {
		got := x.got
		h.Response = &got
	}
	if x.kept.req.Method != "CONNECT" || x.kept.req.Protocol != "" {
		h.Began = flow.NewID(time.Now())
		x.kept.http.Began = h.Began
	}
	x.mu.Unlock()
	resp.Takeover = func(ctx context.Context, client net.Conn) error {
		return take(context.WithValue(ctx, handshakeKey{}, h), client)
	}
}
