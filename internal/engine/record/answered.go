package record

import (
	"strings"

	"transom/exchange"
	"transom/flow"
)

// Answered is the error of a handler whose client is told by a response of ours. The
// record has both, and whoever called what HTTP returned gets the response.
type Answered struct {
	Response *exchange.Response
	Err      error
}

// Error says what went wrong.
func (a *Answered) Error() string { return a.Err.Error() }

// Unwrap returns it.
func (a *Answered) Unwrap() error { return a.Err }

// ours is a response that no server has sent as it goes to the client of a
// request of version p: who answers says it in the terms of HTTP/1.1, and HTTP/2
// has no word of the connection (RFC 9113, section 8.2.2) nor a reason phrase.
func ours(h flow.ResponseHead, p flow.Proto) flow.ResponseHead {
	if p < flow.HTTP2 || h.Proto >= flow.HTTP2 {
		return h
	}
	said := h.Header
	h.Proto, h.Reason, h.Header = flow.HTTP2, "", make(flow.Header, 0, len(said))
	for _, f := range said {
		f.Name = strings.ToLower(f.Name)
		switch f.Name {
		case "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade":
			continue
		}
		if !said.HasToken("Connection", f.Name) {
			h.Header = append(h.Header, f)
		}
	}
	return h
}
