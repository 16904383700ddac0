package filter

import (
	"bytes"
	"io"

	"transom/coding"
	"transom/flow"
	"transom/message"
	"transom/pattern"
)

// maxBody bounds what is read of a body, decoded.
const maxBody = 16 << 20

// A body is what was read of one.
type body struct {
	done bool
	data []byte
	none bool // there is nothing
	lost bool // it can't be read
}

// both makes one operator of the two for bodies.
func both(search func(*subject, *pattern.Pattern, side) bool) func(*subject, *pattern.Pattern) bool {
	return func(s *subject, p *pattern.Pattern) bool {
		if s.Detail == nil {
			return false
		}
		if m, ok := s.Detail.(*flow.Messages); ok {
			return s.searchMessages(p, m, true, true)
		}
		return search(s, p, request) || search(s, p, response)
	}
}

func (s *subject) searchRequestBody(p *pattern.Pattern) bool {
	if m, ok := s.Detail.(*flow.Messages); ok {
		return s.searchMessages(p, m, true, false)
	}
	return s.searchBodies(p, request)
}

func (s *subject) searchResponseBody(p *pattern.Pattern) bool {
	if m, ok := s.Detail.(*flow.Messages); ok {
		return s.searchMessages(p, m, false, true)
	}
	return s.searchBodies(p, response)
}

// searchBodies searches the body of one side of HTTP or DNS.
func (s *subject) searchBodies(p *pattern.Pattern, of side) bool {
	switch d := s.Detail.(type) {
	case *flow.HTTP:
		b := s.body(d, of)
		return b.lost || !b.none && s.find(p, b.data)
	case *flow.DNS:
		m := d.Query
		if of == response {
			m = d.Answer
		}
		return m != nil && s.find(p, s.said(m))
	}
	return false
}

// said is what a DNS message says, a line each: names that are asked for, and what
// was answered.
func (s *subject) said(m *flow.DNSMessage) []byte {
	b := s.buf[:0]
	for i := range m.Questions {
		b = append(append(b, m.Questions[i].Name...), "\r\n"...)
	}
	for i := range m.Answers {
		b = append(append(b, m.Answers[i].Data...), "\r\n"...)
	}
	s.buf = b
	return bytes.TrimSuffix(b, []byte("\r\n"))
}

// body reads a body, once.
func (s *subject) body(d *flow.HTTP, of side) *body {
	b := &s.read[of]
	if b.done {
		return b
	}
	b.done = true
	ref := d.RequestBody
	if of == response {
		ref = d.ResponseBody
	}
	if s.bodies == nil || ref.Kept == 0 {
		b.none = true
		return b
	}
	h, _ := s.fields(of)
	data, err := s.decoded(ref, h, maxBody)
	if err != nil {
		b.lost = s.fail(err)
		return b
	}
	b.data = data
	return b
}

// decoded returns a body without its content coding; as it is if that can't be
// undone. Of one that is not complete it is what there is. limit is that of what is
// returned.
func (s *subject) decoded(ref flow.BodyRef, h flow.Header, limit int64) ([]byte, error) {
	r, err := s.bodies.OpenBody(s.ctx, ref)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if name, ok := h.Lookup("Content-Encoding"); ok {
		if data, ok := undone(r, name, ref.Truncated || s.State == flow.Open, limit); ok {
			return data, nil
		}
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
	}
	return io.ReadAll(io.LimitReader(r, limit))
}

// undone undoes a content coding, which of a part gives a part.
func undone(r io.Reader, name string, part bool, limit int64) ([]byte, bool) {
	dec, err := coding.NewReader(r, name)
	if err != nil {
		return nil, false
	}
	defer dec.Close()
	data, err := io.ReadAll(io.LimitReader(dec, limit))
	return data, err == nil || part && len(data) > 0
}

// searchMessages searches what passed, each message by itself. Of WebSocket these are
// its data messages.
func (s *subject) searchMessages(p *pattern.Pattern, m *flow.Messages, toServer, toClient bool) bool {
	if s.bodies == nil || m.Log.Kept == 0 {
		return false
	}
	r, err := s.bodies.OpenBody(s.ctx, m.Log)
	if err != nil {
		return s.fail(err)
	}
	defer r.Close()
	for e, err := range message.ReadLog(r) {
		if err != nil {
			return s.fail(err)
		}
		if toward := e.Dir == message.ToServer; toward && !toServer || !toward && !toClient {
			continue
		}
		if m.Kind == "websocket" && e.Op > 2 {
			continue
		}
		if s.find(p, e.Payload) {
			return true
		}
	}
	return false
}
