package show

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"transom/app/export"
	"transom/app/follow"
	"transom/app/view"
	"transom/flow"
	"transom/store"
)

const (
	cutBody = 2 << 10  // of what is shown of a body at detail 3
	cutRows = 40       // likewise, lines
	someOf  = 64 << 10 // of a body that is read for that
	allBody = 64 << 20 // of what is kept, decoded, at detail 4
	neat    = 8 << 20  // past it a body is shown as it is: that takes no time
)

// limit is how much of a body is read.
func (p *printer) limit() int {
	if p.o.Detail >= 4 {
		return allBody
	}
	return someOf
}

// body prints a body as a person reads it: decoded, text as text, the rest as
// hexadecimal digits.
func (p *printer) body(prefix string, x *flow.HTTP, of follow.Stream, ref flow.BodyRef) {
	if p.o.Detail < 3 || p.o.Store == nil || ref.Size == 0 {
		return
	}
	h := headerOf(x, of)
	if follow.Streams(h) {
		p.row(prefix, "("+Size(ref.Size)+" in all, shown as it came)")
		return
	}
	data, how, err := p.read(ref, h)
	if err != nil && len(data) == 0 {
		p.row(prefix, Size(ref.Size)+": "+unread(err))
		return
	}
	long := len(data) > p.limit()
	data = data[:min(len(data), p.limit())]
	about := aboutOf(x, of)
	about.Cut = long || ref.Truncated || err != nil
	name, whole := p.content(about, p.o.View, data)
	what := Size(ref.Size) + " in all"
	if how != "" {
		what += ", " + how
	}
	if name != "text" && name != "hex" {
		what += ", as " + name
	}
	if long || !whole {
		what += p.more(ref)
	}
	if ref.Truncated {
		what += ", " + Size(ref.Kept) + " kept"
	}
	if err != nil {
		what += ", what follows " + unread(err)
	}
	p.row(prefix, "("+what+")")
}

// more says how what is not shown of a body can be had.
func (p *printer) more(ref flow.BodyRef) string {
	switch {
	case p.o.Detail >= 4:
		return ", of which the first " + Size(allBody) + " are shown: flows export has all of it"
	case ref.Kept > allBody:
		return ", the first " + Size(allBody) + " are shown from --flow-detail 4: flows export has all of it"
	}
	return ", all is shown from --flow-detail 4"
}

// unread says why something that was kept is not shown.
func unread(err error) string {
	if errors.Is(err, store.ErrGone) {
		return "is " + err.Error()
	}
	return "can't be read: " + err.Error()
}

// headerOf returns the fields that a body came with, or those that are nearest.
func headerOf(x *flow.HTTP, of follow.Stream) flow.Header {
	switch {
	case of == follow.OriginalRequest && x.OriginalRequest != nil:
		return x.OriginalRequest.Header
	case of == follow.OriginalResponse && x.OriginalResponse != nil:
		return x.OriginalResponse.Header
	case of <= follow.Request && x.Request != nil:
		return x.Request.Header
	case of > follow.Request && x.Response != nil:
		return x.Response.Header
	}
	return nil
}

// aboutOf returns what is known of a body.
func aboutOf(x *flow.HTTP, of follow.Stream) view.About {
	h := headerOf(x, of)
	a := view.About{
		Type:     h.Get("Content-Type"),
		Encoding: cmp.Or(h.Get("Grpc-Encoding"), h.Get("Connect-Content-Encoding")),
		Response: of > follow.Request,
	}
	head := x.Request
	if of == follow.OriginalRequest && x.OriginalRequest != nil {
		head = x.OriginalRequest
	}
	if head != nil {
		a.Method, a.Target = head.Method, head.Target
	}
	return a
}

// read returns one byte more than may be shown, if there is more, and what became of
// the content codings. If the body can't be decoded it is returned as it is. With an
// error it returns what stands before that.
func (p *printer) read(ref flow.BodyRef, h flow.Header) (data []byte, how string, err error) {
	if names := export.Codings(h); len(names) > 0 {
		dec, err := export.OpenDecoded(p.ctx, p.o.Store, ref, h)
		if err == nil {
			data, err = p.some(dec)
			dec.Close()
		}
		how = "shown as decoded from " + strings.Join(names, ", ")
		switch {
		case err == nil || len(data) > 0 && ref.Truncated:
			return data, how, nil
		case len(data) > 0:
			return data, how + ", which breaks off: " + err.Error(), nil
		}
		how = "not decoded: " + err.Error()
	}
	r, err := p.o.Store.OpenBody(p.ctx, ref)
	if err != nil {
		return nil, "", err
	}
	defer r.Close()
	data, err = p.some(r)
	return data, how, err
}

// some reads what may be shown. After an error it returns what there is.
func (p *printer) some(r io.Reader) ([]byte, error) {
	buf := bytes.NewBuffer(p.scratch[:0])
	_, err := buf.ReadFrom(io.LimitReader(r, int64(p.limit())+1))
	if buf.Cap() <= 64<<10 {
		p.scratch = buf.Bytes()[:0]
	}
	return buf.Bytes(), err
}

// cut returns what of data is given to the view called as. One that makes
// something else of it may need more than is shown.
func (p *printer) cut(as string, data []byte) []byte {
	if p.o.Detail < 4 && as != "grpc" {
		return data[:min(len(data), cutBody)]
	}
	return data[:min(len(data), p.limit())]
}

// content prints data, indented, in the view called as, or in the one that fits
// it. It returns which, and whether that was all.
func (p *printer) content(about view.About, as string, data []byte) (name string, whole bool) {
	if len(data) > neat && as != "text" && as != "hex" {
		as = plainly(data, about.Cut)
	}
	ctx, work := patient(p.ctx)
	defer work.over()
	v, err := view.Of(ctx, about, data, view.Options{View: as, Schema: p.o.Schema})
	if err != nil {
		p.row("", err.Error())
		return as, false
	}
	rows, left := cutRows, cutBody
	for line := range v.Lines {
		if p.o.Detail < 4 && (rows == 0 || left <= 0) {
			return v.Name, false
		}
		rows--
		p.b = append(p.b, "      "...)
		for _, token := range line {
			text := token.Text
			if p.o.Detail < 4 && len(text) > left {
				text = upTo(text, left)
			}
			if !p.token(styles[token.Kind], text, work) {
				return v.Name, false
			}
			left -= len(token.Text)
		}
		left--
		p.b = append(p.b, '\n')
	}
	return v.Name, left >= 0 || p.o.Detail >= 4
}

// token prints what has a meaning, however long, and reports whether it is wanted.
func (p *printer) token(s style, text string, work *stint) bool {
	for text != "" {
		n := len(text)
		if n > flushAt {
			for n = flushAt; n > flushAt-utf8.UTFMax && !utf8.RuneStart(text[n]); n-- {
			}
		}
		p.text(s, text[:n], 0)
		text = text[n:]
		if len(p.b) >= flushAt {
			work.pause()
			if p.flush() != nil {
				return false
			}
			work.resume()
		}
	}
	return true
}

// plainly returns the name of the view that shows data as it is.
func plainly(data []byte, cut bool) string {
	if view.IsText(data, cut) {
		return "text"
	}
	return "hex"
}

// styles are how the tokens of a view look.
var styles = map[view.Kind]style{
	view.Key: cyan, view.Tag: cyan, view.String: green, view.Number: yellow, view.Word: bold,
	view.Comment: dim, view.Note: dim, view.Fault: red,
}

// upTo returns as many of the first n bytes of s as are whole characters.
func upTo(s string, n int) string {
	n = max(n, 0)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
