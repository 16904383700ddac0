package nettest_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"maps"
	"slices"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames writes down what one side of an HTTP/2 connection says, as far as it
// is to be kept: not how it is cut into frames, not acknowledgements, and no
// windows but the first.
type frames struct {
	conn    []string
	streams map[uint32]*streamNotes
	begun   bool // a stream was
	decoder *hpack.Decoder
	block   []byte // of a HEADERS frame, until END_HEADERS
	head    *http2.HeadersFrame
}

// streamNotes are what was said on one stream.
type streamNotes struct {
	lines []string
	bytes int
	sum   hash.Hash
}

func newFrames() *frames {
	return &frames{streams: map[uint32]*streamNotes{}, decoder: hpack.NewDecoder(4096, nil)}
}

// a head is a decoded header block.
type head struct {
	stream uint32
	fields []hpack.HeaderField
	ended  bool
}

// note takes the next frame. If it completes a header block, that is returned.
func (n *frames) note(f http2.Frame) (*head, error) {
	s := n.stream(f.Header().StreamID)
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return nil, nil
		}
		line := "SETTINGS"
		for i := range f.NumSettings() {
			line += " " + f.Setting(i).String()
		}
		n.conn = append(n.conn, line)
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 && !n.begun {
			n.conn = append(n.conn, fmt.Sprintf("WINDOW_UPDATE %d", f.Increment))
		}
	case *http2.PriorityFrame:
		n.conn = append(n.conn, fmt.Sprintf("PRIORITY of %d: %+v", f.StreamID, f.PriorityParam))
	case *http2.PingFrame:
		if !f.IsAck() {
			n.conn = append(n.conn, "PING")
		}
	case *http2.GoAwayFrame:
		n.conn = append(n.conn, fmt.Sprintf("GOAWAY last %d, %v, %q", f.LastStreamID, f.ErrCode, f.DebugData()))
	case *http2.RSTStreamFrame:
		s.data()
		s.lines = append(s.lines, fmt.Sprintf("RST_STREAM %v", f.ErrCode))
	case *http2.DataFrame:
		n.begun = true
		s.bytes += len(f.Data())
		s.sum.Write(f.Data())
		if f.StreamEnded() {
			s.data()
			s.lines = append(s.lines, "END_STREAM")
		}
	case *http2.HeadersFrame:
		n.begun = true
		n.head, n.block = f, append([]byte(nil), f.HeaderBlockFragment()...)
		line := "HEADERS"
		if f.HasPriority() {
			line += fmt.Sprintf(" priority %+v", f.Priority)
		}
		if f.StreamEnded() {
			line += " END_STREAM"
		}
		s.data()
		s.lines = append(s.lines, line)
		if f.HeadersEnded() {
			return n.headers(f.StreamID, f.StreamEnded())
		}
	case *http2.ContinuationFrame:
		if n.block = append(n.block, f.HeaderBlockFragment()...); f.HeadersEnded() && n.head != nil {
			return n.headers(f.StreamID, n.head.StreamEnded())
		}
	default:
		n.conn = append(n.conn, fmt.Sprintf("%v on %d", f.Header().Type, f.Header().StreamID))
	}
	return nil, nil
}

func (n *frames) stream(id uint32) *streamNotes {
	if id == 0 {
		return nil
	}
	s := n.streams[id]
	if s == nil {
		s = &streamNotes{sum: sha256.New()}
		n.streams[id] = s
	}
	return s
}

// data notes what has come of a body.
func (s *streamNotes) data() {
	if s.bytes > 0 {
		s.lines = append(s.lines, fmt.Sprintf("DATA %d bytes, %.4x", s.bytes, s.sum.Sum(nil)))
	}
	s.bytes = 0
	s.sum.Reset()
}

// headers decodes a block and notes each field with the form that it has.
func (n *frames) headers(id uint32, ended bool) (*head, error) {
	fields, err := n.decoder.DecodeFull(n.block)
	if err != nil {
		return nil, err
	}
	s := n.stream(id)
	i := 0
	for _, form := range forms(n.block) {
		if form.update {
			s.lines = append(s.lines, "  "+form.name)
			continue
		}
		s.lines = append(s.lines, short(fmt.Sprintf("  %s: %s (%s)", fields[i].Name, fields[i].Value, form.name)))
		i++
	}
	return &head{stream: id, fields: fields, ended: ended}, nil
}

// lines is all of it: the connection's, then stream by stream.
func (n *frames) lines() []string {
	lines := slices.Clone(n.conn)
	for _, id := range slices.Sorted(maps.Keys(n.streams)) {
		s := n.streams[id]
		if s.data(); len(s.lines) == 0 {
			continue
		}
		lines = append(lines, fmt.Sprintf("stream %d", id))
		lines = append(lines, s.lines...)
	}
	return lines
}

// A form is how HPACK said one field (RFC 7541, section 6), in words.
type form struct {
	name   string
	update bool // it is no field but a change of the table's size
}

// forms reads the forms out of a valid header block.
func forms(b []byte) (fs []form) {
	const static = 61
	for len(b) > 0 {
		var f form
		var index uint64
		switch first := b[0]; {
		case first&0x80 != 0:
			index, b = integer(b, 7)
			if f.name = "indexed, dynamic"; index <= static {
				f.name = "indexed, static"
			}
			fs = append(fs, f)
			continue
		case first&0xe0 == 0x20:
			index, b = integer(b, 5)
			fs = append(fs, form{name: fmt.Sprint("table size ", index), update: true})
			continue
		case first&0x40 != 0:
			f.name = "incremental"
			index, b = integer(b, 6)
		case first&0x10 != 0:
			f.name = "never indexed"
			index, b = integer(b, 4)
		default:
			f.name = "without indexing"
			index, b = integer(b, 4)
		}
		switch {
		case index == 0:
			f.name += ", name " + coding(b)
			b = skipString(b)
		case index <= static:
			f.name += fmt.Sprint(", name static ", index)
		default:
			f.name += ", name dynamic"
		}
		f.name += ", value " + coding(b)
		b = skipString(b)
		fs = append(fs, f)
	}
	return fs
}

// integer reads an integer with a prefix of bits (RFC 7541, section 5.1).
func integer(b []byte, bits int) (uint64, []byte) {
	most := uint64(1)<<bits - 1
	n := uint64(b[0]) & most
	if b = b[1:]; n < most {
		return n, b
	}
	for shift := 0; ; shift += 7 {
		c := b[0]
		b = b[1:]
		if n += uint64(c&0x7f) << shift; c&0x80 == 0 {
			return n, b
		}
	}
}

// coding says how the string that b begins with is coded.
func coding(b []byte) string {
	if b[0]&0x80 != 0 {
		return "Huffman"
	}
	return "plain"
}

func skipString(b []byte) []byte {
	n, b := integer(b, 7)
	return b[n:]
}

// preface is how a client begins.
var preface = []byte(http2.ClientPreface)

func isPreface(b []byte) bool { return bytes.HasPrefix(b, preface[:min(len(b), len(preface))]) }
