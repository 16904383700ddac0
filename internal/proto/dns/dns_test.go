package dns_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"transom/flow"
	"transom/internal/proto/dns"
)

// build packs a message by somebody else's code.
func build(t testing.TB, m dnsmessage.Message) []byte {
	t.Helper()
	p, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func name(s string) dnsmessage.Name { return dnsmessage.MustNewName(s) }

func answer(body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: name("shop.example."), Class: dnsmessage.ClassINET, TTL: 300}, Body: body}
}

// all has a record of every type that is read.
func all(t testing.TB) []byte {
	return build(t, dnsmessage.Message{
		Header: dnsmessage.Header{ID: 4711, Response: true, RecursionDesired: true, RecursionAvailable: true},
		Questions: []dnsmessage.Question{
			{Name: name("shop.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
		},
		Answers: []dnsmessage.Resource{
			answer(&dnsmessage.CNAMEResource{CNAME: name("www.shop.example.")}),
			answer(&dnsmessage.AResource{A: [4]byte{10, 0, 0, 1}}),
			answer(&dnsmessage.AAAAResource{AAAA: netip.MustParseAddr("2001:db8::1").As16()}),
			answer(&dnsmessage.NSResource{NS: name("ns.shop.example.")}),
			answer(&dnsmessage.PTRResource{PTR: name(".")}),
			answer(&dnsmessage.MXResource{Pref: 10, MX: name("mail.shop.example.")}),
			answer(&dnsmessage.SRVResource{Priority: 1, Weight: 2, Port: 5060, Target: name("sip.shop.example.")}),
			answer(&dnsmessage.SOAResource{NS: name("ns.shop.example."), MBox: name("me.shop.example."), Serial: 1, Refresh: 2, Retry: 3, Expire: 4, MinTTL: 5}),
			answer(&dnsmessage.TXTResource{TXT: []string{"v=spf1 -all", "a\"b\x00"}}),
			answer(&dnsmessage.HTTPSResource{SVCBResource: dnsmessage.SVCBResource{Priority: 1, Target: name("."), Params: []dnsmessage.SVCParam{
				{Key: dnsmessage.SVCParamALPN, Value: []byte("\x02h2\x02h3")},
				{Key: dnsmessage.SVCParamPort, Value: []byte{1, 187}},
				{Key: dnsmessage.SVCParamIPv4Hint, Value: []byte{10, 0, 0, 1, 10, 0, 0, 2}},
				{Key: dnsmessage.SVCParamECH, Value: []byte{0xfe, 0x0d}},
			}}}),
			answer(&dnsmessage.UnknownResource{Type: 65280, Data: []byte{1, 2}}),
		},
		Additionals: []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: name("."), Class: 1232, TTL: 1 << 24}, Body: &dnsmessage.OPTResource{},
		}},
	})
}

func TestParse(t *testing.T) {
	p := all(t)
	m, rest, err := dns.Parse(p)
	if err != nil || rest != nil {
		t.Fatal(err, rest)
	}
	if m.ID != 4711 || m.Flags&flow.DNSResponse == 0 || m.RCode != 16 || m.Opcode() != 0 || !bytes.Equal(m.Raw, p) {
		t.Errorf("%+v", m)
	}
	if q := m.Questions; len(q) != 1 || q[0] != (flow.DNSQuestion{Name: "shop.example", Type: flow.TypeA, Class: 1}) {
		t.Errorf("questions %v", q)
	}
	var got []string
	for _, a := range m.Answers {
		got = append(got, fmt.Sprintf("%s %d %s %s", a.Name, a.TTL, a.Type, a.Data))
	}
	want := []string{
		`shop.example 300 CNAME www.shop.example`,
		`shop.example 300 A 10.0.0.1`,
		`shop.example 300 AAAA 2001:db8::1`,
		`shop.example 300 NS ns.shop.example`,
		`shop.example 300 PTR .`,
		`shop.example 300 MX 10 mail.shop.example`,
		`shop.example 300 SRV 1 2 5060 sip.shop.example`,
		`shop.example 300 SOA ns.shop.example me.shop.example 1 2 3 4 5`,
		`shop.example 300 TXT "v=spf1 -all" "a\"b\000"`,
		`shop.example 300 HTTPS 1 . alpn=h2,h3 port=443 ipv4hint=10.0.0.1,10.0.0.2 ech=fe0d`,
		`shop.example 300 TYPE65280 \# 2 0102`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// message returns a header with counts, and what follows.
func message(questions, answers, others uint16, body string) []byte {
	p := binary.BigEndian.AppendUint16(nil, 1)
	for _, n := range []uint16{0x8180, questions, answers, others, 0} {
		p = binary.BigEndian.AppendUint16(p, n)
	}
	return append(p, body...)
}

func TestOddNames(t *testing.T) {
	long := strings.Repeat("\x3f"+strings.Repeat("x", 63), 3) + "\x3d" + strings.Repeat("y", 61) + "\x00" // 255 bytes
	for body, want := range map[string]string{
		"\x05v1.2 \x05local\x00\x00\x01\x00\x01": `v1\.2\032.local`,
		"\x01\x00\x00\x00\x01\x00\x01":           `\000`,
		"\x02\\\xff\x00\x00\x01\x00\x01":         `\\\255`,
		"\x00\x00\x01\x00\x01":                   `.`,
		long + "\x00\x01\x00\x01":                strings.Repeat(strings.Repeat("x", 63)+".", 3) + strings.Repeat("y", 61),
	} {
		m, rest, err := dns.Parse(message(1, 0, 0, body))
		if err != nil || rest != nil || m.Questions[0].Name != want {
			t.Errorf("%q: %+v, %v, %v; want %q", body, m, rest, err, want)
		}
	}
}

func TestMalformed(t *testing.T) {
	for what, p := range map[string][]byte{
		"empty":            {},
		"short-header":     make([]byte, 11),
		"questions":        message(9, 0, 0, "\x00\x00\x01\x00\x01"),
		"answers":          message(0, 65535, 0, ""),
		"label":            message(1, 0, 0, "\x09abc\x00\x01\x00\x01"),
		"reserved-label":   message(1, 0, 0, "\x40abc\x00\x01\x00\x01"),
		"pointer-to-self":  message(1, 0, 0, "\xc0\x0c\x00\x01\x00\x01"),
		"pointer-forward":  message(1, 0, 0, "\xc0\x20\x00\x01\x00\x01"),
		"name-too-long":    message(1, 0, 0, strings.Repeat("\x3f"+strings.Repeat("x", 63), 4)+"\x00\x00\x01\x00\x01"),
		"record-too-long":  message(0, 1, 0, "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x05abcd"),
		"cname-not-inside": message(0, 1, 0, "\x00\x00\x05\x00\x01\x00\x00\x00\x00\x00\x01\x03abc\x00"),
	} {
		if m, _, err := dns.Parse(p); err == nil {
			t.Errorf("%s is read as %+v", what, m)
		}
	}
	m, rest, err := dns.Parse(message(0, 0, 1, "\x00\x00\x29\x00"))
	if err != nil || rest == nil {
		t.Errorf("malformed behind the answers: %+v, %v, %v", m, rest, err)
	}
	if _, rest, err := dns.Parse(message(0, 0, 0, "more")); err != nil || rest == nil {
		t.Errorf("more than the message: %v, %v", rest, err)
	}
	m, _, err = dns.Parse(message(0, 1, 0, "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x03abc"))
	if err != nil || m.Answers[0].Data != `\# 3 616263` {
		t.Errorf("an address of three bytes: %+v, %v", m, err)
	}
}

func TestPending(t *testing.T) {
	msg := func(id uint16, names ...string) *flow.DNSMessage {
		m := &flow.DNSMessage{ID: id}
		for _, n := range names {
			m.Questions = append(m.Questions, flow.DNSQuestion{Name: n, Type: flow.TypeA, Class: 1})
		}
		return m
	}
	var p dns.Pending[string]
	p.Add(msg(1, "a"), "one")
	p.Add(msg(2, "b"), "two")
	p.Add(msg(2, "c"), "three")
	if of, again := p.Asked(msg(2, "B")); !again || of != "two" {
		t.Errorf("asked again: %q, %v", of, again)
	}
	for _, step := range []struct {
		m    *flow.DNSMessage
		want string
	}{{msg(2, "c"), "three"}, {msg(2, "c"), ""}, {msg(9, "a"), ""}, {msg(2), "two"}, {msg(1, "x"), ""}, {msg(1, "A"), "one"}} {
		if of, found := p.Answered(step.m); of != step.want || found != (step.want != "") {
			t.Errorf("%+v answers %q, %v; want %q", step.m, of, found, step.want)
		}
	}
	for i := range 300 {
		oldest, full := p.Add(msg(uint16(i), "x"), fmt.Sprint(i))
		if full != (i >= 256) || full && oldest != fmt.Sprint(i-256) {
			t.Fatalf("query %d makes room by %q, %v", i, oldest, full)
		}
	}
}

func TestStream(t *testing.T) {
	want := []string{"hello", "", strings.Repeat("x", 5000), "end"}
	var stream []byte
	for _, w := range want {
		stream = binary.BigEndian.AppendUint16(stream, uint16(len(w)))
		stream = append(stream, w...)
	}
	for size := 1; size < 12; size++ {
		var s dns.Stream
		var got []string
		for piece := range slices.Chunk(append(slices.Clone(stream), 0, 9, 'x'), size) {
			s.Cut(piece, func(p []byte) { got = append(got, string(p)) })
		}
		if !slices.Equal(got, want) || string(s.Rest()) != "\x00\x09x" {
			t.Errorf("by %d: %d messages, rest %q", size, len(got), s.Rest())
		}
	}
}

func BenchmarkParse(b *testing.B) {
	p := all(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := dns.Parse(p); err != nil {
			b.Fatal(err)
		}
	}
}

// What is kept of a message is its memory: the message, a copy of it, its questions and
// records, and a text for each name and each record's data; and what names are read into.
func TestParseAllocates(t *testing.T) {
	q := message(1, 0, 0, "\x04shop\x07example\x00\x00\x01\x00\x01")
	a := message(1, 1, 0, "\x04shop\x07example\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x0a\x00\x00\x01")
	for name, tt := range map[string]struct {
		p    []byte
		most float64
	}{"query": {q, 6}, "answer": {a, 9}} {
		if n := testing.AllocsPerRun(100, func() { _, _, _ = dns.Parse(tt.p) }); n > tt.most {
			t.Errorf("%s: %v allocations, want %v at most", name, n, tt.most)
		}
	}
}
