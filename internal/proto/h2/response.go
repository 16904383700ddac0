package h2

import (
	"fmt"
	"io"

	"transom/flow"
)

// A responseBody is a reply as the source of its response's body.
type responseBody reply

// Read implements io.Reader.
func (b *responseBody) Read(p []byte) (int, error) { return b.read(p) }

// Close implements io.Closer. A body that was not read to its end resets the
// stream; one that was waits for the request to be sent.
func (b *responseBody) Close() error {
	r := (*reply)(b)
	r.c.mu.Lock()
	whole := r.in == io.EOF && r.buf.n == 0
	r.c.mu.Unlock()
	if whole {
		return r.settle()
	}
	r.finish(Cancel, errStreamDone)
	return nil
}

// Trailer implements exchange.Source.
func (b *responseBody) Trailer() flow.Header { return b.trailers() }

// Buffered tells a Body what it can read without waiting.
func (b *responseBody) Buffered() int { return b.bufferedNow() }

// fields implements side: a response, or its trailer section.
func (c *Client) fields(s *stream, h *fieldBlock) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s == nil {
		if c.idleLocked(h.id) {
			return violation(ProtocolError, "HEADERS frame for stream %d, which is idle", h.id)
		}
		return c.calm.cost(costFrame, "HEADERS for a stream that is closed")
	}
	if s.in != nil {
		return &badStream{h.id, &StreamError{Code: StreamClosed, What: "HEADERS frame after the stream's end"}}
	}
	r := s.reply
	if r.headed {
		return r.trailerLocked(h)
	}
	return r.headLocked(h)
}

func (r *reply) trailerLocked(h *fieldBlock) error {
	t, err := h.trailer()
	if err == nil && !h.end {
		err = &MalformedError{"trailer section", "does not end the stream"}
	}
	if err != nil {
		return &badStream{h.id, &StreamError{Code: ProtocolError, What: err.Error()}}
	}
	r.trailer = t
	return r.receivedAllLocked()
}

func (r *reply) headLocked(h *fieldBlock) error {
	var head flow.ResponseHead
	length, err := h.response(&head)
	if err == nil && head.Status < 200 && h.end {
		err = &MalformedError{":status", fmt.Sprintf("%d ends the stream", head.Status)}
	}
	if err != nil {
		r.resetLocked(ProtocolError, err)
		return nil
	}
	if head.Status < 200 {
		if len(r.interim) > interimMax {
			return &badStream{h.id, &StreamError{Code: EnhanceYourCalm, What: "too many interim responses"}}
		}
		r.interim = append(r.interim, head)
		r.cond.Broadcast()
		return nil
	}
	r.received, r.headed, r.bare, r.length = head, true, h.end, length
	switch {
	case r.req.Method == "CONNECT" && head.Status < 300: // a length means nothing (RFC 9110, section 9.3.6)
	case r.req.Method == "HEAD", bodyless(head.Status):
		r.declared = 0
	default:
		r.declared = length
	}
	if h.end {
		if r.declared > 0 {
			r.headed = false
			r.resetLocked(ProtocolError, &MalformedError{"content-length", "is not 0, and there is no body"})
			return nil
		}
		return r.receivedAllLocked()
	}
	r.c.wakeLate(&r.stream)
	return nil
}
