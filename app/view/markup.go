package view

import (
	"bytes"
	"strings"
)

const (
	maxInline = 80 // of an element's text that stays on the line with its tags
	void      = " area base br col embed hr img input link meta param source track wbr "
	closes    = " p li dt dd option tr td th " // the next of them ends one
	keeps     = " pre textarea "
	raw       = " script style title "
)

// xml prints XML, an element a line.
func xml(p *printer, body []byte) error { return markup(p, body, false) }

// html prints HTML, which may leave end tags out and has scripts inside.
func html(p *printer, body []byte) error { return markup(p, body, true) }

// isXML and isHTML look at how a body begins.
func isXML(body []byte) bool {
	b := begin(body)
	return len(b) > 2 && b[0] == '<' && (b[1] == '?' && len(b) > 5 && string(b[2:5]) == "xml" || isName(b[1]) && bytes.Contains(b, []byte("</")))
}

func isHTML(body []byte) bool {
	b := begin(body)
	for _, s := range []string{"<!doctype html", "<html", "<head", "<body"} {
		if len(b) >= len(s) && strings.EqualFold(string(b[:len(s)]), s) {
			return true
		}
	}
	return false
}

func begin(body []byte) []byte {
	b := bytes.TrimLeft(bytes.TrimPrefix(body, []byte("\ufeff")), " \t\r\n")
	return b[:min(len(b), 4096)]
}

func isName(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80 }

// A marked is how far markup has been printed.
type marked struct {
	*printer
	b     []byte
	i     int
	base  int
	html  bool
	stack []string // of open elements
}

func markup(p *printer, body []byte, isHTML bool) error {
	if b := begin(body); len(b) == 0 || b[0] != '<' && !isHTML {
		return faultAt(0, "does not begin with a tag")
	}
	m := marked{printer: p, b: body, base: p.indent, html: isHTML}
	defer func() { p.indent = m.base }()
	for m.i < len(m.b) && !p.stopped {
		m.text()
		if m.i == len(m.b) || p.stopped {
			break
		}
		if err := m.markup(); err != nil {
			return err
		}
	}
	return nil
}

// text prints what stands before the next tag.
func (m *marked) text() {
	end := m.i
	for {
		n := bytes.IndexByte(m.b[end:], '<')
		if n < 0 {
			end = len(m.b)
			break
		}
		end += n
		if end+1 < len(m.b) && (isName(m.b[end+1]) || strings.IndexByte("/!?", m.b[end+1]) >= 0) {
			break
		}
		end++ // a sign, in text
	}
	s := m.b[m.i:end]
	m.i = end
	if len(m.stack) > 0 && strings.Contains(keeps, " "+m.stack[len(m.stack)-1]+" ") {
		m.block(Plain, s)
		return
	}
	s = bytes.TrimSpace(s)
	if len(s) == 0 {
		return
	}
	if len(m.line) > 0 && len(s) <= maxInline && bytes.IndexByte(s, '\n') < 0 && bytes.HasPrefix(m.b[m.i:], []byte("</")) {
		m.put(Plain, untab(string(s)))
		return
	}
	m.flush()
	for line := range bytes.Lines(s) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			m.put(Plain, untab(string(line)))
			if !m.end() {
				return
			}
		}
	}
}

// markup prints one tag, comment or declaration.
func (m *marked) markup() error {
	rest := m.b[m.i:]
	for _, k := range []struct {
		open, shut string
	}{{"<!--", "-->"}, {"<![CDATA[", "]]>"}, {"<?", "?>"}} {
		if !bytes.HasPrefix(rest, []byte(k.open)) {
			continue
		}
		n := bytes.Index(rest[len(k.open):], []byte(k.shut))
		if n < 0 {
			return faultAt(m.i, "%s without an end", k.open)
		}
		n += len(k.open) + len(k.shut)
		m.flush()
		kind := Comment
		if k.open == "<![CDATA[" {
			kind = String
		}
		m.block(kind, rest[:n])
		m.i += n
		return nil
	}
	n := tagEnd(rest)
	if n < 0 {
		return faultAt(m.i, "a tag without an end")
	}
	tag := rest[:n]
	switch {
	case tag[1] == '!':
		m.flush()
		m.block(Comment, tag)
	case tag[1] == '/':
		m.shut(tag)
	default:
		if err := m.open(tag); err != nil {
			return err
		}
	}
	m.i += n
	if tag[1] != '/' && tag[1] != '!' && m.html {
		m.inner(nameOf(tag), tag)
	}
	return nil
}

// tagEnd returns where the tag that b begins with ends. A > in quotation marks
// or in the brackets of a document type does not end it.
func tagEnd(b []byte) int {
	quote, brackets := byte(0), 0
	for i := 1; i < len(b); i++ {
		switch c := b[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case (c == '"' || c == '\'') && (b[1] == '!' || b[i-1] == '=' || b[i-1] == ' '):
			quote = c
		case c == '[' && b[1] == '!':
			brackets++
		case c == ']' && brackets > 0:
			brackets--
		case c == '>' && brackets == 0:
			return i + 1
		}
	}
	return -1
}

func nameOf(tag []byte) string {
	tag = bytes.TrimLeft(tag, "</")
	n := bytes.IndexAny(tag, " \t\r\n/>")
	return string(tag[:max(n, 0)])
}

// open prints a start tag.
func (m *marked) open(tag []byte) error {
	name := nameOf(tag)
	low := m.fold(name)
	m.flush()
	if m.html && len(m.stack) > 0 && m.stack[len(m.stack)-1] == low && strings.Contains(closes, " "+low+" ") {
		m.pop(1)
	}
	m.tag(tag, name)
	alone := bytes.HasSuffix(tag, []byte("/>")) || m.html && strings.Contains(void, " "+low+" ")
	if alone {
		m.flush()
		return nil
	}
	if len(m.stack) == maxDepth {
		m.line = m.line[:0] // the rest has it
		return faultAt(m.i, "%w", errDeep)
	}
	m.stack = append(m.stack, low)
	m.indent = m.base + len(m.stack)
	return nil
}

func (m *marked) fold(name string) string {
	if m.html {
		return strings.ToLower(name)
	}
	return name
}

// tag prints a start tag with its attributes.
func (m *marked) tag(tag []byte, name string) {
	m.put(Tag, "<"+name)
	rest := tag[1+len(name):]
	end := ">"
	if bytes.HasSuffix(rest, []byte("/>")) {
		end = "/>"
	}
	rest = rest[:len(rest)-len(end)]
	for {
		if rest = bytes.TrimLeft(rest, " \t\r\n"); len(rest) == 0 {
			break
		}
		n := bytes.IndexAny(rest[1:], "= \t\r\n") + 1
		if n == 0 {
			n = len(rest)
		}
		m.put(Plain, " ")
		m.bytes(Key, rest[:n])
		rest = bytes.TrimLeft(rest[n:], " \t\r\n")
		if len(rest) == 0 || rest[0] != '=' {
			continue
		}
		rest = bytes.TrimLeft(rest[1:], " \t\r\n")
		n = valueEnd(rest)
		m.put(Plain, "=")
		m.put(String, oneLine(rest[:n]))
		rest = rest[n:]
	}
	m.put(Tag, end)
}

func valueEnd(b []byte) int {
	if len(b) > 0 && (b[0] == '"' || b[0] == '\'') {
		if n := bytes.IndexByte(b[1:], b[0]); n >= 0 {
			return n + 2
		}
	}
	if n := bytes.IndexAny(b, " \t\r\n"); n >= 0 {
		return n
	}
	return len(b)
}

// oneLine returns a value with its line breaks as blanks.
func oneLine(b []byte) string {
	if bytes.ContainsAny(b, "\r\n\t") {
		return strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", "\t", " ").Replace(string(b))
	}
	return string(b)
}

// shut prints an end tag.
func (m *marked) shut(tag []byte) {
	low := m.fold(nameOf(tag))
	back := 0
	for n := 1; n <= min(len(m.stack), 16); n++ {
		if m.stack[len(m.stack)-n] == low {
			back = n
			break
		}
	}
	kind := Tag
	switch {
	case back == 0:
		kind = Fault // nothing was open by that name
		m.flush()
	case back == 1 && len(m.line) > 0:
		m.pop(1)
	default:
		m.flush()
		m.pop(back)
	}
	m.put(kind, oneLine(tag))
	m.flush()
}

func (m *marked) pop(n int) {
	m.stack = m.stack[:len(m.stack)-n]
	m.indent = m.base + len(m.stack)
}

// inner prints what stands in an element that no tags count in.
func (m *marked) inner(name string, tag []byte) {
	name = strings.ToLower(name)
	if !strings.Contains(raw, " "+name+" ") || bytes.HasSuffix(tag, []byte("/>")) {
		return
	}
	end := indexFold(m.b[m.i:], "</"+name)
	if end < 0 {
		end = len(m.b) - m.i
	}
	s := m.b[m.i : m.i+end]
	m.i += end
	if len(bytes.TrimSpace(s)) == 0 {
		return
	}
	about := About{Cut: m.about.Cut && m.i == len(m.b)}
	switch kind := strings.ToLower(string(tag)); {
	case name == "title" && len(s) <= maxInline:
		m.put(Plain, oneLine(s))
		return
	case name == "title":
		m.flush()
		m.block(Plain, s)
		return
	case name == "style":
		about.Type = "text/css"
	case strings.Contains(kind, "json"):
		about.Type = "application/json"
	case strings.Contains(kind, "text/x-") || strings.Contains(kind, "template"):
		about.Type = "text/plain"
	default:
		about.Type = "text/javascript"
	}
	m.flush()
	m.indent-- // what is inside adds one
	m.inside(about, s)
	m.indent++
}

// indexFold returns where s, in lower case, is in b.
func indexFold(b []byte, s string) int {
	for i := 0; ; {
		n := bytes.IndexByte(b[i:], s[0])
		if n < 0 || len(b)-i-n < len(s) {
			return -1
		}
		i += n
		if strings.EqualFold(string(b[i:i+len(s)]), s) {
			return i
		}
		i++
	}
}

// block prints what may have several lines, each as far in as it was.
func (p *printer) block(k Kind, s []byte) {
	for line := range bytes.Lines(s) {
		p.put(k, untab(string(bytes.TrimRight(line, "\r\n"))))
		if !p.end() {
			return
		}
	}
}
