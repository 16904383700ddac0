package mitm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"transom/app/export"
	"transom/flow"
	"transom/message"
)

// stream reads the messages of TCP or UDP.
func (r *reader) stream(v value, f *flow.Flow, fm *flowMeta, kind string) error {
	m := fm.Messages
	if m == nil {
		m = &messagesMeta{}
	}
	d := &flow.Messages{Kind: kind, Notes: notes(v, fm.Notes)}
	f.Detail = d
	last := r.messages(v.get("messages"), f.Start, d, m, nil)
	if m.Before != nil {
		d.Handshake = *m.Before
	}
	d.Request = m.head()
	if f.End.IsZero() {
		f.End = first(v.get("client_conn").get("timestamp_end"), v.get("server_conn").get("timestamp_end"))
	}
	if f.End.IsZero() {
		f.End = last
	}
	if fm.Open {
		f.End = time.Time{}
	}
	f.Foreign = flowAside(v, f)
	return r.put(f)
}

func (m *messagesMeta) head() *flow.RequestHead {
	if m.Request == nil || m.Request.Full == nil {
		return nil
	}
	h := m.Request
	req := h.Full.request()
	req.Raw = h.raw(canonicalRequest(req))
	req.Header, req.H2 = formed(req.Header, h.Forms), h.H2.head()
	return req
}

// messages puts a list of messages into a log, with what is behind them, and returns
// when the last one was.
func (r *reader) messages(list value, start time.Time, d *flow.Messages, m *messagesMeta, behind *message.Entry) (last time.Time) {
	r.log = r.log[:0]
	if len(m.Log) == 0 || !r.ours(list, d.Kind, m.Log) {
		r.log = r.log[:0]
		var before time.Duration
		for in := range list.items() {
			e := toldMessage(in, d.Kind, start)
			e.At = max(e.At, before)
			r.add(e, before)
			before = e.At
		}
		if behind != nil {
			behind.At = max(behind.At, before)
			r.add(*behind, before)
		}
		last = start.Add(before)
	}
	r.count(d)
	if m.Count != nil && m.Bytes != nil {
		d.Count, d.Bytes = *m.Count, *m.Bytes
	}
	d.Log = r.body(value{tag: tagBytes, b: r.log}, nil)
	if m.Size > 0 && m.Size >= d.Log.Size {
		d.Log.Size, d.Log.Truncated = m.Size, true
	}
	return last
}

func (r *reader) add(e message.Entry, before time.Duration) {
	r.log = append(message.AppendHead(r.log, &e, before), e.Payload...)
}

// toldMessage reads a message from mitmproxy's list.
func toldMessage(v value, kind string, start time.Time) (e message.Entry) {
	skip := 0
	if kind == "websocket" {
		e.Op = uint8(v.at(0).int())
		skip = 1
		e.Dropped, e.Injected = v.at(4).bool(), v.at(5).bool()
	}
	e.Dir = message.ToClient
	if v.at(skip).bool() {
		e.Dir = message.ToServer
	}
	e.Payload = v.at(skip + 1).bytes()
	e.Size = int64(len(e.Payload))
	if t := v.at(skip + 2).time(); !t.IsZero() {
		e.At = max(t.Sub(start), 0)
	}
	return e
}

// ours puts the messages of a list together with what the list doesn't have of them. It
// reports false if the one isn't of the other.
func (r *reader) ours(list value, kind string, log []byte) bool {
	rest := list.b
	var before time.Duration
	for e, err := range message.ReadLog(bytes.NewReader(log)) {
		if err != nil {
			return false
		}
		if shown(kind, &e) {
			var in value
			if in, rest, err = cut(rest); err != nil {
				return false
			}
			told := toldMessage(in, kind, time.Time{})
			if told.Dir != e.Dir || told.Size > e.Size {
				return false
			}
			e.Payload, e.Cut = told.Payload, e.Size-told.Size
		} else {
			e.Cut = e.Size - int64(len(e.Payload))
		}
		r.add(e, before)
		before = e.At
	}
	return len(rest) == 0
}

// count counts the messages of the log.
func (r *reader) count(d *flow.Messages) {
	for e, err := range message.ReadLog(bytes.NewReader(r.log)) {
		if err != nil {
			return
		}
		d.Count[e.Dir]++
		d.Bytes[e.Dir] += e.Size
	}
}

// webSocket reads what handshake began; nil if it began none.
// responded is when the response to it had come.
func (r *reader) webSocket(v value, handshake *flow.Flow, h *flow.HTTP, m *messagesMeta, responded time.Time) *flow.Flow {
	if v.tag != tagDict {
		return nil
	}
	foreign := m == nil || m.ID == nil
	if foreign {
		m = &messagesMeta{}
	}
	ws := &flow.Flow{Rev: m.Rev, Conn: handshake.Conn, State: flow.Done, Tags: untexts(m.Tags), End: v.get("timestamp_end").time()}
	d := &flow.Messages{Kind: "websocket", Handshake: handshake.ID, Request: h.Request, Notes: untexts(m.Notes)}
	ws.Detail = d
	ws.Start = handshake.Start.Add(time.Duration(m.Start))
	if foreign && !handshake.End.IsZero() {
		ws.Start = handshake.End
	}
	if foreign {
		ws.ID = export.Behind(export.TimedID("websocket "+handshake.ID.String(), ws.Start), handshake.ID)
	} else {
		ws.ID = *m.ID
	}
	if m.Before != nil {
		d.Handshake = *m.Before
	}
	if m.Apart {
		d.Request = m.head()
	}
	if m.Failed || foreign && handshake.State == flow.Failed && h.Response != nil {
		ws.State, ws.Err = flow.Failed, handshake.Err
		if ws.End.IsZero() && foreign {
			ws.End = handshake.End
		}
		handshake.State, handshake.Err, handshake.End = flow.Done, "", responded
	}
	if m.Err != nil {
		ws.State, ws.Err = flow.Failed, string(*m.Err)
	}
	if m.State != nil && *m.State <= flow.Failed {
		ws.State = *m.State
	}
	if m.Open {
		ws.End = time.Time{}
	}
	var end *message.Entry
	if foreign {
		end = closing(v, ws)
	}
	r.messages(v.get("messages"), ws.Start, d, m, end)
	h.Began = ws.ID
	return ws
}

// closing returns the close frame that mitmproxy tells of, nil if there was none (RFC
// 6455, section 7.4.1).
func closing(v value, ws *flow.Flow) *message.Entry {
	code := v.get("close_code")
	if n := code.int(); code.null() || n == 1006 || n < 0 || n > 1<<16-1 {
		return nil
	}
	e := &message.Entry{Dir: message.ToClient, Op: wsClose}
	by := v.get("closed_by_client")
	if by.bool() || v.get("close_sender").text() == "client" {
		e.Dir = message.ToServer
	}
	if n := code.int(); n != 1005 {
		e.Payload = append(binary.BigEndian.AppendUint16(nil, uint16(n)), v.get("close_reason").bytes()...)
	}
	e.Size = int64(len(e.Payload))
	if !ws.End.IsZero() {
		e.At = max(ws.End.Sub(ws.Start), 0)
	}
	return e
}

// maxHandshakes bounds how many handshakes of old files wait for their WebSocket.
const maxHandshakes = 1024

// remember keeps a handshake: until version 12 what it began is a flow of its own, that
// stands behind it.
func (r *reader) remember(id string, f *flow.Flow) {
	if r.handshakes == nil || len(r.handshakes) >= maxHandshakes {
		r.handshakes = map[string]*flow.Flow{}
	}
	r.handshakes[id] = f
}

// oldWebSocket reads a WebSocket of a file below version 12.
func (r *reader) oldWebSocket(v value, f *flow.Flow) error {
	d := &flow.Messages{Kind: "websocket", Notes: notes(v, nil)}
	f.Detail = d
	id := v.get("metadata").get("websocket_handshake").text()
	if before := r.handshakes[id]; before != nil {
		delete(r.handshakes, id)
		begun, h := *before, *before.Detail.(*flow.HTTP)
		h.Began = f.ID
		begun.Rev, begun.Detail = begun.Rev+1, &h
		if err := r.put(&begun); err != nil {
			return err
		}
		d.Handshake, d.Request = begun.ID, h.Request
		if !begun.End.IsZero() {
			f.Start = begun.End
		}
	}
	if f.End.IsZero() {
		f.End = first(v.get("server_conn").get("timestamp_end"), v.get("client_conn").get("timestamp_end"))
	}
	last := r.messages(v.get("messages"), f.Start, d, &messagesMeta{}, closing(v, f))
	if f.End.IsZero() {
		f.End = last
	}
	return r.put(f)
}

// dns reads a query and its answer.
func (r *reader) dns(v value, f *flow.Flow, m *flowMeta) error {
	d := &flow.DNS{Notes: notes(v, m.Notes)}
	f.Detail = d
	var err error
	if !m.Silent {
		if d.Query, err = dnsRead(v.get("request"), m.Query); err != nil {
			return fmt.Errorf("its query is none: %w", err)
		}
	}
	if resp := v.get("response"); resp.tag == tagDict {
		if d.Answer, err = dnsRead(resp, m.Answer); err != nil {
			return fmt.Errorf("its answer is none: %w", err)
		}
		if f.End.IsZero() {
			f.End = resp.get("timestamp").time()
		}
	}
	if m.Open {
		f.End = time.Time{}
	}
	f.Foreign = flowAside(v, f)
	return r.put(f)
}
