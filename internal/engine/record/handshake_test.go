package record_test

import (
	"context"
	"net"
	"testing"

	"transom/exchange"
	"transom/flow"
	"transom/internal/engine/record"
	"transom/message"
)

// Who takes an exchange over is told which it was, and its flow and theirs name
// each other.
func TestHandshake(t *testing.T) {
	for _, tc := range []struct {
		name, method, protocol string
		status                 int
		began                  bool
	}{
		{"upgrade", "GET", "", 101, true},
		{"extended-connect", "CONNECT", "websocket", 200, true},
		{"tunnel", "CONNECT", "", 200, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, s := newRecorder(t)
			c := r.Conn(newInfo())
			var h *record.Handshake
			server := exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
				resp := response(tc.status, exchange.NoBody())
				resp.Takeover = func(ctx context.Context, _ net.Conn) error {
					h = record.HandshakeOf(ctx)
					return nil
				}
				return resp, nil
			})
			req := request(tc.method, exchange.NoBody())
			req.Protocol = tc.protocol
			resp, err := c.HTTP(nil)(server).Exchange(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			if record.HandshakeOf(t.Context()) != nil || resp.Takeover(t.Context(), nil) != nil || h == nil {
				t.Fatalf("taken over as %+v", h)
			}
			fs := s.take()
			f := fs[len(fs)-1]
			d := f.Detail.(*flow.HTTP)
			if h.ID != f.ID || h.Began != d.Began || h.Began.IsZero() == tc.began || h.Response.Status != tc.status || h.Request.Method != tc.method {
				t.Errorf("%+v of %+v", h, d)
			}
			if !tc.began {
				return
			}
			m := c.Begun(h, "websocket", newInfo(), nil)
			m.Note("odd")
			m.Message(message.Entry{Dir: message.ToClient, Op: 2, Size: 1000, Payload: []byte("abc")})
			m.End(flow.FIN, flow.FIN)
			fs = s.take()
			f = fs[len(fs)-1]
			msgs := f.Detail.(*flow.Messages)
			if m.ID() != f.ID || f.ID != h.Began || f.Type() != "websocket" || msgs.Handshake != h.ID || msgs.Request != h.Request || len(msgs.Notes) != 1 {
				t.Errorf("%+v, %+v", f, msgs)
			}
			if msgs.Bytes != [2]int64{0, 1000} || msgs.Count != [2]int64{0, 1} || entries(t, s, msgs.Log) == "" {
				t.Errorf("%+v", msgs)
			}
		})
	}
}
