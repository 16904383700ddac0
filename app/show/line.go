package show

import (
	"net"
	"strconv"
	"strings"
	"time"

	"transom/app/export"
	"transom/flow"
)

// A line is
//
//	time client METHOD address [where it went] outcome
//
// with the first columns aligned, and the outcome unless the address is long.
const (
	clientColumns  = 21  // an IPv4 address and port
	methodColumns  = 7   // "OPTIONS"
	addressColumns = 56  // with where it went
	maxAddress     = 300 // of one line; heads have all of it
	maxWord        = 40
	maxReason      = 200
)

// ShortID is how many digits of a flow's ID lines of a recording begin with: its last,
// which are random.
const ShortID = 8

// line prints how f ended.
func (p *printer) line(f *flow.Flow) {
	p.subject(f, p.when(f))
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		p.response(d)
	case *flow.DNS:
		p.answer(d)
	case *flow.Messages:
		p.messages(d)
	case *flow.Connection:
		p.connection(f, d)
	}
	p.kept(f)
	if d := f.Duration(); d > 0 {
		p.word(dim, duration(d))
	}
	if f.State == flow.Open {
		p.word(dim, "not ended")
	}
	p.unverified(f)
	if _, ok := f.Detail.(*flow.Connection); !ok && f.State == flow.Failed {
		p.gap()
		p.text(red, "failed: "+f.Err, maxReason)
	}
	p.b = append(p.b, '\n')
}

// unverified marks what was exchanged with a server whose certificate does not
// verify. The reason of a connection that failed says so itself.
func (p *printer) unverified(f *flow.Flow) {
	if _, ok := f.Detail.(*flow.Connection); ok || f.Conn == nil {
		return
	}
	if l := f.Conn.Server; l != nil && l.TLS != nil && l.TLS.VerifyErr != "" {
		p.word(red, "server not verified")
	}
}

// startLine prints that f has begun.
func (p *printer) startLine(f *flow.Flow) {
	p.subject(f, f.Start)
	p.word(dim, "started")
	p.b = append(p.b, '\n')
}

// subject prints a time and what f is about.
func (p *printer) subject(f *flow.Flow, at time.Time) {
	p.begins(dim)
	if p.o.Recorded {
		id := f.ID.String()
		p.b = append(p.b, id[len(id)-ShortID:]...)
		p.b = at.AppendFormat(p.b, " 2006-01-02")
		p.gap()
	}
	p.b = at.AppendFormat(p.b, "15:04:05.000")
	p.ends(dim)
	client := ""
	if f.Conn != nil && f.Conn.Client.IsValid() {
		client = f.Conn.Client.String()
	}
	p.gap()
	p.pad(p.text(plain, client, 0), clientColumns)
	method, address := subject(f)
	p.gap()
	p.pad(p.text(bold, method, maxWord), methodColumns)
	p.gap()
	width := p.text(plain, address, maxAddress)
	if at := where(f.Conn); at != "" && !strings.Contains(address, hostOf(at)) {
		p.gap()
		width += 1 + p.text(dim, "["+at+"]", 0)
	}
	p.pad(width, addressColumns)
}

// when is the time that the line of f's end tells: when f began, or ended if its
// beginning has a line of its own, or if it is a connection, which ends after
// all that happened in it. So times rise from line to line; of what was recorded,
// which has one line in the order in which it began, it is when f began.
func (p *printer) when(f *flow.Flow) time.Time {
	if p.o.Recorded {
		return f.Start
	}
	if _, ok := f.Detail.(*flow.Connection); (ok || p.o.Detail >= 3) && !f.End.IsZero() {
		return f.End
	}
	return f.Start
}

// subject returns what stands for f's kind and destination.
func subject(f *flow.Flow) (method, address string) {
	if h, ok := f.Detail.(*flow.HTTP); ok && h.Request != nil {
		r := h.Request
		if r.Method == "" && len(r.Raw) > 0 {
			first, _, _ := strings.Cut(string(r.Raw), "\n")
			return said(first), strconv.Quote(strings.TrimSuffix(first, "\r"))
		}
		return r.Method, export.URL(f.Conn, r)
	}
	method = strings.ToUpper(f.Type())
	if d, ok := f.Detail.(*flow.DNS); ok {
		return method, asked(d)
	}
	if m, ok := f.Detail.(*flow.Messages); ok {
		if m.Kind == "websocket" {
			method = "WS"
		}
		if u := export.ConversationURL(f.Conn, m); u != "" {
			return method, u
		}
	}
	if f.Conn == nil {
		return method, "?"
	}
	name, port := f.Conn.Name(), f.Conn.Dst.Port()
	if name == "" {
		return method, "?"
	}
	if _, _, err := net.SplitHostPort(name); err == nil || port == 0 {
		return method, name
	}
	return method, net.JoinHostPort(name, strconv.Itoa(int(port)))
}

// said is the method that the first line of a request that was refused begins
// with, "?" if it is none.
func said(line string) string {
	method, _, ok := strings.Cut(line, " ")
	if !ok || method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return "?"
	}
	return method
}

// where returns the address that c went to, as far as that is known.
func where(c *flow.Conn) string {
	switch {
	case c == nil:
	case c.Dst.Addr().IsValid():
		return c.Dst.String()
	case c.Server != nil && c.Server.To.IsValid():
		return c.Server.To.String()
	}
	return ""
}

func hostOf(at string) string {
	host, _, err := net.SplitHostPort(at)
	if err != nil {
		return at
	}
	return host
}

// response prints the outcome of an exchange.
func (p *printer) response(h *flow.HTTP) {
	r := h.Response
	if r == nil {
		return
	}
	p.word(statusStyle(r.Status), strconv.Itoa(r.Status))
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if kind = strings.TrimSpace(kind); kind != "" {
		p.word(plain, kind)
	}
	if q := h.Request; q == nil || q.Method != "" || h.ResponseBody.Size > 0 { // else it is our own, to what could not be read
		p.word(plain, Size(h.ResponseBody.Size))
	}
}

// kept says what of f is not there, where it is shown as it was recorded.
func (p *printer) kept(f *flow.Flow) {
	if !p.o.Recorded || f.State == flow.Open {
		return
	}
	mark := func(ref flow.BodyRef, of string) {
		if !ref.Truncated {
			return
		}
		how := " cut"
		if ref.Kept == 0 {
			how = " not kept"
		}
		p.b = append(p.b, ',')
		p.word(yellow, of+how)
	}
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		mark(d.RequestBody, "request's body")
		mark(d.ResponseBody, "body")
	case *flow.Messages:
		mark(d.Log, "messages")
	}
}

// messages prints how much was said. Only where messages have bounds does their
// number mean something.
func (p *printer) messages(m *flow.Messages) {
	if m.Kind == "tcp" {
		p.word(plain, "to server "+Size(m.Bytes[0])+", to client "+Size(m.Bytes[1]))
		return
	}
	p.word(plain, "to server "+strconv.FormatInt(m.Count[0], 10)+" in "+Size(m.Bytes[0])+",")
	p.word(plain, "to client "+strconv.FormatInt(m.Count[1], 10)+" in "+Size(m.Bytes[1]))
}

// connection prints the outcome of a connection.
func (p *printer) connection(f *flow.Flow, c *flow.Connection) {
	s, why := plain, c.Reason
	if why == "" {
		why = f.Err
	}
	if f.State == flow.Failed || c.Action != "pass" && why != "" {
		s = red
	}
	if why == "" {
		why = "closed"
	}
	p.gap()
	p.text(s, why, maxReason)
	if c.Bytes != [2]int64{} {
		p.b = append(p.b, ',')
		p.word(plain, "to server "+Size(c.Bytes[0])+", to client "+Size(c.Bytes[1]))
	}
}

func (p *printer) gap() { p.b = append(p.b, ' ') }

// word prints a gap and a short piece.
func (p *printer) word(s style, text string) {
	p.gap()
	p.text(s, text, maxWord)
}

// text prints a piece and returns its width.
func (p *printer) text(s style, text string, limit int) (width int) {
	p.begins(s)
	p.b, width = safe(p.b, text, limit)
	p.ends(s)
	return width
}

// pad fills up to columns.
func (p *printer) pad(width, columns int) {
	for ; width < columns; width++ {
		p.b = append(p.b, ' ')
	}
}

// Size writes a number of bytes for a person.
func Size(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + "b"
	}
	f, unit := float64(n)/1024, 0
	for f >= 999.95 && unit < len("kmgt")-1 {
		f, unit = f/1024, unit+1
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + "kmgt"[unit:unit+1]
}

// duration writes a duration for a person.
func duration(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		d = d.Round(time.Microsecond)
	case d < time.Second:
		d = d.Round(time.Millisecond)
	case d < time.Minute:
		d = d.Round(10 * time.Millisecond)
	default:
		d = d.Round(time.Second)
	}
	return d.String()
}
