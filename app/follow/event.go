package follow

import (
	"bytes"
	"strconv"
	"strings"
)

// An Event is what a browser would tell a page of a text/event-stream (WHATWG
// HTML, section 9.2.6).
type Event struct {
	Type  string // "message" unless the server says otherwise
	Data  string
	ID    string // the last event ID, which stays until the server sends another
	Retry int64  // milliseconds, if this event sets how long to wait before reconnecting; else -1
}

// events cuts streams of events after the empty line behind each.
type events struct {
	inLine  bool // the line has begun
	afterCR bool // a LF here would belong to the CR before it
	id      string
}

// maxID bounds what is remembered of an event ID for later events.
const maxID = 1 << 10

// cut does not wait to see whether a LF follows a CR: if it comes later, it
// stands before the next event.
func (c *events) cut(p []byte) (n int, whole bool) {
	for i, b := range p {
		switch {
		case b == '\n' && c.afterCR:
			c.afterCR = false
		case b == '\n' || b == '\r':
			c.afterCR = b == '\r'
			if !c.inLine {
				return i + 1 + c.takeLF(p[i+1:]), true
			}
			c.inLine = false
		default:
			c.inLine, c.afterCR = true, false
		}
	}
	return len(p), false
}

// takeLF takes a LF that has come behind its CR.
func (c *events) takeLF(p []byte) int {
	if c.afterCR && len(p) > 0 && p[0] == '\n' {
		c.afterCR = false
		return 1
	}
	return 0
}

// read is how a browser reads the lines of an event. Without data there is no
// event, though an ID counts.
func (c *events) read(p *Part) {
	text := p.Data
	if p.Offset == 0 {
		text = bytes.TrimPrefix(text, []byte("\ufeff"))
	}
	e := &Event{Type: "message", Retry: -1}
	var data strings.Builder
	for len(text) > 0 {
		var line []byte
		line, text = cutLine(text)
		name, value := field(line)
		switch string(name) {
		case "event":
			e.Type = string(value)
		case "data":
			data.Write(value)
			data.WriteByte('\n')
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				c.id = string(value)
			}
		case "retry":
			if n, err := strconv.ParseInt(string(value), 10, 64); err == nil && value[0] >= '0' && value[0] <= '9' {
				e.Retry = n
			}
		}
	}
	if e.Type == "" {
		e.Type = "message"
	}
	e.ID = c.id
	if len(c.id) > maxID {
		c.id = ""
	}
	if data.Len() > 0 {
		e.Data = strings.TrimSuffix(data.String(), "\n")
		p.Event = e
	}
}

// cutLine returns the first line, without its end, and what follows.
func cutLine(p []byte) (line, rest []byte) {
	i := bytes.IndexAny(p, "\r\n")
	if i < 0 {
		return p, nil
	}
	line, rest = p[:i], p[i+1:]
	if p[i] == '\r' && len(rest) > 0 && rest[0] == '\n' {
		rest = rest[1:]
	}
	return line, rest
}

// field returns what a line says. A comment has no name.
func field(line []byte) (name, value []byte) {
	name, value, _ = bytes.Cut(line, []byte(":"))
	return name, bytes.TrimPrefix(value, []byte(" "))
}
