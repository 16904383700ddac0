package ws_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"transom/flow"
	"transom/internal/proto/ws"
	"transom/message"
)

const (
	up   = message.ToServer
	down = message.ToClient
)

// A line is a conversation between two peers that are played by the test.
type line struct {
	*ws.Conversation
	t   testing.TB
	to  [2]*wire // what the server, the client got
	rec *recorder
}

func open(t testing.TB, extensions string, o ws.Options) *line {
	l := &line{t: t, to: [2]*wire{{}, {}}, rec: &recorder{}}
	if extensions != "" {
		o.Response = flow.Header{{Name: "Sec-WebSocket-Extensions", Value: extensions}}
	}
	if o.Record == nil {
		o.Record = l.rec
	}
	l.Conversation = ws.New(l.to[down], l.to[up], o)
	return l
}

// say passes p on, n octets at a time; 0 is all at once.
func (l *line) say(dir message.Direction, p string, n int) {
	l.t.Helper()
	if n == 0 {
		n = len(p)
	}
	for len(p) > 0 {
		k := min(n, len(p))
		if err := l.Pass(l.t.Context(), dir, []byte(p[:k])); err != nil {
			l.t.Fatal(err)
		}
		p = p[k:]
	}
}

// heard is what has arrived since the last time.
func (l *line) heard(dir message.Direction) string { return l.to[dir].take() }

func (l *line) end() {
	l.t.Helper()
	for _, dir := range []message.Direction{up, down} {
		if err := l.Finish(dir); err != nil {
			l.t.Error(err)
		}
	}
}

// A wire keeps what is written to it.
type wire struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *wire) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.b.String()
	w.b.Reset()
	return s
}

// A recorder writes down what it is told, a line each.
type recorder struct {
	mu    sync.Mutex
	b     strings.Builder
	notes []string
}

func (r *recorder) Message(e message.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	fmt.Fprintf(&r.b, "%s %s", [...]string{">", "<"}[e.Dir], [...]string{"raw", "text", "binary", "3", "4", "5", "6", "7", "close", "ping", "pong", "b", "c", "d", "e", "f"}[e.Op])
	if int64(len(e.Payload)) != e.Size {
		fmt.Fprintf(&r.b, " of %d", e.Size)
	}
	if len(e.Payload) > 40 {
		fmt.Fprintf(&r.b, " %d octets", len(e.Payload))
	} else {
		fmt.Fprintf(&r.b, " %q", e.Payload)
	}
	for _, f := range []struct {
		is   bool
		name string
	}{{e.Changed, "changed"}, {e.Dropped, "dropped"}, {e.Injected, "injected"}, {e.Encoded, "encoded"}} {
		if f.is {
			r.b.WriteString(" " + f.name)
		}
	}
	r.b.WriteByte('\n')
}

func (r *recorder) Note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, text)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

func (r *recorder) noted() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.notes, "\n")
}

// A frame is written out by the test's own hand (RFC 6455, section 5.2).
type frame struct {
	first   byte // FIN, RSV and opcode
	masked  bool
	payload string
}

const mask = "\x37\xfa\x21\x3d"

func (f frame) String() string {
	var b []byte
	m := byte(0)
	if f.masked {
		m = 0x80
	}
	switch n := len(f.payload); {
	case n < 126:
		b = append(b, f.first, m|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, f.first, m|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, f.first, m|127), uint64(n))
	}
	if !f.masked {
		return string(b) + f.payload
	}
	b = append(b, mask...)
	for i := range len(f.payload) {
		b = append(b, f.payload[i]^mask[i%4])
	}
	return string(b)
}

// fromServer and fromClient write frames as these sides do.
func fromServer(first byte, payload string) string { return frame{first, false, payload}.String() }
func fromClient(first byte, payload string) string { return frame{first, true, payload}.String() }

// unframe reads frames back, unmasked.
func unframe(t helper, s string) (fs []frame) {
	t.Helper()
	for s != "" {
		f, rest, ok := cutFrame(s)
		if !ok {
			t.Fatalf("not a frame: % x", s[:min(len(s), 40)])
		}
		fs, s = append(fs, f), rest
	}
	return fs
}

func cutFrame(s string) (f frame, rest string, ok bool) {
	if len(s) < 2 {
		return f, s, false
	}
	f.first, f.masked = s[0], s[1]&0x80 != 0
	n, at := uint64(s[1]&0x7f), 2
	switch {
	case n == 126 && len(s) >= 4:
		n, at = uint64(binary.BigEndian.Uint16([]byte(s[2:4]))), 4
	case n == 127 && len(s) >= 10:
		n, at = binary.BigEndian.Uint64([]byte(s[2:10])), 10
	case n > 125:
		return f, s, false
	}
	var key [4]byte
	if f.masked {
		if len(s) < at+4 {
			return f, s, false
		}
		copy(key[:], s[at:])
		at += 4
	}
	if uint64(len(s)-at) < n {
		return f, s, false
	}
	p := []byte(s[at : at+int(n)])
	for i := range p {
		p[i] ^= key[i%4]
	}
	f.payload = string(p)
	return f, s[at+int(n):], true
}

// A packer compresses messages as a sender does that refers to those before
// (RFC 7692, section 7.2.1), or one that does not.
type packer struct {
	b        bytes.Buffer
	w        *flate.Writer
	takeover bool
}

func newPacker(level int, takeover bool) *packer {
	p := &packer{takeover: takeover}
	p.w, _ = flate.NewWriter(&p.b, level)
	return p
}

func (p *packer) pack(s string) string {
	p.b.Reset()
	if !p.takeover {
		p.w.Reset(&p.b)
	}
	io.WriteString(p.w, s)
	p.w.Flush()
	return strings.TrimSuffix(p.b.String(), "\x00\x00\xff\xff")
}

// An unpacker is a receiver (RFC 7692, section 7.2.2), on the standard library.
type unpacker struct {
	window   string
	takeover bool
}

func (u *unpacker) unpack(s string) (string, error) {
	if !u.takeover {
		u.window = ""
	}
	r := flate.NewReaderDict(strings.NewReader(s+"\x00\x00\xff\xff\x01\x00\x00\xff\xff"), []byte(u.window))
	p, err := io.ReadAll(r)
	u.window += string(p)
	u.window = u.window[max(0, len(u.window)-32<<10):]
	return string(p), err
}

// messages reads whole messages out of a stream, as "text hello" and so on.
func messages(t helper, s string, u *unpacker) []string {
	t.Helper()
	var out []string
	var got, kind string
	packed, open := false, false
	for _, f := range unframe(t, s) {
		op := f.first & 0xf
		if op >= 8 {
			out = append(out, fmt.Sprintf("%#x %s", op, f.payload))
			continue
		}
		if (op == 0) != open {
			t.Fatalf("a frame with opcode %#x, open %v", op, open)
		}
		if op != 0 {
			kind, got, packed = fmt.Sprintf("%#x ", op), "", f.first&0x40 != 0
		} else if f.first&0x70 != 0 {
			t.Fatalf("a continuation with first octet %#x", f.first)
		}
		got += f.payload
		open = f.first&0x80 == 0
		if open {
			continue
		}
		if packed {
			var err error
			if got, err = u.unpack(got); err != nil {
				t.Fatalf("message %d: %v", len(out), err)
			}
		}
		out = append(out, kind+got)
	}
	if open {
		t.Fatal("the last message has no end")
	}
	return out
}

// A helper is what rapid's T and testing's have in common.
type helper interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Fatal(args ...any)
}
