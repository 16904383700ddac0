package h1

import (
	"bytes"
	"unsafe"

	"transom/flow"
)

// Limits bound a head. Zero takes the default.
type Limits struct {
	Head   int // bytes of a head, its empty line included; 64 KiB
	Fields int // fields of a head or a trailer section; 256
}

func (l Limits) head() int {
	if l.Head > 0 {
		return l.Head
	}
	return 64 << 10
}

func (l Limits) fields() int {
	if l.Fields > 0 {
		return l.Fields
	}
	return 256
}

// headEnd finds the end of the head that buf begins with: the offset behind its
// empty line, or 0 if it is not all there. Empty lines before the start line
// belong to the head (RFC 9112, section 2.2). scanned is where to go on, from
// an earlier call. A line that ends in LF alone can't be waited out and is an
// error at once.
func headEnd(buf []byte, scanned int) (end, next int, err error) {
	for {
		i := bytes.IndexByte(buf[scanned:], '\n')
		if i < 0 {
			return 0, scanned, nil
		}
		i += scanned
		if i == 0 || buf[i-1] != '\r' {
			return 0, i, malformed("head", "a line ends in LF without CR")
		}
		if i-1 == scanned && scanned > leading(buf) {
			return i + 1, i + 1, nil
		}
		scanned = i + 1
	}
}

// emptyLines is how many empty lines may stand before a start line; with more
// it is the start line that is empty.
const emptyLines = 16

// leading counts the bytes of the empty lines that buf begins with.
func leading(buf []byte) int {
	n := 0
	for n+1 < len(buf) && n < 2*emptyLines && buf[n] == '\r' && buf[n+1] == '\n' {
		n += 2
	}
	return n
}

// ParseRequest parses one whole request head, through its empty line, with
// strict syntax (RFC 9112, sections 2 to 6). It copies raw. The error is a
// *MalformedError.
func ParseRequest(raw []byte, l Limits) (*flow.RequestHead, error) {
	h := new(flow.RequestHead)
	_, err := parseRequest(raw, l, h)
	return h, err
}

// ParseResponse parses one whole response head likewise.
func ParseResponse(raw []byte, l Limits) (*flow.ResponseHead, error) {
	h := new(flow.ResponseHead)
	_, err := parseResponse(raw, l, h)
	return h, err
}

// keep copies raw, and returns it both as bytes and as the string that all
// parts of the head are cut from. The two share memory, which is why Raw must
// never be written to.
func keep(raw []byte) ([]byte, string) {
	b := append([]byte(nil), raw...)
	return b, unsafe.String(unsafe.SliceData(b), len(b))
}

// line cuts the first line off s, which is known to end in CRLF.
func line(s string) (first, rest string) {
	for i := 0; ; i++ {
		if s[i] == '\n' {
			return s[:i-1], s[i+1:]
		}
	}
}

func parseRequest(raw []byte, l Limits, h *flow.RequestHead) (framing, error) {
	if err := whole(raw, l); err != nil {
		return framing{}, err
	}
	var s string
	h.Raw, s = keep(raw)
	first, rest := line(s[leading(raw):])
	if err := requestLine(first, h); err != nil {
		return framing{}, err
	}
	f := framing{length: -1, v10: h.Proto == flow.HTTP10}
	var err error
	if h.Header, err = fields(rest, l, &f); err != nil {
		return f, err
	}
	if err := f.checkRequest(h); err != nil {
		return f, err
	}
	return f, nil
}

func parseResponse(raw []byte, l Limits, h *flow.ResponseHead) (framing, error) {
	if err := whole(raw, l); err != nil {
		return framing{}, err
	}
	if leading(raw) > 0 {
		return framing{}, malformed("status line", "is preceded by an empty line")
	}
	var s string
	h.Raw, s = keep(raw)
	first, rest := line(s)
	if err := statusLine(first, h); err != nil {
		return framing{}, err
	}
	f := framing{length: -1, v10: h.Proto == flow.HTTP10}
	var err error
	if h.Header, err = fields(rest, l, &f); err != nil {
		return f, err
	}
	if !bodyless(h.Status) {
		if err := f.check(); err != nil {
			return f, err
		}
	}
	return f, nil
}

// whole checks that raw is exactly one head within its limit.
func whole(raw []byte, l Limits) error {
	if len(raw) > l.head() {
		return tooLong(raw, l)
	}
	end, _, err := headEnd(raw, 0)
	if err != nil {
		return err
	}
	if end == 0 || end != len(raw) {
		return malformed("head", "does not end with its first empty line")
	}
	return nil
}

// tooLong says which part of a head is.
func tooLong(raw []byte, l Limits) error {
	start := leading(raw)
	if i := bytes.IndexByte(raw[start:], '\n'); i < 0 || start+i >= l.head() {
		return malformedStatus(414, "start line", "longer than the limit of %d bytes for a head", l.head())
	}
	return malformedStatus(431, "head", "longer than the limit of %d bytes", l.head())
}

// requestLine parses method SP target SP version (RFC 9112, section 3).
func requestLine(s string, h *flow.RequestHead) error {
	i := 0
	for i < len(s) && isToken[s[i]] {
		i++
	}
	if i == 0 || i == len(s) || s[i] != ' ' {
		return malformed("request line", "%q does not begin with a method and one space", cut(s))
	}
	h.Method = s[:i]
	s = s[i+1:]
	for i = 0; i < len(s) && s[i] > ' ' && s[i] != 0x7f; i++ {
	}
	if i == 0 || i == len(s) || s[i] != ' ' {
		return malformed("request line", "no target between single spaces in %q", cut(s))
	}
	h.Target = s[:i]
	if !isTarget(h) {
		return malformed("request line", "the target %q has none of the forms there are", cut(h.Target))
	}
	var err error
	h.Proto, err = version(s[i+1:], "request line")
	return err
}

// isTarget reports whether the target has one of the four forms (RFC 9112,
// section 3.2): origin, asterisk, authority for CONNECT, or absolute.
func isTarget(h *flow.RequestHead) bool {
	t := h.Target
	if t[0] == '/' || t == "*" || h.Method == "CONNECT" {
		return true
	}
	for i := range len(t) {
		c := t[i] | 0x20
		letter := 'a' <= c && c <= 'z'
		if t[i] == ':' {
			return i > 0
		}
		if !letter && (i == 0 || !isToken[t[i]]) {
			return false
		}
	}
	return false
}

// statusLine parses version SP 3DIGIT SP [reason]. The space behind the status
// is often left out when there is no reason, which can mean nothing else.
func statusLine(s string, h *flow.ResponseHead) error {
	const shortest = len("HTTP/1.1 200")
	if len(s) < shortest || s[8] != ' ' {
		return malformed("status line", "%q is not version, status and reason", cut(s))
	}
	var err error
	if h.Proto, err = version(s[:8], "status line"); err != nil {
		return err
	}
	for _, d := range []byte(s[9:12]) {
		if d < '0' || d > '9' {
			return malformed("status line", "%q is no status", s[9:12])
		}
		h.Status = h.Status*10 + int(d-'0')
	}
	if h.Status < 100 {
		return malformed("status line", "%q is no status", s[9:12])
	}
	if s = s[12:]; s == "" {
		return nil
	}
	if s[0] != ' ' || !isValue(s[1:]) {
		return malformed("status line", "%q is no reason phrase", cut(s))
	}
	h.Reason = s[1:]
	return nil
}

// version reads HTTP/1.x. A higher minor version means what 1.1 does (RFC 9110,
// section 2.5).
func version(s, where string) (flow.Proto, error) {
	if len(s) != 8 || s[:5] != "HTTP/" || s[6] != '.' || s[5] < '0' || s[5] > '9' || s[7] < '0' || s[7] > '9' {
		return 0, malformed(where, "%q is no version", cut(s))
	}
	if s[5] != '1' {
		return 0, malformedStatus(505, where, "version %s is not spoken here", s)
	}
	if s[7] == '0' {
		return flow.HTTP10, nil
	}
	return flow.HTTP11, nil
}

// fields parses the field lines of s, which ends with an empty line, and tells
// f of those that frame the message.
func fields(s string, l Limits, f *framing) (flow.Header, error) {
	n := 0
	for i := range len(s) {
		if s[i] == '\n' {
			n++
		}
	}
	if n--; n > l.fields() {
		return nil, malformedStatus(431, "head", "more than the limit of %d fields", l.fields())
	}
	if n == 0 {
		return nil, nil
	}
	h := make(flow.Header, n)
	for i := range h {
		var one string
		one, s = line(s)
		if err := field(one, &h[i]); err != nil {
			err.Where = "field " + itoa(i+1)
			return nil, err
		}
		if err := f.note(&h[i]); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// field parses name ":" OWS value OWS (RFC 9112, section 5).
func field(s string, f *flow.Field) *MalformedError {
	i := 0
	for i < len(s) && isToken[s[i]] {
		i++
	}
	switch {
	case i == len(s):
		return malformed("", "no colon in %q", cut(s))
	case i == 0 && isSpace(s[0]):
		return malformed("", "begins with white space: obsolete line folding")
	case s[i] != ':':
		if isSpace(s[i]) {
			return malformed("", "white space before the colon in %q", cut(s))
		}
		return malformed("", "byte %#02x is not allowed in a field name", s[i])
	case i == 0:
		return malformed("", "has no name")
	}
	v := trim(s[i+1:])
	if !isValue(v) {
		return malformed("", "the value of %s has a control character", cut(s[:i]))
	}
	f.Name, f.Value = s[:i], v
	return nil
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' }

func trim(s string) string {
	for s != "" && isSpace(s[0]) {
		s = s[1:]
	}
	for s != "" && isSpace(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// isValue reports whether s may stand in a field value: no control characters
// but HTAB (RFC 9110, section 5.5).
func isValue(s string) bool {
	for i := range len(s) {
		if b := s[i]; b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// isToken are the characters of a token (RFC 9110, section 5.6.2).
var isToken = [256]bool{
	'!': true, '#': true, '$': true, '%': true, '&': true, '\'': true, '*': true, '+': true, '-': true,
	'.': true, '0': true, '1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true,
	'8': true, '9': true, 'A': true, 'B': true, 'C': true, 'D': true, 'E': true, 'F': true, 'G': true,
	'H': true, 'I': true, 'J': true, 'K': true, 'L': true, 'M': true, 'N': true, 'O': true, 'P': true,
	'Q': true, 'R': true, 'S': true, 'T': true, 'U': true, 'V': true, 'W': true, 'X': true, 'Y': true,
	'Z': true, '^': true, '_': true, '`': true, 'a': true, 'b': true, 'c': true, 'd': true, 'e': true,
	'f': true, 'g': true, 'h': true, 'i': true, 'j': true, 'k': true, 'l': true, 'm': true, 'n': true,
	'o': true, 'p': true, 'q': true, 'r': true, 's': true, 't': true, 'u': true, 'v': true, 'w': true,
	'x': true, 'y': true, 'z': true, '|': true, '~': true,
}

// cut shortens what an error quotes.
func cut(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
