package show

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"unicode"
)

// A logHandler writes a line for each record:
//
//	transom: MESSAGE KEY=VALUE…
//	transom: warning: MESSAGE KEY=VALUE…
//
// A level other than Info stands before the message, in words.
type logHandler struct {
	*lines
	attrs slog.Handler // writes attributes alone, to text
}

// lines are what handlers that were made of each other share.
type lines struct {
	level slog.Leveler
	mu    sync.Mutex
	w     io.Writer
	text  bytes.Buffer
}

// LogHandler returns a handler for what is said to a person on stderr: a line for each
// record, without its time, of records of a level or above it. Each line is one Write, and
// messages can't bring lines of their own.
func LogHandler(w io.Writer, level slog.Leveler) slog.Handler {
	l := &lines{level: level, w: w}
	return &logHandler{l, slog.NewTextHandler(&l.text, &slog.HandlerOptions{Level: level, ReplaceAttr: apart})}
}

// apart leaves out what stands before the attributes.
func apart(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// Handle implements slog.Handler.
func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text.Reset()
	h.text.WriteString("transom: " + levelWord(r.Level) + strings.Map(printable, r.Message) + " ")
	begun := h.text.Len()
	if err := h.attrs.Handle(ctx, r); err != nil {
		return err
	}
	if h.text.Len() == begun+1 { // the end of the line alone
		h.text.Truncate(begun - 1)
		h.text.WriteByte('\n')
	}
	_, err := h.w.Write(h.text.Bytes())
	return err
}

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &logHandler{h.lines, h.attrs.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	return &logHandler{h.lines, h.attrs.WithGroup(name)}
}

// levelWord is what stands before messages of a level.
func levelWord(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "debug: "
	case l < slog.LevelWarn:
		return ""
	case l < slog.LevelError:
		return "warning: "
	}
	return "error: "
}

// printable puts a space for what would move the cursor.
func printable(r rune) rune {
	if unicode.IsControl(r) {
		return ' '
	}
	return r
}
