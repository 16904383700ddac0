package view

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"transom/coding"
)

const maxMessage = 8 << 20 // of a compressed message, decoded; gRPC takes 4 MiB unless it is told to

// grpc prints the messages of a gRPC body, each in its frame (gRPC over HTTP/2,
// Length-Prefixed-Message; for the web, trailers in a last one).
func grpc(p *printer, body []byte) error {
	for i, n := 0, 1; i < len(body) && !p.stopped; n++ {
		if len(body)-i < 5 {
			return faultAt(i, "ends within the head of a message")
		}
		flags, size := body[i], int64(binary.BigEndian.Uint32(body[i+1:]))
		if flags&^0x83 != 0 {
			return faultAt(i, "a message can't have flags %#02x", flags)
		}
		if size > int64(len(body)-i-5) && p.about.Cut {
			p.message(n, flags, body[i+5:])
			return nil
		}
		if size > int64(len(body)-i-5) {
			return faultAt(i, "message %d has %d bytes, of which %d came", n, size, len(body)-i-5)
		}
		data := body[i+5 : i+5+int(size)]
		i += 5 + int(size)
		p.message(n, flags, data)
	}
	return nil
}

// isGRPC reports whether frames fill body to its end.
func isGRPC(body []byte) bool {
	n := 0
	for ; len(body) >= 5 && body[0]&^0x81 == 0; n++ {
		size := int64(binary.BigEndian.Uint32(body[1:]))
		if size > int64(len(body)-5) || n == 0 && size == 0 {
			return false
		}
		body = body[5+size:]
	}
	return n > 0 && len(body) == 0
}

// message prints the n-th message, behind a line that says what it is.
func (p *printer) message(n int, flags byte, data []byte) {
	var what []string
	trailers := flags&0x82 != 0 // of gRPC for the web, and of Connect
	switch {
	case p.about.Part:
	case trailers:
		what = append(what, "trailers")
	default:
		what = append(what, "message "+strconv.Itoa(n), strconv.Itoa(len(data))+" bytes")
	}
	var err error
	if flags&1 != 0 {
		from, size := len(data), ""
		if data, err = p.inflated(data); len(data) > maxMessage {
			data, size = data[:maxMessage], "more than "
			cut := p.about.Cut
			p.about.Cut = true
			defer func() { p.about.Cut = cut }()
		}
		if err == nil {
			what = append(what, fmt.Sprintf("%s%d bytes by %s from %d", size, len(data), p.about.Encoding, from))
		}
	}
	m := p.schema.message(p.about)
	switch method := methodOf(p.about.Target); {
	case trailers || p.schema == nil:
		m = nil
	case m != nil:
		what = append(what, string(m.FullName()))
	case method != "":
		what = append(what, method+" is not in the schema")
	}
	if len(what) > 0 {
		p.note(Note, strings.Join(what, ", "))
		p.indent++
		defer func() { p.indent-- }()
	}
	switch {
	case err != nil:
		p.note(Fault, "compressed, shown as it is: "+err.Error())
		p.plainly(data)
	case len(data) == 0:
	case flags&0x80 != 0:
		p.block(Plain, data)
	case strings.Contains(p.about.Type, "+json") || isJSON(data):
		p.show(find("json"), data)
	default:
		p.show(&view{name: "protobuf", show: func(p *printer, b []byte) error { return p.fitting(m, b, false) }}, data)
	}
}

// inflated undoes the coding of messages, up to one byte more than maxMessage. After
// an error it returns data as it was, but of data that is cut what there is.
func (p *printer) inflated(data []byte) ([]byte, error) {
	if p.about.Encoding == "" || strings.EqualFold(p.about.Encoding, "identity") {
		return data, errors.New("there is no grpc-encoding")
	}
	r, err := coding.NewReader(bytes.NewReader(data), p.about.Encoding)
	if err != nil {
		return data, err
	}
	defer r.Close()
	all, err := io.ReadAll(io.LimitReader(r, maxMessage+1))
	if err != nil && (!p.about.Cut || len(all) == 0) {
		return data, err
	}
	return all, nil
}

// grpcText prints the text form of gRPC for the web, in base64 that may be
// padded wherever a message ends.
func grpcText(p *printer, body []byte) error {
	raw, err := padded(body)
	if err != nil {
		return err
	}
	p.show(find("grpc"), raw)
	return nil
}

// padded decodes base64 that has padding inside.
func padded(body []byte) ([]byte, error) {
	var raw []byte
	body = bytes.TrimSpace(body)
	for at := 0; at < len(body); {
		end := len(body)
		if n := bytes.IndexByte(body[at:], '='); n >= 0 {
			end = min(at+(n+4)/4*4, len(body))
		}
		raw = slices.Grow(raw, base64.StdEncoding.DecodedLen(end-at))
		n, err := base64.StdEncoding.Decode(raw[len(raw):cap(raw)], body[at:end])
		if err != nil {
			return nil, faultAt(0, "%v", err)
		}
		raw = raw[:len(raw)+n]
		at = end
	}
	return raw, nil
}
