package redact

import (
	"bytes"
	"net/url"
	"strings"

	"transom/flow"
)

// A head that nothing was taken out of stays as it is, byte for byte.

// request returns a head without its secrets.
func (r *Rules) request(h *flow.RequestHead) *flow.RequestHead {
	if h == nil {
		return nil
	}
	c := *h
	c.Target = r.url(h.Target)
	c.Authority = userless(h.Authority)
	c.Header = r.fields(h.Header)
	if c.Equal(h) && (h.Method != "" || len(h.Raw) == 0) {
		return h
	}
	c.Raw, c.H2 = nil, nil // which have them still
	if h.Method == "" {
		c.Raw = []byte(Mark) // all that there is of it
	}
	return &c
}

func (r *Rules) response(h *flow.ResponseHead) *flow.ResponseHead {
	if h == nil {
		return nil
	}
	c := *h
	c.Header = r.fields(h.Header)
	if c.Equal(h) {
		return h
	}
	c.Raw, c.H2 = nil, nil
	return &c
}

// fields returns fields without their secrets.
func (r *Rules) fields(h flow.Header) flow.Header {
	var out flow.Header
	for i := range h {
		value := r.field(h[i].Name, h[i].Value)
		if value == h[i].Value {
			continue
		}
		if out == nil {
			out = append(flow.Header(nil), h...)
		}
		out[i] = flow.Field{Name: h[i].Name, Value: value}
	}
	if out == nil {
		return h
	}
	return out
}

func (r *Rules) field(name, value string) string {
	switch name = strings.ToLower(name); {
	case value == "":
		return value
	case name == "cookie" && r.header[name]:
		parts := strings.Split(value, ";")
		for i := range parts {
			parts[i] = cookie(parts[i])
		}
		return strings.Join(parts, ";")
	case name == "set-cookie" && r.header[name]:
		first, rest, more := strings.Cut(value, ";")
		if first = cookie(first); more {
			return first + ";" + rest
		}
		return first
	case (name == "authorization" || name == "proxy-authorization") && r.header[name]:
		if scheme, rest, ok := strings.Cut(value, " "); ok && rest != "" && letters(scheme) {
			return scheme + " " + Mark
		}
		return Mark
	case r.secretField(name):
		return Mark
	case name == "sec-websocket-protocol":
		return r.protocols(value)
	}
	if strings.IndexByte(value, '{') >= 0 {
		cuts, err := r.inText([]byte(value), 0)
		if err != nil {
			return Mark
		}
		value = string(apply([]byte(value), cuts))
	}
	return r.url(value) // which many have, as Location, Link, Destination and X-Original-Url
}

// protocols takes out the tokens that programs in pages send as the names of protocols,
// since they can send no other field with a WebSocket: as the name behind one that says
// what it is, or behind a dot.
func (r *Rules) protocols(list string) string {
	items := strings.Split(list, ",")
	next := false // is a secret
	for i, item := range items {
		name := strings.TrimSpace(item)
		before := item[:strings.Index(item, name)]
		switch at := r.inProtocol(name); {
		case name == "":
			continue
		case at > 0:
			items[i], next = before+name[:at]+Mark, false
		case next, isJWT(name):
			items[i], next = before+Mark, false
		default:
			next = r.tells(name)
		}
	}
	return strings.Join(items, ",")
}

// chosen returns what a server answered, without a secret that it chose among the names of
// protocols that were offered.
func (r *Rules) chosen(offered *flow.RequestHead, h *flow.ResponseHead) *flow.ResponseHead {
	const name = "Sec-WebSocket-Protocol"
	if h == nil || offered == nil || h.Header.Get(name) == "" {
		return h
	}
	for i := range offered.Header {
		if !flow.EqualFold(offered.Header[i].Name, name) {
			continue
		}
		was := strings.Split(offered.Header[i].Value, ",")
		for k, is := range strings.Split(r.protocols(offered.Header[i].Value), ",") {
			if is != was[k] && strings.TrimSpace(was[k]) == strings.TrimSpace(h.Header.Get(name)) {
				c := *h
				c.Header = append(flow.Header(nil), h.Header...)
				c.Header.Set(name, strings.TrimSpace(is))
				c.Raw, c.H2 = nil, nil
				return &c
			}
		}
	}
	return h
}

// inProtocol says where in the name of a protocol a secret begins, or 0.
func (r *Rules) inProtocol(name string) int {
	from := 0
	for at := range len(name) {
		if c := name[at]; c == '.' || c == '=' || c == ':' {
			if at+1 < len(name) && r.tells(name[from:at]) {
				return at + 1
			}
			from = at + 1
		}
	}
	return 0
}

// tells reports whether a name says that a secret is behind it.
func (r *Rules) tells(name string) bool {
	folded := appendFolded(nil, name)
	return r.query[string(folded)] || tellsSecret(folded) || bytes.HasSuffix(folded, []byte("bearer"))
}

// isJWT reports whether it has the form of a JSON Web Token (RFC 7519).
func isJWT(s string) bool { return strings.HasPrefix(s, "eyJ") && strings.Count(s, ".") >= 2 }

// cookie takes out the value of one.
func cookie(c string) string {
	name, _, ok := strings.Cut(c, "=")
	switch {
	case ok:
		return name + "=" + Mark
	case strings.TrimSpace(c) == "":
		return c
	}
	return Mark // which has a value alone
}

func letters(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && s[i] != '-' {
			return false
		}
	}
	return s != ""
}

// url takes secrets out of the query and the fragment of a URL, or of several with
// something between them, and who it is for.
func (r *Rules) url(u string) string {
	u = userlessURLs(u)
	at := strings.IndexAny(u, "?#")
	if at < 0 {
		return u
	}
	var b strings.Builder
	b.WriteString(u[:at+1])
	for rest := u[at+1:]; rest != ""; {
		end := strings.IndexAny(rest, "&;?#>, \"")
		if end < 0 {
			end = len(rest)
		}
		b.WriteString(r.parameter(rest[:end], r.query))
		if end < len(rest) {
			b.WriteByte(rest[end])
			end++
		}
		rest = rest[end:]
	}
	return b.String()
}

// parameter takes out the value of one, if its name is among the secret ones.
func (r *Rules) parameter(p string, secret map[string]bool) string {
	name, value, ok := strings.Cut(p, "=")
	if !ok || value == "" {
		return p
	}
	plain, err := url.QueryUnescape(name)
	if err != nil {
		plain = name
	}
	if !named(secret, plain) {
		return p
	}
	return name + "=" + Mark
}

// userless is an authority without a user and a password.
func userless(a string) string {
	if i := strings.LastIndexByte(a, '@'); i >= 0 {
		return Mark + a[i:]
	}
	return a
}

// userlessURLs takes user and password out of URLs.
func userlessURLs(u string) string {
	var b strings.Builder
	done := 0
	for from := 0; ; {
		i := strings.Index(u[from:], "//")
		if i < 0 {
			break
		}
		at := from + i + 2
		end := at + strings.IndexAny(u[at:], "/?#<> \"")
		if end < at {
			end = len(u)
		}
		from = end
		if i := at - 3; i >= 0 && strings.IndexByte(":<\"'= ,;", u[i]) < 0 {
			continue // in a path
		}
		if i := strings.LastIndexByte(u[at:end], '@'); i >= 0 {
			b.WriteString(u[done:at])
			b.WriteString(Mark)
			done = at + i
		}
	}
	if done == 0 {
		return u
	}
	b.WriteString(u[done:])
	return b.String()
}
