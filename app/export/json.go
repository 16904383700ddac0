// Package export writes flows as JSON, reads that back, and has what formats of files
// have in common. It opens no files and reads no bodies that it is not given.
package export

import (
	"crypto/tls"
	"net/netip"

	"transom/flow"
)

// The events a flow is printed for.
const (
	Start = "start" // it began: what is known is the request
	End   = "end"   // it is over
)

// AppendJSON appends f as one JSON object, without a newline. event is Start or
// End; a start leaves out all that is known only later, even if f knows it.
//
// Times are RFC 3339 with nanoseconds in UTC, durations nanoseconds, sizes
// bytes, addresses "host:port". Header fields are an array of [name, value] in
// wire order. Members that are not known are left out, but for those of a head.
//
// Heads are bytes, JSON is Unicode. A head that is valid UTF-8 throughout is
// written as that. In any other, each byte becomes the code point of the same
// number, and the object gets "latin1":true; so nothing is lost, and the line
// can be parsed by everything. The same holds for a "tls" object with an odd
// server name. Elsewhere odd bytes become U+FFFD. Characters that steer a
// terminal are escaped.
func AppendJSON(dst []byte, f *flow.Flow, event string) []byte {
	w := &writer{b: dst}
	w.open('{')
	w.key("type").text(f.Type())
	w.key("event").text(event)
	w.key("id").id(f.ID)
	if f.Conn != nil {
		w.key("conn").id(f.Conn.ID)
	}
	w.key("start").time(f.Start)
	if event != Start {
		w.key("duration").int(int64(f.Duration()))
	}
	if f.Conn != nil {
		w.conn(f.Conn)
	}
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		w.http(f, d, event)
	case *flow.DNS:
		w.dns(d, event)
	case *flow.Messages:
		w.began(f.Conn, d)
		if event != Start {
			w.messages(d)
		}
	case *flow.Connection:
		if event != Start {
			w.connection(d)
		}
	}
	if event != Start {
		w.key("error").text(f.Err)
	}
	if len(f.Tags) > 0 {
		w.key("tags").texts(f.Tags)
	}
	w.key("rules").open('[')
	w.close(']')
	w.close('}')
	return w.b
}

// conn writes what flows of one connection have in common.
func (w *writer) conn(c *flow.Conn) {
	w.key("capture").text(c.Via)
	if c.Network == "udp" {
		w.key("network").text(c.Network)
	}
	w.key("client").open('{')
	w.key("addr").addr(c.Client)
	if d := c.Device; d != nil {
		w.optional("mac", d.MAC)
		w.optional("name", d.Name)
		w.optional("named_by", d.NamedBy)
	}
	if c.Process != nil {
		w.key("process").process(c.Process)
	}
	w.close('}')
	w.server(c)
	w.http2(c)
	client := c.TLS()
	if client == nil && (c.Server == nil || c.Server.TLS == nil) {
		return
	}
	w.key("tls").open('{')
	if client != nil {
		w.key("client").tls(client)
	}
	if c.Server != nil && c.Server.TLS != nil {
		w.key("server").tls(c.Server.TLS)
	}
	var room [8]string
	if differs := c.Differs(room[:0]); len(differs) > 0 {
		w.key("differs").texts(differs)
	}
	w.close('}')
}

// process writes whose a client is. There is always a uid.
func (w *writer) process(p *flow.Process) {
	w.open('{')
	if p.PID != 0 {
		w.key("pid").int(int64(p.PID))
	}
	w.optional("name", p.Name)
	w.optional("path", p.Path)
	w.key("uid").int(int64(p.UID))
	w.optional("user", p.User)
	w.optional("cgroup", p.Cgroup)
	w.optional("container", p.Container)
	w.optional("unit", p.Unit)
	w.close('}')
}

// http2 writes how HTTP/2 began on each leg.
func (w *writer) http2(c *flow.Conn) {
	client, server := c.Fingerprints()
	if client == "" && server == "" {
		return
	}
	w.key("h2").open('{')
	w.optional("client", client)
	w.optional("server", server)
	w.flag("differs", client != "" && server != "" && client != server)
	w.close('}')
}

func (w *writer) server(c *flow.Conn) {
	w.key("server").open('{')
	if dst := c.Target(); dst != "" {
		w.key("dst").text(dst)
	}
	if c.Host != "" && c.Dst.Addr().IsValid() {
		w.key("host").text(c.Host)
	}
	if l := c.Server; l != nil {
		if l.To.IsValid() && l.To != c.Dst {
			w.key("addr").addr(l.To)
		}
		if l.From.IsValid() {
			w.key("from").addr(l.From)
		}
		if l.Err != "" {
			w.key("error").text(l.Err)
		}
	}
	if t := c.TLS(); t != nil && t.ServerName != "" {
		w.key("sni").text(t.ServerName)
	}
	w.close('}')
}

// tls writes one leg.
func (w *writer) tls(t *flow.TLS) {
	w.open('{')
	w.latin1 = !valid(t.ServerName) || !valid(t.Protocol) || !allValid(t.ALPN)
	if t.Version != 0 {
		w.key("version").text(tls.VersionName(t.Version))
		if t.CipherSuite != 0 {
			w.key("cipher").text(cipherName(t.CipherSuite))
		}
		w.key("alpn").text(t.Protocol)
	}
	if t.ServerName != "" {
		w.key("sni").text(t.ServerName)
	}
	if len(t.ALPN) > 0 {
		w.key("offered").texts(t.ALPN)
	}
	w.optional("ja3", t.JA3)
	w.optional("ja4", t.JA4)
	w.optional("verify_error", t.VerifyErr)
	w.flag("ech", t.ECH)
	w.flag("resumed", t.Resumed)
	w.flag("wants_cert", t.WantsCert)
	w.flag("latin1", w.latin1)
	w.latin1 = false
	w.close('}')
}

func (w *writer) http(f *flow.Flow, h *flow.HTTP, event string) {
	start := event == Start
	if start {
		came := h.Request
		if h.OriginalRequest != nil {
			came = h.OriginalRequest
		}
		w.key("request").request(f.Conn, came, nil, nil)
		return
	}
	w.key("request").request(f.Conn, h.Request, &h.RequestBody, h.RequestTrailer)
	if h.OriginalRequest != nil || h.OriginalRequestBody != nil {
		w.key("original_request").request(f.Conn, h.OriginalRequest, h.OriginalRequestBody, nil)
	}
	if len(h.Interim) > 0 {
		w.key("interim").open('[')
		for i := range h.Interim {
			w.item().response(&h.Interim[i], nil, nil)
		}
		w.close(']')
	}
	if h.Response != nil {
		w.key("response").response(h.Response, &h.ResponseBody, h.ResponseTrailer)
	}
	if h.OriginalResponse != nil || h.OriginalResponseBody != nil {
		w.key("original_response").response(h.OriginalResponse, h.OriginalResponseBody, nil)
	}
	if !h.FirstByte.IsZero() {
		w.key("first_byte").int(int64(h.FirstByte.Sub(f.Start)))
	}
	if len(h.Notes) > 0 {
		w.key("notes").texts(h.Notes)
	}
	if !h.Began.IsZero() {
		w.key("began").id(h.Began)
	}
}

// request writes a head with its body. A nil head is one that did not change.
func (w *writer) request(c *flow.Conn, r *flow.RequestHead, body *flow.BodyRef, trailer flow.Header) {
	w.open('{')
	if r != nil {
		unparsed := r.Method == "" && len(r.Raw) > 0
		w.latin1 = !valid(r.Method) || !valid(r.Authority) || !valid(r.Target) || !validHeader(r.Header) ||
			!validHeader(trailer) || unparsed && !valid(string(r.Raw))
		if unparsed {
			w.key("raw").text(string(r.Raw))
		} else {
			w.key("method").text(r.Method)
			u := address(c, r)
			w.key("url").text(u[:]...)
			if r.Target == "" || r.Target[0] != '/' {
				w.key("target").text(r.Target)
			}
			w.key("http").text(r.Proto.String())
			w.key("headers").header(r.Header)
		}
		w.end(trailer)
	}
	w.body(body)
	w.close('}')
}

func (w *writer) response(r *flow.ResponseHead, body *flow.BodyRef, trailer flow.Header) {
	w.open('{')
	if r != nil {
		w.latin1 = !valid(r.Reason) || !validHeader(r.Header) || !validHeader(trailer)
		w.key("status").int(int64(r.Status))
		w.optional("reason", r.Reason)
		w.key("http").text(r.Proto.String())
		w.key("headers").header(r.Header)
		w.end(trailer)
	}
	w.body(body)
	w.close('}')
}

// end writes what follows both kinds of head.
func (w *writer) end(trailer flow.Header) {
	if len(trailer) > 0 {
		w.key("trailers").header(trailer)
	}
	w.flag("latin1", w.latin1)
	w.latin1 = false
}

func (w *writer) header(h flow.Header) {
	w.open('[')
	for i := range h {
		w.item().open('[')
		w.item().text(h[i].Name)
		w.item().text(h[i].Value)
		w.close(']')
	}
	w.close(']')
}

func (w *writer) body(b *flow.BodyRef) {
	if b == nil {
		return
	}
	w.key("body").ref(b)
}

func (w *writer) ref(b *flow.BodyRef) {
	w.open('{')
	w.key("size").int(b.Size)
	if b.Size > 0 {
		w.key("kept").int(b.Kept)
	}
	w.flag("truncated", b.Truncated)
	w.close('}')
}

// began writes what HTTP began a conversation with.
func (w *writer) began(c *flow.Conn, m *flow.Messages) {
	if !m.Handshake.IsZero() {
		w.key("handshake").id(m.Handshake)
	}
	if u := ConversationURL(c, m); u != "" {
		w.latin1 = !valid(u)
		w.key("url").text(u)
		w.flag("latin1", w.latin1)
		w.latin1 = false
	}
}

func (w *writer) messages(m *flow.Messages) {
	w.key("messages").open('{')
	for i, way := range [...]string{"to_server", "to_client"} {
		w.key(way).open('{')
		w.key("count").int(m.Count[i])
		w.key("bytes").int(m.Bytes[i])
		w.close('}')
	}
	w.key("log").ref(&m.Log)
	w.close('}')
	if len(m.Notes) > 0 {
		w.key("notes").texts(m.Notes)
	}
}

func (w *writer) connection(c *flow.Connection) {
	w.key("action").text(c.Action)
	w.key("reason").text(c.Reason)
	w.key("flows").int(c.Flows)
	w.key("bytes").open('{')
	w.key("to_server").int(c.Bytes[0])
	w.key("to_client").int(c.Bytes[1])
	w.close('}')
	w.key("close").open('{')
	w.key("client").text(c.Client.String())
	w.key("server").text(c.Server.String())
	w.close('}')
}

// addr writes host:port, or "" if a is not known.
func (w *writer) addr(a netip.AddrPort) {
	if a.Addr().Zone() != "" {
		w.text(a.String())
		return
	}
	w.item()
	w.b = append(w.b, '"')
	if a.IsValid() {
		w.b = a.AppendTo(w.b)
	}
	w.b = append(w.b, '"')
	w.comma = true
}
