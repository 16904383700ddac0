package filter

import (
	"strings"

	"transom/flow"
	"transom/pattern"
)

// Operators that mitmproxy lacks, over what a connection is.

// isAsset reports whether pages are made of such: scripts, styles, images, fonts.
func isAsset(contentType string) bool {
	for _, t := range [...]string{
		"text/javascript", "application/x-javascript", "application/javascript", "text/css", "image/", "font/", "application/font",
	} {
		if strings.Contains(contentType, t) {
			return true
		}
	}
	return false
}

// process searches what is known of the program behind a connection, if anything is.
func process(of func(*flow.Process) string) func(*subject, *pattern.Pattern) bool {
	return func(s *subject, p *pattern.Pattern) bool {
		if s.Conn == nil || s.Conn.Process == nil {
			return false
		}
		text := of(s.Conn.Process)
		return text != "" && s.findText(p, text)
	}
}

// processNamed searches its name, and its path.
func processNamed(s *subject, p *pattern.Pattern) bool {
	return process(func(p *flow.Process) string { return p.Name })(s, p) || process(func(p *flow.Process) string { return p.Path })(s, p)
}

// device searches the name and the hardware address of the client, as far as known.
func (s *subject) device(p *pattern.Pattern) bool {
	if s.Conn == nil || s.Conn.Device == nil {
		return false
	}
	d := s.Conn.Device
	return d.Name != "" && s.findText(p, d.Name) || d.MAC != "" && s.findText(p, d.MAC)
}

// hello searches what is known of the client's hello.
func hello(of func(*flow.TLS) string) func(*subject, *pattern.Pattern) bool {
	return func(s *subject, p *pattern.Pattern) bool {
		if s.Conn == nil {
			return false
		}
		t := s.Conn.TLS()
		if t == nil {
			return false
		}
		text := of(t)
		return text != "" && s.findText(p, text)
	}
}

// name searches what a person would call the destination, of any flow.
func (s *subject) name(p *pattern.Pattern) bool {
	if s.Conn == nil {
		return false
	}
	name := s.Conn.Name()
	return name != "" && s.findText(p, name)
}

// protocol searches what was found in the connection, the flow's type, and the
// versions of HTTP.
func (s *subject) protocol(p *pattern.Pattern) bool {
	if s.findText(p, s.Type()) {
		return true
	}
	if r := s.head(); r != nil && s.findText(p, r.Proto.String()) {
		return true
	}
	if h, ok := s.Detail.(*flow.HTTP); ok && h.Response != nil && s.findText(p, h.Response.Proto.String()) {
		return true
	}
	if s.Conn == nil {
		return false
	}
	for i := range s.Conn.Layers {
		if proto := s.Conn.Layers[i].Proto; proto != "" && s.findText(p, proto) {
			return true
		}
	}
	return false
}

// reason searches why a connection was not decrypted, or failed.
func (s *subject) reason(p *pattern.Pattern) bool {
	c, ok := s.Detail.(*flow.Connection)
	return ok && c.Reason != "" && s.findText(p, c.Reason)
}

func (s *subject) tag(p *pattern.Pattern) bool {
	for _, tag := range s.Tags {
		if s.findText(p, tag) {
			return true
		}
	}
	return false
}
