package mitm

import (
	"io"
	"time"

	"transom/flow"
)

// http puts an exchange, and ws, what it began, if that is a WebSocket.
func (p *put) http(d *flow.HTTP, ws *flow.Flow) {
	p.meta.Notes = texts(d.Notes)
	if !d.Began.IsZero() {
		p.meta.Began = &d.Began
	}
	for i := range d.Interim {
		r := &d.Interim[i]
		p.meta.Interim = append(p.meta.Interim, headMeta{
			Full: fullResponse(r), Raw: rawMeta(r.Raw, canonicalResponse(r)), Forms: forms(r.Header), H2: h2MetaOf(r.H2),
		})
	}
	p.webSocket(ws)
	p.meta.Request, p.meta.RequestBody = p.request(d.Request, d.RequestBody, d.RequestTrailer, d, p.aside.get("request"))
	p.meta.Response, p.meta.ResponseBody = p.response(d.Response, d.ResponseBody, d.ResponseTrailer, d, p.aside.get("response"))
	p.mode()
	p.backup(d)
}

func (p *put) mode() {
	if p.w.o.Format < 17 {
		m := "transparent"
		if p.f.Conn != nil {
			m = mode(p.f.Conn)
		}
		p.keyText("mode", m)
	}
}

// backup puts the flow as it came in, if it went out otherwise: for mitmproxy that is a
// flow that somebody has changed, and it can take the change back.
func (p *put) backup(d *flow.HTTP) {
	if d.OriginalRequest == nil && d.OriginalRequestBody == nil && d.OriginalResponse == nil && d.OriginalResponseBody == nil {
		return
	}
	before := beforeMeta{Heads: [2]bool{d.OriginalRequest != nil, d.OriginalResponse != nil}}
	from := p.aside.get("backup")
	was := original(d)
	at := p.open(tagDict)
	p.keyNull("websocket")
	before.Request, before.RequestBody = p.request(was.Request, was.RequestBody, d.RequestTrailer, d, from.get("request"))
	before.Response, before.ResponseBody = p.response(was.Response, was.ResponseBody, d.ResponseTrailer, d, from.get("response"))
	p.mode()
	p.bare()
	p.close(at)
	p.key("backup")
	p.meta.Before = &before
}

// original is an exchange as it came in.
func original(d *flow.HTTP) *flow.HTTP {
	was := *d
	if d.OriginalRequest != nil {
		was.Request = d.OriginalRequest
	}
	if d.OriginalResponse != nil {
		was.Response = d.OriginalResponse
	}
	if d.OriginalRequestBody != nil {
		was.RequestBody = *d.OriginalRequestBody
	}
	if d.OriginalResponseBody != nil {
		was.ResponseBody = *d.OriginalResponseBody
	}
	return &was
}

// bare puts what a backup has in common with its flow.
func (p *put) bare() {
	outer := p.meta
	p.meta = flowMeta{}
	defer func() { p.meta = outer }()
	format := p.w.o.Format
	if format >= 16 {
		p.keyTime("timestamp_created", notZero(p.f.Start))
	}
	p.people(p.aside.get("backup"), func() {})
	if c, err := p.w.conn(p.f.Conn); err == nil { // else common has it
		copy(p.room(len(c.ends)), c.ends)
	}
	p.keyNull("error")
	p.id()
	p.keyText("type", p.kind)
	p.keyInt("version", int64(format))
}

// requestEnd is when a request had been read: that is not recorded; without a body it was
// at once.
func requestEnd(f *flow.Flow, d *flow.HTTP, body flow.BodyRef) time.Time {
	if body.Size == 0 {
		return notZero(f.Start)
	}
	return d.FirstByte
}

// request puts a request. from is what was put aside of it.
func (p *put) request(r *flow.RequestHead, body flow.BodyRef, trailer flow.Header, d *flow.HTTP, from value) (*headMeta, *bodyMeta) {
	m := requestOf(p.f.Conn, r)
	at := p.open(tagDict)
	if !p.kept(from, "timestamp_end") {
		p.keyTime("timestamp_end", requestEnd(p.f, d, body))
	}
	if !p.kept(from, "timestamp_start") {
		p.keyTime("timestamp_start", notZero(p.f.Start))
	}
	p.trailer(trailer)
	lost := p.body("content", body)
	p.header("headers", m.header)
	for _, of := range [...]struct{ name, s string }{
		{"http_version", m.version}, {"path", m.path}, {"authority", m.authority}, {"scheme", m.scheme}, {"method", m.method},
	} {
		if !p.kept(from, of.name) {
			p.keyBytes(of.name, of.s)
		}
	}
	if !p.kept(from, "port") {
		p.keyInt("port", int64(m.port))
	}
	if !p.kept(from, "host") {
		p.keyText("host", m.host)
	}
	p.close(at)
	p.key("request")
	return requestMeta(&m, r, trailer), lost
}

func (p *put) response(r *flow.ResponseHead, body flow.BodyRef, trailer flow.Header, d *flow.HTTP, from value) (*headMeta, *bodyMeta) {
	if r == nil {
		p.keyNull("response")
		return nil, nil
	}
	m := responseOf(r)
	at := p.open(tagDict)
	if !p.kept(from, "timestamp_end") {
		p.keyTime("timestamp_end", p.f.End)
	}
	p.ended = p.f.End
	if t := from.get("timestamp_end"); t.tag != 0 {
		p.ended = t.time()
	}
	first := d.FirstByte
	if p.meta.NoFirst = first.IsZero(); p.meta.NoFirst {
		first = notZero(p.f.Start)
	}
	p.keyTime("timestamp_start", first)
	p.trailer(trailer)
	lost := p.body("content", body)
	p.header("headers", m.header)
	p.keyBytes("reason", m.reason)
	p.keyInt("status_code", int64(m.status))
	if !p.kept(from, "http_version") {
		p.keyBytes("http_version", m.version)
	}
	p.close(at)
	p.key("response")
	return responseMeta(&m, r, trailer), lost
}

func (p *put) trailer(h flow.Header) {
	if len(h) == 0 {
		p.keyNull("trailers")
	} else {
		p.header("trailers", h)
	}
}

func (p *put) header(name string, h flow.Header) {
	list := p.open(tagList)
	for i := len(h) - 1; i >= 0; i-- {
		at := p.open(tagList)
		p.string(tagBytes, h[i].Value)
		p.string(tagBytes, h[i].Name)
		p.close(at)
	}
	p.close(list)
	p.key(name)
}

// body puts what is kept of a body: null, which is mitmproxy's word for a body that is
// missing, if nothing is of one that was something. lost says that it isn't all.
func (p *put) body(name string, ref flow.BodyRef) (lost *bodyMeta) {
	kept := p.content(ref)
	if kept == 0 && ref.Size > 0 {
		p.keyNull(name)
	} else {
		p.prefix(int(kept))
		p.key(name)
	}
	if kept < ref.Size || ref.Truncated {
		return &bodyMeta{Size: ref.Size}
	}
	return nil
}

// content puts the octets of a body and the tag behind them, and nothing if it can't be
// read.
func (p *put) content(ref flow.BodyRef) int64 {
	if ref.Kept <= 0 {
		if ref.Size <= 0 {
			p.octet(tagBytes)
		}
		return 0
	}
	before := p.size()
	r, err := p.bodies.OpenBody(p.ctx, ref)
	if err != nil {
		p.w.skipped.Bodies++
		return 0
	}
	defer r.Close()
	p.octet(tagBytes)
	room := p.room(int(ref.Kept))
	n, err := io.ReadFull(r, room)
	if n == 0 && err != nil {
		p.w.skipped.Bodies++
		p.at += p.size() - before
		return 0
	}
	if short := len(room) - n; short > 0 {
		copy(room[short:], room[:n])
		p.at += short
	}
	return int64(n)
}
