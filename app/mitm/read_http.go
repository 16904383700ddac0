package mitm

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"transom/flow"
)

// http reads an exchange, and the WebSocket that it began.
func (r *reader) http(v value, f *flow.Flow, m *flowMeta) error {
	req := v.get("request")
	if req.tag != tagDict {
		return errors.New("it has no request")
	}
	d := &flow.HTTP{Notes: notes(v, m.Notes)}
	f.Detail = d
	d.Request, d.RequestTrailer = r.request(req, m.Request)
	d.RequestBody = r.body(req.get("content", "body"), m.RequestBody)
	resp := v.get("response")
	if resp.tag == tagDict {
		d.Response, d.ResponseTrailer = r.response(resp, m.Response)
		d.ResponseBody = r.body(resp.get("content", "body"), m.ResponseBody)
		if !m.NoFirst {
			d.FirstByte = resp.get("timestamp_start").time()
		}
		if f.End.IsZero() {
			f.End = resp.get("timestamp_end").time()
		}
	}
	if m.Open {
		f.End = time.Time{}
	}
	for i := range m.Interim {
		d.Interim = append(d.Interim, *m.Interim[i].complete(&flow.ResponseHead{}))
	}
	if m.Began != nil {
		d.Began = *m.Began
	}
	r.before(v.get("backup"), d, m.Before, req, resp)
	if v.get("metadata").get("websocket").bool() {
		r.remember(v.get("id").text(), f)
	}
	responded := resp.get("timestamp_end").time()
	if m.End != 0 {
		responded = f.End
	}
	ws := r.webSocket(v.get("websocket"), f, d, m.Messages, responded)
	if m.Messages == nil || !m.Messages.Alone {
		f.Foreign = flowAside(v, f)
		if err := r.put(f); err != nil {
			return err
		}
	}
	if ws == nil {
		return nil
	}
	return r.put(ws)
}

// before reads from a backup what was there before somebody changed it.
func (r *reader) before(backup value, d *flow.HTTP, m *beforeMeta, req, resp value) {
	if backup.tag != tagDict {
		return
	}
	if m == nil {
		m = &beforeMeta{}
	}
	if was := backup.get("request"); was.tag == tagDict {
		head, _ := r.request(was, m.Request)
		if m.Heads[0] || !head.Equal(d.Request) {
			d.OriginalRequest = head
		}
		d.OriginalRequestBody = r.bodyBefore(was, req, m.RequestBody, d.RequestBody)
	}
	if was := backup.get("response"); was.tag == tagDict && d.Response != nil {
		head, _ := r.response(was, m.Response)
		if m.Heads[1] || !head.Equal(d.Response) {
			d.OriginalResponse = head
		}
		d.OriginalResponseBody = r.bodyBefore(was, resp, m.ResponseBody, d.ResponseBody)
	}
}

// bodyBefore is nil if the body is the same.
func (r *reader) bodyBefore(was, is value, m *bodyMeta, ref flow.BodyRef) *flow.BodyRef {
	a, b := was.get("content"), is.get("content")
	size := int64(len(a.bytes()))
	if m != nil {
		size = m.Size
	}
	if a.null() == b.null() && bytes.Equal(a.bytes(), b.bytes()) && size == ref.Size {
		return nil
	}
	before := r.body(a, m)
	return &before
}

func (r *reader) request(v value, m *headMeta) (*flow.RequestHead, flow.Header) {
	f := form{
		host: v.get("host").text(), port: int(v.get("port").int()), method: v.get("method").text(), scheme: v.get("scheme").text(),
		authority: v.get("authority").text(), path: v.get("path").text(), version: version(v), header: header(v.get("headers")),
	}
	if v.get("first_line_format").text() == "absolute" { // below version 9
		f.authority = f.host
		if f.port != portOf(f.scheme) {
			f.authority += ":" + strconv.Itoa(f.port)
		}
	}
	trailer := header(v.get("trailers"))
	if m != nil {
		trailer = formed(trailer, m.Trail)
	}
	return m.request(&f), trailer
}

func (r *reader) response(v value, m *headMeta) (*flow.ResponseHead, flow.Header) {
	f := form{
		status: int(v.get("status_code", "code").int()), reason: v.get("reason", "msg").text(), version: version(v),
		header: header(v.get("headers")),
	}
	trailer := header(v.get("trailers"))
	if m != nil {
		trailer = formed(trailer, m.Trail)
	}
	return m.response(&f), trailer
}

// version reads the version of HTTP, which was two numbers once.
func version(v value) string {
	if s := v.get("http_version").text(); s != "" {
		return s
	}
	if old := v.get("httpversion"); old.tag == tagList {
		return fmt.Sprintf("HTTP/%d.%d", old.at(0).int(), old.at(1).int())
	}
	return "HTTP/1.1"
}

func header(v value) (h flow.Header) {
	for in := range v.items() {
		h = append(h, flow.Field{Name: in.at(0).text(), Value: in.at(1).text()})
	}
	return h
}
