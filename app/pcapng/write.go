// Package pcapng writes flows as packets, for Wireshark and what else reads pcapng:
// what was sent inside TLS stands in TCP connections without it.
//
// The packets were never on a wire. Each flow has a connection of its own, between the
// real ends, that is opened before it and closed behind it; so those of one connection
// follow each other as connections of the same ends. HTTP is written as HTTP/1.1,
// whichever version it was, since HTTP/2 would have to be framed and compressed
// anew. The times are those that were recorded. Where TLS was taken off, the server's
// port is the one that the protocol has without it: 80 for 443.
package pcapng

import (
	"bufio"
	"context"
	"io"
	"net/netip"

	"transom/app/export"
	"transom/filter"
	"transom/flow"
)

// Options say how a file is written.
type Options struct {
	Version string // of this program
	// Keys are lines of a key log that go into the file, for captures of the same traffic
	// as it was; nil is none.
	Keys *Keys
}

// A Writer writes flows into one file. It holds no body in memory. A flow that can't
// be written is not there in part, in a regular file.
type Writer struct {
	out        *export.Whole
	o          Options
	begun      bool
	handshakes export.Handshakes
	names      map[named]struct{}
	scratch    scratch
}

// A named is a server's address, and a name that it was asked for by.
type named struct {
	addr netip.Addr
	name string
}

// maxNames bounds how many are remembered. One that was forgotten is written again.
const maxNames = 4096

// NewWriter returns a Writer of a new file.
func NewWriter(w io.Writer, o Options) *Writer {
	return &Writer{out: export.NewWhole(w, nil), o: o, names: map[named]struct{}{}}
}

// Start writes what a file begins with, if that was not done, so that who reads a pipe
// need not wait for a flow.
func (w *Writer) Start() error {
	if w.begun {
		return nil
	}
	err := w.out.Record(func(b *bufio.Writer) error {
		_, err := b.Write(appendSection(nil, "transom "+w.o.Version))
		return err
	})
	w.begun = err == nil
	return err
}

// Takes reports whether packets can be made of a flow.
func Takes(f *flow.Flow) bool {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		return d.Request != nil
	case *flow.DNS:
		return true
	case *flow.Messages:
		return true
	}
	return false
}

// Write implements export.Writer. An exchange that began a WebSocket is written when
// that has ended. Connections as a whole are left out.
func (w *Writer) Write(ctx context.Context, f *flow.Flow, bodies filter.Bodies) error {
	if err := w.Start(); err != nil || !Takes(f) {
		return err
	}
	joined := []export.Joined{{}}
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		joined = w.handshakes.Add(f)
	case *flow.Messages:
		if d.Kind == "websocket" {
			joined = w.handshakes.Add(f)
		}
	}
	for _, j := range joined {
		if err := w.one(ctx, f, j, bodies); err != nil {
			return err
		}
	}
	return nil
}

// one writes a flow, or the flows that are joined.
func (w *Writer) one(ctx context.Context, f *flow.Flow, j export.Joined, bodies filter.Bodies) error {
	if j.HTTP != nil {
		f = j.HTTP
	}
	name, known := w.name(f)
	lines := w.o.Keys.take()
	err := w.out.Record(func(b *bufio.Writer) error {
		buf := w.scratch.block[:0]
		if len(lines) > 0 {
			buf = appendSecrets(buf, lines)
		}
		if !known {
			buf = appendName(buf, name.addr, name.name)
		}
		if _, err := b.Write(buf); err != nil {
			return err
		}
		p := &packets{ctx: ctx, w: b, bodies: bodies, scratch: &w.scratch}
		return p.write(f, j.Messages)
	})
	if err != nil {
		w.o.Keys.giveBack(lines)
		return err
	}
	if !known {
		if len(w.names) >= maxNames {
			clear(w.names)
		}
		w.names[name] = struct{}{}
	}
	return nil
}

// name returns what the server of a flow is called, and whether that is written, or
// nothing to write.
func (w *Writer) name(f *flow.Flow) (n named, known bool) {
	if f.Conn == nil || !f.Conn.Dst.Addr().IsValid() {
		return n, true
	}
	n = named{f.Conn.Dst.Addr().Unmap().WithZone(""), f.Conn.Name()}
	if _, err := netip.ParseAddr(n.name); err == nil || !isName(n.name) {
		return n, true
	}
	_, known = w.names[n]
	return n, known
}

// isName reports whether s may be a name: what a client claims may be anything.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return s != "" && len(s) < 256
}

// Close implements export.Writer.
func (w *Writer) Close() error { return w.Finish(context.Background(), nil) }

// Finish writes the exchanges whose WebSocket has not ended, and the keys that no flow
// came behind. Close does so without their bodies, which only the store has.
func (w *Writer) Finish(ctx context.Context, bodies filter.Bodies) error {
	if err := w.Start(); err != nil {
		return err
	}
	for _, j := range w.handshakes.Rest() {
		if err := w.one(ctx, j.HTTP, j, bodies); err != nil {
			return err
		}
	}
	if lines := w.o.Keys.take(); len(lines) > 0 {
		return w.out.Record(func(b *bufio.Writer) error {
			_, err := b.Write(appendSecrets(nil, lines))
			return err
		})
	}
	return nil
}

var _ export.Writer = (*Writer)(nil)
