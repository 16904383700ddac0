package view

import (
	"encoding/binary"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// A packed is how far a binary form of something like JSON has been printed.
// It is shown as JSON would be, with h'…' for bytes as in CBOR's diagnostic
// notation (RFC 8949, section 8).
type packed struct {
	*printer
	b     []byte
	i     int
	start int // of the item that is being read
	depth int
}

// take returns the next n bytes.
func (m *packed) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.b)-m.i) {
		return nil, faultAt(m.start, "%d bytes belong here, and %d are left", n, len(m.b)-m.i)
	}
	s := m.b[m.i : m.i+int(n)]
	m.i += int(n)
	return s, nil
}

// number returns n bytes as a number, the biggest first.
func (m *packed) number(n int) (uint64, error) {
	s, err := m.take(uint64(n))
	if err != nil {
		return 0, err
	}
	var b [8]byte
	copy(b[8-n:], s)
	return binary.BigEndian.Uint64(b[:]), nil
}

// several prints items between brackets, until more says that there are none.
func (m *packed) several(open, shut string, pairs bool, more func(n uint64) (bool, error), item func() error) error {
	if m.depth == maxDepth {
		return faultAt(m.start, "%w", errDeep)
	}
	m.put(Plain, open)
	m.depth++
	m.indent++
	n := uint64(0)
	for ; !m.stopped; n++ {
		ok, err := more(n)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if n > 0 {
			m.put(Plain, ",")
		}
		m.end()
		if err := item(); err != nil {
			return err
		}
		if pairs {
			m.put(Plain, ": ")
			if err := item(); err != nil {
				return err
			}
		}
	}
	m.depth--
	m.indent--
	if n > 0 {
		m.flush()
	}
	m.put(Plain, shut)
	return nil
}

func upTo(size uint64) func(uint64) (bool, error) {
	return func(n uint64) (bool, error) { return n < size, nil }
}

func (m *packed) text(s []byte) {
	if !utf8.Valid(s) {
		m.octets(s)
		return
	}
	m.put(String, strconv.Quote(string(s)))
}

func (m *packed) octets(s []byte) { m.put(String, "h'"+hexBytes(s)[2:]+"'") }

func (m *packed) float(v float64, bits int) {
	m.put(Number, strconv.FormatFloat(v, 'g', -1, bits))
}

// items prints values one after the other, to the end.
func (m *packed) items(one func() error) error {
	if len(m.b) == 0 {
		return faultAt(0, "is empty")
	}
	for m.i < len(m.b) && !m.stopped {
		if err := one(); err != nil {
			return err
		}
		m.flush()
	}
	return nil
}

// msgpack prints MessagePack.
func msgpack(p *printer, body []byte) error {
	m := packed{printer: p, b: body}
	return m.items(m.msgpack)
}

func (m *packed) msgpack() error {
	m.start = m.i
	s, err := m.take(1)
	if err != nil {
		return err
	}
	c := s[0]
	switch {
	case c < 0x80:
		m.put(Number, strconv.Itoa(int(c)))
	case c >= 0xe0:
		m.put(Number, strconv.Itoa(int(int8(c))))
	case c < 0x90:
		return m.several("{", "}", true, upTo(uint64(c&15)), m.msgpack)
	case c < 0xa0:
		return m.several("[", "]", false, upTo(uint64(c&15)), m.msgpack)
	case c < 0xc0:
		return m.sized(uint64(c&31), m.text)
	case c == 0xc0:
		m.put(Word, "null")
	case c == 0xc1:
		return faultAt(m.start, "0xc1 begins nothing")
	case c < 0xc4:
		m.put(Word, strconv.FormatBool(c == 0xc3))
	case c >= 0xd4 && c <= 0xd8: // fixext
		return m.extension(1 << (c - 0xd4))
	default:
		return m.long(c)
	}
	return nil
}

func (m *packed) sized(n uint64, show func([]byte)) error {
	s, err := m.take(n)
	if err == nil {
		show(s)
	}
	return err
}

// long prints what begins with a size or a number of its own.
func (m *packed) long(c byte) error {
	width := map[byte]int{
		0xc4: 1, 0xc5: 2, 0xc6: 4, 0xc7: 1, 0xc8: 2, 0xc9: 4, 0xca: 4, 0xcb: 8, 0xcc: 1, 0xcd: 2, 0xce: 4, 0xcf: 8,
		0xd0: 1, 0xd1: 2, 0xd2: 4, 0xd3: 8, 0xd9: 1, 0xda: 2, 0xdb: 4, 0xdc: 2, 0xdd: 4, 0xde: 2, 0xdf: 4,
	}[c]
	n, err := m.number(width)
	if err != nil {
		return err
	}
	switch {
	case c <= 0xc6:
		return m.sized(n, m.octets)
	case c <= 0xc9:
		return m.extension(n)
	case c == 0xca:
		m.float(float64(math.Float32frombits(uint32(n))), 32)
	case c == 0xcb:
		m.float(math.Float64frombits(n), 64)
	case c <= 0xcf:
		m.put(Number, strconv.FormatUint(n, 10))
	case c <= 0xd3:
		shift := 64 - 8*width
		m.put(Number, strconv.FormatInt(int64(n<<shift)>>shift, 10))
	case c <= 0xdb:
		return m.sized(n, m.text)
	case c <= 0xdd:
		return m.several("[", "]", false, upTo(n), m.msgpack)
	default:
		return m.several("{", "}", true, upTo(n), m.msgpack)
	}
	return nil
}

// extension prints a value of somebody's own type. -1 is a time.
func (m *packed) extension(n uint64) error {
	kind, err := m.take(1)
	if err != nil {
		return err
	}
	s, err := m.take(n)
	if err != nil {
		return err
	}
	var t time.Time
	switch {
	case kind[0] == 0xff && n == 4:
		t = time.Unix(int64(binary.BigEndian.Uint32(s)), 0)
	case kind[0] == 0xff && n == 8:
		v := binary.BigEndian.Uint64(s)
		t = time.Unix(int64(v&(1<<34-1)), int64(v>>34))
	case kind[0] == 0xff && n == 12:
		t = time.Unix(int64(binary.BigEndian.Uint64(s[4:])), int64(binary.BigEndian.Uint32(s)))
	default:
		m.put(Word, "ext "+strconv.Itoa(int(int8(kind[0])))+" ")
		m.octets(s)
		return nil
	}
	m.put(String, t.UTC().Format(time.RFC3339Nano))
	return nil
}
