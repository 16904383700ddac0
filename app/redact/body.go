package redact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"transom/app/export"
	"transom/filter"
	"transom/flow"
)

// maxBody bounds a body, without its coding, that is looked through.
const maxBody = 16 << 20

// maxBegin is how much of a body is read to see what it is.
const maxBegin = 512

// A kind is what a body is made of.
type kind uint8

const (
	other    kind = iota
	unsaid        // nobody says what it is
	isBytes       // which may be anything
	isText        // that may have JSON in it, or be a form
	isJSON        // one value, or several
	isEvents      // of a server
	isFields      // of a URL-encoded form
	isParts
	isWide // text in units of more than a byte
)

// kindOf tells by what a message says of its body.
func kindOf(h flow.Header) (k kind, boundary string) {
	said := h.Get("Content-Type")
	name, parameters, err := mime.ParseMediaType(said)
	if err != nil { // of its parameters, perhaps
		name, _, _ = strings.Cut(strings.ToLower(said), ";")
		name = strings.TrimSpace(name)
	}
	charset := strings.ToLower(parameters["charset"])
	switch wide := strings.HasPrefix(charset, "utf-16") || strings.HasPrefix(charset, "utf-32") || strings.HasPrefix(charset, "ucs-"); {
	case said == "":
		return unsaid, ""
	case strings.HasPrefix(name, "multipart/"):
		switch strings.TrimPrefix(name, "multipart/") {
		case "form-data", "mixed", "related", "alternative":
			return isParts, parameters["boundary"]
		}
		return other, ""
	case name == "application/octet-stream" || name == "binary/octet-stream":
		return isBytes, ""
	case wide && (textual(name) || strings.Contains(name, "json")):
		return isWide, ""
	case name == "text/event-stream":
		return isEvents, ""
	case strings.HasSuffix(name, "ndjson"), strings.Contains(name, "jsonl"), strings.Contains(name, "json-seq"):
		return isText, ""
	case strings.Contains(name, "json"):
		return isJSON, ""
	case name == "application/x-www-form-urlencoded":
		return isFields, ""
	case textual(name):
		return isText, ""
	}
	return other, ""
}

// textual reports whether what has this type is text, in which there may be JSON.
func textual(name string) bool {
	return strings.HasPrefix(name, "text/") || strings.HasSuffix(name, "javascript") || strings.HasSuffix(name, "ecmascript") ||
		strings.HasSuffix(name, "+xml") || strings.HasSuffix(name, "/xml") || name == "application/graphql"
}

// sniffed is the kind of what begins so.
func sniffed(k kind, begin []byte) kind {
	switch {
	case k == isBytes && !startsJSON(begin):
		return other
	case k == isBytes, k == unsaid:
		k = isText
	}
	if k == isText && len(begin) > 1 && (begin[0] == 0xfe && begin[1] == 0xff || begin[0] == 0xff && begin[1] == 0xfe) {
		return isWide
	}
	return k
}

// startsJSON reports whether what begins so may be an object or an array.
func startsJSON(begin []byte) bool {
	c := bytes.TrimLeft(begin[len(mark(begin)):], " \t\r\n")
	return len(c) > 0 && (c[0] == '{' || c[0] == '[')
}

// mark returns the byte order mark that a text begins with.
func mark(text []byte) []byte {
	if m := []byte("\ufeff"); bytes.HasPrefix(text, m) {
		return m
	}
	return nil
}

var (
	errLarge  = fmt.Errorf("it has more than %d bytes", maxBody)
	errBinary = errors.New("a body: rule can't look through what is no text")
	errWide   = errors.New("it is in UTF-16 or UTF-32")
)

// look returns a body without its secrets, and whether there were some. An error says
// that it can't be known.
func (r *Rules) look(ctx context.Context, bodies filter.Bodies, ref flow.BodyRef, h flow.Header) (data []byte, changed bool, err error) {
	k, boundary := kindOf(h)
	if k == other && len(r.body) == 0 {
		return nil, false, nil
	}
	b, err := export.OpenDecoded(ctx, bodies, ref, h)
	if err != nil {
		return nil, false, err
	}
	defer b.Close()
	was, err := io.ReadAll(io.LimitReader(b, maxBegin))
	if k = sniffed(k, was); k == other && len(r.body) == 0 {
		return nil, false, nil
	}
	if err == nil {
		var rest []byte
		rest, err = io.ReadAll(io.LimitReader(b, maxBody+1-maxBegin))
		was = append(was, rest...)
	}
	if len(was) > maxBody {
		return nil, false, errLarge
	}
	part := ref.Truncated || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !part {
		return nil, false, err
	}
	data, err = r.within(was, k, boundary, part)
	return data, err == nil && !bytes.Equal(was, data), err
}

// within takes secrets out of data.
func (r *Rules) within(data []byte, k kind, boundary string, part bool) ([]byte, error) {
	cuts, err := r.find(data, k, boundary, part, 0)
	if err != nil {
		return nil, err
	}
	return r.expressions(apply(data, cuts))
}

// find finds secrets in data. part says that it may end in the middle, level how deep it
// is in something else.
func (r *Rules) find(data []byte, k kind, boundary string, part bool, level int) ([]cut, error) {
	switch k {
	case isJSON:
		return r.inJSON(data, part)
	case isEvents:
		return r.inEvents(data)
	case isFields:
		return r.inFields(data, part)
	case isParts:
		return r.inParts(data, boundary, part, level)
	case isWide:
		return nil, errWide
	case isText:
		if form := bytes.TrimRight(data, "\r\n"); isForm(form) {
			return r.inForm(form)
		}
		return r.inText(data, 0)
	}
	return nil, nil
}

// expressions takes out what rules for bodies find.
func (r *Rules) expressions(data []byte) ([]byte, error) {
	if len(r.body) == 0 {
		return data, nil
	}
	if !utf8.Valid(data) || bytes.IndexByte(data, 0) >= 0 {
		return nil, errBinary
	}
	for _, re := range r.body {
		var out []byte
		done := 0
		for _, m := range re.FindAllSubmatchIndex(data, -1) {
			from, to := m[0], m[1]
			if len(m) > 2 {
				from, to = m[2], m[3]
			}
			if from < done || from == to { // also of a group that is not there
				continue
			}
			out = append(append(out, data[done:from]...), Mark...)
			done = to
		}
		if done > 0 {
			data = append(out, data[done:]...)
		}
	}
	return data, nil
}
