package show

import (
	"bytes"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"transom/app/follow"
	"transom/coding"
	"transom/flow"
)

const (
	cutBody = 2 << 10  // of a body at detail 3
	cutRows = 40       // likewise, lines
	allBody = 64 << 20 // of what is kept, decoded, at detail 4
	hexRow  = 16
)

func (p *printer) limit() int {
	if p.o.Detail >= 4 {
		return allBody
	}
	return cutBody
}

// body prints a body as a person reads it: decoded, text as text, the rest as
// hexadecimal digits.
func (p *printer) body(prefix string, h flow.Header, ref flow.BodyRef) {
	if p.o.Detail < 3 || p.o.Store == nil || ref.Size == 0 {
		return
	}
	if follow.Streams(h) {
		p.row(prefix, "("+Size(ref.Size)+" in all, shown as it came)")
		return
	}
	r, err := p.o.Store.OpenBody(p.ctx, ref)
	if err != nil {
		p.row(prefix, Size(ref.Size)+": "+err.Error())
		return
	}
	defer r.Close()
	data, how := p.read(r, h)
	shown := p.cut(data)
	cut := len(shown) < len(data)
	p.content(shown, cut || ref.Truncated)
	what := Size(ref.Size) + " in all"
	if how != "" {
		what += ", shown as decoded from " + how
	}
	if cut {
		what += ", all is shown from --flow-detail 4"
	}
	if ref.Truncated {
		what += ", " + Size(ref.Kept) + " kept"
	}
	p.row(prefix, "("+what+")")
}

// read returns one byte more than may be shown, if there is more. If the body
// can't be decoded it is returned as it is.
func (p *printer) read(r io.ReadSeeker, h flow.Header) (data []byte, how string) {
	how = strings.ToLower(strings.TrimSpace(h.Get("Content-Encoding")))
	if how != "" && how != "identity" {
		if dec, err := coding.NewReader(r, how); err == nil {
			data = p.some(dec)
			dec.Close()
			if len(data) > 0 {
				return data, how
			}
		}
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, ""
	}
	return p.some(r), ""
}

// some reads what may be shown. An error ends it: a body may be cut.
func (p *printer) some(r io.Reader) []byte {
	buf := bytes.NewBuffer(p.scratch[:0])
	_, _ = buf.ReadFrom(io.LimitReader(r, int64(p.limit())+1))
	if buf.Cap() <= 64<<10 {
		p.scratch = buf.Bytes()[:0]
	}
	return buf.Bytes()
}

// cut returns what is shown of data.
func (p *printer) cut(data []byte) []byte {
	data = data[:min(len(data), p.limit())]
	if p.o.Detail >= 4 {
		return data
	}
	end := 0
	for range cutRows {
		i := bytes.IndexByte(data[end:], '\n')
		if i < 0 {
			return data
		}
		end += i + 1
	}
	return data[:end]
}

// content prints data, indented. cut says that there is more of it.
func (p *printer) content(data []byte, cut bool) {
	if !isText(data, cut) {
		p.hex(data)
		return
	}
	for line := range bytes.Lines(data) {
		p.b = append(p.b, "      "...)
		for i, part := range strings.Split(strings.TrimRight(string(line), "\r\n"), "\t") {
			if i > 0 {
				p.b = append(p.b, "    "...)
			}
			p.text(plain, part, 0)
		}
		p.b = append(p.b, '\n')
	}
}

// isText reports whether a person can read data: it is UTF-8, but for a last
// character that is cut, and has hardly any control characters.
func isText(data []byte, cut bool) bool {
	runes, controls := 0, 0
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			if !cut || utf8.FullRune(data[i:]) {
				return false
			}
		case r != '\n' && r != '\r' && r != '\t' && r != '\f' && unicode.IsControl(r):
			controls++
		}
		runes++
		i += n
	}
	return controls*20 <= runes && bytes.IndexByte(data, 0) < 0
}

// hex prints offsets, bytes and what they are in ASCII.
func (p *printer) hex(data []byte) {
	const digits = "0123456789abcdef"
	for off := 0; off < len(data); off += hexRow {
		row := data[off:min(off+hexRow, len(data))]
		p.b = append(p.b, "      "...)
		for shift := 28; shift >= 0; shift -= 4 {
			p.b = append(p.b, digits[off>>shift&15])
		}
		for i := range hexRow {
			if i%8 == 0 {
				p.gap()
			}
			if i < len(row) {
				p.b = append(p.b, ' ', digits[row[i]>>4], digits[row[i]&15])
			} else {
				p.b = append(p.b, "   "...)
			}
		}
		p.b = append(p.b, "  "...)
		for _, c := range row {
			if c < 0x20 || c >= 0x7f {
				c = '.'
			}
			p.b = append(p.b, c)
		}
		p.b = append(p.b, '\n')
	}
}
