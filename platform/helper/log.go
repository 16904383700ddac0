package helper

import (
	"context"
	"encoding/binary"
	"log/slog"
)

// A handler makes of each record a text for a report, which goes to the proxy. The
// text is a list of strings: the message, and each attribute's key and value, with
// its length before it. What does not fit is left out.
//
// If the proxy does not take it, it goes to stderr.
type handler struct {
	send   func(level slog.Level, text []byte) bool // reports false if nobody takes it
	stderr slog.Handler
	attrs  []slog.Attr
	group  string // before each key, with a dot
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelDebug }

// Handle implements slog.Handler.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	text := appendWord(make([]byte, 0, textMax), r.Message)
	for _, a := range h.attrs {
		text = appendAttr(text, "", a)
	}
	r.Attrs(func(a slog.Attr) bool {
		text = appendAttr(text, h.group, a)
		return true
	})
	if h.send(r.Level, text) {
		return nil
	}
	if !h.stderr.Enabled(ctx, r.Level) {
		return nil
	}
	r.AddAttrs(h.attrs...)
	return h.stderr.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = append([]slog.Attr(nil), h.attrs...)
	for _, a := range attrs {
		a.Key = h.group + a.Key
		with.attrs = append(with.attrs, a)
	}
	return &with
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.group += name + "."
	return &with
}

func appendAttr(text []byte, group string, a slog.Attr) []byte {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			text = appendAttr(text, group, inner)
		}
		return text
	}
	if a.Key == "" {
		return text
	}
	value := v.String()
	if len(text)+4+len(group)+len(a.Key)+min(len(value), 16) > textMax {
		return text
	}
	return appendWord(appendWord(text, group+a.Key), value)
}

// appendWord cuts a word that does not fit.
func appendWord(text []byte, word string) []byte {
	room := textMax - len(text) - 2
	if room < 0 {
		return text
	}
	word = word[:min(len(word), room)]
	text = binary.BigEndian.AppendUint16(text, uint16(len(word)))
	return append(text, word...)
}

// relog logs what a handler has made of a record.
func relog(log *slog.Logger, level slog.Level, text []byte) {
	message, text, ok := takeWord(text)
	if !ok {
		return
	}
	var attrs []slog.Attr
	for len(text) > 0 {
		var key, value string
		if key, text, ok = takeWord(text); !ok {
			break
		}
		if value, text, ok = takeWord(text); !ok {
			break
		}
		attrs = append(attrs, slog.String(key, value))
	}
	log.LogAttrs(context.Background(), level, message, attrs...)
}

func takeWord(text []byte) (word string, rest []byte, ok bool) {
	if len(text) < 2 {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(text))
	if len(text)-2 < n {
		return "", nil, false
	}
	return string(text[2 : 2+n]), text[2+n:], true
}
