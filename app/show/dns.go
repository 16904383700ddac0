package show

import (
	"strconv"
	"strings"

	"transom/flow"
)

// maxData is how many records a line shows.
const maxData = 4

// asked returns what was asked for, as in "A shop.example".
func asked(d *flow.DNS) string {
	m := d.Query
	if m == nil {
		m = d.Answer
	}
	if m == nil || len(m.Questions) == 0 {
		return "?"
	}
	var words []string
	for _, q := range m.Questions {
		words = append(words, q.Type.String()+" "+q.Name)
	}
	return strings.Join(words, ", ")
}

// answer prints what was answered: the data of the type that was asked for, so that
// aliases on the way to an address are left to the details.
func (p *printer) answer(d *flow.DNS) {
	m := d.Answer
	if m == nil {
		return
	}
	p.word(dim, "→")
	if m.RCode != 0 {
		p.word(yellow, flow.RCodeName(m.RCode))
		return
	}
	var data []string
	for _, r := range m.Answers {
		if len(m.Questions) == 0 || r.Type == m.Questions[0].Type || m.Questions[0].Type == 255 {
			data = append(data, r.Data)
		}
	}
	switch {
	case len(data) == 0 && len(m.Answers) > 0:
		last := m.Answers[len(m.Answers)-1]
		data = []string{last.Type.String() + " " + last.Data}
	case len(data) == 0:
		p.word(yellow, "no such record")
		return
	case len(data) > maxData:
		rest := "and " + strconv.Itoa(len(data)-maxData) + " more"
		data = append(data[:maxData:maxData], rest)
	}
	p.gap()
	p.text(green, strings.Join(data, ", "), maxReason)
	if m.Flags&flow.DNSTruncated != 0 {
		p.word(yellow, "truncated")
	}
}

// dns prints both messages in full.
func (p *printer) dns(d *flow.DNS) {
	if d.Query != nil {
		p.dnsMessage("> ", d.Query)
	}
	if d.Answer != nil {
		p.dnsMessage("< ", d.Answer)
	}
	p.notes(d.Notes)
}

func (p *printer) dnsMessage(prefix string, m *flow.DNSMessage) {
	head := "id " + strconv.Itoa(int(m.ID))
	if m.Flags&flow.DNSResponse != 0 {
		head += ", " + flow.RCodeName(m.RCode)
	}
	p.row(prefix, head+", "+Size(int64(len(m.Raw))))
	for _, q := range m.Questions {
		p.row(prefix, q.Name+" "+q.Type.String()+"?")
	}
	for _, r := range m.Answers {
		p.row(prefix, r.Name+" "+strconv.FormatUint(uint64(r.TTL), 10)+" "+r.Type.String()+" "+r.Data)
	}
}
