package export

import (
	"io"
	"strconv"

	"transom/flow"
)

// A Framing is how HTTP/1.1 tells where a body ends (RFC 9112, section 6.3).
type Framing uint8

const (
	None    Framing = iota // there is no body
	Length                 // by Content-Length
	Chunked                // by chunks
	ToEnd                  // by the end of the connection
)

// AppendRequest appends the head of a request as HTTP/1.1 has it, and says how the
// body has to follow it: it has size bytes, and may have a trailer. A head that came
// by HTTP/1 and fits is as it was sent, byte for byte. An extended CONNECT of HTTP/2
// becomes the Upgrade that it stands for (RFC 8441, section 5).
func AppendRequest(dst []byte, c *flow.Conn, r *flow.RequestHead, size int64, trailer flow.Header) ([]byte, Framing) {
	h := r.Header
	how := requestFraming(r, size, trailer)
	if len(r.Raw) > 0 && fits(h, how, size) {
		return append(dst, r.Raw...), how
	}
	method, target := r.Method, r.Target
	if r.Protocol != "" {
		method = "GET"
	}
	if target == "" {
		target = "/"
	}
	proto := "HTTP/1.1"
	if r.Proto == flow.HTTP10 {
		proto = "HTTP/1.0"
	}
	dst = append(append(append(dst, method...), ' '), target...)
	dst = append(append(append(dst, ' '), proto...), "\r\n"...)
	if _, ok := h.Lookup("Host"); !ok && r.Proto >= flow.HTTP2 {
		host := r.Authority
		if host == "" {
			host = named(c, r.Scheme)
		}
		dst = appendField(dst, "Host", host)
	}
	if r.Protocol != "" {
		dst = appendField(appendField(dst, "Connection", "Upgrade"), "Upgrade", r.Protocol)
	}
	return appendHead(dst, h, how, size), how
}

// AppendResponse appends the head of the response to a request as HTTP/1.1 has it;
// see AppendRequest.
func AppendResponse(dst []byte, req *flow.RequestHead, r *flow.ResponseHead, size int64, trailer flow.Header) ([]byte, Framing) {
	h := r.Header
	how := responseFraming(req, r, size, trailer)
	extended := req != nil && req.Protocol != "" && r.Status == 200
	if len(r.Raw) > 0 && !extended && (how == None || fits(h, how, size)) {
		return append(dst, r.Raw...), how
	}
	status, reason := r.Status, r.Reason
	if extended {
		status, reason = 101, "Switching Protocols"
	}
	proto := "HTTP/1.1 "
	if r.Proto == flow.HTTP10 {
		proto = "HTTP/1.0 "
	}
	dst = strconv.AppendInt(append(dst, proto...), int64(status), 10)
	dst = append(append(append(dst, ' '), reason...), "\r\n"...)
	if extended {
		dst = appendField(appendField(dst, "Connection", "Upgrade"), "Upgrade", req.Protocol)
	}
	if how == None { // a length may stand there that is of no body, as for HEAD
		return append(appendFields(dst, h), "\r\n"...), how
	}
	return appendHead(dst, h, how, size), how
}

// AppendTrailer appends what is behind the last chunk.
func AppendTrailer(dst []byte, trailer flow.Header) []byte {
	return append(appendFields(append(dst, "0\r\n"...), trailer), "\r\n"...)
}

func requestFraming(r *flow.RequestHead, size int64, trailer flow.Header) Framing {
	_, sized := r.Header.Lookup("Content-Length")
	switch {
	case r.Header.HasToken("Transfer-Encoding", "chunked") && r.Proto != flow.HTTP10, len(trailer) > 0:
		return Chunked
	case sized || size > 0:
		return Length
	}
	return None
}

func responseFraming(req *flow.RequestHead, r *flow.ResponseHead, size int64, trailer flow.Header) Framing {
	_, sized := r.Header.Lookup("Content-Length")
	switch {
	case req != nil && (req.Method == "HEAD" || req.Method == "CONNECT" && r.Status/100 == 2):
		return None
	case r.Status/100 == 1, r.Status == 204, r.Status == 304:
		return None
	case r.Header.HasToken("Transfer-Encoding", "chunked") && r.Proto != flow.HTTP10, len(trailer) > 0:
		return Chunked
	case sized:
		return Length
	case r.Proto >= flow.HTTP2 && size == 0:
		return Length
	}
	return ToEnd
}

// fits reports whether a head says of its body what is so.
func fits(h flow.Header, how Framing, size int64) bool {
	said, sized := h.Lookup("Content-Length")
	switch coded := h.HasToken("Transfer-Encoding", "chunked"); how {
	case Length:
		return !coded && said == strconv.FormatInt(size, 10)
	case Chunked:
		return coded
	default:
		return !sized && !coded
	}
}

// appendHead appends fields, with what they say of the body put right.
func appendHead(dst []byte, h flow.Header, how Framing, size int64) []byte {
	if fits(h, how, size) {
		return append(appendFields(dst, h), "\r\n"...)
	}
	for i := range h {
		if !flow.EqualFold(h[i].Name, "Content-Length") && !flow.EqualFold(h[i].Name, "Transfer-Encoding") {
			dst = appendField(dst, h[i].Name, h[i].Value)
		}
	}
	switch how {
	case Length:
		dst = strconv.AppendInt(append(dst, "Content-Length: "...), size, 10)
		dst = append(dst, "\r\n"...)
	case Chunked:
		dst = appendField(dst, "Transfer-Encoding", "chunked")
	}
	return append(dst, "\r\n"...)
}

func appendFields(dst []byte, h flow.Header) []byte {
	for i := range h {
		dst = appendField(dst, h[i].Name, h[i].Value)
	}
	return dst
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// CopyBody writes a body of size bytes, which r has, behind a head.
func CopyBody(w io.Writer, r io.Reader, size int64, how Framing, trailer flow.Header) error {
	if how != Chunked {
		_, err := io.CopyN(w, r, size)
		return err
	}
	buf := make([]byte, min(size, maxChunk))
	var line []byte
	for size > 0 {
		p := buf[:min(size, maxChunk)]
		if _, err := io.ReadFull(r, p); err != nil {
			return err
		}
		size -= int64(len(p))
		line = append(strconv.AppendInt(line[:0], int64(len(p)), 16), "\r\n"...)
		for _, part := range [...][]byte{line, p, line[len(line)-2:]} {
			if _, err := w.Write(part); err != nil {
				return err
			}
		}
	}
	_, err := w.Write(AppendTrailer(line[:0], trailer))
	return err
}

// maxChunk is how large the chunks are that a body is cut into: how it had come is
// not kept.
const maxChunk = 32 << 10
