package filter

import (
	"transom/flow"
	"transom/pattern"
)

// A side is the request or the response.
type side uint8

const (
	request side = iota
	response
)

// To mitmproxy a WebSocket conversation is the HTTP exchange that began it. Here
// there are two flows: the exchange, and the messages, which have its request, so
// operators for HTTP apply to both.

// http reports whether it is HTTP.
func (s *subject) http() bool {
	switch s.Detail.(type) {
	case *flow.HTTP:
		return true
	case *flow.Messages:
		return s.kind() == "websocket"
	}
	return false
}

// kind is that of messages, "" if there are none.
func (s *subject) kind() string {
	if m, ok := s.Detail.(*flow.Messages); ok {
		return m.Kind
	}
	return ""
}

func (s *subject) dns() *flow.DNS {
	d, _ := s.Detail.(*flow.DNS)
	return d
}

// websocket reports whether it is WebSocket, or what began it.
func (s *subject) websocket() bool {
	if s.kind() == "websocket" {
		return true
	}
	h, ok := s.Detail.(*flow.HTTP)
	if !ok || h.Began.IsZero() || h.Request == nil {
		return false
	}
	return h.Request.Protocol == "websocket" || h.Request.Header.HasToken("Upgrade", "websocket")
}

// asks reports whether a flow is a question that there may be an answer to.
func (s *subject) asks() bool { return s.http() || s.dns() != nil }

// answered reports whether there is one.
func (s *subject) answered() bool {
	switch d := s.Detail.(type) {
	case *flow.HTTP:
		return d.Response != nil
	case *flow.DNS:
		return d.Answer != nil
	}
	return true // of WebSocket: it began
}

// head returns the request's.
func (s *subject) head() *flow.RequestHead {
	switch d := s.Detail.(type) {
	case *flow.HTTP:
		return d.Request
	case *flow.Messages:
		if d.Kind == "websocket" {
			return d.Request
		}
	}
	return nil
}

// fields returns the header of one side, if there is one.
func (s *subject) fields(of side) (flow.Header, bool) {
	if of == request {
		if r := s.head(); r != nil {
			return r.Header, true
		}
	} else if h, ok := s.Detail.(*flow.HTTP); ok && h.Response != nil {
		return h.Response.Header, true
	}
	return nil, false
}

// status returns the response's, 0 if there is none.
func (s *subject) status() int {
	switch d := s.Detail.(type) {
	case *flow.HTTP:
		if d.Response != nil {
			return d.Response.Status
		}
	case *flow.Messages:
		switch {
		case d.Kind != "websocket":
		case d.Request != nil && d.Request.Proto >= flow.HTTP2:
			return 200 // RFC 8441, section 5
		default:
			return 101
		}
	}
	return 0
}

// of makes an operator of what searches one side of HTTP.
func of(which side, search func(*subject, *pattern.Pattern, flow.Header) bool) func(*subject, *pattern.Pattern) bool {
	return func(s *subject, p *pattern.Pattern) bool {
		h, ok := s.fields(which)
		return ok && search(s, p, h)
	}
}

// either makes an operator of what searches both sides of HTTP.
func either(a, b side, search func(*subject, *pattern.Pattern, flow.Header) bool) func(*subject, *pattern.Pattern) bool {
	first, second := of(a, search), of(b, search)
	return func(s *subject, p *pattern.Pattern) bool { return first(s, p) || second(s, p) }
}

// header searches the fields as HTTP/1 writes them: $ is not before a CR.
func (s *subject) header(p *pattern.Pattern, h flow.Header) bool {
	b := s.buf[:0]
	for i := range h {
		b = append(append(append(b, h[i].Name...), ": "...), h[i].Value...)
		b = append(b, "\r\n"...)
	}
	s.buf = b
	return s.find(p, b)
}

const contentType = "Content-Type"

func (s *subject) contentType(p *pattern.Pattern, h flow.Header) bool {
	for i := range h {
		if flow.EqualFold(h[i].Name, contentType) && s.findText(p, h[i].Value) {
			return true
		}
	}
	return false
}

// asset reports whether a response is one of what pages are made of besides
// themselves.
func (s *subject) asset() bool {
	h, _ := s.fields(response)
	for i := range h {
		if flow.EqualFold(h[i].Name, contentType) && isAsset(h[i].Value) {
			return true
		}
	}
	return false
}

func (s *subject) method(p *pattern.Pattern) bool {
	r := s.head()
	return r != nil && s.findText(p, r.Method)
}

// find searches b.
func (s *subject) find(p *pattern.Pattern, b []byte) bool {
	if s.facts != nil {
		return addFact(s.facts, b)
	}
	ok, err := p.Match(b)
	if err != nil {
		return s.fail(err)
	}
	return ok
}

func (s *subject) findText(p *pattern.Pattern, text string) bool {
	if s.facts != nil {
		return addFact(s.facts, text)
	}
	ok, err := p.MatchString(text)
	if err != nil {
		return s.fail(err)
	}
	return ok
}
