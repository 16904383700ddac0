package view

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"slices"
	"strconv"
	"strings"

	"transom/coding"
)

const maxMessage = 64 << 20 // of a compressed message, decoded

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

func (p *printer) message(n int, flags byte, data []byte) {
	what := "message " + strconv.Itoa(n) + ", " + strconv.Itoa(len(data)) + " bytes"
	if flags&0x82 != 0 { // of gRPC for the web, and of Connect
		what = "trailers"
	}
	var err error
	if flags&1 != 0 {
		what += ", compressed"
		data, err = inflated(p.about.Encoding, data)
		if err == nil {
			what += " with " + p.about.Encoding + " from " + strconv.Itoa(len(data))
		}
	}
	p.put(Note, "("+what+")")
	p.end()
	p.indent++
	defer func() { p.indent-- }()
	switch {
	case err != nil:
		p.note(Fault, "shown as it is: "+err.Error())
		p.plainly(data)
	case len(data) == 0:
	case flags&0x80 != 0:
		p.block(Plain, data)
	case strings.Contains(p.about.Type, "+json") || isJSON(data):
		p.show(find("json"), data)
	default:
		p.show(find("protobuf"), data)
	}
}

// inflated undoes a coding. After an error it returns data as it was.
func inflated(how string, data []byte) ([]byte, error) {
	r, err := coding.NewReader(bytes.NewReader(data), how)
	if err != nil {
		return data, err
	}
	defer r.Close()
	all, err := io.ReadAll(io.LimitReader(r, maxMessage))
	if err != nil {
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
