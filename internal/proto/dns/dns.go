// Package dns reads messages of the domain name system (RFC 1035) that pass, and
// tells which answer belongs to which query. It changes nothing, resolves nothing
// and holds nothing up. Names may have any bytes: they are for show, escaped.
package dns

import (
	"encoding/binary"
	"errors"
	"fmt"

	"transom/flow"
)

// errMalformed is wrapped by all errors of Parse.
var errMalformed = errors.New("not a DNS message")

const (
	headerLen  = 12
	maxRecords = 4096 // of a message: as many as there is room for in 64 KiB, about
)

// Parse reads a message. What it returns shares no memory with p. rest says what is
// wrong behind the answer section, nil if nothing is.
func Parse(p []byte) (m *flow.DNSMessage, rest, err error) {
	if len(p) < headerLen {
		return nil, nil, fmt.Errorf("%w: %d bytes, fewer than a header has", errMalformed, len(p))
	}
	m = &flow.DNSMessage{
		ID: binary.BigEndian.Uint16(p), Flags: binary.BigEndian.Uint16(p[2:]),
		Raw: append([]byte(nil), p...),
	}
	m.RCode = m.Flags & 15
	r := reader{msg: m.Raw, off: headerLen}
	if err := r.questions(m, int(binary.BigEndian.Uint16(p[4:]))); err != nil {
		return nil, nil, err
	}
	if err := r.answers(m, int(binary.BigEndian.Uint16(p[6:]))); err != nil {
		return nil, nil, err
	}
	rest = r.others(m, int(binary.BigEndian.Uint16(p[8:]))+int(binary.BigEndian.Uint16(p[10:])))
	return m, rest, nil
}

// A reader goes through a message.
type reader struct {
	msg []byte
	off int
	buf []byte // of a name
}

func (r *reader) questions(m *flow.DNSMessage, n int) error {
	if n*5 > len(r.msg)-r.off { // a name of one byte, type and class
		return fmt.Errorf("%w: %d questions in %d bytes", errMalformed, n, len(r.msg))
	}
	if n > 0 {
		m.Questions = make([]flow.DNSQuestion, n)
	}
	for i := range m.Questions {
		name, err := r.name()
		if err != nil {
			return err
		}
		fixed, err := r.bytes(4)
		if err != nil {
			return err
		}
		m.Questions[i] = flow.DNSQuestion{
			Name: name, Type: flow.DNSType(binary.BigEndian.Uint16(fixed)), Class: binary.BigEndian.Uint16(fixed[2:]),
		}
	}
	return nil
}

// A record is one as it stands in a message.
type record struct {
	kind  flow.DNSType
	class uint16
	ttl   uint32
	at    int // where its data begins
	end   int
}

func (r *reader) answers(m *flow.DNSMessage, n int) error {
	if n*11 > len(r.msg)-r.off || n > maxRecords {
		return fmt.Errorf("%w: %d answers in %d bytes", errMalformed, n, len(r.msg))
	}
	if n > 0 {
		m.Answers = make([]flow.DNSRecord, n)
	}
	for i := range m.Answers {
		name, err := r.name()
		if err != nil {
			return err
		}
		rec, err := r.record()
		if err != nil {
			return err
		}
		a := flow.DNSRecord{Name: name, Type: rec.kind, Class: rec.class, TTL: rec.ttl}
		if a.Data, err = r.data(rec); err != nil {
			return err
		}
		m.Answers[i] = a
		r.off = rec.end
	}
	return nil
}

// record reads what stands behind the name.
func (r *reader) record() (record, error) {
	fixed, err := r.bytes(10)
	if err != nil {
		return record{}, err
	}
	rec := record{
		kind:  flow.DNSType(binary.BigEndian.Uint16(fixed)),
		class: binary.BigEndian.Uint16(fixed[2:]),
		ttl:   binary.BigEndian.Uint32(fixed[4:]),
		at:    r.off,
	}
	rec.end = rec.at + int(binary.BigEndian.Uint16(fixed[8:]))
	if rec.end > len(r.msg) {
		return record{}, fmt.Errorf("%w: a record ends behind the message", errMalformed)
	}
	return rec, nil
}

// others looks through the sections behind the answers for EDNS.
func (r *reader) others(m *flow.DNSMessage, n int) error {
	for range n {
		if err := r.skipName(); err != nil {
			return err
		}
		rec, err := r.record()
		if err != nil {
			return err
		}
		if rec.kind == flow.TypeOPT {
			m.RCode = m.Flags&15 | uint16(rec.ttl>>24)<<4
		}
		r.off = rec.end
	}
	if r.off < len(r.msg) {
		return fmt.Errorf("%w: %d bytes behind its end", errMalformed, len(r.msg)-r.off)
	}
	return nil
}

func (r *reader) bytes(n int) ([]byte, error) {
	if len(r.msg)-r.off < n {
		return nil, fmt.Errorf("%w: it ends too early", errMalformed)
	}
	p := r.msg[r.off : r.off+n]
	r.off += n
	return p, nil
}
