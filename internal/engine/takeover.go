package engine

import (
	"context"
	"io"
	"net"

	"transom/flow"
	"transom/internal/engine/record"
	"transom/internal/engine/relay"
	"transom/internal/engine/upstream"
	"transom/internal/proto/ws"
)

// takeover carries on a stream whose HTTP is over. WebSocket is relayed and
// recorded message by message, anything else that an Upgrade began as what was
// read; a tunnel that a captured client has opened through somebody else's
// proxy is looked into like any connection.
func (s *session) takeover(ctx context.Context, req *flow.RequestHead, client, server net.Conn) error {
	h := record.HandshakeOf(ctx)
	c, sv := relay.Side{Conn: client}, relay.Side{Conn: server}
	switch {
	case req.Method == "CONNECT" && req.Protocol == "":
		return s.tunnel(ctx, req, client, server)
	case h == nil: // policy wants it left alone
		s.streamRelayed(s.e.relay().Copy(ctx, c, sv))
	case h.Response != nil && h.Response.Status == 101 && h.Response.Header.HasToken("Upgrade", "h2c"):
		return s.upgraded(ctx, h, client, server)
	case beginsWebSocket(h):
		s.webSocket(ctx, h, c, sv)
	default:
		s.streamRelayed(s.converse(ctx, s.rec.Begun(h, "tcp", h.Conn, s.p.Messages), h.Conn, c, sv))
	}
	return cause(ctx)
}

// beginsWebSocket reports whether both sides have agreed to (RFC 6455, section
// 4.2.2; RFC 8441, section 5).
func beginsWebSocket(h *record.Handshake) bool {
	switch {
	case h.Response == nil:
		return false // who answered knows what it is, we don't
	case h.Request.Method == "CONNECT":
		return flow.EqualFold(h.Request.Protocol, "websocket")
	}
	return h.Response.Status == 101 && h.Response.Header.HasToken("Upgrade", "websocket")
}

// webSocket relays messages.
func (s *session) webSocket(ctx context.Context, h *record.Handshake, client, server relay.Side) {
	info := h.Conn.With(flow.Layer{Proto: "ws"})
	m := s.rec.Begun(h, "websocket", info, nil) // which is told by the conversation
	defer s.e.conversed(m.ID())
	r := s.e.relay().Through(ctx, client, server, func(client, server io.Writer) relay.Conversation {
		c := ws.New(client, server, ws.Options{
			Response: h.Response.Header, Record: m, Handlers: s.p.Messages, Info: info,
			Assemble: s.e.Message, Budget: s.e.Budget,
		})
		s.e.converses(m.ID(), c)
		return c
	})
	s.conversationEnded(ctx, m, r)
	s.streamRelayed(r)
}

// streamRelayed counts what was relayed for what HTTP has begun. Where that is a
// stream among others, how it ended says nothing about the connection.
func (s *session) streamRelayed(r relay.Result) {
	if s.info.Last().Proto != "h2" {
		s.relayed(r)
	}
}

func (s *session) tunnel(ctx context.Context, req *flow.RequestHead, client, server net.Conn) error {
	info := *s.info
	info.ID, info.Via, info.Host = flow.NewID(info.Start), "connect", req.Target
	if host, _, err := splitAuthority(req.Target, ""); err == nil {
		info.Host = host
	}
	raw := s.raw
	if s.info.Last().Proto == "h2" {
		raw = client // others go on beside it
	}
	inner := &session{e: s.e, p: s.p, raw: raw, ctx: s.ctx, cancel: s.cancel, c: client, info: &info}
	inner.up = upstream.Over(inner.upstreamConfig(), server, s.up.Leg())
	inner.carry(ctx, s.rec)
	return cause(ctx)
}

// carry sees a tunnel to its end, with a record of its own within the outer one.
func (s *session) carry(ctx context.Context, outer *record.Conn) {
	s.rec = outer.Within(s.info)
	s.e.enter(s)
	defer s.e.leave(s)
	s.debugBegin()
	err := s.layers(ctx, s.p.Policy.Decide(s.info))
	s.hangUpLike(err)
	s.finish(err)
}
