package har

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"transom/flow"
)

// request makes a head of what a file says of a request.
func request(r *jsonRequest) *flow.RequestHead {
	h := &flow.RequestHead{Method: string(r.Method), Proto: proto(string(r.HTTPVersion)), Header: header(r.Headers)}
	h.Scheme, h.Authority, h.Target = parts(string(r.URL))
	if h.Method == "CONNECT" {
		h.Target = h.Authority
	}
	for _, p := range r.Headers {
		if flow.EqualFold(string(p.Name), "host") || p.Name == ":authority" {
			h.Authority = string(p.Value)
			break
		}
	}
	return h
}

func response(r *jsonResponse) *flow.ResponseHead {
	return &flow.ResponseHead{
		Status: int(min(r.Status.int(), 999)), Reason: string(r.StatusText), Proto: proto(string(r.HTTPVersion)), Header: header(r.Headers),
	}
}

// header leaves out what only stands for the first line of HTTP/2.
func header(pairs []pair) flow.Header {
	var h flow.Header
	for _, p := range pairs {
		if !strings.HasPrefix(string(p.Name), ":") {
			h = append(h, flow.Field{Name: string(p.Name), Value: string(p.Value)})
		}
	}
	return h
}

// parts takes a URL apart without changing how it is written.
func parts(u string) (scheme, authority, target string) {
	scheme, rest, ok := strings.Cut(u, "://")
	if !ok {
		return "http", "", u
	}
	scheme = strings.ToLower(scheme)
	switch scheme {
	case "ws":
		scheme = "http"
	case "wss":
		scheme = "https"
	}
	rest, _, _ = strings.Cut(rest, "#")
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest, target = rest[:i], rest[i:]
	}
	if !strings.HasPrefix(target, "/") {
		target = "/" + target
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = rest[i+1:]
	}
	return scheme, rest, target
}

// split returns the host and the port that a request is for.
func split(r *flow.RequestHead) (host string, port uint16) {
	u := url.URL{Host: r.Authority}
	host = strings.Trim(u.Hostname(), "[]")
	if h, p, err := net.SplitHostPort(r.Authority); err == nil {
		if n, err := strconv.ParseUint(p, 10, 16); err == nil {
			return h, uint16(n)
		}
	}
	if r.Scheme == "https" {
		return host, 443
	}
	return host, 80
}

// proto reads what producers call versions.
func proto(s string) flow.Proto {
	switch s = strings.ToLower(s); {
	case s == "http/1.0":
		return flow.HTTP10
	case strings.HasPrefix(s, "h2"), strings.HasPrefix(s, "http/2"):
		return flow.HTTP2
	case strings.HasPrefix(s, "h3"), strings.HasPrefix(s, "http/3"), strings.Contains(s, "quic"):
		return flow.HTTP3
	}
	return flow.HTTP11
}
