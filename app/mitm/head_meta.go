package mitm

import (
	"bytes"
	"strconv"

	"transom/flow"
)

// requestMeta says what m lacks of r; nil if it lacks nothing.
func requestMeta(m *form, r *flow.RequestHead, trailer flow.Header) *headMeta {
	meta := &headMeta{Raw: rawMeta(r.Raw, canonicalRequest(r)), Forms: forms(r.Header), H2: h2MetaOf(r.H2), Trail: forms(trailer)}
	if !m.request().Equal(r) {
		meta.Full = &head{
			Method: text(r.Method), Scheme: text(r.Scheme), Authority: text(r.Authority), Target: text(r.Target),
			Protocol: text(r.Protocol), Proto: r.Proto, Header: pairs(r.Header),
		}
	}
	return meta.summed(m)
}

func responseMeta(m *form, r *flow.ResponseHead, trailer flow.Header) *headMeta {
	meta := &headMeta{Raw: rawMeta(r.Raw, canonicalResponse(r)), Forms: forms(r.Header), H2: h2MetaOf(r.H2), Trail: forms(trailer)}
	if !m.response().Equal(r) {
		meta.Full = fullResponse(r)
	}
	return meta.summed(m)
}

func fullResponse(r *flow.ResponseHead) *head {
	return &head{Status: r.Status, Reason: text(r.Reason), Proto: r.Proto, Header: pairs(r.Header)}
}

func (h *headMeta) summed(m *form) *headMeta {
	if h.Raw == nil && h.Full == nil && h.Forms == nil && h.H2 == nil && h.Trail == nil {
		return nil
	}
	h.Sum = m.sum()
	return h
}

// request returns the head that m and what it lacked are of.
func (h *headMeta) request(m *form) *flow.RequestHead {
	r := m.request()
	if h == nil || h.Sum != m.sum() {
		return r
	}
	if f := h.Full; f != nil {
		r = f.request()
	}
	r.Raw = h.raw(canonicalRequest(r))
	r.Header, r.H2 = formed(r.Header, h.Forms), h.H2.head()
	return r
}

func (h *headMeta) response(m *form) *flow.ResponseHead {
	r := m.response()
	if h == nil || h.Sum != m.sum() {
		return r
	}
	return h.complete(r)
}

func (h *headMeta) complete(r *flow.ResponseHead) *flow.ResponseHead {
	if f := h.Full; f != nil {
		r = &flow.ResponseHead{Status: f.Status, Reason: string(f.Reason), Proto: f.Proto, Header: unpairs(f.Header)}
	}
	r.Raw = h.raw(canonicalResponse(r))
	r.Header, r.H2 = formed(r.Header, h.Forms), h.H2.head()
	return r
}

func (f *head) request() *flow.RequestHead {
	return &flow.RequestHead{
		Method: string(f.Method), Scheme: string(f.Scheme), Authority: string(f.Authority), Target: string(f.Target),
		Protocol: string(f.Protocol), Proto: f.Proto, Header: unpairs(f.Header),
	}
}

// canonicalRequest is how a head of HTTP/1 is usually written, so that most need not
// be kept.
func canonicalRequest(r *flow.RequestHead) []byte {
	return fields([]byte(r.Method+" "+r.Target+" "+r.Proto.String()+"\r\n"), r.Header)
}

func canonicalResponse(r *flow.ResponseHead) []byte {
	return fields([]byte(r.Proto.String()+" "+strconv.Itoa(r.Status)+" "+r.Reason+"\r\n"), r.Header)
}

func fields(b []byte, h flow.Header) []byte {
	for i := range h {
		b = append(append(append(append(b, h[i].Name...), ": "...), h[i].Value...), "\r\n"...)
	}
	return append(b, "\r\n"...)
}

func rawMeta(raw, canonical []byte) *text {
	if raw == nil {
		return nil
	}
	var t text
	if !bytes.Equal(raw, canonical) {
		t = text(raw)
	}
	return &t
}

func (h *headMeta) raw(canonical []byte) []byte {
	switch {
	case h.Raw == nil:
		return nil
	case *h.Raw == "":
		return canonical
	}
	return []byte(*h.Raw)
}

func h2MetaOf(h *flow.H2Head) *h2Meta {
	if h == nil {
		return nil
	}
	return &h2Meta{Stream: h.Stream, Pseudo: pairs(h.Pseudo), Forms: forms(h.Pseudo), Priority: h.Priority, TableSizes: h.TableSizes}
}

func (h *h2Meta) head() *flow.H2Head {
	if h == nil {
		return nil
	}
	return &flow.H2Head{Stream: h.Stream, Pseudo: formed(unpairs(h.Pseudo), h.Forms), Priority: h.Priority, TableSizes: h.TableSizes}
}

func pairs(h flow.Header) [][2]text {
	var out [][2]text
	for i := range h {
		out = append(out, [2]text{text(h[i].Name), text(h[i].Value)})
	}
	return out
}

func unpairs(p [][2]text) flow.Header {
	var h flow.Header
	for _, f := range p {
		h = append(h, flow.Field{Name: string(f[0]), Value: string(f[1])})
	}
	return h
}

// forms returns nil if no field has one.
func forms(h flow.Header) []byte {
	var out []byte
	for i := range h {
		if h[i].Form != 0 && out == nil {
			out = make([]byte, len(h))
		}
		if out != nil {
			out[i] = byte(h[i].Form)
		}
	}
	return out
}

func formed(h flow.Header, forms []byte) flow.Header {
	if len(forms) != len(h) {
		return h
	}
	for i := range h {
		h[i].Form = flow.Form(forms[i])
	}
	return h
}
