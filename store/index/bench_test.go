package index_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"transom/filter"
	"transom/flow"
	"transom/store/index"
	"transom/store/segment"
)

// A mix makes up flows such as browsers and phones make: some hosts have most of them,
// paths are many, one in twenty fails, one in ten is DNS.
type mix struct {
	r       *rand.Rand
	began   time.Time
	n       int
	conns   []*flow.Conn
	request []flow.Header
	answer  []flow.Header
	words   []string
	body    uint64
}

func newMix() *mix {
	m := &mix{r: rand.New(rand.NewPCG(1, 2)), began: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)}
	for _, t := range []string{"text/html; charset=utf-8", "application/json", "image/webp", "text/css", "application/javascript", "font/woff2"} {
		m.answer = append(m.answer, flow.Header{{Name: "content-type", Value: t}, {Name: "cache-control", Value: "no-store"}})
	}
	m.request = []flow.Header{{{Name: "user-agent", Value: "Mozilla/5.0"}}, {{Name: "content-type", Value: "application/json"}}}
	for i := range 20000 {
		m.words = append(m.words, fmt.Sprintf("w%x", uint32(i)*2654435761>>8))
	}
	return m
}

// skewed is a number below n, small ones more often.
func (m *mix) skewed(n int) int { f := m.r.Float64(); return int(f * f * f * float64(n)) }

func (m *mix) conn() *flow.Conn {
	if len(m.conns) > 0 && m.r.IntN(6) > 0 {
		return m.conns[m.r.IntN(len(m.conns))]
	}
	host := fmt.Sprintf("h%d.example%d.test", m.skewed(3000), m.skewed(40))
	c := &flow.Conn{
		Client:  netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 168, 7, byte(2 + m.r.IntN(20))}), uint16(32768+m.r.IntN(28000))),
		Dst:     netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(m.skewed(200)), byte(m.skewed(250))}), 443),
		Process: &flow.Process{Name: "chrome", Path: "/opt/chrome/chrome", User: "alice"},
		Layers: []flow.Layer{{Proto: "tls", Host: host, TLS: &flow.TLS{
			ServerName: host, Version: 0x304, JA4: fmt.Sprintf("t13d1516h2_8daaf6152771_%04x", m.skewed(30)), JA3: strings.Repeat("771,4865-4866,", 10),
		}}, {Proto: "h2", Host: host}},
		Server: &flow.Leg{TLS: &flow.TLS{Version: 0x304}},
	}
	if len(m.conns) < 200 {
		m.conns = append(m.conns, c)
	} else {
		m.conns[m.r.IntN(200)] = c
	}
	return c
}

func (m *mix) flow() *flow.Flow {
	m.n++
	start := m.began.Add(time.Duration(m.n) * time.Millisecond)
	f := &flow.Flow{ID: flow.NewID(start), Rev: 1, Start: start, End: start.Add(time.Duration(m.r.ExpFloat64() * 1e8)), State: flow.Done, Conn: m.conn()}
	if m.r.IntN(10) == 0 {
		q := &flow.DNSMessage{Questions: []flow.DNSQuestion{{Name: f.Conn.Name(), Type: flow.TypeA}}, Raw: make([]byte, 40)}
		f.Detail = &flow.DNS{Query: q, Answer: q}
		return f
	}
	h := &flow.HTTP{
		Request: &flow.RequestHead{
			Method: "GET", Scheme: "https", Authority: f.Conn.Name(), Proto: flow.HTTP2, Header: m.request[0],
			Target: fmt.Sprintf("/api/v%d/%s/%s?id=%d&t=%x", m.r.IntN(3), m.words[m.skewed(500)], m.words[m.skewed(5000)], m.skewed(100000), m.r.Uint32()),
		},
		Response: &flow.ResponseHead{Status: 200, Proto: flow.HTTP2, Header: m.answer[m.skewed(len(m.answer))]},
	}
	switch m.r.IntN(40) {
	case 0, 1:
		h.Response.Status = 404
	case 2:
		h.Response.Status = 500 + m.skewed(5)
	case 3, 4, 5:
		h.Request.Method, h.Request.Header = "POST", m.request[1]
	}
	m.body++
	n := int64(m.r.ExpFloat64() * 12000)
	h.ResponseBody = flow.BodyRef{Segment: m.body, Size: n, Kept: n}
	f.Detail = h
	return f
}

// text is some of the words, the first ones most often.
func (m *mix) text(dst []byte, size int) []byte {
	for len(dst) < size {
		dst = append(append(dst, m.words[m.skewed(len(m.words))]...), ' ')
	}
	return dst
}

// BenchmarkApply is what a flow costs: as it begins, as it ends, and its body.
func BenchmarkApply(b *testing.B) {
	x, err := index.Open(filepath.Join(b.TempDir(), "index"), index.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	m := newMix()
	var flows []*flow.Flow
	for range 200_000 {
		flows = append(flows, m.flow())
	}
	b.ReportAllocs()
	b.ResetTimer()
	var batch []index.Entry
	for i := range b.N {
		batch = appendFlow(batch, flows[i%len(flows)], i, uint64(i+1))
		if len(batch) >= 600 {
			apply(b, x, batch, i)
			batch = batch[:0]
		}
	}
}

func appendFlow(batch []index.Entry, f *flow.Flow, i int, body uint64) []index.Entry {
	at := segment.Position{Segment: uint64(1 + i/50000), Offset: int64(i%50000) * 2000}
	return append(batch, index.Put{Flow: f, Position: at},
		index.Body{Number: body, Size: 9000, Extents: []index.Extent{{Position: at, Length: 9000}}},
		index.Put{Flow: f, Position: at})
}

func apply(tb testing.TB, x *index.Index, batch []index.Entry, i int) {
	if err := x.Apply(context.Background(), batch, segment.Position{Segment: uint64(1 + i/50000), Offset: int64(i%50000)*2000 + 1}); err != nil {
		tb.Fatal(err)
	}
}

// BenchmarkText is what words cost.
func BenchmarkText(b *testing.B) {
	for _, size := range []int{1 << 10, 16 << 10, 64 << 10} {
		for _, trigrams := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dk/trigrams=%v", size>>10, trigrams), func(b *testing.B) {
				x, err := index.Open(filepath.Join(b.TempDir(), "index"), index.Options{Trigrams: trigrams})
				if err != nil {
					b.Fatal(err)
				}
				defer x.Close()
				m := newMix()
				var texts [64][]byte
				for i := range texts {
					texts[i] = m.text(nil, size)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for i := range b.N {
					apply(b, x, []index.Entry{index.Text{Number: uint64(i + 1), Text: texts[i%64], Complete: true}}, i)
				}
				b.StopTimer()
				if err := x.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
				s, _ := x.Stats(b.Context())
				b.ReportMetric(float64(s.Size)/float64(b.N), "B/text")
			})
		}
	}
}

// BenchmarkMillion makes an index of a million flows, with the words of 2 KiB of a body
// in each, and asks it for first pages. TRANSOM_FLOWS is how many instead.
func BenchmarkMillion(b *testing.B) {
	n := 1_000_000
	if s := os.Getenv("TRANSOM_FLOWS"); s != "" {
		fmt.Sscan(s, &n)
	}
	path := filepath.Join(b.TempDir(), "index")
	fill(b, path, n)
	x, err := index.Open(path, index.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer x.Close()
	for _, text := range []string{
		"~all", "~d example7", "~c 404", "~c 503 & ~m POST", "~u /api/v1/", `~u "/api/v1/.*id=4242&"`, "~u nosuchthing", "~t json & !~c 200", "~srcnet 192.168.7.5",
		"~duration >1s", "~name nosuch", "~words w1", "~words 'w9e3779 w3c6ef3'", "~words nosuch", "~e", "~tcp",
	} {
		for _, by := range []struct {
			name string
			index.Order
			down bool
		}{{"newest", index.ByTime, true}, {"oldest", index.ByTime, false}, {"largest", index.BySize, true}, {"longest", index.ByDuration, true}, {"host", index.ByHost, false}} {
			f, err := filter.Parse(text, filter.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Run(strings.ReplaceAll(text, " ", "_")+"/"+by.name, func(b *testing.B) {
				for b.Loop() {
					n := 0
					for _, err := range x.Query(b.Context(), index.Query{Filter: f, By: by.Order, Descending: by.down}) {
						if err != nil {
							b.Fatal(err)
						}
						if n++; n == 100 {
							break
						}
					}
				}
			})
		}
	}
}

func fill(b *testing.B, path string, n int) {
	x, err := index.Open(path, index.Options{})
	if err != nil {
		b.Fatal(err)
	}
	m := newMix()
	var batch []index.Entry
	var text []byte
	var spent time.Duration
	for i := range n {
		f := m.flow()
		batch = appendFlow(batch, f, i, m.body)
		text = m.text(text[:0], 2<<10)
		batch = append(batch, index.Text{Number: m.body, Text: append([]byte(nil), text...), Complete: true})
		if len(batch) >= 800 || i == n-1 {
			began := time.Now()
			apply(b, x, batch, i)
			spent += time.Since(began)
			batch = batch[:0]
		}
	}
	s, err := x.Stats(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if err := x.Close(); err != nil {
		b.Fatal(err)
	}
	info, _ := os.Stat(path)
	b.Logf("%d flows: %v a flow, with words; %d B a flow in the file; the process has %s", s.Flows, spent/time.Duration(n), info.Size()/int64(n), resident())
}

// resident is what the system says of the process, where it does.
func resident() string {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return fmt.Sprintf("%d MiB", m.Sys>>20)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}
