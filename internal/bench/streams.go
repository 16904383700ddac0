package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A frames reads and writes HTTP/2's frames on a connection, with the least that
// takes of the processors: what is ready leaves in one write.
type frames struct {
	net.Conn
	in   []byte
	buf  []byte // of in, what is left
	out  []byte
	owed uint32 // of the connection's window
}

func newFrames(c net.Conn) frames { return frames{Conn: c, in: make([]byte, 64<<10)} }

func (f *frames) begin(kind http2.FrameType, flags http2.Flags, id uint32, n int) {
	f.out = append(f.out, byte(n>>16), byte(n>>8), byte(n), byte(kind), byte(flags))
	f.out = binary.BigEndian.AppendUint32(f.out, id)
}

// open begins with windows that nobody waits for.
func (f *frames) open() {
	settings := []http2.Setting{{ID: http2.SettingMaxConcurrentStreams, Val: 250}, {ID: http2.SettingInitialWindowSize, Val: 1 << 20}}
	f.begin(http2.FrameSettings, 0, 0, 6*len(settings))
	for _, s := range settings {
		f.out = binary.BigEndian.AppendUint16(f.out, uint16(s.ID))
		f.out = binary.BigEndian.AppendUint32(f.out, s.Val)
	}
	f.grant(1 << 24)
}

func (f *frames) grant(n uint32) {
	f.begin(http2.FrameWindowUpdate, 0, 0, 4)
	f.out = binary.BigEndian.AppendUint32(f.out, n)
}

func (f *frames) flush() error {
	if len(f.out) == 0 {
		return nil
	}
	_, err := f.Write(f.out)
	f.out = f.out[:0]
	return err
}

// fill reads once, behind what is left.
func (f *frames) fill() error {
	kept := copy(f.in, f.buf)
	n, err := f.Read(f.in[kept:])
	f.buf = f.in[:kept+n]
	if n > 0 {
		return nil
	}
	return err
}

// next takes a whole frame of what has been read, and does what any peer must.
func (f *frames) next() (h http2.FrameHeader, payload []byte, ok bool) {
	if len(f.buf) < 9 {
		return h, nil, false
	}
	n := int(f.buf[0])<<16 | int(f.buf[1])<<8 | int(f.buf[2])
	if len(f.buf) < 9+n {
		return h, nil, false
	}
	h = http2.FrameHeader{
		Length: uint32(n), Type: http2.FrameType(f.buf[3]), Flags: http2.Flags(f.buf[4]),
		StreamID: binary.BigEndian.Uint32(f.buf[5:]),
	}
	payload, f.buf = f.buf[9:9+n], f.buf[9+n:]
	switch {
	case h.Type == http2.FrameSettings && !h.Flags.Has(http2.FlagSettingsAck):
		f.begin(h.Type, http2.FlagSettingsAck, 0, 0)
	case h.Type == http2.FramePing && !h.Flags.Has(http2.FlagPingAck):
		f.begin(h.Type, http2.FlagPingAck, 0, n)
		f.out = append(f.out, payload...)
	case h.Type == http2.FrameData:
		if f.owed += h.Length; f.owed > 1<<20 {
			f.grant(f.owed)
			f.owed = 0
		}
	}
	return h, payload, true
}

// last reports whether a frame is the last of its message.
func last(h http2.FrameHeader) bool {
	return (h.Type == http2.FrameHeaders || h.Type == http2.FrameData) && h.Flags.Has(http2.FlagDataEndStream)
}

// A streams is a client's connection with some requests on it at a time.
type streams struct {
	frames
	dec      *hpack.Decoder
	status   string
	flight   int
	id       uint32 // of the next request
	due      int    // requests to be written
	open     int    // requests on their way
	answered int    // and not counted yet
	first    []byte
	others   []byte
}

// newStreams returns a connection that has said how it begins: a server of
// net/http waits for that two seconds at most, and the other connections are
// made before anything is asked on this one.
func newStreams(c net.Conn, name string, flight int) (*streams, error) {
	s := &streams{frames: newFrames(c), flight: flight, id: 1, due: 1}
	s.dec = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			s.status = f.Value
		}
	})
	s.first, s.others = twice(
		":method", "GET", ":authority", name, ":scheme", "https", ":path", "/",
		"user-agent", "Mozilla/5.0 (X11; Linux x86_64) bench/1.0", "accept", "application/json, text/plain, */*",
		"accept-language", "en-GB,en;q=0.9", "accept-encoding", "gzip, deflate", "cookie", "session=0123456789abcdef0123456789abcdef",
	)
	s.out = append(s.out, http2.ClientPreface...)
	s.frames.open()
	return s, s.flush()
}

// get waits for an answer, and has another request follow it. From the second
// time on there are as many at a time as there should be.
func (s *streams) get() error {
	for s.answered == 0 {
		if err := s.wait(); err != nil {
			return err
		}
	}
	s.answered--
	s.due = s.flight - s.open - s.answered
	return nil
}

// wait writes the requests that are due, and reads once.
func (s *streams) wait() error {
	for ; s.due > 0; s.due-- {
		block := s.others
		if s.id == 1 {
			block = s.first
		}
		s.begin(http2.FrameHeaders, http2.FlagHeadersEndHeaders|http2.FlagHeadersEndStream, s.id, len(block))
		s.out = append(s.out, block...)
		s.id += 2
		s.open++
	}
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := s.flush(); err != nil {
		return fmt.Errorf("send requests: %w", err)
	}
	if err := s.fill(); err != nil {
		return fmt.Errorf("read answers: %w", err)
	}
	for {
		h, payload, ok := s.next()
		if !ok {
			return nil
		}
		if err := s.take(h, payload); err != nil {
			return err
		}
	}
}

func (s *streams) take(h http2.FrameHeader, payload []byte) error {
	switch h.Type {
	case http2.FrameHeaders:
		if h.Flags.Has(http2.FlagHeadersPadded) || h.Flags.Has(http2.FlagHeadersPriority) || !h.Flags.Has(http2.FlagHeadersEndHeaders) {
			return errors.New("an answer's head is not as plain as it should be")
		}
		if _, err := s.dec.Write(payload); err != nil {
			return err
		}
		if err := s.dec.Close(); err != nil {
			return err
		}
		if s.status != "200" {
			return fmt.Errorf("an answer's status is %q", s.status)
		}
	case http2.FrameRSTStream, http2.FrameGoAway:
		return fmt.Errorf("%v for stream %d: %x", h.Type, h.StreamID, payload)
	}
	if last(h) {
		s.open--
		s.answered++
	}
	return nil
}

// Close waits for what is on its way.
func (s *streams) Close() error {
	var err error
	for s.due = 0; s.open > 0 && err == nil; {
		err = s.wait()
	}
	return errors.Join(err, s.Conn.Close())
}

// answerStreams answers the requests on a connection of HTTP/2.
func answerStreams(c net.Conn) {
	f := newFrames(c)
	f.open()
	block, others := twice(
		":status", "200", "date", "Mon, 06 Jul 2026 10:00:00 GMT", "server", "bench",
		"content-type", "application/json", "cache-control", "no-store", "content-length", strconv.Itoa(len(smallBody)),
	)
	for len(f.buf) < len(http2.ClientPreface) {
		if f.fill() != nil {
			return
		}
	}
	f.buf = f.buf[len(http2.ClientPreface):]
	for {
		for h, _, ok := f.next(); ok; h, _, ok = f.next() {
			if !last(h) {
				continue
			}
			f.begin(http2.FrameHeaders, http2.FlagHeadersEndHeaders, h.StreamID, len(block))
			f.out = append(f.out, block...)
			f.begin(http2.FrameData, http2.FlagDataEndStream, h.StreamID, len(smallBody))
			f.out = append(f.out, smallBody...)
			block = others
		}
		if f.flush() != nil || f.fill() != nil {
			return
		}
	}
}

// twice encodes fields, which are names and values in turn, as they are sent
// first on a connection and as they are sent from then on.
func twice(fields ...string) (first, others []byte) {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for range 2 {
		b.Reset()
		for i := 0; i < len(fields); i += 2 {
			_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}) // a buffer takes all
		}
		first, others = others, bytes.Clone(b.Bytes())
	}
	return first, others
}
