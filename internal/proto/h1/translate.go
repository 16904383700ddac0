package h1

import (
	"fmt"
	"net/http"
	"strings"

	"transom/flow"
)

// toHTTP11 makes a request that came by a later version one of HTTP/1.1: what
// was :authority is Host, cookies that were split to compress better are one
// field again (RFC 9113, section 8.2.3), and TE is announced as what is for this
// connection alone (RFC 9110, section 10.1.4).
func toHTTP11(h *flow.RequestHead) {
	out := make(flow.Header, 0, len(h.Header)+2)
	if h.Authority != "" {
		out = append(out, flow.Field{Name: "Host", Value: h.Authority})
	}
	var cookies []string
	first, te, trailer := -1, false, false
	for _, f := range h.Header {
		f.Form = 0
		f.Value = trim(f.Value)
		switch {
		case h.Authority != "" && flow.EqualFold(f.Name, "Host"):
			continue
		case flow.EqualFold(f.Name, "Cookie"):
			if cookies = append(cookies, f.Value); first >= 0 {
				continue
			}
			first = len(out)
		case flow.EqualFold(f.Name, "TE"):
			te = true
		case flow.EqualFold(f.Name, "Trailer"):
			trailer = true
		}
		out = append(out, f)
	}
	if len(cookies) > 1 {
		out[first].Value = strings.Join(cookies, "; ")
	}
	if te {
		out = append(out, flow.Field{Name: "Connection", Value: "TE"})
	}
	h.Header, h.Proto, h.H2 = out, flow.HTTP11, nil
	if trailer {
		h.Header.Del("Content-Length")
	}
}

// translatable refuses what came by a later version and has no words in
// HTTP/1.1: said in those that look alike it would be another request, of which
// policy knows nothing.
func translatable(h *flow.RequestHead) error {
	switch {
	case h.Proto <= flow.HTTP11:
		return nil
	case h.Protocol != "":
		return fmt.Errorf("the server speaks HTTP/1.1, which has no CONNECT for %q (RFC 8441)", h.Protocol)
	case h.Method != "CONNECT" && h.Target != "*" && !strings.HasPrefix(h.Target, "/"):
		return fmt.Errorf("the server speaks HTTP/1.1, which has no target %q of the scheme %q", h.Target, h.Scheme)
	}
	return sayable(h.Header)
}

// sayable refuses values that HTTP/1.1 can't have. Two sides of HTTP/2 may have
// agreed to them, as those of gRPC do; here they would be lines of their own.
func sayable(h flow.Header) error {
	for i := range h {
		f := &h[i]
		for j := range len(f.Value) {
			if b := f.Value[j]; b == 0 || b == '\r' || b == '\n' {
				return fmt.Errorf("HTTP/1.1 has no words for the value of %s, which has the byte %#02x", f.Name, b)
			}
		}
		if strings.HasSuffix(f.Name, "-bin") && trim(f.Value) != f.Value {
			return fmt.Errorf("HTTP/1.1 has no words for the value of %s, which has white space around it", f.Name)
		}
	}
	return nil
}

// translatableResponse is translatable for a response.
func translatableResponse(h *flow.ResponseHead) error {
	if h.Proto <= flow.HTTP11 {
		return nil
	}
	return sayable(h.Header)
}

// reasoned gives a response that came without a reason phrase, since it is our
// own or came by a later version, the usual one.
func reasoned(h *flow.ResponseHead) {
	if h.Reason == "" {
		h.Reason = http.StatusText(h.Status)
	}
	if h.Proto > flow.HTTP11 {
		h.Proto = flow.HTTP11
		if _, ok := h.Header.Lookup("Trailer"); ok {
			h.Header.Del("Content-Length")
		}
	}
}
