package engine

import (
	"context"
	"log/slog"

	"transom/flow"
)

// debug logs a step of the connection, for who looks for why it went as it did.
func (s *session) debug(what string, args ...any) {
	if s.e.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.e.Log.Debug(what, append([]any{"conn", s.info.ID.String()}, args...)...)
	}
}

// debugBegin, debugLayer and debugEnd are the steps of every connection.
func (s *session) debugBegin() {
	s.debug("connection", "client", s.info.Client, "dst", s.info.Target(), "capture", s.info.Via)
}

func (s *session) debugLayer(l flow.Layer) {
	proto := l.Proto
	if proto == "" {
		proto = "unknown"
	}
	s.debug("found", "protocol", proto, "host", l.Host)
}

func (s *session) debugEnd(err error) {
	args := []any{"action", s.end.Action, "reason", s.end.Reason, "client", s.end.Client, "server", s.end.Server}
	if l := s.info.Server; l != nil {
		args = append(args, "from", l.From, "to", l.To)
	}
	if err != nil {
		args = append(args, "err", err)
	}
	s.debug("connection ended", args...)
}
