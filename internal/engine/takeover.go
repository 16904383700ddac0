package engine

import (
	"context"
	"net"

	"transom/flow"
	"transom/internal/engine/relay"
	"transom/internal/engine/upstream"
)

// takeover carries on a connection whose HTTP is over. What an Upgrade began is
// relayed and recorded as messages; a tunnel that a captured client has opened
// through somebody else's proxy is looked into like any connection.
func (s *session) takeover(ctx context.Context, req *flow.RequestHead, client, server net.Conn) error {
	if req.Method != "CONNECT" {
		m := s.rec.Messages(s.info, s.p.Messages)
		r := s.e.relay().Messages(ctx, s.info, relay.Side{Conn: client}, relay.Side{Conn: server}, m.Middleware())
		m.End(r.Client, r.Server)
		s.relayed(r)
		return cause(ctx)
	}
	info := *s.info
	info.ID, info.Via, info.Host = flow.NewID(info.Start), "connect", req.Target
	if host, _, err := splitAuthority(req.Target, ""); err == nil {
		info.Host = host
	}
	inner := &session{e: s.e, p: s.p, raw: s.raw, cancel: s.cancel, c: client, info: &info}
	inner.up = upstream.Over(inner.upstreamConfig(), server, s.up.Leg())
	inner.carry(ctx)
	return cause(ctx)
}

// carry sees a tunnel to its end, with a record of its own.
func (s *session) carry(ctx context.Context) {
	s.rec = s.e.Recorder.Conn(s.info)
	s.e.enter(s)
	defer s.e.leave(s)
	err := s.layers(ctx, s.p.Policy.Decide(s.info))
	s.hangUpLike(err)
	s.finish(err)
}
