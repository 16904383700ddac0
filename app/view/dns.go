package view

import (
	"strconv"

	"transom/flow"
	"transom/internal/proto/dns"
)

// dnsMessage prints a query or an answer, as in DNS over HTTPS (RFC 8484).
func dnsMessage(p *printer, body []byte) error {
	m, rest, err := dns.Parse(body)
	if err != nil {
		return faultAt(0, "%v", err)
	}
	what := "query"
	if m.Flags&flow.DNSResponse != 0 {
		what = "answer"
	}
	p.pair(what, Number, strconv.Itoa(int(m.ID)))
	p.pair("status", Word, flow.RCodeName(m.RCode))
	for _, f := range []struct {
		bit  uint16
		name string
	}{
		{flow.DNSAuthoritative, "authoritative"},
		{flow.DNSTruncated, "truncated"},
		{flow.DNSRecursionDesired, "recursion desired"},
		{flow.DNSRecursionAvailable, "recursion available"},
		{flow.DNSAuthenticData, "authentic data"},
		{flow.DNSCheckingDisabled, "checking disabled"},
	} {
		if m.Flags&f.bit != 0 {
			p.pair("flag", Word, f.name)
		}
	}
	for _, q := range m.Questions {
		p.pair("asked", String, q.Name+" "+q.Type.String())
	}
	for _, r := range m.Answers {
		p.pair("answer", String, r.Name+" "+strconv.FormatUint(uint64(r.TTL), 10)+" "+r.Type.String()+" "+r.Data)
	}
	if rest != nil {
		p.note(Fault, "what follows can't be read: "+rest.Error())
	}
	return nil
}
