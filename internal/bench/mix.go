package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"transom/flow"
	messages "transom/message"
	"transom/store"
)

// A mix makes up what a gateway for browsers and phones sees. Some hosts have most of it.
// Of a hundred flows about 12 are DNS, 9 the records of connections as a whole, one is a
// WebSocket or plain TCP, and the others are HTTP, most of that HTTP/2. Four of ten answers
// have no body, two one that came before, and the others text with words in it, of which some
// are frequent: most of a few hundred bytes to 3 KiB, one in twenty up to 60 KiB.
type mix struct {
	*rand.Rand
	to    store.Store
	conn  *flow.Conn
	left  int64 // exchanges of it to come
	had   int64
	certs [][]byte
	words []string
	text  []byte       // what bodies are cut from
	way   []*flow.Flow // exchanges that have begun, the oldest first

	flows, put, bodies int64
}

// concurrent is how many exchanges are under way at a time.
const concurrent = 1000

func newMix(to store.Store) *mix {
	m := &mix{Rand: rand.New(rand.NewPCG(1, 2)), to: to}
	for i := range 20_000 {
		m.words = append(m.words, word(uint32(i)))
	}
	for len(m.text) < 2<<20 {
		m.text = fmt.Appendf(m.text, `{"%s": %d, "%s": "%s %s %s"}`+"\n",
			m.word(), m.IntN(100_000), m.word(), m.word(), m.word(), m.word())
	}
	for range 200 {
		b := make([]byte, 1200+m.IntN(800))
		for i := range b {
			b[i] = byte(m.Uint32())
		}
		m.certs = append(m.certs, b)
	}
	return m
}

// word is the word of a number: syllables, since letters by chance are what no text is.
func word(n uint32) string {
	n = n*2654435761>>8 | 1<<20
	var b strings.Builder
	for ; n > 0; n /= 70 {
		b.WriteByte("bdfgklmnprstvz"[n%14])
		b.WriteByte("aeiou"[n/14%5])
	}
	return b.String()
}

// skewed is a number below n, small ones more often.
func (m *mix) skewed(n int) int { f := m.Float64(); return int(f * f * f * float64(n)) }

func (m *mix) word() string { return m.words[m.skewed(len(m.words))] }

// some is n bytes of the text.
func (m *mix) some(n int) []byte {
	at := m.IntN(len(m.text) - n)
	return m.text[at : at+n : at+n]
}

// next records the next flow as it begins, and the one that has been under way for longest
// as it ends.
func (m *mix) next(now time.Time) error {
	m.flows++
	switch {
	case m.left > 0:
		m.left--
		m.had++
		return m.exchange(now)
	case m.conn != nil:
		c := m.conn
		m.conn = nil
		return m.done(&flow.Flow{ID: c.ID, Conn: c, Start: c.Start, Detail: &flow.Connection{
			Type: "conn", Action: "inspect", Flows: m.had, Client: flow.FIN, Server: flow.FIN,
		}}, now)
	}
	m.connect(now)
	if m.IntN(10) == 0 { // its address was known
		return m.exchange(now)
	}
	return m.done(m.resolve(now), now)
}

// connect begins a connection.
func (m *mix) connect(now time.Time) {
	m.left, m.had = int64(1+m.IntN(15)), 0
	host := fmt.Sprintf("%s.%s.example", m.words[m.skewed(3000)], m.words[m.skewed(300)])
	cert := m.IntN(len(m.certs) - 2)
	hello := m.certs[m.IntN(20)][:600]
	proto, fingerprint := "h2", "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p"
	if m.IntN(4) == 0 {
		proto, fingerprint = "http/1.1", ""
	}
	m.conn = &flow.Conn{
		ID: flow.NewID(now), Start: now, Network: "tcp", Via: "redirect",
		Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 7, byte(2 + m.IntN(20))}), uint16(32768+m.IntN(28000))),
		Dst:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(m.skewed(200)), byte(m.skewed(250))}), 443),
		Layers: []flow.Layer{{Proto: "tls", Host: host, TLS: &flow.TLS{
			ServerName: host, ALPN: []string{"h2", "http/1.1"}, Hello: hello, JA3: fmt.Sprintf("%032x", m.skewed(30)),
			JA4: fmt.Sprintf("t13d1516h2_8daaf6152771_%012x", m.skewed(30)), Version: 0x304, CipherSuite: 0x1301, Protocol: proto,
		}}, {Proto: proto, H2: fingerprint}},
		Server: &flow.Leg{Dialed: now, TLS: &flow.TLS{
			ServerName: host, Hello: hello[:300], Version: 0x304, CipherSuite: 0x1301, Protocol: proto, Chain: m.certs[cert : cert+2],
		}},
	}
}

// resolve is the query for the connection's name.
func (m *mix) resolve(now time.Time) *flow.Flow {
	c := &flow.Conn{ID: flow.NewID(now), Start: now, Network: "udp", Via: "tproxy", Client: m.conn.Client, Dst: netip.MustParseAddrPort("192.168.7.1:53")}
	q := []flow.DNSQuestion{{Name: m.conn.Name(), Type: flow.TypeA, Class: 1}}
	a := []flow.DNSRecord{{Name: m.conn.Name(), Type: flow.TypeA, Class: 1, TTL: 300, Data: m.conn.Dst.Addr().String()}}
	return &flow.Flow{ID: flow.NewID(now), Conn: c, Start: now, Detail: &flow.DNS{
		Query:  &flow.DNSMessage{ID: uint16(m.Uint32()), Flags: flow.DNSRecursionDesired, Questions: q, Raw: m.certs[0][:40]},
		Answer: &flow.DNSMessage{Flags: flow.DNSResponse, Questions: q, Answers: a, Raw: m.certs[0][:56]},
	}}
}

// exchange begins one.
func (m *mix) exchange(now time.Time) error {
	if m.IntN(100) == 0 {
		return m.conversation(now)
	}
	f := &flow.Flow{ID: flow.NewID(now), Conn: m.conn, Start: now, Detail: &flow.HTTP{Request: m.request()}}
	begun := *f
	if err := m.keep(&begun); err != nil {
		return err
	}
	if m.way = append(m.way, f); len(m.way) < concurrent {
		return nil
	}
	f, m.way = m.way[0], m.way[1:]
	return m.answer(f, now)
}

func (m *mix) request() *flow.RequestHead {
	host := m.conn.Name()
	r := &flow.RequestHead{
		Method: "GET", Scheme: "https", Authority: host, Proto: flow.HTTP11,
		Target: fmt.Sprintf("/api/v%d/%s/%s?id=%d&t=%x", m.IntN(3), m.words[m.skewed(500)], m.words[m.skewed(5000)], m.skewed(100_000), m.Uint32()),
		Header: flow.Header{
			{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
			{Name: "accept", Value: "*/*"},
			{Name: "accept-language", Value: "en-US,en;q=0.5"},
			{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
			{Name: "referer", Value: "https://" + host + "/"},
			{Name: "cookie", Value: "session=" + fmt.Sprintf("%064x", m.Uint64())},
			{Name: "sec-fetch-dest", Value: "empty"},
			{Name: "sec-fetch-mode", Value: "cors"},
			{Name: "sec-fetch-site", Value: "same-origin"},
		},
	}
	if m.IntN(12) == 0 {
		r.Method = "POST"
	}
	if m.conn.Last().Proto == "h2" {
		r.Proto = flow.HTTP2
		r.H2 = &flow.H2Head{Stream: uint32(2*m.had + 1), Pseudo: flow.Header{
			{Name: ":method", Value: r.Method}, {Name: ":path", Value: r.Target}, {Name: ":authority", Value: host}, {Name: ":scheme", Value: "https"},
		}}
	}
	return r
}

// types are what bodies say they are.
var types = [...]string{"application/json", "text/html; charset=utf-8", "text/plain", "application/javascript", "text/css", "image/webp"}

// answer ends an exchange.
func (m *mix) answer(f *flow.Flow, now time.Time) error {
	h := *f.Detail.(*flow.HTTP)
	r := &flow.ResponseHead{Status: 200, Proto: h.Request.Proto, Header: flow.Header{
		{Name: "date", Value: now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT")},
		{Name: "content-type", Value: types[m.skewed(len(types))]},
		{Name: "server", Value: "nginx"},
		{Name: "etag", Value: fmt.Sprintf("%q", fmt.Sprintf("%016x", m.Uint64()))},
		{Name: "cache-control", Value: "max-age=3600"},
		{Name: "vary", Value: "Accept-Encoding"},
	}}
	switch m.IntN(40) {
	case 0, 1:
		r.Status = 404
	case 2:
		r.Status = 500 + m.skewed(5)
	}
	if r.Proto == flow.HTTP2 {
		r.H2 = &flow.H2Head{Stream: h.Request.H2.Stream, Pseudo: flow.Header{{Name: ":status", Value: fmt.Sprint(r.Status)}}}
	}
	h.Response = r
	var w store.BodyWriter
	if body := m.body(); body != nil {
		w = m.to.NewBody()
		if _, err := w.Write(body); err != nil {
			return err
		}
		m.bodies += int64(len(body))
		h.ResponseBody = w.Ref()
	}
	f.Detail, f.Rev = &h, 1
	if err := m.done(f, f.Start.Add(time.Duration(m.ExpFloat64()*1e8))); err != nil || w == nil {
		return err
	}
	return w.Close()
}

func (m *mix) body() []byte {
	switch k := m.IntN(100); {
	case k < 40:
		return nil
	case k < 60:
		at := m.IntN(300) * 5000
		return m.text[at : at+500+at%1500] // that came before
	case k < 95:
		return m.some(200 + m.IntN(3000))
	}
	return m.some(1000 + m.IntN(60_000))
}

// conversation is a WebSocket, or a stream of bytes.
func (m *mix) conversation(now time.Time) error {
	d := &flow.Messages{Kind: "websocket"}
	if m.IntN(4) == 0 {
		d.Kind = "tcp"
	}
	var log []byte
	for i := range 20 {
		dir := messages.Direction(i & 1)
		e := messages.Entry{Dir: dir, Op: 1, At: time.Duration(i) * time.Second, Payload: m.some(20 + m.IntN(200))}
		e.Size = int64(len(e.Payload))
		log = append(messages.AppendHead(log, &e, max(e.At-time.Second, 0)), e.Payload...)
		d.Count[dir]++
		d.Bytes[dir] += e.Size
	}
	w := m.to.NewBody()
	if _, err := w.Write(log); err != nil {
		return err
	}
	m.bodies += int64(len(log))
	d.Log = w.Ref()
	if err := m.done(&flow.Flow{ID: flow.NewID(now), Conn: m.conn, Start: now, Detail: d}, now.Add(20*time.Second)); err != nil {
		return err
	}
	return w.Close()
}

// done records a flow that has ended.
func (m *mix) done(f *flow.Flow, end time.Time) error {
	f.State, f.End = flow.Done, end
	return m.keep(f)
}

func (m *mix) keep(f *flow.Flow) error {
	m.put++
	return m.to.Put(context.Background(), f)
}

// end has all end that is under way.
func (m *mix) end(now time.Time) error {
	for _, f := range m.way {
		if err := m.answer(f, now); err != nil {
			return err
		}
	}
	m.way = nil
	return nil
}
