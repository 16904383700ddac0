package flow

import "slices"

// A RequestHead is a request without its body.
type RequestHead struct {
	Method    string
	Scheme    string // "http" or "https"
	Authority string // host[:port] as the message says it (Host, :authority), "" if it does not
	Target    string // as on the wire: "/a?b", "*", absolute form, or authority form for CONNECT
	Proto     Proto
	Header    Header
	Protocol  string // what extended CONNECT asks for (:protocol, RFC 8441), "" otherwise
	Raw       []byte // HTTP/1 head as received, through the empty line; sent verbatim while unchanged; must not be written to
	H2        *H2Head
}

// A ResponseHead is a response without its body.
type ResponseHead struct {
	Status int
	Reason string
	Proto  Proto
	Header Header
	Raw    []byte // as in RequestHead
	H2     *H2Head
}

// An H2Head is what HTTP/2 said with a head besides what it means: kept so that
// the head leaves as it came, and nil for a head that came otherwise. It must
// not be written to. Like Raw, it makes no difference to Equal.
type H2Head struct {
	Stream     uint32      // it came on, by the sender's numbers
	Pseudo     Header      // the pseudo-header fields, in wire order and with their forms (RFC 9113, section 8.3)
	Priority   *H2Priority // of the HEADERS frame (RFC 9113, section 5.3.2), nil if it had none
	TableSizes []uint32    // updates of the dynamic table's size that began the block (RFC 7541, section 6.3)
}

// An H2Priority is what the first version of HTTP/2 called priority (RFC 7540,
// section 5.3): dead by RFC 9113, and still sent and fingerprinted.
type H2Priority struct {
	Parent    uint32 // the stream depended on, by the sender's numbers
	Exclusive bool
	Weight    uint8 // as on the wire: one less than is meant
}

// Equal reports whether a and b mean the same. Raw and H2 are not compared:
// unchanged means equal, so a codec keeps the head it parsed and sends Raw if
// what it is given back is equal to that.
func (a *RequestHead) Equal(b *RequestHead) bool {
	return a == b || a.Method == b.Method && a.Scheme == b.Scheme && a.Authority == b.Authority &&
		a.Target == b.Target && a.Protocol == b.Protocol && a.Proto == b.Proto && a.Header.Equal(b.Header)
}

// Equal reports whether a and b mean the same; Raw and H2 are not compared.
func (a *ResponseHead) Equal(b *ResponseHead) bool {
	return a == b || a.Status == b.Status && a.Reason == b.Reason && a.Proto == b.Proto && a.Header.Equal(b.Header)
}

// Proto is a version of HTTP.
type Proto uint8

const (
	HTTP10 Proto = iota
	HTTP11
	HTTP2
	HTTP3
)

// String returns "HTTP/1.0", "HTTP/1.1", "HTTP/2.0" or "HTTP/3.0".
func (p Proto) String() string {
	return [...]string{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"}[p&3]
}

// A Header is the list of fields in wire order. Names keep their case and
// compare without regard to it. A Header is changed through its methods only:
// they never write into the fields they were given, so heads that share a
// Header stay as they were.
type Header []Field

// A Field is one header or trailer field. Value has no surrounding white space.
type Field struct {
	Name, Value string
	Form        Form
}

// A Form is how HPACK or QPACK represented a field (RFC 7541, section 6), kept
// so that it leaves as it came: a never-indexed field must stay one (section
// 7.1.3). Zero lets the encoder choose. Forms say nothing about meaning, and
// Equal ignores them.
type Form uint8

const (
	FormIndexed      Form = 1 << iota // the whole field from a table
	FormIncremental                   // literal, added to the dynamic table
	FormNeverIndexed                  // literal, never to be indexed by anyone
	FormLiteral                       // literal, not added to the table
	FormNameIndexed                   // the name from a table
	FormHuffmanName
	FormHuffmanValue
	FormNameLast // of a static table's entries with that name the last and not the first
)

// Equal reports whether h and g have the same fields in the same order, names
// compared byte by byte: case is part of what is sent.
func (h Header) Equal(g Header) bool {
	if len(h) != len(g) {
		return false
	}
	if len(h) > 0 && &h[0] == &g[0] {
		return true
	}
	return slices.EqualFunc(h, g, func(a, b Field) bool { return a.Name == b.Name && a.Value == b.Value })
}

// Get returns the first value of the named field, or "".
func (h Header) Get(name string) string {
	v, _ := h.Lookup(name)
	return v
}

// Lookup returns the first value of the named field, and whether there is one.
func (h Header) Lookup(name string) (string, bool) {
	for i := range h {
		if EqualFold(h[i].Name, name) {
			return h[i].Value, true
		}
	}
	return "", false
}

// Set replaces the first field called name in place, keeping how its name was
// written, and drops the others. Without one it adds a field at the end.
func (h *Header) Set(name, value string) {
	out, done := make(Header, 0, len(*h)+1), false
	for _, f := range *h {
		if !EqualFold(f.Name, name) {
			out = append(out, f)
		} else if !done {
			out, done = append(out, Field{Name: f.Name, Value: value}), true
		}
	}
	if !done {
		out = append(out, Field{Name: name, Value: value})
	}
	*h = out
}

// Add adds a field at the end.
func (h *Header) Add(name, value string) {
	*h = append((*h)[:len(*h):len(*h)], Field{Name: name, Value: value})
}

// Del drops every field called name.
func (h *Header) Del(name string) {
	if _, ok := h.Lookup(name); !ok {
		return
	}
	out := make(Header, 0, len(*h))
	for _, f := range *h {
		if !EqualFold(f.Name, name) {
			out = append(out, f)
		}
	}
	*h = out
}

// HasToken reports whether a field called name lists token (RFC 9110, section
// 5.6.1), without regard to case.
func (h Header) HasToken(name, token string) bool {
	for i := range h {
		if !EqualFold(h[i].Name, name) {
			continue
		}
		for v := h[i].Value; v != ""; {
			var t string
			t, v = nextToken(v)
			if EqualFold(t, token) {
				return true
			}
		}
	}
	return false
}

// nextToken cuts the first element off a comma-separated list.
func nextToken(v string) (token, rest string) {
	end := 0
	for end < len(v) && v[end] != ',' {
		end++
	}
	token, rest = v[:end], ""
	if end < len(v) {
		rest = v[end+1:]
	}
	for token != "" && (token[0] == ' ' || token[0] == '\t') {
		token = token[1:]
	}
	for token != "" && (token[len(token)-1] == ' ' || token[len(token)-1] == '\t') {
		token = token[:len(token)-1]
	}
	return token, rest
}

// EqualFold compares ASCII without regard to case, as field names do.
func EqualFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if 'A' <= x && x <= 'Z' {
			x += 'a' - 'A'
		}
		if 'A' <= y && y <= 'Z' {
			y += 'a' - 'A'
		}
		if x != y {
			return false
		}
	}
	return true
}
