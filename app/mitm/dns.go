package mitm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"time"

	"transom/flow"
	"transom/internal/proto/dns"
)

// A dnsMessage is one as mitmproxy has it: names are text without escapes, and in data
// no name refers to another (RFC 1035, section 4.1.4).
type dnsMessage struct {
	id, flags uint16
	questions []dnsRecord
	sections  [3][]dnsRecord // answers, authorities, additionals
}

// A dnsRecord is also a question.
type dnsRecord struct {
	name        string
	kind, class uint16
	ttl         uint32
	data        []byte
}

var dnsSections = [3]string{"answers", "authorities", "additionals"}

var errDNS = errors.New("not a DNS message")

const dnsHeader = 12

// dnsOf takes a message apart, as far as it can be read.
func dnsOf(raw []byte) (m dnsMessage, err error) {
	if len(raw) < dnsHeader {
		return m, errDNS
	}
	count := func(i int) int { return int(binary.BigEndian.Uint16(raw[4+2*i:])) }
	m.id, m.flags = binary.BigEndian.Uint16(raw), binary.BigEndian.Uint16(raw[2:])
	at := dnsHeader
	for range count(0) {
		var q dnsRecord
		if q, at, err = dnsQuestion(raw, at); err != nil {
			return m, err
		}
		m.questions = append(m.questions, q)
	}
	for i := range m.sections {
		for range count(1 + i) {
			var r dnsRecord
			if r, at, err = dnsResource(raw, at); err != nil {
				return m, err
			}
			m.sections[i] = append(m.sections[i], r)
		}
	}
	return m, nil
}

// dnsQuestion reads what records begin with, too.
func dnsQuestion(raw []byte, at int) (q dnsRecord, end int, err error) {
	name, at, err := expand(nil, raw, at)
	if err != nil || len(raw)-at < 4 {
		return q, 0, errDNS
	}
	q.name = dnsText(name)
	q.kind, q.class = binary.BigEndian.Uint16(raw[at:]), binary.BigEndian.Uint16(raw[at+2:])
	return q, at + 4, nil
}

func dnsResource(raw []byte, at int) (r dnsRecord, end int, err error) {
	if r, at, err = dnsQuestion(raw, at); err != nil || len(raw)-at < 6 {
		return r, 0, errDNS
	}
	r.ttl = binary.BigEndian.Uint32(raw[at:])
	end = at + 6 + int(binary.BigEndian.Uint16(raw[at+4:]))
	if end > len(raw) {
		return r, 0, errDNS
	}
	r.data = dnsData(flow.DNSType(r.kind), raw, at+6, end)
	return r, end, nil
}

// dnsData returns data with names written out, where there may be short ones (RFC 3597,
// section 4).
func dnsData(kind flow.DNSType, raw []byte, at, end int) []byte {
	skip, names := 0, 1
	switch kind {
	case flow.TypeNS, flow.TypeCNAME, flow.TypePTR, flow.TypeDNAME:
	case flow.TypeMX:
		skip = 2
	case flow.TypeSRV:
		skip = 6
	case flow.TypeSOA:
		names = 2
	default:
		names = 0
	}
	if names == 0 || at+skip > end {
		return raw[at:end]
	}
	out := append([]byte(nil), raw[at:at+skip]...)
	next := at + skip
	for range names {
		var err error
		if out, next, err = expand(out, raw, next); err != nil || next > end {
			return raw[at:end]
		}
	}
	return append(out, raw[next:end]...)
}

// wire puts the message together, without short names.
func (m *dnsMessage) wire() ([]byte, error) {
	b := binary.BigEndian.AppendUint16(nil, m.id)
	b = binary.BigEndian.AppendUint16(b, m.flags)
	b = binary.BigEndian.AppendUint16(b, uint16(len(m.questions)))
	for _, s := range m.sections {
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	}
	var err error
	for _, q := range m.questions {
		if b, err = q.wire(b); err != nil {
			return nil, err
		}
	}
	for _, s := range m.sections {
		for _, r := range s {
			if b, err = r.wire(b); err != nil || len(r.data) > 1<<16-1 {
				return nil, errDNS
			}
			b = binary.BigEndian.AppendUint32(b, r.ttl)
			b = binary.BigEndian.AppendUint16(b, uint16(len(r.data)))
			b = append(b, r.data...)
		}
	}
	if len(b) > 1<<16-1 {
		return nil, errDNS
	}
	return b, nil
}

func (r *dnsRecord) wire(b []byte) ([]byte, error) {
	b, err := dnsWire(b, r.name)
	b = binary.BigEndian.AppendUint16(b, r.kind)
	return binary.BigEndian.AppendUint16(b, r.class), err
}

// dnsMessage puts a request or a response.
func (b *builder) dnsMessage(name string, m *dnsMessage, at time.Time) {
	outer := b.open(tagDict)
	for i := len(m.sections) - 1; i >= 0; i-- {
		b.dnsRecords(dnsSections[i], m.sections[i], true)
	}
	b.dnsRecords("questions", m.questions, false)
	b.keyInt("response_code", int64(m.flags&15))
	b.keyInt("reserved", int64(m.flags>>4&7))
	b.keyBool("recursion_available", m.flags&flow.DNSRecursionAvailable != 0)
	b.keyBool("recursion_desired", m.flags&flow.DNSRecursionDesired != 0)
	b.keyBool("truncation", m.flags&flow.DNSTruncated != 0)
	b.keyBool("authoritative_answer", m.flags&flow.DNSAuthoritative != 0)
	b.keyInt("op_code", int64(m.flags>>11&15))
	b.keyBool("query", m.flags&flow.DNSResponse == 0)
	b.keyInt("id", int64(m.id))
	b.keyTime("timestamp", notZero(at))
	b.close(outer)
	b.key(name)
}

func (b *builder) dnsRecords(name string, records []dnsRecord, data bool) {
	list := b.open(tagList)
	for i := len(records) - 1; i >= 0; i-- {
		r := &records[i]
		at := b.open(tagDict)
		if data {
			b.put(tagBytes, r.data)
			b.key("data")
			b.keyInt("ttl", int64(r.ttl))
		}
		b.keyInt("class_", int64(r.class))
		b.keyInt("type", int64(r.kind))
		b.keyText("name", r.name)
		b.close(at)
	}
	b.close(list)
	b.key(name)
}

// dnsTold reads a request or a response.
func dnsTold(v value) dnsMessage {
	m := dnsMessage{id: uint16(v.get("id").int())}
	set := func(name string, bit uint16) {
		if v.get(name).bool() {
			m.flags |= bit
		}
	}
	set("recursion_available", flow.DNSRecursionAvailable)
	set("recursion_desired", flow.DNSRecursionDesired)
	set("truncation", flow.DNSTruncated)
	set("authoritative_answer", flow.DNSAuthoritative)
	if q := v.get("query"); !q.null() && !q.bool() {
		m.flags |= flow.DNSResponse
	}
	m.flags |= uint16(v.get("op_code").int()&15)<<11 | uint16(v.get("reserved").int()&7)<<4 | uint16(v.get("response_code").int()&15)
	m.questions = dnsRecords(v.get("questions"))
	for i := range m.sections {
		m.sections[i] = dnsRecords(v.get(dnsSections[i]))
	}
	return m
}

func dnsRecords(v value) (records []dnsRecord) {
	for in := range v.items() {
		records = append(records, dnsRecord{
			name: in.get("name").text(), kind: uint16(in.get("type").int()), class: uint16(in.get("class_").int()),
			ttl: uint32(in.get("ttl").int()), data: in.get("data").bytes(),
		})
	}
	return records
}

// dnsRead returns the message that v is of; raw is it as it was, where v still says the
// same.
func dnsRead(v value, raw []byte) (*flow.DNSMessage, error) {
	told := dnsTold(v)
	wire, err := told.wire()
	if err != nil {
		return nil, err
	}
	if was, err := dnsOf(raw); len(raw) > 0 && (err == nil || len(was.questions) > 0) {
		if same, err := was.wire(); err == nil && bytes.Equal(same, wire) {
			wire = raw
		}
	}
	m, _, err := dns.Parse(wire)
	return m, err
}
