package transom

import (
	"context"
	"errors"
	"fmt"

	"transom/flow"
	"transom/message"
	"transom/store"
)

// Inject puts a message of ours into a conversation that goes on: into a
// WebSocket between two messages, into a stream of bytes wherever that has come
// to. id is that of its flow, m.Dir says which way. It passes no middleware, and
// is recorded as injected. Inject returns when m has been written, or can't be;
// until then it uses m.Payload. Middleware with more to say calls the next
// handler again instead: Inject may wait for what middleware holds up.
//
// Its error wraps one of package message: ErrUnknown, ErrEnded, ErrBusy,
// ErrOpaque or ErrInvalid; or is the context's, or that of writing.
func (p *Proxy) Inject(ctx context.Context, id flow.ID, m message.Message) error {
	p.setup()
	err := p.engine.Inject(ctx, id, m)
	if errors.Is(err, message.ErrUnknown) {
		err = p.whyNot(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("inject into %s: %w", id, err)
	}
	return nil
}

// whyNot says why nothing can be put into the flow called id.
func (p *Proxy) whyNot(ctx context.Context, id flow.ID) error {
	q := store.Query{Limit: 1, Match: func(f *flow.Flow) bool { return f.ID == id }}
	for f, err := range p.Store.Flows(ctx, q) {
		if err != nil {
			return err
		}
		if _, ok := f.Detail.(*flow.Messages); !ok {
			return fmt.Errorf("%w: it is of type %s", message.ErrOpaque, f.Type())
		}
		return message.ErrEnded
	}
	return message.ErrUnknown
}
