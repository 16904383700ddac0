package har

import (
	"bufio"
	"context"
	"mime"
	"net/url"
	"strings"
	"time"

	"transom/app/export"
	"transom/filter"
	"transom/flow"
)

// An entry is one exchange that is written: what is small is put together in t, and
// bodies go past it.
type entry struct {
	ctx    context.Context
	w      *bufio.Writer
	bodies filter.Bodies
	*scratch
	err error
}

// A scratch is what entries share.
type scratch struct {
	t      text
	window []byte
}

// flush writes what was put together.
func (e *entry) flush() {
	if e.err == nil {
		_, e.err = e.w.Write(e.t.b)
	}
	e.t.b = e.t.b[:0]
}

// write writes an exchange, a WebSocket, or both as one.
func (e *entry) write(j export.Joined) error {
	e.t = text{b: e.t.b[:0]}
	f, h := exchange(j)
	t := &e.t
	t.open('{')
	t.key("startedDateTime").time(f.Start)
	spent := spent(f, h)
	t.key("time").millis(spent.sum())
	e.request(f, h)
	e.response(h, f)
	t.key("cache").open('{')
	t.close('}')
	t.key("timings").open('{')
	for _, part := range [...]struct {
		name string
		d    time.Duration
	}{
		{"blocked", -1},
		{"dns", -1},
		{"connect", spent.connect},
		{"ssl", spent.tls},
		{"send", 0},
		{"wait", spent.wait},
		{"receive", spent.receive},
	} {
		t.key(part.name).millis(part.d)
	}
	t.close('}')
	if c := f.Conn; c != nil {
		if at := server(c); at.IsValid() {
			t.key("serverIPAddress").str(at.Addr().Unmap().WithZone("").String())
		}
		t.key("connection").str(c.ID.String())
	}
	if j.Messages != nil {
		e.messages(j.Messages)
	}
	e.comment(strings.Join(notes(j), "; "))
	t.close('}')
	e.flush()
	return e.err
}

// exchange returns the exchange that is written: of a WebSocket whose own was not
// seen, what is known of that.
func exchange(j export.Joined) (*flow.Flow, *flow.HTTP) {
	if j.HTTP != nil {
		return j.HTTP, j.HTTP.Detail.(*flow.HTTP)
	}
	r := j.Messages.Detail.(*flow.Messages).Request
	status := 101
	if r.Protocol != "" {
		status = 200
	}
	return j.Messages, &flow.HTTP{
		Request: r, FirstByte: j.Messages.Start,
		Response: &flow.ResponseHead{Status: status, Proto: r.Proto},
	}
}

// notes is what was odd about an exchange.
func notes(j export.Joined) (all []string) {
	if j.HTTP != nil {
		all = append(all, j.HTTP.Detail.(*flow.HTTP).Notes...)
	}
	if j.Messages != nil {
		d := j.Messages.Detail.(*flow.Messages)
		all = append(all, d.Notes...)
		if d.Log.Truncated {
			all = append(all, "messages are missing: the limit of what is kept was reached")
		}
	}
	return all
}

func (e *entry) request(f *flow.Flow, h *flow.HTTP) {
	t, r := &e.t, h.Request
	t.key("request").open('{')
	t.key("method").str(r.Method)
	u := export.URL(f.Conn, r)
	if r.Method == "CONNECT" && r.Protocol == "" {
		u = "https://" + u + "/" // so that it is one
	}
	t.key("url").str(u)
	t.key("httpVersion").str(version(r.Proto))
	t.cookies(r.Header, "Cookie")
	t.headers(r.Header)
	t.query(u)
	if h.RequestBody.Size > 0 {
		e.postData(h)
	}
	t.key("headersSize").int(headSize(r.Raw))
	t.key("bodySize").int(h.RequestBody.Size)
	t.trailer(h.RequestTrailer)
	t.close('}')
}

func (e *entry) response(h *flow.HTTP, f *flow.Flow) {
	t, r := &e.t, h.Response
	if r == nil {
		r = &flow.ResponseHead{Proto: h.Request.Proto} // as browsers write that there is none
	}
	t.key("response").open('{')
	t.key("status").int(int64(r.Status))
	t.key("statusText").str(r.Reason)
	t.key("httpVersion").str(version(r.Proto))
	t.cookies(r.Header, "Set-Cookie")
	t.headers(r.Header)
	e.content(h, r)
	t.key("redirectURL").str(r.Header.Get("Location"))
	t.key("headersSize").int(headSize(r.Raw))
	t.key("bodySize").int(h.ResponseBody.Size)
	t.key("_transferSize").int(max(headSize(r.Raw), 0) + h.ResponseBody.Size)
	if f.Err != "" {
		t.key("_error").str(f.Err)
	}
	t.trailer(h.ResponseTrailer)
	t.close('}')
}

// headSize is -1 where it is not known, as behind HPACK.
func headSize(raw []byte) int64 {
	if len(raw) == 0 {
		return -1
	}
	return int64(len(raw))
}

// version names a version so that DevTools and mitmproxy know it.
func version(p flow.Proto) string {
	return [...]string{"HTTP/1.0", "HTTP/1.1", "http/2.0", "HTTP/3"}[p&3]
}

func (t *text) headers(h flow.Header) {
	t.key("headers").pairs(h)
}

func (t *text) trailer(h flow.Header) {
	if len(h) > 0 {
		t.key("_trailers").pairs(h)
	}
}

func (t *text) pairs(h flow.Header) {
	t.open('[')
	for i := range h {
		t.pair(h[i].Name, h[i].Value)
		t.close('}')
	}
	t.close(']')
}

// pair begins an object with a name and a value.
func (t *text) pair(name, value string) {
	t.open('{')
	t.key("name").str(name)
	t.key("value").str(value)
}

// query writes the query of a URL, in its order, decoded where it can be.
func (t *text) query(u string) {
	t.key("queryString").open('[')
	u, _, _ = strings.Cut(u, "#")
	_, query, _ := strings.Cut(u, "?")
	t.form(query)
	t.close(']')
}

func (t *text) form(query string) {
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		t.pair(unescaped(name), unescaped(value))
		t.close('}')
	}
}

func unescaped(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// cookies writes what the fields called name say of cookies.
func (t *text) cookies(h flow.Header, name string) {
	t.key("cookies").open('[')
	for i := range h {
		if !flow.EqualFold(h[i].Name, name) {
			continue
		}
		if name == "Set-Cookie" {
			t.setCookie(h[i].Value)
			continue
		}
		for c := range strings.SplitSeq(h[i].Value, ";") {
			if c = strings.TrimSpace(c); c != "" {
				n, v, _ := strings.Cut(c, "=")
				t.pair(n, v)
				t.close('}')
			}
		}
	}
	t.close(']')
}

// setCookie writes one Set-Cookie field (RFC 6265, section 4.1).
func (t *text) setCookie(line string) {
	first, rest, _ := strings.Cut(line, ";")
	name, value, _ := strings.Cut(strings.TrimSpace(first), "=")
	t.pair(name, value)
	seen := map[string]bool{}
	for a := range strings.SplitSeq(rest, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(a), "=")
		k = strings.ToLower(k)
		if seen[k] {
			continue
		}
		seen[k] = true
		switch k {
		case "path", "domain":
			t.key(k).str(v)
		case "expires":
			if at, err := time.Parse("Mon, 02 Jan 2006 15:04:05 MST", strings.ReplaceAll(v, "-", " ")); err == nil && at.Year() < 10000 {
				t.key("expires").time(at)
			}
		case "httponly":
			t.key("httpOnly").bool()
		case "secure":
			t.key("secure").bool()
		case "samesite":
			t.key("sameSite").str(v)
		}
	}
	t.close('}')
}

func (t *text) bool() { t.b, t.comma = append(t.b, "true"...), true }

// mediaType returns the type that a message says its body is of.
func mediaType(h flow.Header) string { return h.Get("Content-Type") }

// isForm reports whether a body is a form as browsers send it.
func isForm(h flow.Header) bool {
	name, _, _ := mime.ParseMediaType(mediaType(h))
	return name == "application/x-www-form-urlencoded"
}
