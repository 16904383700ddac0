package pcapng_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"transom/app/pcapng"
	"transom/flow"
	"transom/internal/testnet"
	"transom/message"
	"transom/store"
)

var (
	ctx   = context.Background()
	began = time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.UTC)
)

// A world is a store with what tests put into it.
type world struct {
	t testing.TB
	*store.Memory
}

func newWorld(t testing.TB) world {
	m := store.NewMemory(store.MemoryOptions{BodyLimit: 8 << 20})
	t.Cleanup(func() { m.Close() })
	return world{t, m}
}

func (w world) body(data []byte) flow.BodyRef {
	b := w.NewBody()
	b.Write(data)
	return b.Ref()
}

func (w world) log(es ...message.Entry) flow.BodyRef {
	var log []byte
	var before time.Duration
	for _, e := range es {
		e.Size = int64(len(e.Payload))
		log = append(message.AppendHead(log, &e, before), e.Payload...)
		before = e.At
	}
	return w.body(log)
}

// conn is a connection to a port of shop.test, with TLS or without.
func conn(client, server string, tls bool) *flow.Conn {
	c := &flow.Conn{
		ID: flow.NewID(began), Start: began, Network: "tcp", Client: netip.MustParseAddrPort(client), Dst: netip.MustParseAddrPort(server),
	}
	if tls {
		return c.With(flow.Layer{Proto: "tls", Host: "shop.test", TLS: &flow.TLS{Version: 0x304, ServerName: "shop.test"}})
	}
	return c.With(flow.Layer{Proto: "http/1.1", Host: "shop.test"})
}

func flowOf(c *flow.Conn, d flow.Detail) *flow.Flow {
	return &flow.Flow{ID: flow.NewID(began), Conn: c, Start: began, End: began.Add(100 * time.Millisecond), State: flow.Done, Detail: d}
}

func exchange(method, target string, proto flow.Proto) *flow.HTTP {
	return &flow.HTTP{
		Request: &flow.RequestHead{
			Method: method, Scheme: "https", Authority: "shop.test", Target: target, Proto: proto, Header: flow.Header{{Name: "Host", Value: "shop.test"}},
		},
		Response:  &flow.ResponseHead{Status: 200, Reason: "OK", Proto: proto, Header: flow.Header{{Name: "Content-Type", Value: "text/plain"}}},
		FirstByte: began.Add(60 * time.Millisecond),
	}
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write(data)
	z.Close()
	return b.Bytes()
}

const (
	v4    = "192.0.2.7:50000"
	v6    = "[2001:db8::7]:50001"
	query = "\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04shop\x04test\x00\x00\x01\x00\x01"
	reply = "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x04shop\x04test\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc6\x33\x64\x09"
)

// some are flows of every kind.
func (w world) some() []*flow.Flow {
	tls := conn(v4, "198.51.100.9:443", true)
	plain := exchange("GET", "/plain?x=1", flow.HTTP11)
	plain.Response.Header.Add("Content-Length", "5")
	plain.ResponseBody = w.body([]byte("hello"))
	post := exchange("POST", "/post", flow.HTTP2)
	post.Request.Header = flow.Header{{Name: "content-type", Value: "application/x-www-form-urlencoded"}}
	post.RequestBody = w.body([]byte("user=ann&word=b"))
	post.Response.Reason = ""
	post.ResponseBody = w.body([]byte("posted"))
	coded := exchange("GET", "/coded", flow.HTTP11)
	coded.Response.Header = append(coded.Response.Header, flow.Field{Name: "Content-Encoding", Value: "gzip"}, flow.Field{Name: "Transfer-Encoding", Value: "chunked"})
	coded.ResponseBody = w.body(gzipped([]byte("was coded")))
	head := exchange("HEAD", "/head", flow.HTTP11)
	head.Response.Header.Add("Content-Length", "4711")
	large := exchange("GET", "/large", flow.HTTP2)
	large.ResponseBody = w.body(bytes.Repeat([]byte("012 456789"), 30_000))
	odd := exchange("GET", "/odd", flow.HTTP11)
	odd.Response.Header.Add("Content-Length", "2")
	odd.ResponseBody = w.body([]byte("ok"))
	lost := exchange("GET", "/lost", flow.HTTP11)
	lost.Response, lost.FirstByte = nil, time.Time{}
	failed := flowOf(tls, lost)
	failed.State = flow.Failed

	live := exchange("GET", "/live", flow.HTTP11)
	live.Request.Header = append(live.Request.Header, flow.Field{Name: "Connection", Value: "Upgrade"}, flow.Field{Name: "Upgrade", Value: "websocket"})
	live.Response.Status, live.Response.Reason = 101, "Switching Protocols"
	live.Response.Header = flow.Header{{Name: "Connection", Value: "Upgrade"}, {Name: "Upgrade", Value: "websocket"}}
	h := flowOf(tls, live)
	m := flowOf(tls, &flow.Messages{Kind: "websocket", Handshake: h.ID, Request: live.Request, Log: w.log(
		message.Entry{Op: 1, At: time.Second, Payload: []byte("to the server")},
		message.Entry{Op: 1, Dir: message.ToClient, At: 2 * time.Second, Payload: []byte(strings.Repeat("back", 100))},
		message.Entry{Op: 8, At: 3 * time.Second, Payload: []byte("\x03\xe8")},
	)})
	live.Began = m.ID
	extended := exchange("CONNECT", "/live2", flow.HTTP2)
	extended.Request.Protocol = "websocket"
	h2 := flowOf(tls, extended)
	m2 := flowOf(tls, &flow.Messages{Kind: "websocket", Handshake: h2.ID, Request: extended.Request, Log: w.log(
		message.Entry{Op: 1, At: time.Second, Payload: []byte("by HTTP/2")},
	)})
	extended.Began = m2.ID

	udp := conn(v4, "198.51.100.53:53", false)
	udp.Network = "udp"
	dns := flowOf(udp, &flow.DNS{Query: &flow.DNSMessage{Raw: []byte(query)}, Answer: &flow.DNSMessage{Raw: []byte(reply)}})
	dnsTCP := flowOf(conn(v6, "[2001:db8::53]:53", false), &flow.DNS{Query: &flow.DNSMessage{Raw: []byte(query)}, Answer: &flow.DNSMessage{Raw: []byte(reply)}})
	other := conn(v4, "198.51.100.9:4000", false)
	other.Network = "udp"
	datagrams := flowOf(other, &flow.Messages{Kind: "udp", Log: w.log(message.Entry{Payload: []byte("ping")}, message.Entry{Dir: message.ToClient, At: 5, Payload: []byte("pong!")})})
	raw := flowOf(conn(v4, "198.51.100.9:25", false), &flow.Messages{Kind: "tcp", Log: w.log(
		message.Entry{Dir: message.ToClient, Payload: []byte("220 mail.test\r\n")}, message.Entry{At: 9, Payload: []byte("EHLO a.test\r\n")},
	)})
	return []*flow.Flow{
		flowOf(tls, plain), flowOf(tls, post), flowOf(conn(v6, "[2001:db8::9]:443", true), coded), flowOf(tls, head), flowOf(tls, large),
		flowOf(conn(v4, "198.51.100.9:3333", false), odd), failed, h, m, h2, m2, dns, dnsTCP, datagrams, raw,
		flowOf(&flow.Conn{}, exchange("GET", "/nowhere", flow.HTTP11)), flowOf(tls, &flow.Connection{}),
	}
}

func (w world) write(out io.Writer, flows ...*flow.Flow) *pcapng.Writer {
	w.t.Helper()
	pw := pcapng.NewWriter(out, pcapng.Options{Version: "1"})
	for _, f := range flows {
		if err := pw.Write(ctx, f, w); err != nil {
			w.t.Fatal(err)
		}
	}
	return pw
}

func (w world) file(flows ...*flow.Flow) string {
	w.t.Helper()
	name := filepath.Join(w.t.TempDir(), "flows.pcapng")
	f, err := os.Create(name)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	if err := w.write(f, flows...).Close(); err != nil {
		w.t.Fatal(err)
	}
	return name
}

// tshark reads a file, and prints fields of the packets that match.
func tshark(t *testing.T, name, filter string, fields ...string) string {
	t.Helper()
	path, err := exec.LookPath("tshark")
	testnet.Need(t, err == nil, "the program tshark")
	arg := []string{"-r", name, "-n", "-2", "-Y", filter, "-T", "fields", "-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"}
	for _, f := range fields {
		arg = append(arg, "-e", f)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, arg...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark: %v\n%s", err, &errs)
	}
	return decoded(string(out), fields)
}

// decoded undoes the hexadecimal that tshark has for bodies since version 4.2.
func decoded(out string, fields []string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		for i := range columns {
			if data, err := hex.DecodeString(columns[i]); err == nil && i < len(fields) && fields[i] == "http.file_data" {
				columns[i] = string(data)
			}
		}
		b.WriteString(strings.Join(columns, "\t") + "\n")
	}
	return b.String()
}

// TestTshark: what tshark makes of a file is what was recorded.
func TestTshark(t *testing.T) {
	w := newWorld(t)
	name := w.file(w.some()...)
	for _, c := range []struct {
		filter string
		fields []string
		want   string
	}{
		{"http.request", []string{"ip.src", "ipv6.src", "tcp.dstport", "http.request.method", "http.request.full_uri", "http.file_data"}, `
192.0.2.7||80|GET|http://shop.test/plain?x=1|
192.0.2.7||80|POST|http://shop.test/post|user=ann&word=b
|2001:db8::7|80|GET|http://shop.test/coded|
192.0.2.7||80|HEAD|http://shop.test/head|
192.0.2.7||80|GET|http://shop.test/large|
192.0.2.7||3333|GET|http://shop.test/odd|
192.0.2.7||80|GET|http://shop.test/lost|
192.0.2.7||80|GET|http://shop.test/live|
192.0.2.7||80|GET|http://shop.test/live2|
192.0.2.1||80|GET|http://shop.test/nowhere|
`},
		{"http.response and not http.request.uri contains \"large\"", []string{"http.response.code", "http.response_for.uri", "http.file_data"}, `
200|http://shop.test/plain?x=1|hello
200|http://shop.test/post|posted
200|http://shop.test/coded|was coded
200|http://shop.test/head|
200|http://shop.test/large|` + strings.Repeat("012 456789", 30_000) + `
200|http://shop.test/odd|ok
101|http://shop.test/live|
101|http://shop.test/live2|
200|http://shop.test/nowhere|
`},
		{"websocket", []string{"websocket.opcode", "websocket.mask", "websocket.payload.text", "websocket.payload.close.status_code"}, `
1|1|to the server|
1|0|` + strings.Repeat("back", 100) + `|
8|1||1000
1|1|by HTTP/2|
`},
		{"dns", []string{"udp.dstport", "tcp.dstport", "dns.qry.name", "dns.a", "dns.flags.response"}, `
53||shop.test||0
50000||shop.test|198.51.100.9|1
|53|shop.test||0
|50001|shop.test|198.51.100.9|1
`},
		{"smtp", []string{"smtp.rsp.parameter", "smtp.req.command"}, "\nmail.test|\n|EHLO\n"},
		{"udp.port == 4000", []string{"udp.dstport", "udp.length", "frame.time_epoch"}, "\n4000|12|1770091506.789012345\n50000|13|1770091506.789012350\n"},
		{`http.request.uri contains "plain" or http.response_for.uri contains "plain"`, []string{"frame.time_epoch"}, "\n1770091506.789012345\n1770091506.849012345\n"},
		// Nothing is lost, sent twice, or miscounted.
		{"tcp.checksum.status == 0 or udp.checksum.status == 0 or ip.checksum.status == 0 or _ws.malformed or tcp.analysis.lost_segment or " +
			"tcp.analysis.retransmission or tcp.analysis.out_of_order or tcp.analysis.ack_lost_segment or tcp.analysis.window_full", []string{"frame.number"}, "\n"},
		{"tcp.flags.reset == 1", []string{"tcp.srcport"}, "\n80\n"},
	} {
		got := "\n" + strings.ReplaceAll(tshark(t, name, c.filter, c.fields...), "\t", "|")
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %.3000s", c.filter, d)
		}
	}
	if got := tshark(t, name, `http.request.uri contains "post"`, "frame.comment"); !strings.Contains(got, "https://shop.test/post") ||
		!strings.Contains(got, "was HTTP/2.0") || !strings.Contains(got, "the port was 443") {
		t.Errorf("comment %q", got)
	}
}

// TestNames: an address is called what its client called it.
func TestNames(t *testing.T) {
	w := newWorld(t)
	path, err := exec.LookPath("tshark")
	testnet.Need(t, err == nil, "the program tshark")
	out, err := exec.Command(path, "-r", w.file(w.some()[:3]...), "-N", "n", "-Y", "http.request", "-T", "fields", "-e", "ip.dst_host", "-e", "ipv6.dst_host").Output()
	if err != nil || string(out) != "shop.test\t\nshop.test\t\n\tshop.test\n" {
		t.Errorf("%q, %v", out, err)
	}
}

// TestStream: a pipe can be read from the beginning, before it ends.
func TestStream(t *testing.T) {
	w := newWorld(t)
	path, err := exec.LookPath("tshark")
	testnet.Need(t, err == nil, "the program tshark")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-i", "-", "-l", "-n", "-Y", "http.request", "-T", "fields", "-e", "http.request.uri")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pw := pcapng.NewWriter(in, pcapng.Options{})
	for _, f := range w.some() {
		if err := pw.Write(ctx, f, w); err != nil {
			t.Fatal(err)
		}
	}
	pw.Close()
	in.Close()
	if err := cmd.Wait(); err != nil || !strings.Contains(out.String(), "/plain?x=1\n/post\n") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestKeys: lines of a key log are in the file, in front of the flow behind them, and
// not if they are not wanted.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	line := []byte("CLIENT_RANDOM " + strings.Repeat("ab", 32) + " " + strings.Repeat("cd", 48) + "\n")
	for _, without := range []bool{false, true} {
		var out bytes.Buffer
		keys := new(pcapng.Keys)
		o := pcapng.Options{Keys: keys}
		if without {
			o.Keys = nil
		}
		pw := pcapng.NewWriter(&out, o)
		keys.Write(line)
		if err := pw.Write(ctx, w.some()[0], w); err != nil {
			t.Fatal(err)
		}
		keys.Write(line)
		keys.Write(line)
		if err := pw.Close(); err != nil {
			t.Fatal(err)
		}
		want := []uint32{0x0a0d0d0a, 1, 10, 4, 6, 6, 6, 6, 6, 6, 6, 6, 10}
		if without {
			want = []uint32{0x0a0d0d0a, 1, 4, 6, 6, 6, 6, 6, 6, 6, 6}
		}
		if d := cmp.Diff(want, kinds(t, out.Bytes())); d != "" {
			t.Errorf("without %v: %s", without, d)
		}
		if n := bytes.Count(out.Bytes(), line); n != map[bool]int{false: 3}[without] {
			t.Errorf("without %v: %d lines", without, n)
		}
	}
}

// kinds takes a file apart, by the lengths that blocks have at both ends.
func kinds(t *testing.T, p []byte) (kinds []uint32) {
	t.Helper()
	for len(p) > 0 {
		if len(p) < 12 {
			t.Fatalf("%d bytes are left", len(p))
		}
		n := binary.LittleEndian.Uint32(p[4:])
		if n%4 != 0 || n < 12 || int(n) > len(p) || binary.LittleEndian.Uint32(p[n-4:]) != n {
			t.Fatalf("a block of %d bytes, and %d are left", n, len(p))
		}
		kinds = append(kinds, binary.LittleEndian.Uint32(p))
		p = p[n:]
	}
	return kinds
}

// TestHostile: what nobody should send makes a file nevertheless.
func TestHostile(t *testing.T) {
	w := newWorld(t)
	odd := exchange("", "", flow.HTTP11)
	odd.Request.Raw = []byte("\x00\xff no HTTP\r\n\r\n")
	named := exchange("GET", "/", flow.HTTP11)
	c := conn(v4, "198.51.100.9:80", false)
	c.Layers[0].Host = "a\x00b"
	mixed := conn(v4, "[2001:db8::9]:443", true)
	huge := conn(v4, "198.51.100.9:4000", false)
	huge.Network = "udp"
	early := flowOf(c, exchange("GET", "/early", flow.HTTP11))
	early.Start, early.End = time.Unix(-1, 0), time.Time{}
	cut := exchange("GET", "/"+strings.Repeat("\xff", 5000), flow.HTTP11)
	cut.ResponseBody = w.body([]byte("part"))
	cut.ResponseBody.Size = 10
	name := w.file(
		flowOf(c, odd), flowOf(c, named), flowOf(mixed, exchange("GET", "/mixed", flow.HTTP11)), early, flowOf(c, cut),
		flowOf(huge, &flow.Messages{Kind: "udp", Log: w.log(message.Entry{Payload: make([]byte, 65507)})}),
		flowOf(c, &flow.DNS{}), flowOf(nil, &flow.DNS{Query: &flow.DNSMessage{}}), flowOf(c, &flow.Messages{Kind: "tcp"}),
	)
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	kinds(t, data)
	if got := tshark(t, name, "http.request.uri contains \"mixed\"", "ipv6.src", "ipv6.dst"); got != "::ffff:192.0.2.7\t2001:db8::9\n" {
		t.Errorf("%q", got)
	}
}

// TestGone: a flow whose body is gone is there without it, and says so.
func TestGone(t *testing.T) {
	w := newWorld(t)
	gone := exchange("GET", "/gone", flow.HTTP11)
	gone.ResponseBody = flow.BodyRef{Segment: 4711, Size: 1, Kept: 1}
	for _, d := range []flow.Detail{gone, &flow.Messages{Kind: "tcp", Log: gone.ResponseBody}} {
		name := w.file(flowOf(conn(v4, "198.51.100.9:443", true), d), w.some()[1])
		if got := tshark(t, name, "tcp.flags.reset == 1", "frame.comment"); !strings.Contains(got, "no longer kept") {
			t.Errorf("%T: %q", d, got)
		}
		if got := tshark(t, name, "http.response", "http.file_data"); !strings.HasSuffix(got, "posted\n") {
			t.Errorf("%T: %q", d, got)
		}
	}
}

// A full takes so much, and then fails once.
type full struct {
	*os.File
	left int
}

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	if f.left >= 0 && len(p) > f.left {
		n, _ := f.File.Write(p[:f.left])
		f.left = -1
		return n, errFull
	}
	if f.left >= 0 {
		f.left -= len(p)
	}
	return f.File.Write(p)
}

// TestFullDisk: a flow that can't be written is not there in part, and others follow.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	flows := w.some()[:4]
	var whole bytes.Buffer
	w.write(&whole, flows...)
	for left := 1; left < whole.Len(); left += 97 {
		f, err := os.Create(filepath.Join(t.TempDir(), "flows.pcapng"))
		if err != nil {
			t.Fatal(err)
		}
		pw := pcapng.NewWriter(&full{f, left}, pcapng.Options{Version: "1"})
		for _, fl := range flows {
			if err := pw.Write(ctx, fl, w); err != nil && !errors.Is(err, errFull) {
				t.Fatal(err)
			}
		}
		data, _ := os.ReadFile(f.Name())
		f.Close()
		kinds(t, data)
		if n := bytes.Count(data, []byte("HTTP/1.1 200")); n != len(flows)-1 {
			t.Fatalf("after %d bytes: %d flows", left, n)
		}
	}
}

// FuzzWrite: whatever a flow holds, a file is made of blocks.
func FuzzWrite(f *testing.F) {
	f.Add("GET", "/", "a: b", []byte("body"), uint16(200))
	f.Add("HEAD", "*", "Transfer-Encoding: chunked", []byte{}, uint16(101))
	f.Fuzz(func(t *testing.T, method, target, field string, body []byte, status uint16) {
		w := newWorld(t)
		h := exchange(method, target, flow.HTTP2)
		name, value, _ := strings.Cut(field, ": ")
		h.Request.Header.Add(name, value)
		h.Response.Header.Add(name, value)
		h.Response.Status = int(status)
		h.ResponseBody, h.RequestBody = w.body(body), w.body(body)
		var out bytes.Buffer
		w.write(&out, flowOf(conn(v4, "198.51.100.9:443", true), h), flowOf(conn(v6, "198.51.100.9:443", true), &flow.DNS{Query: &flow.DNSMessage{Raw: body}}))
		kinds(t, out.Bytes())
	})
}

func BenchmarkWrite(b *testing.B) {
	w := newWorld(b)
	h := exchange("GET", "/a?x=1", flow.HTTP2)
	h.ResponseBody = w.body(bytes.Repeat([]byte("text "), 1000))
	f := flowOf(conn(v4, "198.51.100.9:443", true), h)
	out, err := os.Create(filepath.Join(b.TempDir(), "flows.pcapng"))
	if err != nil {
		b.Fatal(err)
	}
	defer out.Close()
	pw := pcapng.NewWriter(out, pcapng.Options{})
	b.ReportAllocs()
	for b.Loop() {
		if err := pw.Write(ctx, f, w); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}
