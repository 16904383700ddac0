package wire

import (
	"encoding/binary"
	"time"

	"transom/flow"
)

// What a flow's detail is.
const (
	noDetail = iota
	httpDetail
	dnsDetail
	messagesDetail
	connectionDetail
)

// AppendFlow appends f to dst. conn names its connection, which is kept by itself; 0
// is none.
func AppendFlow(dst []byte, f *flow.Flow, conn uint64) []byte {
	w := writer{dst}
	w.octet(version)
	w.number(conn)
	w.id(f.ID)
	w.number(uint64(f.Rev))
	w.octet(uint8(f.State))
	w.time(f.Start, created(f.ID))
	w.time(f.End, f.Start)
	w.text(f.Err)
	w.texts(f.Tags)
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		w.octet(httpDetail)
		w.http(d, f.Start)
	case *flow.DNS:
		w.octet(dnsDetail)
		w.dns(d)
	case *flow.Messages:
		w.octet(messagesDetail)
		w.messages(d)
	case *flow.Connection:
		w.octet(connectionDetail)
		w.connection(d)
	default:
		w.octet(noDetail)
		w.nothing()
	}
	if f.Foreign != "" { // which is rare
		w.text(f.Foreign)
	}
	return w.b
}

// ReadFlow reads what AppendFlow has written, all but its connection, which conn
// names. b may be used again.
func ReadFlow(b []byte) (f *flow.Flow, conn uint64, err error) {
	r := newReader(b, &err)
	conn = r.number()
	f = &flow.Flow{ID: r.id(), Rev: uint32(r.within(1<<32 - 1)), State: flow.State(r.octet())}
	f.Start = r.time(created(f.ID))
	f.End = r.time(f.Start)
	f.Err, f.Tags = r.text(), r.texts()
	at := r.at
	kind := r.octet()
	d, ok := r.block()
	if ok {
		switch kind {
		case httpDetail:
			f.Detail = d.http(f.Start)
		case dnsDetail:
			f.Detail = d.dns()
		case messagesDetail:
			f.Detail = d.messages()
		case connectionDetail:
			f.Detail = d.connection()
		default:
			r.at = at
			r.fail("unknown kind of flow")
		}
	}
	f.Foreign = r.text()
	if err != nil {
		return nil, 0, err
	}
	return f, conn, nil
}

// created is about when something with this ID was, to the millisecond.
func created(id flow.ID) time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[:8]) >> 16))
}

func (w *writer) body(b *flow.BodyRef) {
	w.number(b.Segment)
	w.integer(b.Offset)
	w.integer(b.Size)
	w.integer(b.Size - b.Kept)
	w.truth(b.Truncated)
}

func (r *reader) body() (b flow.BodyRef) {
	b.Segment, b.Offset, b.Size = r.number(), r.integer(), r.integer()
	b.Kept = b.Size - r.integer()
	b.Truncated = r.truth()
	return b
}

// mayBody writes a body as a block, since most are not there.
func (w *writer) mayBody(b *flow.BodyRef) {
	if b == nil {
		w.nothing()
		return
	}
	begun := w.begin()
	w.body(b)
	w.end(begun)
}

func (r *reader) mayBody() *flow.BodyRef {
	b, ok := r.block()
	if !ok {
		return nil
	}
	ref := b.body()
	return &ref
}

func (w *writer) messages(m *flow.Messages) {
	begun := w.begin()
	w.text(m.Kind)
	for i := range m.Count {
		w.integer(m.Count[i])
		w.integer(m.Bytes[i])
	}
	w.body(&m.Log)
	w.mayID(m.Handshake)
	w.request(m.Request)
	w.texts(m.Notes)
	w.end(begun)
}

func (r *reader) messages() *flow.Messages {
	m := &flow.Messages{Kind: r.text()}
	for i := range m.Count {
		m.Count[i], m.Bytes[i] = r.integer(), r.integer()
	}
	m.Log, m.Handshake, m.Request, m.Notes = r.body(), r.mayID(), r.request(), r.texts()
	return m
}

func (w *writer) connection(c *flow.Connection) {
	begun := w.begin()
	w.text(c.Type)
	w.text(c.Action)
	w.text(c.Reason)
	w.integer(c.Flows)
	w.integer(c.Bytes[0])
	w.integer(c.Bytes[1])
	w.octet(uint8(c.Client))
	w.octet(uint8(c.Server))
	w.end(begun)
}

func (r *reader) connection() *flow.Connection {
	c := &flow.Connection{Type: r.text(), Action: r.text(), Reason: r.text(), Flows: r.integer()}
	c.Bytes[0], c.Bytes[1] = r.integer(), r.integer()
	c.Client, c.Server = flow.Close(r.octet()), flow.Close(r.octet())
	return c
}

// ReadState reads of what AppendFlow has written which flow it is, and which state of
// it.
func ReadState(b []byte) (id flow.ID, rev uint32, state flow.State, err error) {
	r := newReader(b[:min(len(b), 40)], &err)
	id, rev, state = r.state()
	return id, rev, state, err
}

func (r *reader) state() (flow.ID, uint32, flow.State) {
	r.number()
	return r.id(), uint32(r.within(1<<32 - 1)), flow.State(r.octet())
}
