package export

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
	"time"
	"unicode/utf8"

	"transom/app/follow"
	"transom/flow"
	"transom/message"
)

// Data is the event of a part of a stream.
const Data = "data"

// AppendData appends a part of what f carries as one JSON object, without a
// newline. now is when it was seen; a message has a time of its own.
//
// Bytes are "text" if they are valid UTF-8, and "base64" if not.
func AppendData(dst []byte, f *flow.Flow, p *follow.Part, now time.Time) []byte {
	w := &writer{b: dst}
	w.open('{')
	w.key("type").text(f.Type())
	w.key("event").text(Data)
	w.key("id").id(f.ID)
	if f.Conn != nil {
		w.key("conn").id(f.Conn.ID)
	}
	if p.Message != nil {
		now = f.Start.Add(p.Message.At)
	}
	w.key("time").time(now)
	if p.Message != nil {
		w.message(f.Type(), p.Message)
	} else {
		w.part(p)
	}
	w.close('}')
	return w.b
}

func (w *writer) part(p *follow.Part) {
	w.key("part").text(p.Of.String())
	w.key("offset").int(p.Offset)
	w.key("size").int(p.Size)
	switch {
	case p.RPC != nil:
		w.rpc(p.RPC)
	case p.Event != nil:
		w.bytes(p.Data)
		w.event(p.Event)
	case p.Size > 0 && p.Err == nil:
		w.bytes(p.Data)
	}
	w.flag("truncated", p.Truncated)
	if p.Err != nil {
		w.key("error").text(p.Err.Error())
	}
}

func (w *writer) event(e *follow.Event) {
	w.key("sse").open('{')
	w.key("event").text(e.Type)
	w.key("data").text(e.Data)
	w.optional("id", e.ID)
	if e.Retry >= 0 {
		w.key("retry").int(e.Retry)
	}
	w.close('}')
}

func (w *writer) rpc(r *follow.RPC) {
	w.key("grpc").open('{')
	w.key("compressed").bool(r.Compressed)
	w.flag("trailers", r.Trailers)
	w.key("base64").base64(r.Payload)
	w.close('}')
}

func (w *writer) message(kind string, m *message.Entry) {
	w.key("from").text([...]string{"client", "server"}[m.Dir&1])
	if op := OpName(kind, m.Op); op != "" {
		w.key("op").text(op)
	}
	w.key("size").int(m.Size)
	if code, reason, ok := CloseCode(kind, m); ok {
		w.key("code").int(int64(code))
		w.bytes(reason)
	} else {
		w.bytes(m.Payload)
	}
	w.flag("truncated", int64(len(m.Payload)) < m.Size)
	w.flag("changed", m.Changed)
	w.flag("dropped", m.Dropped)
	w.flag("injected", m.Injected)
	w.flag("encoded", m.Encoded)
}

// opClose is the opcode of a close frame.
const opClose = 8

// CloseCode takes the payload of a close frame apart (RFC 6455, section 5.5.1).
// It reports false for any other message, and for one that gives no code.
func CloseCode(kind string, m *message.Entry) (code int, reason []byte, ok bool) {
	if kind != "websocket" || m.Op != opClose || m.Encoded || len(m.Payload) < 2 {
		return 0, nil, false
	}
	return int(binary.BigEndian.Uint16(m.Payload)), m.Payload[2:], true
}

// OpName returns what a message is called in its protocol, or "" if its
// messages are all of one kind.
func OpName(kind string, op uint8) string {
	if kind == "websocket" { // RFC 6455, section 11.8
		switch op {
		case 0:
			return "raw" // of no message
		case 1:
			return "text"
		case 2:
			return "binary"
		case opClose:
			return "close"
		case 9:
			return "ping"
		case 10:
			return "pong"
		}
	}
	if op == 0 {
		return ""
	}
	return strconv.Itoa(int(op))
}

// bytes writes a member that holds p.
func (w *writer) bytes(p []byte) {
	if !utf8.Valid(p) {
		w.key("base64").base64(p)
		return
	}
	w.key("text").text(string(p))
}

func (w *writer) base64(p []byte) {
	w.item()
	w.b = append(w.b, '"')
	w.b = base64.StdEncoding.AppendEncode(w.b, p)
	w.b = append(w.b, '"')
	w.comma = true
}

func (w *writer) bool(v bool) {
	w.item()
	w.b = strconv.AppendBool(w.b, v)
	w.comma = true
}
