package h2

import (
	"fmt"
	"strconv"
	"strings"

	"transom/flow"
)

// request makes a head of the fields of a request (RFC 9113, section 8.3.1).
// length is what content-length says, -1 if it does not.
func (h *fieldBlock) request(r *flow.RequestHead) (length int64, err error) {
	n, err := h.split(&r.Header)
	if err != nil {
		return -1, err
	}
	seen := 0
	for _, f := range h.Fields[:n] {
		var into *string
		var bit int
		switch f.Name {
		case ":method":
			into, bit = &r.Method, 1
		case ":scheme":
			into, bit = &r.Scheme, 2
		case ":authority":
			into, bit = &r.Authority, 4
		case ":path":
			into, bit = &r.Target, 8
		case ":protocol":
			into, bit = &r.Protocol, 16
		default:
			return -1, &MalformedError{f.Name, "is no pseudo-header field of a request"}
		}
		if seen&bit != 0 {
			return -1, &MalformedError{f.Name, "stands twice"}
		}
		seen |= bit
		*into = f.Value
	}
	r.Proto, r.H2 = flow.HTTP2, h.raw(n)
	if err := checkPseudo(r, seen); err != nil {
		return -1, err
	}
	if err := checkAuthority(r, seen&4 != 0); err != nil {
		return -1, err
	}
	if r.Method == "CONNECT" && r.Protocol == "" {
		r.Target = r.Authority
	}
	return h.check(r.Header)
}

func checkPseudo(r *flow.RequestHead, seen int) error {
	if r.Method == "CONNECT" && seen&16 == 0 {
		if seen != 1|4 {
			return &MalformedError{":method", "CONNECT has :authority and no other pseudo-header field (RFC 9113, section 8.5)"}
		}
		return checkText(":authority", r.Authority)
	}
	switch {
	case seen&1 == 0:
		return &MalformedError{":method", "is missing"}
	case seen&2 == 0:
		return &MalformedError{":scheme", "is missing"}
	case seen&8 == 0:
		return &MalformedError{":path", "is missing"}
	case seen&16 != 0 && r.Method != "CONNECT":
		return &MalformedError{":protocol", "stands with a method that is not CONNECT"}
	case r.Target == "":
		return &MalformedError{":path", "is empty"}
	case !isToken(r.Method):
		return &MalformedError{":method", fmt.Sprintf("%q is not a token", cut(r.Method))}
	}
	for _, p := range [...][2]string{{":scheme", r.Scheme}, {":authority", r.Authority}, {":path", r.Target}} {
		if err := checkText(p[0], p[1]); err != nil {
			return err
		}
	}
	return checkPath(r)
}

// checkAuthority refuses a second authority that is not the first, and what is
// no host and port (RFC 9113, section 8.3.1). Without :authority it is Host.
func checkAuthority(r *flow.RequestHead, said bool) error {
	hosts := 0
	for i := range r.Header {
		if r.Header[i].Name != "host" {
			continue
		}
		v := r.Header[i].Value
		if hosts++; hosts > 1 {
			return &MalformedError{"host", "stands twice"}
		}
		if said && !flow.EqualFold(v, r.Authority) {
			return &MalformedError{"host", fmt.Sprintf("is %q and :authority %q", cut(v), cut(r.Authority))}
		}
		r.Authority = v
	}
	if strings.ContainsAny(r.Authority, "/?#@") {
		return &MalformedError{":authority", fmt.Sprintf("%q is no host and port", cut(r.Authority))}
	}
	return nil
}

// checkPath refuses a path that is none, where the scheme is HTTP's.
func checkPath(r *flow.RequestHead) error {
	switch {
	case r.Scheme != "http" && r.Scheme != "https":
		return nil
	case r.Target[0] == '/', r.Target == "*" && r.Method == "OPTIONS":
		return nil
	}
	return &MalformedError{":path", fmt.Sprintf("%q does not begin with a slash", cut(r.Target))}
}

// checkText refuses what a request line could not say: whoever translates it
// to HTTP/1 would make two requests of one.
func checkText(name, v string) error {
	for i := range len(v) {
		if v[i] <= ' ' || v[i] == 0x7f {
			return &MalformedError{name, fmt.Sprintf("has the byte %#02x", v[i])}
		}
	}
	return nil
}

// response makes a head of the fields of a response (RFC 9113, section 8.3.2).
func (h *fieldBlock) response(r *flow.ResponseHead) (length int64, err error) {
	n, err := h.split(&r.Header)
	if err != nil {
		return -1, err
	}
	if n != 1 || h.Fields[0].Name != ":status" {
		return -1, &MalformedError{":status", "is not the one pseudo-header field"}
	}
	v := h.Fields[0].Value
	if len(v) != 3 || v[0] < '1' || v[0] > '9' || v[1] < '0' || v[1] > '9' || v[2] < '0' || v[2] > '9' {
		return -1, &MalformedError{":status", fmt.Sprintf("%q is not a status", cut(v))}
	}
	r.Status = int(v[0]-'0')*100 + int(v[1]-'0')*10 + int(v[2]-'0')
	if r.Status == 101 {
		return -1, &MalformedError{":status", "101 has no meaning in HTTP/2 (RFC 9113, section 8.6)"}
	}
	r.Proto, r.H2 = flow.HTTP2, h.raw(n)
	return h.check(r.Header)
}

// trailer checks the fields of a trailer section.
func (h *fieldBlock) trailer() (flow.Header, error) {
	var t flow.Header
	n, err := h.split(&t)
	if err != nil {
		return nil, err
	}
	if n > 0 {
		return nil, &MalformedError{h.Fields[0].Name, "stands in a trailer section"}
	}
	_, err = h.check(t)
	return t, err
}

// split gives the fields behind the pseudo-header fields, and the number of
// those.
func (h *fieldBlock) split(into *flow.Header) (pseudo int, err error) {
	if h.TooLarge {
		return 0, h.excess()
	}
	for pseudo < len(h.Fields) && strings.HasPrefix(h.Fields[pseudo].Name, ":") {
		pseudo++
	}
	*into = h.Fields[pseudo:len(h.Fields):len(h.Fields)]
	return pseudo, nil
}

// raw keeps what the head does not say.
func (h *fieldBlock) raw(pseudo int) *flow.H2Head {
	return &flow.H2Head{
		Stream: h.id, Pseudo: h.Fields[:pseudo:pseudo], Priority: h.priority, TableSizes: h.TableSizes,
	}
}

func isSpace(b byte) bool { return b == ' ' || b == '\t' }

// check looks at what is not pseudo-header (RFC 9113, section 8.2).
func (h *fieldBlock) check(fields flow.Header) (length int64, err error) {
	length = -1
	for i := range fields {
		f := &fields[i]
		if err := checkName(f.Name); err != nil {
			return -1, err
		}
		if h.binary && strings.HasSuffix(f.Name, "-bin") {
			continue // both sides have agreed to more than HTTP has
		}
		if err := checkValue(f); err != nil {
			return -1, err
		}
		switch f.Name {
		case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
			return -1, &MalformedError{f.Name, "is about a connection, and stands in HTTP/2"}
		case "te":
			if f.Value != "trailers" {
				return -1, &MalformedError{"te", fmt.Sprintf("is %q and not trailers", cut(f.Value))}
			}
		case "content-length":
			n, ok := decimal(f.Value)
			if !ok || length >= 0 && n != length {
				return -1, &MalformedError{"content-length", fmt.Sprintf("%q is not the length", cut(f.Value))}
			}
			length = n
		}
	}
	return length, nil
}

func checkValue(f *flow.Field) error {
	if v := f.Value; v != "" && (isSpace(v[0]) || isSpace(v[len(v)-1])) {
		return &MalformedError{f.Name, "has white space around it"}
	}
	for i := range len(f.Value) {
		if b := f.Value[i]; b == 0 || b == '\r' || b == '\n' {
			return &MalformedError{f.Name, fmt.Sprintf("has the byte %#02x", b)}
		}
	}
	return nil
}

func checkName(name string) error {
	if name == "" {
		return &MalformedError{"field name", "is empty"}
	}
	for i := range len(name) {
		if b := name[i]; !tokenChars[b] || 'A' <= b && b <= 'Z' {
			if name[0] == ':' {
				return &MalformedError{cut(name), "is a pseudo-header field behind others"}
			}
			return &MalformedError{fmt.Sprintf("field name %q", cut(name)), fmt.Sprintf("has the byte %#02x", b)}
		}
	}
	return nil
}

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenChars[s[i]] {
			return false
		}
	}
	return s != ""
}

// tokenChars are those of RFC 9110, section 5.6.2.
var tokenChars = [256]bool{
	'!': true, '#': true, '$': true, '%': true, '&': true, '\'': true, '*': true, '+': true, '-': true, '.': true, '0': true,
	'1': true, '2': true, '3': true, '4': true, '5': true, '6': true, '7': true, '8': true, '9': true, 'A': true, 'B': true,
	'C': true, 'D': true, 'E': true, 'F': true, 'G': true, 'H': true, 'I': true, 'J': true, 'K': true, 'L': true, 'M': true,
	'N': true, 'O': true, 'P': true, 'Q': true, 'R': true, 'S': true, 'T': true, 'U': true, 'V': true, 'W': true, 'X': true,
	'Y': true, 'Z': true, '^': true, '_': true, '`': true, 'a': true, 'b': true, 'c': true, 'd': true, 'e': true, 'f': true,
	'g': true, 'h': true, 'i': true, 'j': true, 'k': true, 'l': true, 'm': true, 'n': true, 'o': true, 'p': true, 'q': true,
	'r': true, 's': true, 't': true, 'u': true, 'v': true, 'w': true, 'x': true, 'y': true, 'z': true, '|': true, '~': true,
}

func decimal(s string) (n int64, ok bool) {
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// cut shortens what an error quotes.
func cut(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
