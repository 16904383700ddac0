package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"transom/filter"
	"transom/flow"
	"transom/store"
)

// A mix is flows as a gateway sees them: connections of a few exchanges, most by HTTP/2;
// four of ten answers have no body, a third of the others are ones that came before, and
// sizes are spread from hundreds of bytes to hundreds of thousands.
type mix struct {
	*rand.Rand
	conn  *flow.Conn
	left  int // exchanges of it
	certs [][]byte
	body  []byte
}

func newMix() *mix {
	m := &mix{Rand: rand.New(rand.NewPCG(1, 2)), body: make([]byte, 1<<20)}
	const letters = "etaoinshrdlu ,\"{}:0123"
	for i := range m.body { // words of some letters, as they come in pages and data
		m.body[i] = letters[min(m.IntN(len(letters)), m.IntN(len(letters))+6)]
	}
	for range 200 {
		m.certs = append(m.certs, m.bytes(1200+m.IntN(800)))
	}
	return m
}

func (m *mix) bytes(n int) []byte {
	at := m.IntN(len(m.body) - n)
	return m.body[at : at+n : at+n]
}

func (m *mix) next(now time.Time) (f *flow.Flow, body []byte) {
	if m.left == 0 {
		m.left = 1 + m.IntN(15)
		host := fmt.Sprintf("host%d.example", m.IntN(5000))
		cert := m.IntN(len(m.certs) - 2)
		m.conn = &flow.Conn{
			ID: flow.NewID(now), Start: now, Network: "tcp", Via: "redirect",
			Layers: []flow.Layer{{Proto: "tls", Host: host, TLS: &flow.TLS{
				ServerName: host, ALPN: []string{"h2", "http/1.1"}, Hello: m.bytes(600), JA3: strings.Repeat("a", 32), JA4: strings.Repeat("b", 36),
				Version: 0x304, CipherSuite: 0x1301, Protocol: "h2",
			}}, {Proto: "h2", H2: "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p"}},
			Server: &flow.Leg{Dialed: now, TLS: &flow.TLS{ServerName: host, Hello: m.bytes(300), Version: 0x304, Protocol: "h2", Chain: m.certs[cert : cert+2]}},
		}
	}
	m.left--
	host := m.conn.Layers[0].Host
	status := fmt.Sprint(200)
	f = &flow.Flow{ID: flow.NewID(now), Conn: m.conn, Start: now, Detail: &flow.HTTP{
		Request: &flow.RequestHead{
			Method: "GET", Scheme: "https", Authority: host, Target: fmt.Sprintf("/assets/%d/item-%d.json?v=%d", m.IntN(100), m.IntN(100000), m.IntN(10)), Proto: flow.HTTP2,
			Header: flow.Header{
				{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
				{Name: "accept", Value: "*/*"},
				{Name: "accept-language", Value: "en-US,en;q=0.5"},
				{Name: "accept-encoding", Value: "gzip, deflate, br, zstd"},
				{Name: "referer", Value: "https://" + host + "/"},
				{Name: "cookie", Value: "session=" + strings.Repeat("0123456789", 6)},
				{Name: "sec-fetch-dest", Value: "empty"},
				{Name: "sec-fetch-mode", Value: "cors"},
				{Name: "sec-fetch-site", Value: "same-origin"},
			},
			H2: &flow.H2Head{Stream: 13, Pseudo: flow.Header{{Name: ":method", Value: "GET"}, {Name: ":path", Value: "/x"}, {Name: ":authority", Value: host}, {Name: ":scheme", Value: "https"}}},
		},
		Response: &flow.ResponseHead{Status: 200, Proto: flow.HTTP2, Header: flow.Header{
			{Name: "date", Value: "Tue, 14 Nov 2023 22:13:20 GMT"},
			{Name: "content-type", Value: "application/json"},
			{Name: "content-length", Value: "1234"},
			{Name: "server", Value: "nginx"},
			{Name: "etag", Value: "\"0123456789abcdef\""},
			{Name: "cache-control", Value: "max-age=3600"},
			{Name: "vary", Value: "Accept-Encoding"},
		}, H2: &flow.H2Head{Stream: 13, Pseudo: flow.Header{{Name: ":status", Value: status}}}},
	}}
	switch k := m.IntN(100); {
	case k < 40:
	case k < 60:
		at := m.IntN(300) * 2000
		body = m.body[at : at+500+at%1500] // that came before
	case k < 95:
		body = m.bytes(200 + m.IntN(3000))
	default:
		body = m.bytes(1000 + m.IntN(60_000))
	}
	return f, body
}

// BenchmarkDisk records a mix: -benchtime 1000000x is what a gateway sees in weeks.
func BenchmarkDisk(b *testing.B) {
	d, err := store.OpenDisk(store.DiskOptions{Dir: b.TempDir(), Words: os.Getenv("WORDS") != ""})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	m := newMix()
	ctx := context.Background()
	b.ReportAllocs()
	bodies, n, begun := 0, 0, time.Now()
	for b.Loop() {
		f, body := m.next(time.Now())
		start := *f
		start.State = flow.Open
		d.Put(ctx, &start)
		h := f.Detail.(*flow.HTTP)
		var w store.BodyWriter
		if len(body) > 0 {
			w = d.NewBody()
			w.Write(body)
			h.ResponseBody = w.Ref()
			bodies += len(body)
		}
		f.Rev, f.State, f.End = 1, flow.Done, time.Now()
		d.Put(ctx, f)
		if w != nil {
			w.Close()
		}
		for n++; n%256 == 0 && d.Stats().Queued > 8<<20; { // faster than any traffic
			runtime.Gosched()
		}
	}
	if err := d.Sync(ctx); err != nil {
		b.Fatal(err)
	}
	written := time.Since(begun)                                      // Loop has stopped the timer
	for _, err := range d.Flows(ctx, store.Query{By: store.BySize}) { // when the index has come so far
		if err != nil {
			b.Fatal(err)
		}
		break
	}
	b.StopTimer()
	b.ReportMetric(float64(written)/float64(b.N), "written-ns/op")
	b.ReportMetric(float64(time.Since(begun))/float64(b.N), "indexed-ns/op")
	b.ReportMetric(float64(processor())/float64(b.N), "cpu-ns/op")
	s := d.Stats()
	b.ReportMetric(float64(s.Bytes)/float64(b.N), "disk-B/op")
	b.ReportMetric(float64(bodies)/float64(b.N), "body-B/op")
	b.ReportMetric(float64(s.Starved+s.Refused), "lost")
	b.ReportMetric(float64(peak())/(1<<20), "peak-MiB")
}

// peak is the most memory this process has had, or 0 where that isn't known.
func peak() (kb int64) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	fmt.Sscan(rest, &kb)
	return kb << 10
}

// processor is the time that processors have spent on this process.
func processor() time.Duration {
	s := []metrics.Sample{{Name: "/cpu/classes/user:cpu-seconds"}, {Name: "/cpu/classes/gc/total:cpu-seconds"}}
	runtime.GC() // which brings them up to date
	metrics.Read(s)
	return time.Duration((s[0].Value.Float64() + s[1].Value.Float64()) * float64(time.Second))
}

// BenchmarkDiskMixAlone is what making the mix costs.
func BenchmarkDiskMixAlone(b *testing.B) {
	m := newMix()
	b.ReportAllocs()
	for b.Loop() {
		m.next(time.Now())
	}
}

// BenchmarkOpen opens what was recorded, to record there and to read it, and reads the
// first page of what a filter finds. FLOWS=1000000 is what a gateway sees in weeks.
func BenchmarkOpen(b *testing.B) {
	n := 20_000
	fmt.Sscan(os.Getenv("FLOWS"), &n)
	o := store.DiskOptions{Dir: b.TempDir()}
	record := func(n int) {
		d, err := store.OpenDisk(o)
		if err != nil {
			b.Fatal(err)
		}
		m := newMix()
		for i := range n {
			f, body := m.next(time.Now())
			f.State, f.End = flow.Done, time.Now()
			if len(body) > 0 {
				w := d.NewBody()
				w.Write(body)
				f.Detail.(*flow.HTTP).ResponseBody = w.Ref()
				w.Close()
			}
			d.Put(context.Background(), f)
			for i%256 == 0 && d.Stats().Queued > 8<<20 {
				runtime.Gosched()
			}
		}
		for _, err := range d.Flows(context.Background(), store.Query{By: store.BySize, Limit: 1}) { // all is in the index
			if err != nil {
				b.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
	record(n)
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			d, err := store.OpenDisk(o)
			if err != nil {
				b.Fatal(err)
			}
			if err := d.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	x, err := filter.Parse(`~d host4321 & ~u item-7`, filter.Options{})
	if err != nil {
		b.Fatal(err)
	}
	read := func(b *testing.B) {
		var opened time.Duration
		for b.Loop() {
			begun := time.Now()
			r, err := store.OpenDiskReader(o)
			if err != nil {
				b.Fatal(err)
			}
			opened += time.Since(begun)
			for _, err := range r.Flows(context.Background(), store.Query{Filter: x, Descending: true, Limit: 20}) {
				if err != nil {
					b.Fatal(err)
				}
			}
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(opened)/float64(b.N), "open-ns/op")
		b.ReportMetric(float64(peak())/(1<<20), "peak-MiB")
	}
	b.Run("read", read)
	if err := os.Remove(filepath.Join(o.Dir, "index.db")); err != nil {
		b.Fatal(err)
	}
	b.Run("read-without-index", read)
}
