// Package har writes and reads HAR 1.2, the files that browsers save traffic to:
// HTTP exchanges with their bodies and times, and WebSocket messages as Chromium has
// them. It has no place for anything else that is captured.
package har

import (
	"bufio"
	"context"
	"io"

	"transom/app/export"
	"transom/filter"
	"transom/flow"
)

// Options say how a file is written.
type Options struct {
	Version string // of this program
}

// A Writer writes flows into one file, which it closes at the end. It holds no body
// in memory. In a regular file what was written is a whole document after each flow;
// to a pipe it becomes one at Close.
type Writer struct {
	out        *export.Whole
	o          Options
	begun      bool
	entries    int
	handshakes export.Handshakes
	scratch    scratch
}

const tail = "\n]}}\n"

// NewWriter returns a Writer of a new document.
func NewWriter(w io.Writer, o Options) *Writer {
	return &Writer{out: export.NewWhole(w, []byte(tail)), o: o}
}

// Write implements export.Writer. Flows that are not HTTP are left out. An exchange
// that began a WebSocket is written when that has ended.
func (w *Writer) Write(ctx context.Context, f *flow.Flow, bodies filter.Bodies) error {
	if err := w.Start(); err != nil {
		return err
	}
	if !Takes(f) {
		return nil
	}
	return w.all(ctx, w.handshakes.Add(f), bodies)
}

// Takes reports whether the format has something for a flow.
func Takes(f *flow.Flow) bool {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		return d.Request != nil && d.Request.Method != ""
	case *flow.Messages:
		return d.Kind == "websocket" && d.Request != nil
	}
	return false
}

// Finish writes the exchanges whose WebSocket has not ended. Close does so without
// their bodies, which only the store has.
func (w *Writer) Finish(ctx context.Context, bodies filter.Bodies) error {
	if err := w.Start(); err != nil {
		return err
	}
	return w.all(ctx, w.handshakes.Rest(), bodies)
}

// Close implements export.Writer.
func (w *Writer) Close() error {
	if err := w.Finish(context.Background(), nil); err != nil {
		return err
	}
	return w.out.Close()
}

// Start writes what is before the first entry, if that was not done, so that the document
// is one from the beginning.
func (w *Writer) Start() error {
	if w.begun {
		return nil
	}
	var t text
	t.b = append(t.b, `{"log":{"version":"1.2","creator":{"name":"transom","version":`...)
	t.str(w.o.Version)
	t.b = append(t.b, `},"pages":[],"entries":[`...)
	err := w.out.Record(func(b *bufio.Writer) error {
		_, err := b.Write(t.b)
		return err
	})
	w.begun = err == nil
	return err
}

func (w *Writer) all(ctx context.Context, joined []export.Joined, bodies filter.Bodies) error {
	for _, j := range joined {
		err := w.out.Record(func(b *bufio.Writer) error {
			separator := ",\n"
			if w.entries == 0 {
				separator = "\n"
			}
			if _, err := b.WriteString(separator); err != nil {
				return err
			}
			e := &entry{ctx: ctx, w: b, bodies: bodies, scratch: &w.scratch}
			return e.write(j)
		})
		if err != nil {
			return err
		}
		w.entries++
	}
	return nil
}

var _ export.Writer = (*Writer)(nil)
