package command

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"transom/app/export"
	"transom/filter"
	"transom/flow"
)

// A request is what has to be said.
type request struct {
	*flow.RequestHead
	conn   *flow.Conn
	o      Options
	base   string      // scheme://host
	target string      // what follows, as it was sent
	header flow.Header // without what belongs to the connection or can't be said
	body   []byte
	sized  bool     // there is a body, maybe an empty one
	notes  []string // what is not said, for a person
}

func newRequest(ctx context.Context, f *flow.Flow, h *flow.HTTP, bodies filter.Bodies, o Options) (*request, error) {
	r := &request{RequestHead: h.Request, conn: f.Conn, o: o}
	if r.Method == "CONNECT" || r.Protocol != "" {
		return nil, fmt.Errorf("%w that can be said: it asks for a tunnel", ErrNoRequest)
	}
	if err := r.address(); err != nil {
		return nil, err
	}
	ref := h.RequestBody
	switch {
	case ref.Kept < ref.Size:
		return nil, fmt.Errorf("%w: %d of %d bytes", ErrCut, ref.Kept, ref.Size)
	case ref.Size > maxBody:
		return nil, fmt.Errorf("the request's body has %d bytes, more than fit a command; use raw_request", ref.Size)
	case ref.Size > 0:
		b, err := bodies.OpenBody(ctx, ref)
		if err != nil {
			return nil, err
		}
		defer b.Close()
		if r.body, err = io.ReadAll(io.LimitReader(b, ref.Kept)); err != nil {
			return nil, err
		}
	}
	said, sized := r.Header.Lookup("Content-Length")
	r.sized = len(r.body) > 0 || sized && said == "0" || r.chunked()
	r.fields()
	if len(h.RequestTrailer) > 0 {
		r.note("left out: the trailer behind the body")
	}
	return r, nil
}

// address takes the URL apart.
func (r *request) address() error {
	u := export.URL(r.conn, r.RequestHead)
	scheme, rest, ok := strings.Cut(u, "://")
	if scheme = strings.ToLower(scheme); !ok || scheme != "http" && scheme != "https" {
		return fmt.Errorf("%w that can be said: its URL is %q", ErrNoRequest, u)
	}
	host := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, r.target = rest[:i], rest[i:]
	}
	if host == "" || strings.ContainsFunc(host, odd) {
		return fmt.Errorf("%w that can be said: its host is %q", ErrNoRequest, host)
	}
	r.base = scheme + "://" + host
	if r.Target == "*" {
		r.target = "*"
	}
	if !token(r.Method) || strings.ContainsAny(r.target, "\x00\r\n") {
		return fmt.Errorf("%w that can be said: its first line is %q", ErrNoRequest, r.Method+" "+r.target)
	}
	if r.target == "" {
		r.target = "/"
	}
	return nil
}

// odd reports whether a host can't have a character.
func odd(c rune) bool {
	return c > 0x7f || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]", c)
}

// fields chooses the fields that have to be said.
func (r *request) fields() {
	_, host, _ := strings.Cut(r.base, "://")
	for i := range r.Header {
		name, value := r.Header[i].Name, r.Header[i].Value
		switch {
		case !token(name):
			r.note("left out: a field called %q", name)
		case strings.ContainsAny(value, "\x00\r\n"):
			r.note("left out: the field %s, which has %q", name, value)
		case flow.EqualFold(name, "Content-Length"), flow.EqualFold(name, "Host") && value == host:
		default:
			r.header = append(r.header, r.Header[i])
		}
	}
}

// has reports whether a field is said.
func (r *request) has(name string) bool {
	_, ok := r.header.Lookup(name)
	return ok
}

// plain reports whether the target is one that all programs send as it is, but for escapes
// that some write in another way.
func (r *request) plain() bool {
	if r.target[0] != '/' || strings.Contains(r.target, "/.") {
		return false
	}
	for i := range len(r.target) {
		c := r.target[i]
		if !letter(c) && strings.IndexByte("-._~!$&()*+,;=:@/?%", c) < 0 {
			return false
		}
		if c == '%' {
			if b, ok := r.escaped(i); !ok || b == '.' { // which is a dot
				return false
			}
		}
	}
	return true
}

// escaped is what the escape at i stands for.
func (r *request) escaped(i int) (byte, bool) {
	if i+3 > len(r.target) {
		return 0, false
	}
	n, err := strconv.ParseUint(r.target[i+1:i+3], 16, 8)
	return byte(n), err == nil
}

// normal reports whether the target is plain, and its escapes are as programs would write
// them that write all anew (RFC 3986, section 6.2.2), and it has a path of one slash.
func (r *request) normal() bool {
	if !r.plain() || strings.HasPrefix(r.target, "//") {
		return false
	}
	for i := range len(r.target) {
		if r.target[i] != '%' {
			continue
		}
		if b, _ := r.escaped(i); letter(b) || strings.IndexByte("-._~", b) >= 0 || r.target[i:i+3] != strings.ToUpper(r.target[i:i+3]) {
			return false
		}
	}
	return true
}

// chunked reports whether the body came in chunks.
func (r *request) chunked() bool { return r.Header.HasToken("Transfer-Encoding", "chunked") }

// control reports whether a value has what some programs refuse to send.
func control(value string) bool {
	return strings.ContainsFunc(value, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f })
}

// twice notes which fields a program sends as one.
func (r *request) twice() {
	for i := range r.header {
		name := r.header[i].Name
		same := func(f flow.Field) bool { return flow.EqualFold(f.Name, name) }
		if slices.IndexFunc(r.header, same) == i && slices.ContainsFunc(r.header[i+1:], same) {
			r.note("the fields %s are sent as one", name)
		}
	}
}

// url is the URL, with what none may hold escaped.
func (r *request) url() string {
	b := []byte(r.base)
	target := r.target
	if target == "*" {
		target = "/"
		r.note("the target was *, which can't be said")
	}
	if target[0] != '/' {
		b = append(b, '/')
	}
	for i := range len(target) {
		c := target[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}#", c) >= 0 {
			b = append(b, fmt.Sprintf("%%%02X", c)...)
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

func (r *request) note(format string, a ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, a...))
}

// noted writes the notes as comments.
func (r *request) noted(sign string) string {
	var b strings.Builder
	for _, n := range r.notes {
		// Quoted again, since a name may hold anything that ends a line.
		q := strconv.QuoteToASCII(n)
		b.WriteString(sign + " " + strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`) + "\n")
	}
	return b.String()
}

// token reports whether s may be the name of a field (RFC 9110, section 5.6.2).
func token(s string) bool {
	for i := range len(s) {
		if !letter(s[i]) && strings.IndexByte("!#$%&'*+-.^_`|~", s[i]) < 0 {
			return false
		}
	}
	return s != ""
}

// letter reports whether c is a letter or a digit.
func letter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
