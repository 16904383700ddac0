package pcapng

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"transom/app/export"
	"transom/filter"
	"transom/flow"
	"transom/message"
)

// packets makes packets of one flow.
type packets struct {
	ctx    context.Context
	w      *bufio.Writer
	bodies filter.Bodies
	*scratch
	lost error // why something that was kept can't be read
}

// write writes a flow; of a WebSocket, f is its exchange, and messages what followed. f
// is the same as messages if the exchange was not seen.
func (p *packets) write(f, messages *flow.Flow) error {
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		return p.http(f, d, messages)
	case *flow.DNS:
		return p.dns(f, d)
	case *flow.Messages:
		if d.Kind == "udp" {
			return p.udp(f, d)
		}
		if d.Kind == "websocket" && d.Request != nil {
			upgraded := flow.Header{{Name: "Connection", Value: "Upgrade"}, {Name: "Upgrade", Value: "websocket"}}
			h := &flow.HTTP{Request: d.Request, Response: &flow.ResponseHead{Status: 101, Reason: "Switching Protocols", Proto: flow.HTTP11, Header: upgraded}}
			return p.http(f, h, f)
		}
		return p.tcp(f, d)
	}
	return nil
}

// http writes an exchange.
func (p *packets) http(f *flow.Flow, h *flow.HTTP, messages *flow.Flow) error {
	t, moved, err := p.connect(p.w, f, 80)
	if err != nil {
		return err
	}
	about := []string{"flow " + f.ID.String(), export.URL(f.Conn, h.Request)}
	if h.Request.Proto >= flow.HTTP2 {
		about = append(about, "was "+h.Request.Proto.String())
	}
	if moved != 0 {
		about = append(about, fmt.Sprintf("TLS taken off; the port was %d", moved))
	}
	if about = append(about, h.Notes...); messages != nil {
		about = append(about, messages.Detail.(*flow.Messages).Notes...)
	}
	head := h.Request.Raw
	how := export.None
	if h.Request.Method != "" {
		head, how = export.AppendRequest(nil, f.Conn, h.Request, h.RequestBody.Kept, h.RequestTrailer)
	}
	answered := h.FirstByte
	if answered.Before(f.Start) {
		answered = f.End
	}
	t.say(0, f.Start, answered, int64(len(head))+h.RequestBody.Kept, p.comment(about, h.RequestBody))
	if err := p.message(t, head, how, h.RequestBody, h.RequestTrailer); err != nil {
		return err
	}
	for i := range h.Interim {
		head, _ := export.AppendResponse(nil, h.Request, &h.Interim[i], 0, nil)
		t.say(1, answered, answered, 0, "")
		if err := p.message(t, head, export.None, flow.BodyRef{}, nil); err != nil {
			return err
		}
	}
	if h.Response == nil || p.lost != nil {
		return p.close(t, f)
	}
	head, how = export.AppendResponse(nil, h.Request, h.Response, h.ResponseBody.Kept, h.ResponseTrailer)
	t.say(1, answered, f.End, int64(len(head))+h.ResponseBody.Kept, p.comment(about[:2], h.ResponseBody))
	if err := p.message(t, head, how, h.ResponseBody, h.ResponseTrailer); err != nil {
		return err
	}
	if messages == nil || p.lost != nil {
		return p.close(t, f)
	}
	d := messages.Detail.(*flow.Messages)
	if err := p.log(d, func(e *message.Entry) error { return p.frame(t, messages, e) }); err != nil {
		return err
	}
	return p.close(t, messages)
}

// comment says what a packet belongs to.
func (p *packets) comment(about []string, body flow.BodyRef) string {
	if body.Kept < body.Size {
		about = append(about[:len(about):len(about)], fmt.Sprintf("%d of %d bytes were kept", body.Kept, body.Size))
	}
	return strings.ToValidUTF8(strings.Join(about, "\n"), "\ufffd")
}

// close ends a connection: as the flow ended, or, where something is missing, by a
// reset that says so.
func (p *packets) close(t *stream, f *flow.Flow) error {
	if p.lost == nil {
		return t.close(f)
	}
	if err := t.flush(); err != nil {
		return err
	}
	return t.reset("the rest of flow " + f.ID.String() + " can't be read: " + p.lost.Error())
}

// message writes a head and a body.
func (p *packets) message(t *stream, head []byte, how export.Framing, ref flow.BodyRef, trailer flow.Header) error {
	if _, err := t.Write(head); err != nil {
		return err
	}
	if how != export.None {
		if err := p.body(t, how, ref, trailer); err != nil {
			return err
		}
	}
	return t.flush()
}

func (p *packets) body(t *stream, how export.Framing, ref flow.BodyRef, trailer flow.Header) error {
	if ref.Kept == 0 || p.bodies == nil {
		if how == export.Chunked {
			_, err := t.Write(export.AppendTrailer(nil, trailer))
			return err
		}
		return nil
	}
	r, err := p.bodies.OpenBody(p.ctx, ref)
	if err != nil {
		p.lost = err
		return nil
	}
	defer r.Close()
	from := &reader{r: r}
	err = export.CopyBody(t, from, ref.Kept, how, trailer)
	if from.err != nil {
		p.lost = from.err
		return nil
	}
	return err
}

// A reader remembers why it ended.
type reader struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil {
		r.err = err
	}
	return n, err
}

// log reads the messages that passed.
func (p *packets) log(d *flow.Messages, each func(*message.Entry) error) error {
	if p.bodies == nil || d.Log.Kept == 0 {
		return nil
	}
	r, err := p.bodies.OpenBody(p.ctx, d.Log)
	if err != nil {
		p.lost = err
		return nil
	}
	defer r.Close()
	for e, err := range message.ReadLog(io.LimitReader(r, d.Log.Kept)) {
		if err != nil {
			p.lost = err
			return nil
		}
		if e.Dropped {
			continue
		}
		if err := each(&e); err != nil {
			return err
		}
	}
	return nil
}

// frame writes a message of a WebSocket as one frame (RFC 6455, section 5.2). What
// belongs to none is written as it was.
func (p *packets) frame(t *stream, f *flow.Flow, e *message.Entry) error {
	at := f.Start.Add(e.At)
	comment := ""
	if int64(len(e.Payload)) < e.Size {
		comment = fmt.Sprintf("%d of %d bytes of the message were kept", len(e.Payload), e.Size)
	}
	t.say(int(e.Dir&1), at, at, 0, comment)
	if e.Op == 0 {
		if _, err := t.Write(e.Payload); err != nil {
			return err
		}
		return t.flush()
	}
	head := []byte{0x80 | e.Op&15}
	if e.Encoded {
		head[0] |= 0x40 // which says that it is compressed (RFC 7692, section 6)
	}
	masked := byte(0)
	if e.Dir == message.ToServer {
		masked = 0x80
	}
	switch n := len(e.Payload); {
	case n < 126:
		head = append(head, masked|byte(n))
	case n < 1<<16:
		head = binary.BigEndian.AppendUint16(append(head, masked|126), uint16(n))
	default:
		head = binary.BigEndian.AppendUint64(append(head, masked|127), uint64(n))
	}
	if masked != 0 {
		head = append(head, 0, 0, 0, 0) // a mask that changes nothing, since which it was is not kept
	}
	for _, part := range [...][]byte{head, e.Payload} {
		if _, err := t.Write(part); err != nil {
			return err
		}
	}
	return t.flush()
}

// tcp writes bytes that nobody parsed.
func (p *packets) tcp(f *flow.Flow, d *flow.Messages) error {
	t, _, err := p.connect(p.w, f, 0)
	if err != nil {
		return err
	}
	comment := p.comment(append([]string{"flow " + f.ID.String()}, d.Notes...), d.Log)
	err = p.log(d, func(e *message.Entry) error {
		at := f.Start.Add(e.At)
		t.say(int(e.Dir&1), at, at, 0, comment)
		comment = ""
		if _, err := t.Write(e.Payload); err != nil {
			return err
		}
		return t.flush()
	})
	if err != nil {
		return err
	}
	return p.close(t, f)
}

// udp writes datagrams.
func (p *packets) udp(f *flow.Flow, d *flow.Messages) error {
	comment := p.comment(append([]string{"flow " + f.ID.String()}, d.Notes...), d.Log)
	return p.log(d, func(e *message.Entry) error {
		defer func() { comment = "" }()
		return p.datagram(f, int(e.Dir&1), f.Start.Add(e.At), e.Payload, comment)
	})
}

func (p *packets) datagram(f *flow.Flow, from int, at time.Time, payload []byte, comment string) error {
	e, _ := endsOf(f, 53)
	if len(payload) > maxDatagram {
		payload = payload[:maxDatagram]
	}
	p.packet = e.appendUDP(p.packet[:0], from, payload)
	return p.put(p.w, at, from, comment)
}

// dns writes a query and its answer, by what they came.
func (p *packets) dns(f *flow.Flow, d *flow.DNS) error {
	messages := [2]*flow.DNSMessage{d.Query, d.Answer}
	times := [2]time.Time{f.Start, f.End}
	comment := "flow " + f.ID.String()
	if f.Conn != nil && f.Conn.Network == "udp" {
		for i, m := range messages {
			if m == nil {
				continue
			}
			if err := p.datagram(f, i, times[i], m.Raw, comment); err != nil {
				return err
			}
			comment = ""
		}
		return nil
	}
	t, _, err := p.connect(p.w, f, 53)
	if err != nil {
		return err
	}
	for i, m := range messages {
		if m == nil {
			continue
		}
		t.say(i, times[i], times[i], 0, comment)
		comment = ""
		for _, part := range [...][]byte{binary.BigEndian.AppendUint16(nil, uint16(len(m.Raw))), m.Raw} {
			if _, err := t.Write(part); err != nil {
				return err
			}
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return p.close(t, f)
}
