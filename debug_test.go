package transom_test

import (
	"log/slog"
	"strings"
	"testing"

	"transom"
	"transom/internal/testnet"
)

// TestDebugLog: each connection has its lines, under one name, and none unless
// asked.
func TestDebugLog(t *testing.T) {
	for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo} {
		t.Run(level.String(), func(t *testing.T) {
			var log testnet.Log
			inWorld(t, func(p *transom.Proxy) {
				p.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
			}, func(w *world) {
				var o origin
				w.net.Handle(serverAddr, func(c *testnet.Conn) { o.answer("HTTP/1.1 204 No\r\n\r\n")(c) })
				c := w.dial(serverAddr)
				w.say(c, untidy)
				w.hear(c, "HTTP/1.1 204 No\r\n\r\n")
				c.Close()
				id := w.only("conn").Conn.ID.String()
				want := []string{"msg=connection conn=" + id, `msg=found conn=` + id + ` protocol=http/1.1`, `msg="connection ended" conn=` + id}
				if level > slog.LevelDebug {
					want = nil
				}
				if n := strings.Count(log.String(), "conn="+id); n != len(want) {
					t.Errorf("%d lines, want %d:\n%s", n, len(want), &log)
				}
				for _, text := range want {
					if !strings.Contains(log.String(), text) {
						t.Errorf("%q is not in\n%s", text, &log)
					}
				}
			})
		})
	}
}
