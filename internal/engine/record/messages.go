package record

import (
	"context"
	"sync"
	"time"
	"unsafe"

	"transom/flow"
	"transom/internal/engine/leg"
	"transom/message"
	"transom/store"
)

// Messages records a conversation that is a sequence of messages, as one flow.
// The log holds what was passed on, and what came in and was
// not; the counts are of what was passed on, and exact also when the log has
// reached its limit.
type Messages struct {
	c     *Conn
	mw    message.Middleware
	near  links
	start flow.Flow
	log   store.BodyWriter // nil without a store
	growth

	mu     sync.Mutex
	detail flow.Messages
	last   time.Duration // of the last entry, since the start
	head   [message.MaxLogHead]byte
	rev    uint32 // of the last snapshot
	ended  bool
}

// Messages begins a flow of the connection's network, "tcp" or "udp", and publishes
// it. info is what is known of the connection now; mw may be nil. Whoever calls it
// calls End.
func (c *Conn) Messages(info *flow.Conn, mw message.Middleware) *Messages {
	now := time.Now()
	kind := info.Network
	if kind == "" {
		kind = "tcp"
	}
	return c.converse(&Messages{c: c, mw: mw, detail: flow.Messages{Kind: kind}}, flow.Flow{ID: flow.NewID(now), Conn: info, Start: now})
}

// Begun begins, as Messages does, the flow of what h has begun.
func (c *Conn) Begun(h *Handshake, kind string, info *flow.Conn, mw message.Middleware) *Messages {
	m := &Messages{c: c, mw: mw, detail: flow.Messages{Kind: kind, Handshake: h.ID, Request: h.Request}}
	return c.converse(m, flow.Flow{ID: h.Began, Conn: info, Start: time.Now()})
}

func (c *Conn) converse(m *Messages, start flow.Flow) *Messages {
	if c.r.Store != nil {
		m.log = c.r.Store.NewBody()
	}
	d := m.snapshotLocked()
	m.start = start
	m.start.Detail = &d
	c.enter(m)
	f := m.start
	c.publish(&f)
	return m
}

func (m *Messages) links() *links { return &m.near }

// ID is the flow's.
func (m *Messages) ID() flow.ID { return m.start.ID }

// Middleware records what passes through it, around mw.
func (m *Messages) Middleware() message.Middleware {
	return func(next message.Handler) message.Handler {
		sent := message.HandlerFunc(func(ctx context.Context, c *flow.Conn, msg *message.Message) error {
			m.passed(ctx, msg)
			return next.Message(ctx, c, msg)
		})
		if m.mw == nil {
			return sent
		}
		h := m.mw(sent)
		return message.HandlerFunc(func(ctx context.Context, c *flow.Conn, msg *message.Message) error {
			came := came{Context: ctx, payload: msg.Payload}
			err := h.Message(&came, c, msg)
			if !came.passed {
				m.Message(message.Entry{Dir: msg.Dir, Op: msg.Op, Dropped: true, Size: int64(len(came.payload)), Payload: came.payload})
			}
			return err
		})
	}
}

// came is the context of one message on its way through middleware.
type came struct {
	context.Context
	payload []byte
	passed  bool
}

type cameKey struct{}

// Value implements context.Context.
func (c *came) Value(key any) any {
	if key == (cameKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// passed logs a message that goes out. A message that middleware made, or made
// again in other memory, is marked as changed.
func (m *Messages) passed(ctx context.Context, msg *message.Message) {
	e := message.Entry{Dir: msg.Dir, Op: msg.Op, Size: int64(len(msg.Payload)), Payload: msg.Payload}
	if m.mw != nil {
		c, _ := ctx.Value(cameKey{}).(*came)
		e.Changed = c == nil || c.passed || !same(c.payload, msg.Payload)
		if c != nil {
			c.passed = true
		}
	}
	m.Message(e)
}

// same reports whether a and b are the same memory.
func same(a, b []byte) bool {
	return len(a) == len(b) && unsafe.SliceData(a) == unsafe.SliceData(b)
}

// Message writes e to the log, all but At of it given, and counts it if it was
// passed on.
func (m *Messages) Message(e message.Entry) {
	now := time.Now()
	m.keep(e, now)
	m.grew(now)
}

func (m *Messages) keep(e message.Entry, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return
	}
	if !e.Dropped {
		m.detail.Count[e.Dir&1]++
		m.detail.Bytes[e.Dir&1] += e.Size
	}
	if m.log == nil {
		return
	}
	e.At, e.Cut = max(now.Sub(m.start.Start), m.last), e.Size-int64(len(e.Payload))
	_, _ = m.log.Write(message.AppendHead(m.head[:0], &e, m.last)) // a BodyWriter does not fail
	_, _ = m.log.Write(e.Payload)
	m.last = e.At
}

// Note adds an oddity to the record.
func (m *Messages) Note(text string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.detail.Notes = append(m.detail.Notes, text)
}

// snapshotLocked returns how far the conversation has come.
func (m *Messages) snapshotLocked() flow.Messages {
	d := m.detail
	if m.log != nil {
		d.Log = m.log.Ref()
	}
	return d
}

// End publishes how the conversation ended. Only the first call counts.
func (m *Messages) End(client, server flow.Close) {
	why := ""
	switch {
	case abrupt(client):
		why = words("client", client)
	case abrupt(server):
		why = words("server", server)
	}
	m.end(why)
}

// Fail is End for a conversation of which is known why it was cut.
func (m *Messages) Fail(why string) { m.end(why) }

// abrupt reports whether a side ended otherwise than its protocol says.
func abrupt(c flow.Close) bool {
	switch c {
	case flow.NotClosed, flow.FIN, flow.ClosedByUs:
		return false
	}
	return true
}

func words(side string, how flow.Close) string {
	if w := leg.Words(side, how); w != "" {
		return w
	}
	return side + " ended with " + how.String()
}

// abandon implements ender.
func (m *Messages) abandon(err error) {
	why := ""
	if err != nil {
		why = err.Error()
	}
	m.end(why)
}

func (m *Messages) end(why string) {
	m.mu.Lock()
	if m.ended {
		m.mu.Unlock()
		return
	}
	m.ended = true
	d := m.snapshotLocked()
	rev := m.rev + 1
	m.mu.Unlock()
	f := m.start
	f.Rev, f.End, f.State, f.Err, f.Detail = rev, time.Now(), flow.Done, why, &d
	if why != "" {
		f.State = flow.Failed
	}
	m.c.leave(m)
	m.c.publish(&f)
	if m.log != nil {
		m.log.Close()
	}
}
