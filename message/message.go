// Package message holds the verbs of conversations that are sequences of
// messages: raw TCP, WebSocket, and later UDP.
package message

import (
	"context"

	"transom/flow"
)

// A Direction says which way a message goes. It indexes the pairs in
// flow.Messages.
type Direction uint8

const (
	ToServer Direction = iota
	ToClient
)

// A Message is one message in flight. Payload is valid until the handler
// returns; on a byte stream it is what one read gave, and the boundaries mean
// nothing.
type Message struct {
	Dir     Direction
	Op      uint8 // opcode of WebSocket (RFC 6455, section 11.8): 1 text, 2 binary, 8 close, 9 ping, 10 pong; 0 elsewhere
	Payload []byte
}

// A Handler passes one message on. It may change it, drop it (by not calling
// the next handler) or add messages (by calling it more than once, also with
// another direction). The two directions of one conversation call it at the
// same time. It uses the context it was given when it calls the next one: that
// is how a message is known to be the one that came. An error ends the
// conversation.
type Handler interface {
	Message(ctx context.Context, c *flow.Conn, m *Message) error
}

// HandlerFunc adapts a function to a Handler.
type HandlerFunc func(context.Context, *flow.Conn, *Message) error

// Message calls f.
func (f HandlerFunc) Message(ctx context.Context, c *flow.Conn, m *Message) error {
	return f(ctx, c, m)
}

// Middleware wraps a Handler.
type Middleware func(next Handler) Handler

// Chain composes middleware; the first sees each message first.
func Chain(mw ...Middleware) Middleware {
	return func(h Handler) Handler {
		for i := len(mw) - 1; i >= 0; i-- {
			h = mw[i](h)
		}
		return h
	}
}
