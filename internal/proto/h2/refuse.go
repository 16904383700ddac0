package h2

import (
	"fmt"

	"transom/flow"
)

// excess says which limit a field section is past.
func (h *fieldBlock) excess() error {
	if len(h.Fields) == h.limit.Fields {
		return &MalformedError{"field section", fmt.Sprintf("has more than the limit of %d fields", h.limit.Fields)}
	}
	return &MalformedError{"field section", fmt.Sprintf("has %d bytes, and the limit is %d", h.Size, h.limit.Size)}
}

// begun makes a head of what came before a limit, for a record. Nothing of it is
// checked.
func (h *fieldBlock) begun(r *flow.RequestHead) {
	for i, f := range h.Fields {
		switch f.Name {
		case ":method":
			r.Method = f.Value
		case ":scheme":
			r.Scheme = f.Value
		case ":authority":
			r.Authority = f.Value
		case ":path":
			r.Target = f.Value
		case ":protocol":
			r.Protocol = f.Value
		default:
			r.Header = h.Fields[i:]
			return
		}
	}
}

// tooLarge is what a request with too large a head is answered (RFC 6585, section
// 5; RFC 9113, section 10.5.1).
const tooLarge = 431

// refuseLarge answers a request whose head is past a limit. Its stream is not
// opened: what still comes for it is dropped, as the client is told behind the
// answer (RFC 9113, section 8.1).
func (s *Server) refuseLarge(h *fieldBlock) error {
	err := h.excess()
	if s.o.Refused != nil {
		head := flow.RequestHead{Proto: flow.HTTP2}
		h.begun(&head)
		s.o.Refused(&head, tooLarge, err)
	}
	c := &s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	s.ranLocked()
	block := c.responseBlockLocked(&flow.ResponseHead{Status: tooLarge, Proto: flow.HTTP2})
	c.out.end(appendBlock(c.out.begin(len(block)), h.id, block, true, nil, c.maxFrame))
	if !h.end {
		c.noteResetLocked(h.id)
		c.appendLocked(func(b []byte) []byte { return appendReset(b, h.id, NoError) })
	}
	return c.calm.cost(costReset, "one that was refused: "+err.Error())
}
