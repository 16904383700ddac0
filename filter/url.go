package filter

import (
	"net/netip"
	"strconv"
	"strings"

	"transom/flow"
	"transom/pattern"
)

// What mitmproxy calls the host of a request is where it went, and its pretty host
// what the request itself says. So is its URL.

// url searches the URL, of DNS the name that is asked for.
func (s *subject) url(p *pattern.Pattern) bool {
	if d := s.dns(); d != nil {
		return d.Query != nil && len(d.Query.Questions) > 0 && s.findText(p, d.Query.Questions[0].Name)
	}
	r := s.head()
	if r == nil {
		return false
	}
	s.buf = appendURL(s.buf[:0], s.Conn, r)
	return s.find(p, s.buf)
}

// appendURL appends the URL with the name that the request gives, and the port
// unless it is the scheme's.
func appendURL(b []byte, c *flow.Conn, r *flow.RequestHead) []byte {
	if isConnect(r) {
		return append(b, r.Target...)
	}
	scheme, host, path := parts(r)
	if scheme == "" {
		scheme = "http"
	}
	said := saidHost(r)
	if said == "" {
		said = host
	}
	b = append(append(b, scheme...), "://"...)
	if said != "" {
		name, port := splitAuthority(said)
		b = append(b, name...)
		if port != 0 && port != defaultPort(scheme) {
			b = strconv.AppendUint(append(b, ':'), uint64(port), 10)
		}
	} else if c != nil {
		b = appendTarget(b, c, defaultPort(scheme))
	}
	if path == "*" {
		return b
	}
	return append(b, path...)
}

func isConnect(r *flow.RequestHead) bool { return r.Method == "CONNECT" && r.Protocol == "" }

// saidHost is the authority that a request gives, in whichever way its protocol does.
func saidHost(r *flow.RequestHead) string {
	if r.Authority != "" {
		return r.Authority
	}
	return r.Header.Get("Host")
}

// parts returns what a request's target says. Only an absolute form has an authority.
func parts(r *flow.RequestHead) (scheme, authority, path string) {
	i := strings.Index(r.Target, "://")
	if i <= 0 || strings.ContainsAny(r.Target[:i], "/?#") {
		return r.Scheme, "", r.Target
	}
	rest := r.Target[i+3:]
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		return r.Target[:i], rest, "/"
	}
	return r.Target[:i], rest[:end], rest[end:]
}

// splitAuthority takes the port off, and brackets. What is no authority is all name.
func splitAuthority(s string) (name string, port uint16) {
	name = s
	if i := strings.LastIndexByte(s, ':'); i > 0 && (s[i-1] == ']' || strings.IndexByte(s, ':') == i) {
		n, err := strconv.ParseUint(s[i+1:], 10, 16)
		if err != nil {
			return s, 0
		}
		name, port = s[:i], uint16(n)
	}
	if n := len(name); n > 1 && name[0] == '[' && name[n-1] == ']' {
		name = name[1 : n-1]
	}
	return name, port
}

func defaultPort(scheme string) uint16 {
	if scheme == "http" || scheme == "ws" {
		return 80
	}
	return 443
}

// appendTarget appends where a connection goes. An IPv6 address has no brackets.
func appendTarget(b []byte, c *flow.Conn, but uint16) []byte {
	switch {
	case c.Dst.Addr().IsValid():
		b = c.Dst.Addr().AppendTo(b)
	case c.Host != "":
		b = append(b, c.Host...)
	default:
		return b
	}
	if c.Dst.Port() == but {
		return b
	}
	return strconv.AppendUint(append(b, ':'), uint64(c.Dst.Port()), 10)
}

// domain searches where the request went, and what it says itself.
func (s *subject) domain(p *pattern.Pattern) bool {
	r := s.head()
	if r == nil {
		return false
	}
	if said := saidHost(r); said != "" {
		if name, _ := splitAuthority(said); s.findText(p, name) {
			return true
		}
	}
	host := ""
	if isConnect(r) {
		host, _ = splitAuthority(r.Target)
	} else if _, authority, _ := parts(r); authority != "" {
		host, _ = splitAuthority(authority)
	}
	if host != "" {
		return s.findText(p, host)
	}
	if s.Conn == nil {
		return false
	}
	if a := s.Conn.Dst.Addr(); a.IsValid() {
		s.buf = a.AppendTo(s.buf[:0])
		return s.find(p, s.buf)
	}
	return s.Conn.Host != "" && s.findText(p, s.Conn.Host)
}

// destination searches the address that was asked for, not what it was resolved to.
func (s *subject) destination(p *pattern.Pattern) bool {
	if s.Conn == nil {
		return false
	}
	s.buf = appendTarget(s.buf[:0], s.Conn, 0)
	return len(s.buf) > 0 && s.find(p, s.buf)
}

func (s *subject) source(p *pattern.Pattern) bool {
	if s.Conn == nil || !s.Conn.Client.IsValid() {
		return false
	}
	s.buf = s.Conn.Client.Addr().AppendTo(s.buf[:0])
	s.buf = strconv.AppendUint(append(s.buf, ':'), uint64(s.Conn.Client.Port()), 10)
	return s.find(p, s.buf)
}

func sourceAddress(c *flow.Conn) netip.Addr { return c.Client.Addr() }

func destinationAddress(c *flow.Conn) netip.Addr { return c.Dst.Addr() }
