package export

import (
	"transom/flow"
)

// dns writes a query and its answer.
func (w *writer) dns(d *flow.DNS, event string) {
	if d.Query != nil {
		w.key("query").dnsMessage(d.Query)
	}
	if event != Start && d.Answer != nil {
		w.key("answer").dnsMessage(d.Answer)
	}
	if event != Start && len(d.Notes) > 0 {
		w.key("notes").texts(d.Notes)
	}
}

// dnsFlags are the bits that have names.
var dnsFlags = [...]struct {
	bit  uint16
	name string
}{
	{flow.DNSAuthoritative, "aa"},
	{flow.DNSTruncated, "tc"},
	{flow.DNSRecursionDesired, "rd"},
	{flow.DNSRecursionAvailable, "ra"},
	{flow.DNSAuthenticData, "ad"},
	{flow.DNSCheckingDisabled, "cd"},
}

func (w *writer) dnsMessage(m *flow.DNSMessage) {
	w.open('{')
	w.key("id").int(int64(m.ID))
	if op := m.Opcode(); op != 0 {
		w.key("opcode").int(int64(op))
	}
	if m.Flags&flow.DNSResponse != 0 {
		w.key("rcode").text(flow.RCodeName(m.RCode))
	}
	w.key("flags").open('[')
	for _, f := range dnsFlags {
		if m.Flags&f.bit != 0 {
			w.item().text(f.name)
		}
	}
	w.close(']')
	w.key("questions").open('[')
	for i := range m.Questions {
		q := &m.Questions[i]
		w.item().open('{')
		w.dnsName(q.Name, q.Type, q.Class)
		w.close('}')
	}
	w.close(']')
	if m.Flags&flow.DNSResponse != 0 {
		w.key("answers").open('[')
		for i := range m.Answers {
			r := &m.Answers[i]
			w.item().open('{')
			w.dnsName(r.Name, r.Type, r.Class)
			w.key("ttl").int(int64(r.TTL))
			w.key("data").text(r.Data)
			w.close('}')
		}
		w.close(']')
	}
	w.key("raw").base64(m.Raw)
	w.close('}')
}

// dnsName writes what questions and records have in common. The class is left out if
// it is the internet.
func (w *writer) dnsName(name string, t flow.DNSType, class uint16) {
	w.key("name").text(name)
	w.key("type").text(t.String())
	if class != 1 {
		w.key("class").int(int64(class))
	}
}
