package view

import (
	"bytes"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
)

const (
	// textual are the views whose bodies are characters. Events are UTF-8, always.
	textual = " json ndjson graphql socket.io html xml css javascript form text "

	maxCharset  = 16 << 20 // of a body whose characters are decoded
	declaration = 1024     // of a body that may say in which charset it is (HTML, section 4.2.5.4)
)

func (v *view) textual() bool { return strings.Contains(textual, " "+v.name+" ") }

// characters returns body in UTF-8, the view it is shown in, and what there is to
// say of that. v is the view that is asked for, nil for what fits.
func characters(v *view, a About, body []byte) (_ *view, text []byte, note string) {
	asked := v != nil
	if !asked {
		v = choose(a, body)
	}
	label := charsetOf(v, a, body)
	if label == "" || asked && !v.textual() {
		return v, body, ""
	}
	of, name := encodingOf(label)
	switch {
	case name == "utf-8":
		return v, body, ""
	case of == nil && !v.textual() && !strings.HasPrefix(mediaType(a.Type), "text/"):
		return v, body, ""
	case of == nil:
		return v, body, "charset " + label + " is not known, shown as it is"
	case len(body) > maxCharset:
		return v, body, "too long to be decoded from " + name + ", shown as it is"
	}
	text, err := of.NewDecoder().Bytes(body)
	if err != nil || bytes.Equal(text, body) {
		return v, body, ""
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	if a.Cut {
		text = bytes.TrimSuffix(text, []byte("\ufffd")) // the last character
	}
	if !asked {
		w := choose(a, text)
		if !w.textual() {
			return v, body, ""
		}
		v = w
	}
	note = "decoded from " + name
	if bytes.Contains(text, []byte("\ufffd")) {
		note += "; what is not in it is shown as \ufffd"
	}
	return v, text, note
}

// charsetOf returns what a body says, or is said of it, in the order in which
// browsers believe it (Encoding, section 6; HTML, section 13.2.3.2). JSON is
// UTF-8 whatever is said of it (RFC 8259, section 8.1), unless it can't be.
func charsetOf(v *view, a About, body []byte) string {
	switch {
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		return ""
	case bytes.HasPrefix(body, []byte("\xfe\xff")), bytes.HasPrefix(body, []byte("\x00<\x00?")):
		return "utf-16be"
	case bytes.HasPrefix(body, []byte("\xff\xfe")), bytes.HasPrefix(body, []byte("<\x00?\x00")):
		return "utf-16le"
	}
	label := charsetParam(a.Type)
	switch v.name {
	case "json", "ndjson", "graphql":
		if utf8.Valid(body) && bytes.IndexByte(body, 0) < 0 {
			return ""
		}
	case "html", "xml", "css":
		if label == "" {
			label = declared(v.name, body[:min(len(body), declaration)])
		}
	}
	return label
}

func charsetParam(contentType string) string {
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return ""
	}
	return params["charset"]
}

// declared returns the charset that a body declares by itself. It can be read,
// so it is not UTF-16, whatever it says.
func declared(kind string, head []byte) string {
	low := string(bytes.ToLower(head))
	label := ""
	switch {
	case kind == "css" && strings.HasPrefix(low, `@charset "`):
		label = value(low[len(`@charset `):])
	case kind == "xml" && strings.HasPrefix(low, "<?xml"):
		head, _, whole := strings.Cut(low, "?>")
		if _, after, ok := strings.Cut(head, "encoding"); ok && whole {
			label = value(strings.TrimLeft(after, " \t\r\n="))
		}
	case kind == "html":
		label = declaredInMeta(low)
	}
	if strings.HasPrefix(label, "utf-16") {
		return ""
	}
	return label
}

// declaredInMeta looks for <meta charset=X> and <meta content="…; charset=X">.
func declaredInMeta(low string) string {
	for {
		_, after, ok := strings.Cut(low, "<meta")
		if !ok {
			return ""
		}
		tag, rest, ok := strings.Cut(after, ">")
		if !ok {
			return ""
		}
		if _, after, ok = strings.Cut(tag, "charset"); ok {
			if after = strings.TrimLeft(after, " \t\r\n"); strings.HasPrefix(after, "=") {
				return value(strings.TrimLeft(after[1:], " \t\r\n"))
			}
		}
		low = rest
	}
}

// value returns what stands in quotation marks, or before what ends a value.
func value(s string) string {
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		v, _, _ := strings.Cut(s[1:], s[:1])
		return strings.TrimSpace(v)
	}
	if n := strings.IndexAny(s, " \t\r\n;\"'/>"); n >= 0 {
		s = s[:n]
	}
	return s
}

// encodingOf returns the encoding with a label, and its name; nil is unknown. What
// browsers refuse to decode is unknown, too.
func encodingOf(label string) (encoding.Encoding, string) {
	e, err := htmlindex.Get(strings.TrimSpace(label))
	if err != nil {
		return nil, ""
	}
	name, err := htmlindex.Name(e)
	if err != nil || name == "replacement" {
		return nil, ""
	}
	return e, name
}
