package h1

import (
	"strconv"

	"transom/flow"
)

// A framing is what a head says of how its message and its connection go on.
type framing struct {
	length    int64 // Content-Length, -1 if there is none
	repeated  bool  // Content-Length is said more than once, with one value
	chunked   bool
	coded     bool // there is a Transfer-Encoding
	v10       bool // HTTP/1.0
	close     bool // Connection: close
	keepAlive bool // Connection: keep-alive
	expect    bool // Expect: 100-continue
	hosts     int
	host      string
}

// note takes in one field. Its errors are those that make the length of a
// message ambiguous (RFC 9112, section 6.3).
func (f *framing) note(h *flow.Field) error {
	switch len(h.Name) {
	case 4:
		if flow.EqualFold(h.Name, "Host") {
			f.hosts++
			f.host = h.Value
		}
	case 6:
		if flow.EqualFold(h.Name, "Expect") && flow.EqualFold(h.Value, "100-continue") {
			f.expect = true
		}
	case 10:
		if flow.EqualFold(h.Name, "Connection") {
			f.connection(h.Value)
		}
	case 14:
		if flow.EqualFold(h.Name, "Content-Length") {
			return f.contentLength(h.Value)
		}
	case 17:
		if flow.EqualFold(h.Name, "Transfer-Encoding") {
			return f.transferEncoding(h.Value)
		}
	}
	return nil
}

func (f *framing) connection(v string) {
	for v != "" {
		var t string
		t, v = element(v)
		switch {
		case flow.EqualFold(t, "close"):
			f.close = true
		case flow.EqualFold(t, "keep-alive"):
			f.keepAlive = true
		}
	}
}

// contentLength reads the length. The same length said twice is not ambiguous;
// two lengths are.
func (f *framing) contentLength(v string) error {
	if v == "" {
		return malformed("Content-Length", "is empty")
	}
	for more := true; more; {
		var t string
		rest := v
		t, v = element(rest)
		more = len(t) < len(trim(rest)) // a comma followed
		n, ok := decimal(t)
		if !ok {
			return malformed("Content-Length", "%q is not a length", cut(t))
		}
		if f.length >= 0 {
			if f.length != n {
				return malformed("Content-Length", "both %d and %d are said", f.length, n)
			}
			f.repeated = true
		}
		f.length = n
	}
	return nil
}

func decimal(s string) (int64, bool) {
	if s == "" || len(s) > 19 {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		if n = n*10 + int64(s[i]-'0'); n < 0 {
			return 0, false
		}
	}
	return n, true
}

// transferEncoding takes in the codings. Chunked must come last and once, and
// the others must be registered ones (RFC 9112, section 7).
func (f *framing) transferEncoding(v string) error {
	f.coded = true
	for more := true; more; {
		var t string
		rest := v
		t, v = element(rest)
		more = len(t) < len(trim(rest))
		if f.chunked {
			return malformed("Transfer-Encoding", "chunked is not the last coding")
		}
		switch {
		case flow.EqualFold(t, "chunked"):
			f.chunked = true
		case flow.EqualFold(t, "gzip"), flow.EqualFold(t, "x-gzip"), flow.EqualFold(t, "deflate"),
			flow.EqualFold(t, "compress"), flow.EqualFold(t, "x-compress"):
		default:
			return malformed("Transfer-Encoding", "%q is not a known coding", cut(t))
		}
	}
	return nil
}

// element cuts the first element off a comma-separated list.
func element(v string) (first, rest string) {
	for i := range len(v) {
		if v[i] == ',' {
			return trim(v[:i]), v[i+1:]
		}
	}
	return trim(v), ""
}

// check refuses what two recipients could read differently: that is how
// requests are smuggled (RFC 9112, section 11.2).
func (f *framing) check() error {
	switch {
	case f.coded && !f.chunked:
		return malformed("Transfer-Encoding", "chunked is not the last coding")
	case f.coded && f.length >= 0:
		return malformed("Content-Length", "stands beside Transfer-Encoding")
	case f.coded && f.v10:
		return malformed("Transfer-Encoding", "is not part of HTTP/1.0")
	}
	return nil
}

// checkRequest is check for requests. A length that is said twice would have to
// be forwarded once (RFC 9110, section 8.6): requests are not rewritten, so it is
// refused. Responses are, since some servers do that by mistake.
func (f *framing) checkRequest(h *flow.RequestHead) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.repeated {
		return malformed("Content-Length", "is said more than once")
	}
	if f.hosts > 1 {
		return malformed("Host", "stands %d times", f.hosts)
	}
	if !isAuthority(f.host) {
		return malformed("Host", "%q is not host or host:port", cut(f.host))
	}
	h.Authority = f.host
	if h.Method == "CONNECT" {
		h.Authority = h.Target
	} else if a, ok := targetAuthority(h.Target); ok {
		h.Authority = a
	}
	return nil
}

// targetAuthority returns the authority of a target in absolute form.
func targetAuthority(target string) (string, bool) {
	if target[0] == '/' {
		return "", false
	}
	for i := 0; i+3 <= len(target); i++ {
		if target[i:i+3] != "://" {
			continue
		}
		rest := target[i+3:]
		for j := range len(rest) {
			if c := rest[j]; c == '/' || c == '?' || c == '#' {
				rest = rest[:j]
				break
			}
		}
		for j := len(rest) - 1; j >= 0; j-- {
			if rest[j] == '@' { // userinfo is no part of where it goes
				rest = rest[j+1:]
				break
			}
		}
		return rest, true
	}
	return "", false
}

// isAuthority reports whether s has only bytes that a host and a port may have
// (RFC 3986, section 3.2), or a name in UTF-8.
func isAuthority(s string) bool {
	for i := range len(s) {
		if b := s[i]; !isHost[b] && b < 0x80 {
			return false
		}
	}
	return true
}

var isHost = [256]bool{
	'!': true, '$': true, '%': true, '&': true, '\'': true, '(': true, ')': true, '*': true, '+': true,
	',': true, '-': true, '.': true, '0': true, '1': true, '2': true, '3': true, '4': true, '5': true,
	'6': true, '7': true, '8': true, '9': true, ':': true, ';': true, '=': true, 'A': true, 'B': true,
	'C': true, 'D': true, 'E': true, 'F': true, 'G': true, 'H': true, 'I': true, 'J': true, 'K': true,
	'L': true, 'M': true, 'N': true, 'O': true, 'P': true, 'Q': true, 'R': true, 'S': true, 'T': true,
	'U': true, 'V': true, 'W': true, 'X': true, 'Y': true, 'Z': true, '[': true, ']': true, '_': true,
	'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true, 'g': true, 'h': true, 'i': true,
	'j': true, 'k': true, 'l': true, 'm': true, 'n': true, 'o': true, 'p': true, 'q': true, 'r': true,
	's': true, 't': true, 'u': true, 'v': true, 'w': true, 'x': true, 'y': true, 'z': true, '~': true,
}

// persists reports whether the connection goes on after the message (RFC 9112,
// section 9.3).
func (f *framing) persists() bool {
	if f.close {
		return false
	}
	return !f.v10 || f.keepAlive
}

// bodyless reports whether a response with this status never has content.
func bodyless(status int) bool { return status < 200 || status == 204 || status == 304 }

func itoa(n int) string { return strconv.Itoa(n) }
