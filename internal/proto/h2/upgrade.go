package h2

import (
	"encoding/base64"
	"encoding/binary"
	"io"

	"transom/exchange"
	"transom/flow"
)

// An Upgrade is how a connection of HTTP/1.1 became one of HTTP/2 (RFC 7540,
// section 3.2): the request that asked for it is answered on stream 1. The
// Server and its Upstream are given the same one.
type Upgrade struct {
	Head     *flow.RequestHead // the request, whose body has been sent
	Settings []Setting         // of its HTTP2-Settings field
}

// UpgradeSettings reads an HTTP2-Settings field (RFC 7540, section 3.2.1).
func UpgradeSettings(value string) ([]Setting, error) {
	p, err := base64.RawURLEncoding.DecodeString(value)
	if err != nil || len(p)%6 != 0 {
		return nil, &MalformedError{"HTTP2-Settings", "is not the payload of a SETTINGS frame"}
	}
	var list []Setting
	for ; len(p) > 0; p = p[6:] {
		list = append(list, Setting{binary.BigEndian.Uint16(p), binary.BigEndian.Uint32(p[2:])})
	}
	return list, nil
}

// upgraded begins with the request that asked for HTTP/2.
func (s *Server) upgraded(u *Upgrade) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range u.Settings {
		if err := s.applyLocked(p); err != nil {
			return err
		}
	}
	x := &exch{s: s}
	x.received = *u.Head
	x.received.H2 = &flow.H2Head{Stream: 1}
	s.last = 1
	x.openLocked(&s.conn, 1)
	x.in = io.EOF
	x.prepare(-1, true)
	s.running++
	x.startLocked()
	return nil
}

// adopt opens stream 1, whose request has been sent by HTTP/1.1: its response
// may come before anybody asks for it.
func (c *Client) adopt(u *Upgrade) {
	r := &reply{cl: c, req: &exchange.Request{RequestHead: *u.Head, Body: exchange.NoBody()}}
	c.lastID = 1
	c.rememberLocked(1, 1)
	r.openLocked(&c.conn, 1)
	r.stream.reply, r.sent = r, true
	c.adopted = r
}

// replyTo returns the response to req that is to come: a new one, unless req is
// the one that was upgraded.
func (c *Client) replyTo(req *exchange.Request) (r *reply, begun bool) {
	if req.H2 != nil && req.H2.Stream == 1 && c.o.Upgrade != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if r = c.adopted; r != nil {
			c.adopted = nil
			r.req = req
			return r, true
		}
	}
	return &reply{cl: c, req: req}, false
}
