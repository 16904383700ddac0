package view

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
)

// form prints the pairs of application/x-www-form-urlencoded, decoded (URL,
// section 5.1). What is no escape stays as it is.
func form(p *printer, body []byte) error {
	if len(body) == 0 {
		return faultAt(0, "is empty")
	}
	at, of, name := 0, encoding.Encoding(nil), charsetParam(p.about.Type)
	if name != "" {
		of, name = encodingOf(name)
	}
	used := false
	plain := func(s []byte) string {
		text := unescape(s)
		if of == nil || utf8.ValidString(text) {
			return text
		}
		used = true
		text, _ = of.NewDecoder().String(text) // what is not in it becomes U+FFFD
		return text
	}
	for pair := range bytes.SplitSeq(body, []byte("&")) {
		if i := bytes.IndexFunc(pair, func(r rune) bool { return r < 0x20 && r != '\r' && r != '\n' && r != '\t' }); i >= 0 {
			return faultAt(at, "control characters that are not escaped")
		}
		name, value, has := bytes.Cut(pair, []byte("="))
		if p.put(Key, plain(name)); has {
			p.put(Plain, ": ")
			value := plain(value)
			if isJSON([]byte(value)) {
				p.end()
				p.inside(About{}, []byte(value))
			} else {
				p.put(String, value)
			}
		}
		if p.flush(); p.stopped {
			return nil
		}
		at += len(pair) + 1
	}
	if used {
		p.note(Note, "decoded from "+name)
	}
	return nil
}

// query prints the query of the request's target.
func query(p *printer, body []byte) error {
	_, q, ok := strings.Cut(p.about.Target, "?")
	if !ok || q == "" {
		return faultAt(0, "the target has no query")
	}
	q, _, _ = strings.Cut(q, "#")
	if err := form(p, []byte(q)); err != nil {
		p.note(Fault, "query: "+err.Error())
		p.plainly([]byte(q))
	}
	if len(body) > 0 {
		p.plainly(body)
	}
	return nil
}

// unescape undoes + and %XX.
func unescape(s []byte) string {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, nibble(s[i+1])<<4|nibble(s[i+2]))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}

func nibble(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c | 0x20 - 'a' + 10
}

// multipart prints the parts of a body, each in the view that fits it
// (RFC 2046, section 5.1).
func multipart(p *printer, body []byte) error {
	boundary := boundaryOf(p.about.Type, body)
	if boundary == "" {
		return faultAt(0, "no boundary")
	}
	rest, at := body, 0
	for n := 0; ; n++ {
		before, next, last, ok := delimit(rest, boundary)
		switch {
		case !ok && n == 0:
			return faultAt(0, "the boundary %q never comes", boundary)
		case !ok && p.about.Cut:
			p.part(n, rest)
			return nil
		case !ok:
			return faultAt(at, "ends within a part")
		case n > 0:
			p.part(n, before)
		case len(bytes.TrimSpace(before)) > 0:
			p.note(Note, "before the first part")
			p.plainly(before)
		}
		at += next
		if rest = rest[next:]; last || p.stopped {
			break
		}
	}
	if len(bytes.TrimSpace(rest)) > 0 && !p.stopped {
		p.note(Note, "after the last part")
		p.plainly(rest)
	}
	return nil
}

// part prints one part of a multipart body.
func (p *printer) part(n int, b []byte) {
	if n > 1 {
		p.put(Plain, "")
		p.end()
	}
	b = bytes.TrimPrefix(b, []byte("\n")) // no head begins with an empty line
	var about About
	about.Cut = p.about.Cut
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		b = rest
		if len(line) == 0 {
			break
		}
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimSpace(value)
		p.pair(name, String, untab(value))
		if strings.EqualFold(name, "Content-Type") {
			about.Type = value
		}
	}
	if len(b) > 0 && !p.stopped {
		p.inside(about, b)
	}
}

// boundaryOf returns the boundary of the Content-Type, or what looks like one.
func boundaryOf(kind string, body []byte) string {
	if _, params, err := mime.ParseMediaType(kind); err == nil && params["boundary"] != "" {
		return params["boundary"]
	}
	line, _, _ := bytes.Cut(body, []byte("\n"))
	line = bytes.TrimSpace(line)
	if len(line) > 2 && len(line) <= 72 && bytes.HasPrefix(line, []byte("--")) {
		return string(line[2:])
	}
	return ""
}

// delimit finds the next line with the boundary: what stands before it, where
// the line ends, and whether it is the last one.
func delimit(b []byte, boundary string) (before []byte, next int, last, ok bool) {
	mark := []byte("--" + boundary)
	for from := 0; ; {
		i := bytes.Index(b[from:], mark)
		if i < 0 {
			return nil, 0, false, false
		}
		i += from
		from = i + len(mark)
		if i > 0 && b[i-1] != '\n' {
			continue
		}
		after := b[from:]
		last := bytes.HasPrefix(after, []byte("--"))
		if last {
			after = after[2:]
		}
		line, _, found := bytes.Cut(after, []byte("\n"))
		if len(bytes.TrimSpace(line)) > 0 {
			continue
		}
		next := len(b) - len(after) + len(line)
		if found {
			next++
		}
		before := bytes.TrimSuffix(bytes.TrimSuffix(b[:i], []byte("\n")), []byte("\r"))
		return before, next, last, true
	}
}
