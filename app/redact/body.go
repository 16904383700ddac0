package redact

import (
	"bytes"
	"context"
	"encoding/json"
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

// maxPrefix is how much may stand before JSON.
const maxPrefix = 32

// A kind is what a body is made of.
type kind uint8

const (
	other kind = iota
	isJSON
	isLines // of JSON, or of events that have it
	isForm
	isMultipart
)

// kindOf tells by what a message says of its body.
func kindOf(h flow.Header) (k kind, boundary string) {
	name, parameters, _ := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case strings.HasSuffix(name, "ndjson"), strings.Contains(name, "jsonl"), strings.Contains(name, "json-seq"), name == "text/event-stream":
		return isLines, ""
	case strings.Contains(name, "json"):
		return isJSON, ""
	case name == "application/x-www-form-urlencoded":
		return isForm, ""
	case name == "multipart/form-data":
		return isMultipart, parameters["boundary"]
	}
	return other, ""
}

var (
	errLarge  = fmt.Errorf("it has more than %d bytes", maxBody)
	errBinary = errors.New("a body: rule can't look through what is no text")
)

// look returns a body without its secrets, and whether there were some. An error says
// that it can't be known.
func (r *Rules) look(ctx context.Context, bodies filter.Bodies, ref flow.BodyRef, h flow.Header) (data []byte, changed bool, err error) {
	k, boundary := kindOf(h)
	_, typed := h.Lookup("Content-Type")
	if k == other && typed && len(r.body) == 0 && !strings.HasPrefix(strings.ToLower(h.Get("Content-Type")), "text/") {
		return nil, false, nil
	}
	b, err := export.OpenDecoded(ctx, bodies, ref, h)
	if err != nil {
		return nil, false, err
	}
	defer b.Close()
	was, err := io.ReadAll(io.LimitReader(b, maxBody+1))
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
func (r *Rules) within(data []byte, k kind, boundary string, part bool) (_ []byte, err error) {
	switch k {
	case isJSON:
		// Some have something before it, so that no script can load it.
		from := max(bytes.IndexAny(data[:min(len(data), maxPrefix)], "{["), 0)
		found, err := r.scanJSON(data[from:], part)
		if err != nil {
			return nil, err
		}
		data = append(data[:from:from], found...)
	case isLines:
		if found, ok := r.whole(data, part); ok { // values may go over several lines
			data = found
		} else {
			data = r.lines(data)
		}
	case isForm:
		data = r.urlencoded(data)
	case isMultipart:
		if data, err = r.multipart(data, boundary, part); err != nil {
			return nil, err
		}
	default: // it may be JSON, and nobody has said so
		if found, ok := r.whole(data, part); ok {
			data = found
		}
	}
	return r.expressions(data)
}

// whole takes secrets out of what is JSON from its begin to its end, a byte order mark apart.
func (r *Rules) whole(data []byte, part bool) ([]byte, bool) {
	c := bytes.TrimLeft(bytes.TrimPrefix(data, []byte("\ufeff")), " \t\r\n")
	if len(c) == 0 || c[0] != '{' && c[0] != '[' {
		return nil, false
	}
	found, err := r.scanJSON(c, part)
	if err != nil {
		return nil, false
	}
	before := data[:len(data)-len(c)]
	return append(before[:len(before):len(before)], found...), true
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

// urlencoded takes secrets out of a form.
func (r *Rules) urlencoded(data []byte) []byte {
	fields := strings.Split(string(data), "&")
	for i := range fields {
		fields[i] = r.parameter(fields[i], r.form)
	}
	return []byte(strings.Join(fields, "&"))
}

// lines takes secrets out of JSON that stands in lines, behind the name of a field, or
// not. A line that has none stays.
func (r *Rules) lines(data []byte) []byte {
	var out []byte
	for line := range bytes.Lines(data) {
		at := bytes.IndexAny(line, "{[")
		if at < 0 {
			out = append(out, line...)
			continue
		}
		body := bytes.TrimRight(line[at:], "\r\n")
		found, err := r.scanJSON(body, true)
		if err != nil {
			found = body
		}
		out = append(append(append(out, line[:at]...), found...), line[at+len(body):]...)
	}
	return out
}

var errMultipart = errors.New("it is no form")

// multipart takes secrets out of a form in parts (RFC 7578).
func (r *Rules) multipart(data []byte, boundary string, part bool) ([]byte, error) {
	if boundary == "" {
		return nil, errMultipart
	}
	delimiter := []byte("--" + boundary)
	pieces := bytes.Split(data, delimiter)
	for i := 1; i < len(pieces); i++ {
		p := pieces[i]
		if bytes.HasPrefix(p, []byte("--")) {
			continue
		}
		head, value, ok := bytes.Cut(p, []byte("\r\n\r\n"))
		if !ok {
			if part && i == len(pieces)-1 {
				continue
			}
			return nil, errMultipart
		}
		if len(value) > 2 && r.form[fold(formName(string(head)))] {
			end := ""
			if bytes.HasSuffix(value, []byte("\r\n")) {
				end = "\r\n"
			}
			pieces[i] = []byte(string(head) + "\r\n\r\n" + Mark + end)
		}
	}
	return bytes.Join(pieces, delimiter), nil
}

// formName is the name of a part.
func formName(head string) string {
	for line := range strings.SplitSeq(head, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && flow.EqualFold(strings.TrimSpace(name), "Content-Disposition") {
			if _, parameters, err := mime.ParseMediaType(value); err == nil {
				return parameters["name"]
			}
		}
	}
	return ""
}

// unescape undoes what may stand in a string of JSON.
func unescape(s string) string {
	var out string
	if json.Unmarshal([]byte(`"`+s+`"`), &out) != nil {
		return s
	}
	return out
}
