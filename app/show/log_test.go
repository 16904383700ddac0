package show_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"transom/app/show"
)

func TestLogHandler(t *testing.T) {
	for name, tc := range map[string]struct {
		log  func(*slog.Logger)
		want string
	}{
		"info":    {func(l *slog.Logger) { l.Info("it is back") }, "transom: it is back\n"},
		"warning": {func(l *slog.Logger) { l.Warn("it is gone", "what", "table inet x", "n", 2) }, `transom: warning: it is gone what="table inet x" n=2` + "\n"},
		"error":   {func(l *slog.Logger) { l.Error("no", "err", errors.New(`a "b"`)) }, `transom: error: no err="a \"b\""` + "\n"},
		"debug":   {func(l *slog.Logger) { l.Debug("connection", "conn", "1-2") }, "transom: debug: connection conn=1-2\n"},
		"with":    {func(l *slog.Logger) { l.With("a", 1).Info("m", "b", 2) }, "transom: m a=1 b=2\n"},
		"group":   {func(l *slog.Logger) { l.WithGroup("g").With("a", 1).Info("m", "time", 2) }, "transom: m g.a=1 g.time=2\n"},
		"none":    {func(l *slog.Logger) { l.Log(t.Context(), slog.LevelDebug-1, "m") }, ""},
		"lines":   {func(l *slog.Logger) { l.Info("a\ntransom: b\x1b[2J", "k", "c\nd") }, `transom: a transom: b [2J k="c\nd"` + "\n"},
		"again":   {func(l *slog.Logger) { l.Info("long", "k", strings.Repeat("v", 9)); l.Info("m") }, "transom: long k=vvvvvvvvv\ntransom: m\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			tc.log(slog.New(show.LogHandler(&out, slog.LevelDebug)))
			if out.String() != tc.want {
				t.Errorf("%q, want %q", &out, tc.want)
			}
		})
	}
}

// TestLogHandlerLevel: what is below it is not said.
func TestLogHandlerLevel(t *testing.T) {
	var out bytes.Buffer
	l := slog.New(show.LogHandler(&out, slog.LevelWarn))
	l.Info("no")
	l.With("a", 1).Warn("yes")
	if out.String() != "transom: warning: yes a=1\n" {
		t.Errorf("%q", &out)
	}
}

// A lineWriter counts the Writes that are a line.
type lineWriter struct{ whole, other int }

func (w *lineWriter) Write(p []byte) (int, error) {
	if s := string(p); strings.HasPrefix(s, "transom: ") && strings.Index(s, "\n") == len(s)-1 {
		w.whole++
	} else {
		w.other++
	}
	return len(p), nil
}

// TestLogHandlerAtOnce has many log at the same time: each line is one Write.
func TestLogHandlerAtOnce(t *testing.T) {
	w := &lineWriter{}
	l := slog.New(show.LogHandler(w, slog.LevelInfo))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				l.With("a", 1).Info("m", "b", 2)
			}
		})
	}
	wg.Wait()
	if w.whole != 800 || w.other != 0 {
		t.Errorf("%d lines, and %d Writes that are none", w.whole, w.other)
	}
}
