package redact

import (
	"bytes"
	"errors"
	"mime"
	"net/url"
	"strings"

	"transom/flow"
)

// inFields finds secrets in what is called a form, but may be JSON: that is what curl and others
// call whatever they send, unless they are told what it is.
func (r *Rules) inFields(src []byte, part bool) ([]cut, error) {
	if !startsJSON(src) {
		return r.inForm(src)
	}
	if cuts, err := r.inJSON(src, part); err == nil {
		return cuts, nil
	}
	if cuts, err := r.inText(src, 0); err != nil || len(cuts) > 0 {
		return cuts, err
	}
	return r.inForm(src)
}

// inForm finds secrets in a form, and in JSON that one of its fields has.
func (r *Rules) inForm(src []byte) ([]cut, error) {
	var cuts []cut
	for at := 0; at < len(src); {
		end := at + bytes.IndexByte(src[at:], '&')
		if end < at {
			end = len(src)
		}
		name, value, _ := bytes.Cut(src[at:end], []byte("="))
		from := end - len(value)
		switch {
		case len(value) == 0:
		case r.parameter(string(src[at:end]), r.form) != string(src[at:end]):
			cuts = append(cuts, cut{from, end, Mark})
		case len(name) > 0:
			found, err := r.inText(meaning(value, percents()), 1)
			if err != nil {
				return nil, err
			}
			cuts = append(cuts, moved(written(value, percents(), found, url.QueryEscape), from)...)
		}
		at = end + 1
	}
	return cuts, nil
}

// isForm reports whether a text that says nothing of itself is a URL-encoded form: one
// line of names with values, in characters that nothing else has to be written in.
func isForm(src []byte) bool {
	if bytes.IndexByte(src, '=') <= 0 {
		return false
	}
	for field := range bytes.SplitSeq(src, []byte("&")) {
		if len(field) == 0 || field[0] == '=' {
			return false
		}
		for _, c := range field {
			if c <= ' ' || c > '~' || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
				return false
			}
		}
	}
	return true
}

var (
	errParts    = errors.New("it is not in parts, as it says")
	errTransfer = errors.New("one of its parts has a coding")
)

// maxNested bounds parts that are in parts themselves.
const maxNested = 4

// inParts finds secrets in what is in parts (RFC 7578, RFC 2046), by the names that
// they have, and in what is in them.
func (r *Rules) inParts(src []byte, boundary string, part bool, level int) ([]cut, error) {
	if boundary == "" {
		return nil, errParts
	}
	if level > maxNested {
		return nil, errDeep
	}
	var cuts []cut
	at, last := nextPart(src, 0, boundary)
	if at < 0 && !part {
		return nil, errParts
	}
	for at >= 0 && !last {
		var end int // of the value
		next, closes := nextPart(src, at, boundary)
		if end = next; next < 0 {
			end = len(src)
		} else {
			end = at + partEnd(src[at:next], boundary)
		}
		value := partValue(src[at:end])
		if value < 0 {
			if next < 0 && part {
				break
			}
			return nil, errParts
		}
		found, err := r.inPart(string(src[at:at+value]), src[at+value:end], part && next < 0, level)
		if err != nil {
			return nil, err
		}
		cuts = append(cuts, moved(found, at+value)...)
		at, last = next, closes
	}
	return cuts, nil
}

// nextPart says where the head of the next part begins, and whether that was the last
// delimiter. It is -1 where there is none.
func nextPart(src []byte, at int, boundary string) (head int, last bool) {
	for {
		i := bytes.Index(src[at:], []byte("--"+boundary))
		if i < 0 {
			return -1, false
		}
		begin := at + i
		at = begin + 2 + len(boundary)
		if begin > 0 && src[begin-1] != '\n' {
			continue
		}
		if bytes.HasPrefix(src[at:], []byte("--")) {
			return at, true
		}
		rest := bytes.TrimLeft(src[at:], " \t")
		rest = bytes.TrimPrefix(rest, []byte("\r"))
		if len(rest) > 0 && rest[0] == '\n' {
			return len(src) - len(rest) + 1, false
		}
	}
}

// partEnd is where the value of a part ends that goes up to behind the next delimiter.
func partEnd(p []byte, boundary string) int {
	p = p[:bytes.LastIndex(p, []byte("--"+boundary))]
	return len(bytes.TrimSuffix(bytes.TrimSuffix(p, []byte("\n")), []byte("\r")))
}

// partValue is where the value of a part begins, or -1.
func partValue(p []byte) int {
	for at := 0; at < len(p); {
		n := bytes.IndexByte(p[at:], '\n')
		if n < 0 {
			return -1
		}
		if line := p[at : at+n]; len(bytes.TrimSuffix(line, []byte("\r"))) == 0 {
			return at + n + 1
		}
		at += n + 1
	}
	return -1
}

// inPart finds secrets in one.
func (r *Rules) inPart(head string, value []byte, part bool, level int) ([]cut, error) {
	h := partHead(head)
	disposition := h.Get("Content-Disposition")
	_, parameters, err := mime.ParseMediaType(disposition)
	if err != nil && disposition != "" {
		return nil, errParts
	}
	if named(r.form, parameters["name"]) {
		if len(value) == 0 {
			return nil, nil
		}
		return []cut{{0, len(value), Mark}}, nil
	}
	k, boundary := kindOf(h)
	if _, typed := h.Lookup("Content-Type"); !typed {
		k = isText
	}
	if k = sniffed(k, value); k == other {
		return nil, nil
	}
	switch strings.ToLower(strings.TrimSpace(h.Get("Content-Transfer-Encoding"))) {
	case "", "7bit", "8bit", "binary":
		return r.find(value, k, boundary, part, level+1)
	}
	return nil, errTransfer
}

// partHead reads the fields of a part.
func partHead(head string) (h flow.Header) {
	var lines []string // of one field, which may be folded
	add := func() {
		if name, value, ok := strings.Cut(strings.Join(lines, " "), ":"); ok {
			h.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
	}
	for line := range strings.SplitSeq(head, "\n") {
		if !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			add()
			lines = lines[:0]
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	add()
	return h
}
