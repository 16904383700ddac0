package redact

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"time"

	"transom/flow"
	"transom/message"
)

func (c *Reader) http(h *flow.HTTP) {
	if h.Request != nil && h.Request.Method == "" && len(h.Request.Raw) > 0 {
		c.note("the request's head, which could not be parsed, is left out")
	}
	h.Response, h.OriginalResponse = c.chosen(h.Request, h.Response), c.chosen(h.Request, h.OriginalResponse)
	h.Request, h.OriginalRequest = c.request(h.Request), c.request(h.OriginalRequest)
	h.Response, h.OriginalResponse = c.response(h.Response), c.response(h.OriginalResponse)
	for i := range h.Interim {
		if r := c.response(&h.Interim[i]); r != &h.Interim[i] {
			h.Interim = append([]flow.ResponseHead(nil), h.Interim...)
			h.Interim[i] = *r
		}
	}
	h.RequestTrailer, h.ResponseTrailer = c.fields(h.RequestTrailer), c.fields(h.ResponseTrailer)
	c.bodies(h)
}

// bodies takes secrets out of all four, and has the heads say what is so.
func (c *Reader) bodies(h *flow.HTTP) {
	was := [2]flow.Header{}
	if h.Request != nil {
		was[0] = h.Request.Header
		if fields, changed := c.body(&h.RequestBody, was[0], "request"); changed {
			r := *h.Request
			r.Header, r.Raw, r.H2 = fields, nil, nil
			h.Request = &r
		}
	}
	if h.Response != nil {
		was[1] = h.Response.Header
		if fields, changed := c.body(&h.ResponseBody, was[1], "response"); changed {
			r := *h.Response
			r.Header, r.Raw, r.H2 = fields, nil, nil
			h.Response = &r
		}
	}
	if h.OriginalRequestBody != nil {
		ref := *h.OriginalRequestBody
		if h.OriginalRequest != nil {
			was[0] = h.OriginalRequest.Header
		}
		if fields, changed := c.body(&ref, was[0], "original request"); changed && h.OriginalRequest != nil {
			r := *h.OriginalRequest
			r.Header, r.Raw, r.H2 = fields, nil, nil
			h.OriginalRequest = &r
		}
		h.OriginalRequestBody = &ref
	}
	if h.OriginalResponseBody != nil {
		ref := *h.OriginalResponseBody
		if h.OriginalResponse != nil {
			was[1] = h.OriginalResponse.Header
		}
		if fields, changed := c.body(&ref, was[1], "original response"); changed && h.OriginalResponse != nil {
			r := *h.OriginalResponse
			r.Header, r.Raw, r.H2 = fields, nil, nil
			h.OriginalResponse = &r
		}
		h.OriginalResponseBody = &ref
	}
}

// body takes secrets out of one, and returns the fields that go with what is left.
func (c *Reader) body(ref *flow.BodyRef, h flow.Header, of string) (flow.Header, bool) {
	if ref.Kept == 0 || c.from == nil {
		return h, false
	}
	data, differs, err := c.look(c.ctx, c.from, *ref, h)
	switch {
	case err != nil:
		c.note("the %s's body is left out: %v", of, err)
		*ref = flow.BodyRef{Size: ref.Size, Truncated: true}
		return h, false
	case !differs:
		return h, false
	}
	size := int64(len(data))
	cut := ref.Truncated
	*ref = c.make(data, *ref, h)
	if cut {
		ref.Size, ref.Truncated = size+1, true // how much it would be nobody knows
	}
	h = append(flow.Header(nil), h...)
	h.Del("Content-Encoding")
	if _, ok := h.Lookup("Content-Length"); ok {
		h.Set("Content-Length", strconv.FormatInt(ref.Size, 10))
	}
	return h, true
}

// make keeps a body for whoever reads the flow.
func (c *Reader) make(data []byte, of flow.BodyRef, head flow.Header) flow.BodyRef {
	c.last--
	c.made[c.last] = made{data, of, head}
	return flow.BodyRef{Size: int64(len(data)), Kept: int64(len(data)), Segment: c.last}
}

// log takes secrets out of messages.
func (c *Reader) log(m *flow.Messages) {
	if m.Log.Kept == 0 || c.from == nil {
		return
	}
	if m.Kind == "tcp" {
		// What a rule would find may be cut anywhere.
		if len(c.Rules.body) > 0 {
			c.note("the bytes are left out: a body: rule can't look through a stream that nobody parsed")
			m.Log = flow.BodyRef{Size: m.Log.Size, Truncated: true}
		}
		return
	}
	r, err := c.from.OpenBody(c.ctx, m.Log)
	if err != nil {
		return // whoever writes it will say so
	}
	defer r.Close()
	var log []byte
	var before time.Duration
	differs, left := false, 0
	for e, err := range message.ReadLog(io.LimitReader(r, min(m.Log.Kept, maxBody))) {
		if err != nil {
			break
		}
		if e.Op >= opClose {
			if len(c.Rules.body) > 0 && len(e.Payload) > 2 { // of a close two bytes are a number
				e.Payload = e.Payload[:2]
				e.Cut, differs = e.Size-2, true
			}
		} else if data, err := c.within(e.Payload, isText, "", true); err != nil || e.Encoded && len(c.Rules.body) > 0 {
			e.Payload, e.Cut = nil, e.Size
			differs, left = true, left+1
		} else if !bytes.Equal(data, e.Payload) {
			e.Payload, e.Size, e.Cut = data, int64(len(data)), 0
			differs = true
		}
		log = append(message.AppendHead(log, &e, before), e.Payload...)
		before = e.At
	}
	if left > 0 {
		c.note("%d messages are left out: %v", left, errBinary)
	}
	if differs || m.Log.Kept > maxBody {
		cut := m.Log.Truncated || m.Log.Kept > maxBody
		m.Log = c.make(log, m.Log, nil)
		if cut {
			m.Log.Size, m.Log.Truncated = m.Log.Size+1, true
		}
	}
}

// opClose is the opcode of a close frame, and the first of those of the protocol itself.
const opClose = 8

func (c *Reader) note(format string, a ...any) {
	c.notes = append(c.notes, "redacted: "+fmt.Sprintf(format, a...))
}
