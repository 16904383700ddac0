package har

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"transom/app/export"
	"transom/flow"
	"transom/message"
)

const (
	// window is how much of a body is looked at at once; of a shorter one there is no
	// need to read it twice.
	window = 1 << 20
	// maxDecoded bounds what a few coded bytes may become.
	maxDecoded = 64 << 20
)

// A look is what is found out about a body before it is written.
type look struct {
	ref    flow.BodyRef
	header flow.Header // that says how it is coded; nil if it is left so
	size   int64       // decoded
	text   bool        // it is UTF-8
	all    []byte      // all of it, if it is short
	note   string      // what is wrong, "" if nothing is
}

// look reads a body. One whose coding can't be undone is left coded.
func (e *entry) look(ref flow.BodyRef, h flow.Header) look {
	l := look{ref: ref, header: h, text: true}
	if ref.Kept == 0 || e.bodies == nil {
		if ref.Size > 0 {
			l.note = fmt.Sprintf("none of %d bytes was kept", ref.Size)
		}
		return l
	}
	if ref.Truncated {
		l.note = fmt.Sprintf("cut: %d of %d bytes were kept", ref.Kept, ref.Size)
	}
	err := e.measure(&l)
	if err == nil || ref.Truncated && l.size > 0 {
		return l
	}
	note := err.Error()
	if errors.Is(err, io.ErrUnexpectedEOF) && l.size > 0 {
		l.note = "cut: " + note // by the server, that is
		return l
	}
	if len(export.Codings(h)) > 0 {
		l.header, l.size, l.text, l.all = nil, 0, true, nil
		if err = e.measure(&l); err == nil {
			l.text = false // that it is coded must be seen
		}
	}
	if err != nil {
		l.size, l.all = 0, nil
	}
	l.note = note
	return l
}

// measure reads a body to its end.
func (e *entry) measure(l *look) error {
	r, err := export.OpenDecoded(e.ctx, e.bodies, l.ref, l.header)
	if err != nil {
		return err
	}
	defer r.Close()
	if e.window == nil {
		e.window = make([]byte, window)
	}
	kept := 0 // of a character that goes on in the next piece
	for {
		n, err := fill(r, e.window[kept:])
		l.size += int64(n)
		p := e.window[:kept+n]
		ended := err != nil
		if l.text {
			kept, l.text = whole(p, ended)
		}
		if !l.text {
			kept = 0
		}
		switch {
		case err == io.EOF:
			if l.size == int64(len(p)) {
				l.all = p
			}
			return nil
		case err != nil:
			if l.size == int64(len(p)) {
				l.all = p
				l.text = utf8.Valid(p)
			}
			return err
		case len(export.Codings(l.header)) > 0 && l.size > maxDecoded:
			return fmt.Errorf("body is larger than %d bytes without its content coding", maxDecoded)
		}
		copy(e.window, p[len(p)-kept:])
	}
}

// fill reads until p is full. io.EOF is the end of r, and any other error its own.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = r.Read(p[n:])
		n += k
	}
	return n, err
}

// whole reports whether p is UTF-8, and how many bytes at its end are the beginning of
// a character.
func whole(p []byte, ended bool) (rest int, ok bool) {
	if ended {
		return 0, utf8.Valid(p)
	}
	end := len(p)
	for i := 1; i <= min(utf8.UTFMax-1, len(p)); i++ {
		if c := p[len(p)-i]; utf8.RuneStart(c) {
			if !utf8.FullRune(p[len(p)-i:]) {
				end = len(p) - i
			}
			break
		}
	}
	return len(p) - end, utf8.Valid(p[:end])
}

// text writes the members "text" and, if need be, "encoding".
func (e *entry) text(l *look) {
	if l.size == 0 {
		e.t.key("text").str("")
		return
	}
	e.t.key("text")
	e.t.b = append(e.t.b, '"')
	e.copy(l)
	e.t.b, e.t.comma = append(e.t.b, '"'), true
	if !l.text {
		e.t.key("encoding").str("base64")
	}
}

// copy writes a body as the inside of a string.
func (e *entry) copy(l *look) {
	if l.all != nil {
		if l.text {
			e.t.b = appendUTF8(e.t.b, l.all)
		} else {
			e.t.b = base64.StdEncoding.AppendEncode(e.t.b, l.all)
		}
		e.flush()
		return
	}
	e.flush()
	r, err := export.OpenDecoded(e.ctx, e.bodies, l.ref, l.header)
	if err != nil {
		l.note = err.Error()
		return
	}
	defer r.Close()
	const piece = 3 << 14 // base64 takes three bytes at a time
	for left := l.size; left > 0 && e.err == nil; {
		p := e.window[:min(left, piece)]
		if _, err := io.ReadFull(r, p); err != nil {
			l.note = "cut: " + err.Error() // the store has dropped it meanwhile
			return
		}
		left -= int64(len(p))
		if l.text {
			e.t.b = appendUTF8(e.t.b, p)
		} else {
			e.t.b = base64.StdEncoding.AppendEncode(e.t.b, p)
		}
		e.flush()
	}
}

func (e *entry) postData(h *flow.HTTP) {
	t, header := &e.t, h.Request.Header
	l := e.look(h.RequestBody, header)
	t.key("postData").open('{')
	t.key("mimeType").str(mediaType(header))
	if isForm(header) && l.text && l.all != nil {
		t.key("params").open('[')
		t.form(string(l.all))
		t.close(']')
	}
	e.text(&l)
	e.comment(l.note)
	t.close('}')
}

func (e *entry) content(h *flow.HTTP, r *flow.ResponseHead) {
	t := &e.t
	l := e.look(h.ResponseBody, r.Header)
	size := l.size
	if l.size == 0 || h.ResponseBody.Truncated && l.header == nil {
		size = h.ResponseBody.Size
	}
	t.key("content").open('{')
	t.key("size").int(size)
	if coded := h.ResponseBody.Size; coded > 0 && l.size > 0 && !h.ResponseBody.Truncated && len(export.Codings(l.header)) > 0 {
		t.key("compression").int(l.size - coded)
	}
	mime := mediaType(r.Header)
	if mime == "" {
		mime = "x-unknown" // as Chromium has it
	}
	t.key("mimeType").str(mime)
	if l.size > 0 {
		e.text(&l)
	}
	e.comment(l.note)
	t.close('}')
}

func (e *entry) comment(note string) {
	if note != "" {
		e.t.key("comment").str(note)
	}
}

// messages writes the messages of a WebSocket that passed. Those of the protocol
// itself are left out, as Chromium does.
func (e *entry) messages(f *flow.Flow) {
	t, d := &e.t, f.Detail.(*flow.Messages)
	t.key("_resourceType").str("websocket")
	t.key("_webSocketMessages").open('[')
	err := e.passed(f, d)
	t.close(']')
	if err != nil {
		t.key("_webSocketError").str(err.Error())
	}
}

func (e *entry) passed(f *flow.Flow, d *flow.Messages) error {
	if e.bodies == nil || d.Log.Kept == 0 {
		return nil
	}
	r, err := e.bodies.OpenBody(e.ctx, d.Log)
	if err != nil {
		return err
	}
	defer r.Close()
	for m, err := range message.ReadLog(io.LimitReader(r, d.Log.Kept)) {
		if err != nil {
			return err
		}
		if m.Op != 1 && m.Op != 2 || m.Dropped {
			continue
		}
		e.t.message(f, &m)
		if len(e.t.b) > window {
			e.flush()
		}
	}
	return nil
}

func (t *text) message(f *flow.Flow, m *message.Entry) {
	t.open('{')
	t.key("type").str([...]string{"send", "receive"}[m.Dir&1])
	t.key("time").seconds(f.Start.Add(m.At))
	if m.Op == 1 && !m.Encoded && utf8.Valid(m.Payload) {
		t.key("opcode").int(1)
		t.key("data").str(string(m.Payload))
	} else { // which a text that is none has to be, for what reads it
		t.key("opcode").int(2)
		t.key("data")
		t.b = append(t.b, '"')
		t.b = base64.StdEncoding.AppendEncode(t.b, m.Payload)
		t.b, t.comma = append(t.b, '"'), true
	}
	t.close('}')
}
