package engine

import (
	"context"
	"errors"
	"net"

	"transom/flow"
	"transom/internal/engine/leg"
	"transom/internal/engine/record"
	"transom/internal/engine/relay"
	"transom/internal/proto/h2"
)

// words says for a record how a side ended that gave err. Where the side is a
// stream among others, its reset is no connection's.
func words(side string, how flow.Close, err error) string {
	if reset := resetOf(err); reset != nil {
		return side + " reset the stream (" + reset.Code.String() + ")"
	}
	return leg.Words(side, how)
}

// resetOf returns the peer's reset of a stream that err tells of, or nil.
func resetOf(err error) *h2.StreamError {
	var reset *h2.StreamError
	if errors.As(err, &reset) && reset.Remote {
		return reset
	}
	return nil
}

// conversationEnded ends the record of a conversation: by how its sides ended,
// or by why we have cut it.
func (s *session) conversationEnded(ctx context.Context, m *record.Messages, r relay.Result) {
	why := ""
	err := cause(s.ctx) // which is done before the streams are cut, and ctx perhaps after
	if err == nil {
		err = cause(ctx)
	}
	switch {
	case resetOf(err) != nil: // the client's stream, with which the exchange ends
		why = words("client", flow.RST, err)
	case r.Client == flow.RST:
		why = words("client", r.Client, r.ClientErr)
	case r.Server == flow.RST:
		why = words("server", r.Server, r.ServerErr)
	case r.Client != flow.ClosedByUs && r.Server != flow.ClosedByUs: // nobody had to cut it
	case err != nil && !errors.Is(err, net.ErrClosed): // which is what a closed stream's exchange ends with
		why = err.Error()
	}
	if why != "" {
		m.Fail(why)
		return
	}
	m.End(r.Client, r.Server)
}
