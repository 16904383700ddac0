package wire

import (
	"strings"

	"transom/flow"
)

// A header of HTTP/1 says nothing that the head as it came does not say, and is not
// written a second time: its place has a 1, and the fields are read from there. A 0
// is followed by the fields.

func (w *writer) header(h flow.Header, raw []byte) {
	if len(h) > 0 && said(h, raw) {
		w.octet(1)
		return
	}
	w.octet(0)
	w.fields(h)
}

func (r *reader) header(raw string) flow.Header {
	if !r.truth() {
		return r.fields()
	}
	h := make(flow.Header, 0, strings.Count(raw, "\n"))
	l := lines[string]{rest: raw}
	for l.next() {
		h = append(h, flow.Field{Name: l.name, Value: l.value})
	}
	return h
}

// said reports whether h is what raw says.
func said(h flow.Header, raw []byte) bool {
	if len(raw) == 0 {
		return false
	}
	l := lines[[]byte]{rest: raw}
	for i := range h {
		if !l.next() || string(l.name) != h[i].Name || string(l.value) != h[i].Value || h[i].Form != 0 {
			return false
		}
	}
	return !l.next()
}

// lines are the fields of a head, each on a line of its own, behind the first.
type lines[T string | []byte] struct {
	rest        T
	begun       bool
	name, value T
}

func (l *lines[T]) next() bool {
	if !l.begun {
		l.begun = true
		l.line()
	}
	line := l.line()
	colon := 0
	for colon < len(line) && line[colon] != ':' {
		colon++
	}
	if colon == len(line) {
		return false
	}
	l.name, l.value = line[:colon], line[colon+1:]
	for len(l.value) > 0 && space(l.value[0]) {
		l.value = l.value[1:]
	}
	for n := len(l.value); n > 0 && space(l.value[n-1]); n = len(l.value) {
		l.value = l.value[:n-1]
	}
	return true
}

// line cuts off a line, and returns it without its end.
func (l *lines[T]) line() T {
	end := 0
	for end < len(l.rest) && l.rest[end] != '\n' {
		end++
	}
	line := l.rest[:end]
	l.rest = l.rest[min(end+1, len(l.rest)):]
	if n := len(line); n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	return line
}

func space(c byte) bool { return c == ' ' || c == '\t' }

// A field's name is twice its length and then itself; or, if it is one of names, one
// more than twice its length, and its place among those of that length.

func (w *writer) fields(h flow.Header) {
	w.number(uint64(len(h)))
	for i := range h {
		w.name(h[i].Name)
		w.text(h[i].Value)
		w.octet(uint8(h[i].Form))
	}
}

func (r *reader) fields() flow.Header {
	n := r.count(3)
	if n == 0 {
		return nil
	}
	h := make(flow.Header, n)
	for i := range h {
		h[i] = flow.Field{Name: r.name(), Value: r.text(), Form: flow.Form(r.octet())}
	}
	return h
}

func (w *writer) name(s string) {
	if len(s) < len(names) {
		for i, name := range names[len(s)] {
			if name == s {
				w.number(uint64(len(s))<<1 | 1)
				w.octet(uint8(i))
				return
			}
		}
	}
	w.number(uint64(len(s)) << 1)
	w.b = append(w.b, s...)
}

func (r *reader) name() string {
	at := r.at
	n := r.number()
	if n&1 == 0 {
		return r.cut(n >> 1)
	}
	i := int(r.octet())
	if n >>= 1; n < uint64(len(names)) && i < len(names[n]) {
		return names[n][i]
	}
	r.at = at
	r.fail("unknown name of a field")
	return ""
}

// names are those of many fields, by length. They have their places for ever: new ones
// are put at an end.
var names = [...][]string{
	2:  {"te"},
	3:  {"age", "dnt", "nel", "p3p", "via"},
	4:  {"date", "etag", "from", "host", "link", "vary"},
	5:  {":path", "allow", "range"},
	6:  {"accept", "cf-ray", "cookie", "origin", "pragma", "server"},
	7:  {":method", ":scheme", ":status", "alt-svc", "expires", "purpose", "referer", "trailer", "warning", "x-cache", "x-timer"},
	8:  {"if-match", "if-range", "location", "priority"},
	9:  {":protocol", "expect-ct", "forwarded", "report-to", "sec-ch-ua"},
	10: {":authority", "set-cookie", "user-agent"},
	11: {"retry-after", "x-amz-cf-id", "x-served-by", "grpc-status"},
	12: {"content-type", "x-amz-cf-pop", "x-powered-by", "x-request-id", "grpc-message", "grpc-timeout"},
	13: {"accept-ranges", "authorization", "cache-control", "content-range", "if-none-match", "last-modified", "server-timing", "grpc-encoding"},
	14: {"content-length", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user"},
	15: {"accept-encoding", "accept-language", "cf-cache-status", "referrer-policy", "x-forwarded-for", "x-frame-options"},
	16: {"content-encoding", "content-language", "content-location", "sec-ch-ua-mobile", "www-authenticate", "x-forwarded-host", "x-requested-with", "x-xss-protection"},
	17: {"if-modified-since", "x-forwarded-proto"},
	18: {"permissions-policy", "proxy-authenticate", "sec-ch-ua-platform"},
	19: {"content-disposition", "if-unmodified-since", "timing-allow-origin"},
	20: {"grpc-accept-encoding"},
	22: {"access-control-max-age", "x-content-type-options"},
	23: {"content-security-policy"},
	25: {"strict-transport-security", "upgrade-insecure-requests"},
	26: {"cross-origin-opener-policy"},
	27: {"access-control-allow-origin"},
	28: {"access-control-allow-headers", "access-control-allow-methods", "cross-origin-resource-policy"},
	29: {"access-control-expose-headers", "access-control-request-method"},
	30: {"access-control-request-headers"},
	32: {"access-control-allow-credentials"},
}
