package engine

import (
	"context"
	"errors"
	"fmt"
	"net"

	"transom/flow"
	"transom/internal/engine/record"
	"transom/internal/engine/relay"
	"transom/message"
)

// An injectable conversation takes messages from outside.
type injectable interface {
	Inject(ctx context.Context, m message.Message) error
}

// converses says that messages can be put into the flow called id, conversed
// that this is over.
func (e *Engine) converses(id flow.ID, c injectable) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.conversations == nil {
		e.conversations = map[flow.ID]injectable{}
	}
	e.conversations[id] = c
}

func (e *Engine) conversed(id flow.ID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.conversations, id)
}

// Inject puts m into a conversation that goes on; message.ErrUnknown says that
// there is none called id.
func (e *Engine) Inject(ctx context.Context, id flow.ID, m message.Message) error {
	e.mu.Lock()
	c := e.conversations[id]
	e.mu.Unlock()
	if c == nil {
		return message.ErrUnknown
	}
	return c.Inject(ctx, m)
}

// converse relays what comes as messages without bounds of their own.
func (s *session) converse(ctx context.Context, m *record.Messages, info *flow.Conn, client, server relay.Side) relay.Result {
	defer s.e.conversed(m.ID())
	tap := m.Middleware()
	r := s.e.relay().Messages(ctx, info, client, server, func(next message.Handler) message.Handler {
		s.e.converses(m.ID(), &bytesConversation{m: m, to: next, info: info})
		return tap(next)
	})
	s.conversationEnded(ctx, m, r)
	return r
}

// A bytesConversation is a stream whose messages have no bounds: whatever is put
// in goes wherever the stream has come to.
type bytesConversation struct {
	m    *record.Messages
	to   message.Handler
	info *flow.Conn
}

// Inject implements injectable.
func (b *bytesConversation) Inject(ctx context.Context, m message.Message) error {
	if m.Op != 0 {
		return fmt.Errorf("%w: opcode %#x in a stream of bytes", message.ErrInvalid, m.Op)
	}
	m.Dir &= 1
	err := b.to.Message(ctx, b.info, &m)
	switch {
	case errors.Is(err, net.ErrClosed):
		return message.ErrEnded
	case err != nil:
		return fmt.Errorf("put a message into a conversation: %w", err)
	}
	b.m.Message(message.Entry{Dir: m.Dir, Injected: true, Size: int64(len(m.Payload)), Payload: m.Payload})
	return nil
}
