package mitm

import (
	"strings"
	"time"

	"transom/app/export"
	"transom/flow"
	"transom/message"
)

// A logged is a message of the log, whose payload is in w.payload.
type logged struct {
	message.Entry
	from, to int
}

const wsClose = 8

// readLog reads the log of f's messages into w.log, as far as it can be read.
func (p *put) readLog(d *flow.Messages) {
	w := p.w
	w.log, w.payload = w.log[:0], w.payload[:0]
	if d.Log.Kept == 0 {
		return
	}
	r, err := p.bodies.OpenBody(p.ctx, d.Log)
	if err != nil {
		w.skipped.Bodies++
		return
	}
	defer r.Close()
	for e, err := range message.ReadLog(r) {
		if err != nil {
			w.skipped.Bodies++
			break
		}
		from := len(w.payload)
		w.payload = append(w.payload, e.Payload...)
		e.Cut, e.Payload = e.Size-int64(len(e.Payload)), nil
		w.log = append(w.log, logged{e, from, len(w.payload)})
	}
}

// listed reports whether mitmproxy's list of messages has e.
func shown(kind string, e *message.Entry) bool {
	return kind != "websocket" || (e.Op == 1 || e.Op == 2) && !e.Encoded
}

// fits reports whether all of e fits into that list.
func fits(kind string, e *message.Entry) bool {
	if e.Changed || e.Encoded || e.Cut != 0 || !shown(kind, e) {
		return false
	}
	return kind == "websocket" || e.Op == 0 && !e.Dropped && !e.Injected
}

// messageList puts the messages, and returns what of the log is not in them.
func (p *put) messageList(kind string, start time.Time, d *flow.Messages) *messagesMeta {
	w := p.w
	list := p.open(tagList)
	all := true
	for i := len(w.log) - 1; i >= 0; i-- {
		e := &w.log[i]
		all = all && fits(kind, &e.Entry)
		if !shown(kind, &e.Entry) {
			continue
		}
		at := p.open(tagList)
		if kind == "websocket" {
			if p.w.o.Format >= 15 {
				p.bool(e.Injected)
			}
			p.bool(e.Dropped)
		}
		p.time(start.Add(e.At))
		p.put(tagBytes, w.payload[e.from:e.to])
		p.bool(e.Dir == message.ToServer)
		if kind == "websocket" {
			p.int(int64(e.Op))
		}
		p.close(at)
	}
	p.close(list)
	p.key("messages")
	m := &messagesMeta{}
	if !all || kind == "websocket" && w.o.Format < 15 {
		m.Log = w.logMeta(kind)
	}
	count, bytes := w.counted()
	if count != d.Count || bytes != d.Bytes {
		m.Count, m.Bytes = &d.Count, &d.Bytes
	}
	if d.Log.Truncated {
		m.Size = d.Log.Size
	}
	return m
}

// logMeta returns the log without the payload that mitmproxy's list has.
func (w *Writer) logMeta(kind string) (out []byte) {
	var before time.Duration
	for i := range w.log {
		e := w.log[i].Entry
		var payload []byte
		if shown(kind, &e) {
			e.Cut = e.Size
		} else {
			payload = w.payload[w.log[i].from:w.log[i].to]
		}
		out = append(message.AppendHead(out, &e, before), payload...)
		before = e.At
	}
	return out
}

// counted returns what the log says of how many messages there were.
func (w *Writer) counted() (count, bytes [2]int64) {
	for i := range w.log {
		e := &w.log[i]
		count[e.Dir]++
		bytes[e.Dir] += e.Size
	}
	return count, bytes
}

// stream puts the messages of TCP or UDP.
func (p *put) stream(d *flow.Messages) {
	p.readLog(d)
	m := p.messageList(d.Kind, p.f.Start, d)
	p.meta.Notes = texts(d.Notes)
	if !d.Handshake.IsZero() {
		m.Before = &d.Handshake
	}
	if d.Request != nil {
		m.Request = alone(d.Request)
	}
	p.meta.Messages = m
}

// alone describes a head that is nowhere else.
func alone(r *flow.RequestHead) *headMeta {
	return &headMeta{
		Full: &head{
			Method: text(r.Method), Scheme: text(r.Scheme), Authority: text(r.Authority), Target: text(r.Target),
			Protocol: text(r.Protocol), Proto: r.Proto, Header: pairs(r.Header),
		},
		Raw: rawMeta(r.Raw, canonicalRequest(r)), Forms: forms(r.Header), H2: h2MetaOf(r.H2),
	}
}

// webSocket puts what a WebSocket said.
func (p *put) webSocket(ws *flow.Flow) {
	if ws == nil {
		p.keyNull("websocket")
		return
	}
	d := ws.Detail.(*flow.Messages)
	p.readLog(d)
	at := p.open(tagDict)
	p.keyTime("timestamp_end", ws.End)
	p.ending()
	m := p.messageList("websocket", ws.Start, d)
	p.close(at)
	p.key("websocket")
	m.ID, m.Rev, m.State = &ws.ID, ws.Rev, stateMeta(ws)
	m.Tags, m.Notes = texts(ws.Tags), texts(d.Notes)
	m.Start, m.Open = int64(ws.Start.Sub(p.f.Start)), ws.End.IsZero()
	if m.Alone = p.alone; d.Handshake.IsZero() {
		m.Before = &flow.ID{}
	}
	if h := p.f.Detail.(*flow.HTTP).Request; d.Request == nil || !d.Request.Equal(h) || string(d.Request.Raw) != string(h.Raw) {
		m.Apart = true
		if d.Request != nil {
			m.Request = alone(d.Request)
		}
	}
	p.meta.Messages = m
}

// ending puts who has closed the WebSocket, and how.
func (p *put) ending() {
	for i := range p.w.log {
		e := p.w.log[i]
		if e.Op != wsClose || e.Encoded {
			continue
		}
		e.Payload = p.w.payload[e.from:e.to]
		code, reason, ok := export.CloseCode("websocket", &e.Entry)
		if !ok {
			code = 1005 // RFC 6455, section 7.4.1
		}
		p.keyText("close_reason", strings.ToValidUTF8(string(reason), "\ufffd"))
		p.keyInt("close_code", int64(code))
		p.keyBool("closed_by_client", e.Dir == message.ToServer)
		return
	}
	from := p.aside.get("websocket")
	for _, name := range [...]string{"close_reason", "close_code", "closed_by_client"} {
		if !p.kept(from, name) {
			p.keyNull(name)
		}
	}
}

// dns puts a query and its answer, and reports whether there was something to put.
func (p *put) dns(d *flow.DNS) bool {
	p.meta.Notes = texts(d.Notes)
	query, answer := d.Query, d.Answer
	if p.meta.Silent = query == nil; p.meta.Silent {
		if answer == nil {
			return false
		}
		query = &flow.DNSMessage{Raw: answer.Raw}
	}
	asked, err := dnsOf(query.Raw)
	if err != nil && len(asked.questions) == 0 {
		return false
	}
	if answer == nil {
		p.keyNull("response")
	} else {
		said, _ := dnsOf(answer.Raw)
		p.dnsMessage("response", &said, p.f.End)
		p.ended = p.f.End
		p.meta.Answer = answer.Raw
	}
	if p.meta.Silent {
		asked.flags &^= flow.DNSResponse
		asked.sections = [3][]dnsRecord{}
	} else {
		p.meta.Query = query.Raw
	}
	p.dnsMessage("request", &asked, p.f.Start)
	return true
}
