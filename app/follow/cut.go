package follow

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"

	"transom/flow"
)

// A cutter finds where the parts of one body end, in bytes that it is given in
// order and once, and says what they mean.
type cutter interface {
	// cut looks at the bytes that follow. n of them belong to the part that has
	// begun; whole says that it ends there. What is behind n is given again.
	cut(p []byte) (n int, whole bool)
	// read fills in what a whole part means, if it does.
	read(p *Part)
}

// cutterFor returns what cuts a body with these fields. A body with a content
// coding is bytes.
func cutterFor(h flow.Header) cutter {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return pieces{}
	}
	switch kind := mediaType(h); {
	case kind == "text/event-stream":
		return new(events)
	case isRPC(kind):
		return new(rpcs)
	}
	return pieces{}
}

// Streams reports whether a body with these fields is made of parts that are
// worth being looked at one by one, as they come.
func Streams(h flow.Header) bool {
	switch kind := mediaType(h); kind {
	case "text/event-stream", "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines",
		"application/json-seq", "application/stream+json", "multipart/x-mixed-replace":
		return true
	default:
		return isRPC(kind)
	}
}

func mediaType(h flow.Header) string {
	kind, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(kind))
}

// isRPC reports whether a media type is gRPC's, over HTTP/2 or for the web. The
// web's text form is base64 as a whole and not framed.
func isRPC(kind string) bool {
	kind, _, _ = strings.Cut(kind, "+")
	return kind == "application/grpc" || kind == "application/grpc-web"
}

// pieces are all there is, but for a character that is not complete.
type pieces struct{}

func (pieces) cut(p []byte) (n int, whole bool) {
	n = len(p) - unfinished(p)
	return n, n > 0
}

func (pieces) read(*Part) {}

// unfinished returns how many bytes at the end of p are the beginning of one
// character that would be valid with more.
func unfinished(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if tail := p[len(p)-n:]; utf8.RuneStart(tail[0]) {
			if utf8.FullRune(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// An RPC is one message of gRPC, as it is framed in bodies: a byte of flags,
// four of length, and the message ("gRPC over HTTP2", Length-Prefixed-Message).
type RPC struct {
	Compressed bool // as the grpc-encoding field says
	Trailers   bool // gRPC-Web: it holds trailer fields, not a message
	Payload    []byte
}

const (
	rpcHead       = 5
	rpcCompressed = 1 << 0
	rpcTrailers   = 1 << 7
)

// rpcs cuts bodies of gRPC.
type rpcs struct {
	head [rpcHead]byte
	have int   // of head
	left int64 // of the message
}

func (c *rpcs) cut(p []byte) (n int, whole bool) {
	if c.have < rpcHead {
		n = copy(c.head[c.have:], p)
		c.have += n
		if c.have < rpcHead {
			return n, false
		}
		c.left = int64(binary.BigEndian.Uint32(c.head[1:]))
	}
	k := min(c.left, int64(len(p)-n))
	c.left -= k
	if c.left == 0 {
		c.have = 0
	}
	return n + int(k), c.left == 0
}

func (c *rpcs) read(p *Part) {
	flags := p.Data[0]
	if flags&^(rpcCompressed|rpcTrailers) != 0 {
		return // it is something else
	}
	p.RPC = &RPC{Compressed: flags&rpcCompressed != 0, Trailers: flags&rpcTrailers != 0, Payload: p.Data[rpcHead:]}
}
