package relay

import (
	"context"
	"io"
	"net"

	"transom/message"
)

// A Conversation decides what becomes of the bytes of both directions. Each has
// a goroutine of its own.
type Conversation interface {
	// Pass is given what came. Its error ends both sides.
	Pass(ctx context.Context, dir message.Direction, p []byte) error
	// Finish is called when nothing more will come, before the other side is
	// ended like this one; or after it, if that side takes nothing more.
	Finish(dir message.Direction) error
}

// Through relays as Copy does, through the conversation that begin returns. It
// is given where to write what is to be sent.
func (r *Relay) Through(ctx context.Context, client, server Side, begin func(client, server io.Writer) Conversation) Result {
	sent := new(counts)
	c := begin(&counted{client.Conn, message.ToClient, sent}, &counted{server.Conn, message.ToServer, sent})
	return r.run(ctx, client, server, way{sent: sent, finish: c.Finish, pass: func(dir message.Direction, p []byte) error {
		return c.Pass(ctx, dir, p)
	}})
}

// counted counts what is written to one side.
type counted struct {
	to   net.Conn
	dir  message.Direction
	sent *counts
}

// Write implements io.Writer.
func (c *counted) Write(p []byte) (int, error) {
	return len(p), c.sent.write(c.to, c.dir, p)
}
