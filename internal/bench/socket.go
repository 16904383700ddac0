package main

import (
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// socketPath is where the origin server sends back what messages it gets.
const socketPath = "/socket"

const (
	socketKey = "dGhlIHNhbXBsZSBub25jZQ=="
	socketID  = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3

	// deflateOffer has every message be compressed by itself (RFC 7692, section 7.1.1).
	deflateOffer = "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)

// message is what is sent, as text.
const message = `{"type":"price","symbol":"ACME","bid":101.25,"ask":101.31,"at":1783332000123}`

// A socket is a WebSocket on which messages are sent and come back.
type socket struct {
	net.Conn
	flight int
	due    int    // messages to be sent
	frame  []byte // one of them, masked
	out    []byte
	buf    []byte
	n      int // bytes in buf
	size   int // of a message that comes back
	first  []byte
}

// newSocket has a connection be upgraded.
func newSocket(c net.Conn, name string, j job) (*socket, error) {
	s := &socket{Conn: c, flight: j.Flight, due: 1, buf: make([]byte, 16<<10)}
	payload, opening := []byte(message), byte(0x81)
	extension := ""
	if j.Deflate {
		payload, opening, extension = deflated(message), 0xc1, deflateOffer
	}
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	s.frame = append(append(s.frame, opening, 0x80|byte(len(payload))), mask[:]...)
	for i, b := range payload {
		s.frame = append(s.frame, b^mask[i%4])
	}
	s.first = []byte{opening, byte(len(payload))}
	s.size = 2 + len(payload)
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	_, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s%s%s",
		socketPath, name, socketKey, extension, requestFields)
	if err != nil {
		return nil, fmt.Errorf("ask for a WebSocket: %w", err)
	}
	return s, s.upgraded()
}

// upgraded reads the answer to the request.
func (s *socket) upgraded() error {
	for {
		n, err := s.Read(s.buf[s.n:])
		if err != nil {
			return fmt.Errorf("read the answer to an Upgrade: %w", err)
		}
		s.n += n
		if end := bytes.Index(s.buf[:s.n], []byte("\r\n\r\n")); end >= 0 {
			if !bytes.HasPrefix(s.buf, []byte("HTTP/1.1 101 ")) {
				return fmt.Errorf("the answer to an Upgrade is %.40q", s.buf[:end])
			}
			s.n = copy(s.buf, s.buf[end+4:s.n])
			return nil
		}
	}
}

// get waits for a message to come back, and has another follow it. From the
// second time on there are as many at a time as there should be.
func (s *socket) get() error {
	if s.n < s.size {
		if err := s.wait(); err != nil {
			return err
		}
	}
	if !bytes.HasPrefix(s.buf, s.first) {
		return fmt.Errorf("what came back begins with %x", s.buf[:2])
	}
	s.n = copy(s.buf, s.buf[s.size:s.n])
	s.due, s.flight = s.due+s.flight, 1 // all at once, and then one for one
	return nil
}

// wait sends what is due, and reads until there is a message.
func (s *socket) wait() error {
	s.out = s.out[:0]
	for ; s.due > 0; s.due-- {
		s.out = append(s.out, s.frame...)
	}
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := s.Write(s.out); err != nil {
		return fmt.Errorf("send messages: %w", err)
	}
	for s.n < s.size {
		n, err := s.Read(s.buf[s.n:])
		if err != nil {
			return fmt.Errorf("wait for a message: %w", err)
		}
		s.n += n
	}
	return nil
}

// deflated compresses a message (RFC 7692, section 7.2.1).
func deflated(text string) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression) // fails for other levels only
	_, _ = io.WriteString(w, text)                     // a buffer takes all
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})
}

// echo is the origin server's side: it answers the request, and then sends every
// message back.
func echo(c net.Conn, head, rest []byte) {
	extension := ""
	if bytes.Contains(head, []byte("permessage-deflate")) {
		extension = deflateOffer
	}
	accept := sha1.Sum([]byte(socketKey + socketID))
	_, err := fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s%s\r\n\r\n",
		base64.StdEncoding.EncodeToString(accept[:]), extension)
	buf, out := make([]byte, 16<<10), []byte(nil)
	for n := copy(buf, rest); err == nil; {
		used := 0
		if out, used, err = unmasked(out[:0], buf[:n]); err != nil {
			return
		}
		n = copy(buf, buf[used:n])
		if len(out) > 0 {
			if _, err = c.Write(out); err != nil {
				return
			}
		}
		var m int
		m, err = c.Read(buf[n:])
		n += m
	}
}

// unmasked appends the frames in b that are whole, as a server sends them. They
// must be short ones with data.
func unmasked(out, b []byte) (all []byte, used int, err error) {
	for len(b)-used >= 6 {
		f := b[used:]
		size := int(f[1] & 0x7f)
		if f[0]&0x0f > 2 || f[1]&0x80 == 0 || size > 125 {
			return out, used, errors.New("not a short masked message")
		}
		if len(f) < 6+size {
			break
		}
		out = append(out, f[0], byte(size))
		for i, x := range f[6 : 6+size] {
			out = append(out, x^f[2+i%4])
		}
		used += 6 + size
	}
	return out, used, nil
}
