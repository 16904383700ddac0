package export

import (
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"transom/flow"
)

type jsonDNS struct {
	ID        uint16          `json:"id"`
	Opcode    uint16          `json:"opcode"`
	RCode     string          `json:"rcode"`
	Flags     []string        `json:"flags"`
	Questions []jsonDNSRecord `json:"questions"`
	Answers   []jsonDNSRecord `json:"answers"`
	Raw       []byte          `json:"raw"`
}

// jsonDNSRecord is a question, too.
type jsonDNSRecord struct {
	Name  string  `json:"name"`
	Type  string  `json:"type"`
	Class *uint16 `json:"class"`
	TTL   uint32  `json:"ttl"`
	Data  string  `json:"data"`
}

func (j *jsonDNS) message() *flow.DNSMessage {
	if j == nil {
		return nil
	}
	m := &flow.DNSMessage{ID: j.ID, Raw: j.Raw}
	m.Flags = j.Opcode & 15 << 11
	for _, f := range dnsFlags {
		if slices.Contains(j.Flags, f.name) {
			m.Flags |= f.bit
		}
	}
	if j.RCode != "" {
		m.RCode = rcodeOf(j.RCode)
		m.Flags |= flow.DNSResponse | m.RCode&15
	}
	if len(j.Raw) >= 4 { // which has the bit that has no name, too
		const unnamed = 1 << 6
		if sent := binary.BigEndian.Uint16(j.Raw[2:]); sent&^unnamed == m.Flags {
			m.Flags = sent
		}
	}
	for _, q := range j.Questions {
		m.Questions = append(m.Questions, flow.DNSQuestion{Name: q.Name, Type: typeOf(q.Type), Class: q.class()})
	}
	for _, r := range j.Answers {
		m.Answers = append(m.Answers, flow.DNSRecord{Name: r.Name, Type: typeOf(r.Type), Class: r.class(), TTL: r.TTL, Data: r.Data})
	}
	return m
}

func (r *jsonDNSRecord) class() uint16 {
	if r.Class == nil {
		return 1
	}
	return *r.Class
}

// Numbers below this have names.
const namedDNS = 258

func rcodeOf(name string) uint16 {
	for c := range uint16(namedDNS) {
		if flow.RCodeName(c) == name {
			return c
		}
	}
	n, _ := strconv.ParseUint(strings.TrimPrefix(name, "RCODE"), 10, 16)
	return uint16(n)
}

func typeOf(name string) flow.DNSType {
	if digits, ok := strings.CutPrefix(name, "TYPE"); ok {
		n, _ := strconv.ParseUint(digits, 10, 16)
		return flow.DNSType(n)
	}
	for t := range flow.DNSType(namedDNS) {
		if t.String() == name {
			return t
		}
	}
	return 0
}
