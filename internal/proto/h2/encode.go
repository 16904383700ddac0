package h2

import (
	"strconv"
	"strings"

	"transom/flow"
)

// requestBlockLocked encodes a request. It goes as it came where nobody changed
// it: in its order, each field in its form.
func (c *conn) requestBlockLocked(r *flow.RequestHead) []byte {
	b := c.beginBlockLocked(r.H2)
	if r.H2 != nil && len(r.H2.Pseudo) > 0 {
		b = c.pseudoLikeLocked(b, r)
	} else {
		b = c.pseudoOwnLocked(b, r)
	}
	b = c.fieldsLocked(b, r.Header, r.Proto < flow.HTTP2)
	c.scratch = b
	return b
}

func (c *conn) beginBlockLocked(raw *flow.H2Head) []byte {
	var sizes []uint32
	if raw != nil {
		sizes = raw.TableSizes
	}
	return c.enc.Begin(c.scratch[:0], sizes)
}

// pseudoLikeLocked says the pseudo-header fields in the order they came.
func (c *conn) pseudoLikeLocked(b []byte, r *flow.RequestHead) []byte {
	for _, f := range r.H2.Pseudo {
		v := f.Value
		switch f.Name {
		case ":method":
			v = r.Method
		case ":scheme":
			v = r.Scheme
		case ":authority":
			v = r.Authority
		case ":path":
			v = r.Target
		case ":protocol":
			v = r.Protocol
		}
		if v != f.Value {
			f = flow.Field{Name: f.Name, Value: v}
		}
		b = c.enc.Append(b, f)
	}
	return b
}

// pseudoOwnLocked says them for a request that did not come by HTTP/2.
func (c *conn) pseudoOwnLocked(b []byte, r *flow.RequestHead) []byte {
	b = c.enc.Append(b, flow.Field{Name: ":method", Value: r.Method})
	connect := r.Method == "CONNECT" && r.Protocol == ""
	if r.Protocol != "" {
		b = c.enc.Append(b, flow.Field{Name: ":protocol", Value: r.Protocol})
	}
	if !connect {
		scheme := r.Scheme
		if scheme == "" {
			scheme = "http"
		}
		b = c.enc.Append(b, flow.Field{Name: ":scheme", Value: scheme})
	}
	if r.Authority != "" {
		b = c.enc.Append(b, flow.Field{Name: ":authority", Value: r.Authority})
	}
	if !connect {
		b = c.enc.Append(b, flow.Field{Name: ":path", Value: r.Target})
	}
	return b
}

// responseBlockLocked encodes a response.
func (c *conn) responseBlockLocked(r *flow.ResponseHead) []byte {
	b := c.beginBlockLocked(r.H2)
	status := flow.Field{Name: ":status", Value: statusText(r.Status)}
	if r.H2 != nil && len(r.H2.Pseudo) == 1 && r.H2.Pseudo[0].Value == status.Value {
		status = r.H2.Pseudo[0]
	}
	b = c.enc.Append(b, status)
	b = c.fieldsLocked(b, r.Header, r.Proto < flow.HTTP2)
	c.scratch = b
	return b
}

// statusText spares an allocation for the usual ones.
func statusText(n int) string {
	switch n {
	case 200:
		return "200"
	case 204:
		return "204"
	case 304:
		return "304"
	case 404:
		return "404"
	}
	return strconv.Itoa(n)
}

// trailerBlockLocked encodes a trailer section.
func (c *conn) trailerBlockLocked(t flow.Header) []byte {
	c.scratch = c.fieldsLocked(c.beginBlockLocked(nil), t, false)
	return c.scratch
}

// fieldsLocked encodes fields. Those that came by HTTP/2 have a form and go as
// they are; the others are made to fit (RFC 9113, section 8.2): names in lower
// case, and nothing that is about a connection. foreign says that the whole
// head came by HTTP/1, where Host is what :authority is here.
func (c *conn) fieldsLocked(b []byte, h flow.Header, foreign bool) []byte {
	for i := range h {
		f := h[i]
		if f.Form == 0 || foreign {
			if foreign && len(f.Name) == 4 && flow.EqualFold(f.Name, "Host") || aboutConnection(h, &f) {
				continue
			}
			f = flow.Field{Name: strings.ToLower(f.Name), Value: f.Value, Form: f.Form & flow.FormNeverIndexed}
		}
		b = c.enc.Append(b, f)
	}
	return b
}

// aboutConnection reports whether f of h is for the next hop alone (RFC 9110,
// section 7.6.1). What is left of TE is trailers.
func aboutConnection(h flow.Header, f *flow.Field) bool {
	switch len(f.Name) {
	case 2:
		if flow.EqualFold(f.Name, "TE") {
			if !h.HasToken("TE", "trailers") {
				return true
			}
			f.Value = "trailers"
			return false
		}
	case 7, 10, 14, 16, 17:
		for _, name := range [...]string{"Upgrade", "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "HTTP2-Settings"} {
			if flow.EqualFold(f.Name, name) {
				return true
			}
		}
	}
	return h.HasToken("Connection", f.Name)
}
