package mitm

import (
	"context"
	"fmt"
	"io"
	"unsafe"

	"transom/filter"
	"transom/flow"
)

// Formats that flows can be written in. Below 17 there is neither DNS nor what mitmproxy
// calls the time of creation; 12 is the first that has a WebSocket's messages in the flow
// of its handshake.
const (
	Newest = 21 // of mitmproxy 11
	Oldest = 12 // of mitmproxy 7
)

// Options say how flows are written.
type Options struct {
	// Format is the version of the format, from Oldest to Newest; 0 is Newest. mitmproxy
	// reads its own and all older ones.
	Format int
	// Match chooses flows, nil all. A WebSocket is one with its handshake, and chosen
	// with it or by itself.
	Match func(context.Context, *flow.Flow) bool
}

// A Writer writes flows as mitmproxy does, each with one Write. A flow is put together in
// memory, where there is room for it until Close: as much as is kept of its bodies, twice.
type Writer struct {
	w       io.Writer
	o       Options
	b       builder
	conns   map[*flow.Conn]*encodedConn
	held    map[flow.ID]*flow.Flow // handshakes, until what they began has ended
	order   []flow.ID              // of held, the oldest first
	skipped LeftOut
	log     []logged // of the flow that is being written
	payload []byte
}

// An encodedConn is what flows of a connection have in common.
type encodedConn struct {
	ends []byte // server_conn and client_conn
	meta string
}

const (
	maxConns = 256
	maxHeld  = 4096
)

// LeftOut counts flows that were not written.
type LeftOut struct {
	Connections int // records of connections as a whole, for which mitmproxy has nothing
	Unreadable  int // requests and messages that were none
	Format      int // that the format doesn't have: UDP below 18, DNS below 17
	Bodies      int // that the store no longer had: their flows were written without
}

// NewWriter returns a Writer onto w.
func NewWriter(w io.Writer, o Options) (*Writer, error) {
	if o.Format == 0 {
		o.Format = Newest
	}
	if o.Format < Oldest || o.Format > Newest {
		return nil, fmt.Errorf("format %d of mitmproxy's flow files: want %d to %d", o.Format, Oldest, Newest)
	}
	return &Writer{w: w, o: o, conns: map[*flow.Conn]*encodedConn{}, held: map[flow.ID]*flow.Flow{}}, nil
}

// Onto has what comes from now on written to another file. What waits for something
// else goes there, too.
func (w *Writer) Onto(out io.Writer) { w.w = out }

// LeftOut returns what was not written so far.
func (w *Writer) LeftOut() LeftOut { return w.skipped }

// Write adds f, which has ended. What began something else waits for that, or for
// Close.
func (w *Writer) Write(ctx context.Context, f *flow.Flow, bodies filter.Bodies) error {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		if !d.Began.IsZero() {
			return w.hold(ctx, f, bodies)
		}
	case *flow.Messages:
		return w.messages(ctx, f, d, bodies)
	}
	if !w.matches(ctx, f) {
		return nil
	}
	return w.one(ctx, f, nil, bodies)
}

func (w *Writer) matches(ctx context.Context, f *flow.Flow) bool {
	return f != nil && (w.o.Match == nil || w.o.Match(ctx, f))
}

func (w *Writer) hold(ctx context.Context, f *flow.Flow, bodies filter.Bodies) error {
	if _, ok := w.held[f.ID]; !ok {
		w.order = append(w.order, f.ID)
	}
	w.held[f.ID] = f
	if len(w.held) <= maxHeld {
		return nil
	}
	return w.release(ctx, bodies)
}

// release writes the handshake that has waited for longest.
func (w *Writer) release(ctx context.Context, bodies filter.Bodies) error {
	for len(w.order) > 0 {
		id := w.order[0]
		w.order = w.order[1:]
		f := w.take(id)
		if f == nil {
			continue
		}
		if w.matches(ctx, f) {
			return w.one(ctx, f, nil, bodies)
		}
		return nil
	}
	return nil
}

func (w *Writer) take(id flow.ID) *flow.Flow {
	f := w.held[id]
	delete(w.held, id)
	if len(w.held) == 0 {
		w.order = w.order[:0]
	}
	return f
}

// messages writes a sequence of messages: of a WebSocket with its handshake, of anything
// else behind that.
func (w *Writer) messages(ctx context.Context, f *flow.Flow, d *flow.Messages, bodies filter.Bodies) error {
	handshake := w.take(d.Handshake)
	matches := w.matches(ctx, f)
	if d.Kind == "websocket" {
		if !matches && !w.matches(ctx, handshake) {
			return nil
		}
		return w.one(ctx, handshake, f, bodies)
	}
	if w.matches(ctx, handshake) {
		if err := w.one(ctx, handshake, nil, bodies); err != nil {
			return err
		}
	}
	if !matches {
		return nil
	}
	return w.one(ctx, f, nil, bodies)
}

// Close writes handshakes whose WebSocket has not ended.
func (w *Writer) Close() error { return w.Finish(context.Background(), nothing{}) }

// Finish is Close with the bodies of what is still to be written.
func (w *Writer) Finish(ctx context.Context, bodies filter.Bodies) error {
	for len(w.held) > 0 {
		if err := w.release(ctx, bodies); err != nil {
			return err
		}
	}
	return nil
}

type nothing struct{}

// OpenBody implements filter.Bodies.
func (nothing) OpenBody(context.Context, flow.BodyRef) (io.ReadSeekCloser, error) {
	return nil, io.EOF
}

// one writes one flow of mitmproxy's: f, or the WebSocket ws with its handshake f, which
// may be nil.
func (w *Writer) one(ctx context.Context, f, ws *flow.Flow, bodies filter.Bodies) error {
	p := put{builder: &w.b, w: w, ctx: ctx, bodies: bodies, f: f}
	if p.alone = f == nil; p.alone {
		p.f = stranger(ws)
	}
	p.aside = setAside(p.f.Foreign)
	w.b.reset()
	at := w.b.open(tagDict)
	if !p.detail(ws) {
		return nil
	}
	if err := p.common(ws); err != nil {
		return err
	}
	w.b.close(at)
	_, err := w.w.Write(w.b.out())
	w.forget()
	return err
}

// forget gives back what a large flow took.
func (w *Writer) forget() {
	if cap(w.b.buf) > maxKept {
		w.b = builder{}
	}
	if cap(w.payload) > maxKept {
		w.payload = nil
	}
	if cap(w.log)*int(unsafe.Sizeof(logged{})) > maxKept {
		w.log = nil
	}
}

// maxKept is how much memory is kept for the next flow.
const maxKept = 1 << 20

// stranger is a handshake that nobody has seen, or that was chosen against.
func stranger(ws *flow.Flow) *flow.Flow {
	m := ws.Detail.(*flow.Messages)
	req := m.Request
	if req == nil {
		req = &flow.RequestHead{Method: "GET", Scheme: "http", Target: "/", Proto: flow.HTTP11}
	}
	id := m.Handshake
	if id.IsZero() {
		id = ws.ID
		id[15] ^= 1
	}
	return &flow.Flow{
		ID: id, Conn: ws.Conn, Start: ws.Start, End: ws.Start, State: flow.Done,
		Detail: &flow.HTTP{Request: req, Began: ws.ID},
	}
}

// conn returns the two ends of c.
func (w *Writer) conn(c *flow.Conn) (*encodedConn, error) {
	if e := w.conns[c]; e != nil {
		return e, nil
	}
	known := c
	if c == nil {
		c = &flow.Conn{}
	}
	meta, err := connJSON(c)
	if err != nil {
		return nil, fmt.Errorf("write connection %s: %w", c.ID, err)
	}
	var b builder
	b.serverEnd(c, w.o.Format)
	b.clientEnd(c, w.o.Format)
	e := &encodedConn{ends: patched(b.out(), c.Foreign, w.o.Format), meta: string(meta)}
	if len(w.conns) >= maxConns {
		clear(w.conns)
	}
	w.conns[known] = e
	return e, nil
}
