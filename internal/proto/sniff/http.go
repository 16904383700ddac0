package sniff

import (
	"bytes"

	"transom/flow"
)

// MaxRequestLine is how far an HTTP/1 request line is followed for its version.
// A longer one counts as HTTP if its method and the start of its target leave
// no doubt.
const MaxRequestLine = 16 << 10

// maxMethod is the longest method taken for one; registered ones have at most
// 17 characters.
const maxMethod = 32

// preface is what an HTTP/2 client sends first (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// ServerPreface reports whether p, the first that a server has sent, begins as
// a server of HTTP/2 does: with a SETTINGS frame that is no acknowledgement (RFC
// 9113, sections 3.4 and 6.5).
func ServerPreface(p []byte) bool {
	return len(p) >= 9 && p[0] == 0 && p[1] == 0 && p[2]%6 == 0 && p[3] == 4 && p[4]&1 == 0 &&
		p[5] == 0 && p[6] == 0 && p[7] == 0 && p[8] == 0
}

// httpStream answers for HTTP. The version must be seen before the answer is
// Yes, since many protocols of lines (SMTP, IRC, Redis, SIP, RTSP, NATS) begin
// just like a method and its target.
func httpStream(p []byte) Result {
	if len(p) < len(preface) && string(p) == preface[:len(p)] {
		return Result{}
	}
	if len(p) >= len(preface) && string(p[:len(preface)]) == preface {
		return Result{Answer: Yes, Layer: flow.Layer{Proto: "h2"}, Complete: true}
	}
	switch requestLine(p) {
	case Yes:
		return Result{Answer: Yes, Layer: flow.Layer{Proto: "http/1.1"}, Complete: true}
	case More:
		return Result{}
	}
	return Result{Answer: No}
}

// requestLine matches, after any empty lines (RFC 9112, section 2.2),
//
//	method SP target SP "HTTP/" DIGIT "." DIGIT (CR / LF)
//
// A bare LF is accepted here, so that it is the HTTP codec that refuses it.
func requestLine(p []byte) Answer {
	p = p[:min(len(p), MaxRequestLine)]
	full := len(p) == MaxRequestLine
	line, ok := skipEmptyLines(p)
	if !ok {
		return No
	}
	i := 0
	for i < len(line) && tokenChar(line[i]) {
		if i++; i > maxMethod {
			return No
		}
	}
	method := line[:i]
	switch {
	case i == len(line):
		return undecided(full, false)
	case i == 0 || line[i] != ' ':
		return No
	}
	target := line[i+1:]
	n := 0
	for n < len(target) && targetChar(target[n]) {
		n++
	}
	switch {
	case n == len(target):
		return undecided(full, obvious(method, target))
	case n == 0 || target[n] != ' ':
		return No
	}
	if a := version(target[n+1:]); a != More {
		return a
	}
	return undecided(full, obvious(method, target[:n]))
}

// undecided is More unless no more bytes will be looked at.
func undecided(full, obvious bool) Answer {
	switch {
	case !full:
		return More
	case obvious:
		return Yes
	}
	return No
}

// skipEmptyLines drops leading CRLFs, a lone CR at the end of p too. ok is false
// if a CR is followed by something else.
func skipEmptyLines(p []byte) (rest []byte, ok bool) {
	for len(p) > 0 && p[0] == '\r' {
		if len(p) == 1 {
			return nil, true
		}
		if p[1] != '\n' {
			return nil, false
		}
		p = p[2:]
	}
	return p, true
}

// version matches the version and the first byte of the line's end.
func version(p []byte) Answer {
	const pattern = "HTTP/0.0\r"
	for i := range min(len(p), len(pattern)) {
		c := p[i]
		switch pattern[i] {
		case '0':
			if c < '0' || c > '9' {
				return No
			}
		case '\r':
			if c != '\r' && c != '\n' {
				return No
			}
		default:
			if c != pattern[i] {
				return No
			}
		}
	}
	if len(p) < len(pattern) {
		return More
	}
	return Yes
}

// obvious reports whether a request line can only be HTTP's: a method that HTTP
// registers and a target in origin or absolute form.
func obvious(method, target []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE":
	default:
		return false
	}
	return len(target) > 0 && target[0] == '/' || bytes.HasPrefix(target, []byte("http://")) || bytes.HasPrefix(target, []byte("https://"))
}

// tokenChar reports whether c may be in a method (RFC 9110, section 5.6.2).
func tokenChar(c byte) bool {
	switch {
	case alphanumeric(c):
		return true
	case c <= ' ' || c >= 0x7f:
		return false
	}
	switch c {
	case '"', '(', ')', ',', '/', ':', ';', '<', '=', '>', '?', '@', '[', '\\', ']', '{', '}':
		return false
	}
	return true
}

// targetChar reports whether c may be in a target. RFC 3986 allows fewer, but
// clients send quotes, braces and raw UTF-8.
func targetChar(c byte) bool { return c > ' ' && c != 0x7f }
