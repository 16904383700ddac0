package wire

import "transom/flow"

func (w *writer) dns(d *flow.DNS) {
	begun := w.begin()
	w.dnsMessage(d.Query)
	w.dnsMessage(d.Answer)
	w.texts(d.Notes)
	w.end(begun)
}

func (r *reader) dns() *flow.DNS {
	return &flow.DNS{Query: r.dnsMessage(), Answer: r.dnsMessage(), Notes: r.texts()}
}

func (w *writer) dnsMessage(m *flow.DNSMessage) {
	if m == nil {
		w.nothing()
		return
	}
	begun := w.begin()
	w.number(uint64(m.ID))
	w.number(uint64(m.Flags))
	w.number(uint64(m.RCode))
	w.number(uint64(len(m.Questions)))
	for i := range m.Questions {
		q := &m.Questions[i]
		w.text(q.Name)
		w.number(uint64(q.Type))
		w.number(uint64(q.Class))
	}
	w.number(uint64(len(m.Answers)))
	for i := range m.Answers {
		a := &m.Answers[i]
		w.text(a.Name)
		w.number(uint64(a.Type))
		w.number(uint64(a.Class))
		w.number(uint64(a.TTL))
		w.text(a.Data)
	}
	w.bytes(m.Raw)
	w.end(begun)
}

func (r *reader) dnsMessage() *flow.DNSMessage {
	b, ok := r.block()
	if !ok {
		return nil
	}
	m := &flow.DNSMessage{ID: b.word(), Flags: b.word(), RCode: b.word()}
	if n := b.count(3); n > 0 {
		m.Questions = make([]flow.DNSQuestion, n)
		for i := range m.Questions {
			m.Questions[i] = flow.DNSQuestion{Name: b.text(), Type: flow.DNSType(b.word()), Class: b.word()}
		}
	}
	if n := b.count(5); n > 0 {
		m.Answers = make([]flow.DNSRecord, n)
		for i := range m.Answers {
			m.Answers[i] = flow.DNSRecord{
				Name: b.text(), Type: flow.DNSType(b.word()), Class: b.word(), TTL: uint32(b.within(1<<32 - 1)), Data: b.text(),
			}
		}
	}
	m.Raw = b.bytes()
	return m
}

func (r *reader) word() uint16 { return uint16(r.within(1<<16 - 1)) }
