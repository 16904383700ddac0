package mitm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

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
	if f == nil {
		f = stranger(ws)
	}
	p := put{builder: &w.b, w: w, ctx: ctx, bodies: bodies, f: f}
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
	if cap(w.b.buf) > maxKept {
		w.b = builder{}
	}
	return err
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

// A put is one flow on its way into the builder.
type put struct {
	*builder
	w      *Writer
	ctx    context.Context
	bodies filter.Bodies
	f      *flow.Flow
	kind   string
	meta   flowMeta
	ended  time.Time // that mitmproxy's form says
}

// detail puts what is of the protocol, and reports false for what has no place.
func (p *put) detail(ws *flow.Flow) bool {
	format, skipped := p.w.o.Format, &p.w.skipped
	switch d := p.f.Detail.(type) {
	case *flow.HTTP:
		p.kind = "http"
		if d.Request == nil || d.Request.Method == "" {
			skipped.Unreadable++
			return false
		}
		p.http(d, ws)
		return true
	case *flow.DNS:
		p.kind = "dns"
		switch {
		case format < 17:
			skipped.Format++
		case p.dns(d):
			return true
		default:
			skipped.Unreadable++
		}
	case *flow.Messages:
		p.kind = network(d.Kind)
		if p.kind == "udp" && format < 18 {
			skipped.Format++
			return false
		}
		p.stream(d)
		return true
	default:
		skipped.Connections++
	}
	return false
}

// common puts what all flows have. ws is a WebSocket that is in f, or nil.
func (p *put) common(ws *flow.Flow) error {
	format, f := p.w.o.Format, p.f
	c, err := p.w.conn(f.Conn)
	if err != nil {
		return err
	}
	p.fill(ws)
	meta, err := json.Marshal(&p.meta)
	if err != nil {
		return fmt.Errorf("write flow %s: %w", f.ID, err)
	}
	if format >= 16 {
		p.keyTime("timestamp_created", notZero(f.Start))
	}
	if format >= 14 {
		p.keyText("comment", "")
	}
	at := p.open(tagDict)
	if f.Conn != nil {
		p.keyText(metaConn, c.meta)
	}
	p.put(tagText, meta)
	p.key(metaFlow)
	p.close(at)
	p.key("metadata")
	if format >= 13 {
		p.keyText("marked", "")
	} else {
		p.keyBool("marked", false)
	}
	p.keyNull("is_replay")
	p.keyBool("intercepted", false)
	copy(p.room(len(c.ends)), c.ends)
	p.error(f, ws)
	p.keyText("id", f.ID.String())
	p.keyText("type", p.kind)
	p.keyInt("version", int64(format))
	return nil
}

// error puts why f ended early, or else why the WebSocket did that it began.
func (p *put) error(f, ws *flow.Flow) {
	if f.Err == "" && f.State != flow.Failed && ws != nil {
		f = ws
	}
	if f.Err == "" && f.State != flow.Failed {
		p.keyNull("error")
		return
	}
	at := p.open(tagDict)
	p.keyTime("timestamp", notZero(f.End))
	p.keyText("msg", f.Err)
	p.close(at)
	p.key("error")
}

// fill puts into the metadata what is of f as a whole.
func (p *put) fill(ws *flow.Flow) {
	f := p.f
	p.meta.Rev, p.meta.Tags = f.Rev, texts(f.Tags)
	p.meta.State = stateMeta(f)
	p.meta.Open = f.End.IsZero()
	if p.w.o.Format < 16 && !f.Start.IsZero() {
		p.meta.Start = f.Start.UnixNano()
	}
	if !f.End.IsZero() && !p.ended.Equal(f.End) && f.Err == "" && f.State != flow.Failed {
		p.meta.End = f.End.UnixNano()
	}
	if ws != nil && p.meta.Messages != nil {
		p.meta.Messages.Failed = f.Err == "" && f.State != flow.Failed && (ws.Err != "" || ws.State == flow.Failed)
	}
}

// stateMeta returns the state of f, if the error doesn't say it.
func stateMeta(f *flow.Flow) *flow.State {
	said := flow.Done
	if f.Err != "" || f.State == flow.Failed {
		said = flow.Failed
	}
	if f.State == said {
		return nil
	}
	s := f.State
	return &s
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
	e := &encodedConn{ends: b.out(), meta: string(meta)}
	if len(w.conns) >= maxConns {
		clear(w.conns)
	}
	w.conns[known] = e
	return e, nil
}
