package sniff_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"transom/internal/proto/sniff"
)

func TestStream(t *testing.T) {
	msg := plain().message()
	long := "GET /" + strings.Repeat("a", sniff.MaxRequestLine)
	cases := map[string]struct {
		in    string
		want  sniff.Answer
		proto string
	}{
		"nothing":             {"", sniff.More, ""},
		"tls-one-byte":        {"\x16", sniff.More, ""},
		"tls-five-bytes":      {"\x16\x03\x01\x02\x00", sniff.More, ""},
		"tls-type":            {"\x16\x03\x01\x02\x00\x01", sniff.Yes, "tls"},
		"tls-version-4":       {"\x16\x03\x04\x02\x00\x01", sniff.Yes, "tls"},
		"tls-version-5":       {"\x16\x03\x05", sniff.No, ""},
		"tls-server-hello":    {"\x16\x03\x01\x02\x00\x02", sniff.No, ""},
		"tls-empty-record":    {"\x16\x03\x01\x00\x00", sniff.No, ""},
		"tls-big-record":      {"\x16\x03\x01\x40\x01", sniff.No, ""},
		"tls-alert":           {"\x15\x03\x01\x00\x02\x02\x28", sniff.No, ""},
		"sslv2":               {"\x80\x2e\x01\x03\x01", sniff.No, ""},
		"tls-whole":           {string(records(msg, 5000)), sniff.Yes, "tls"},
		"http-letter":         {"G", sniff.More, ""},
		"http-method":         {"GET", sniff.More, ""},
		"http-target":         {"GET /index", sniff.More, ""},
		"http-version-begun":  {"GET / HTTP/1", sniff.More, ""},
		"http-version":        {"GET / HTTP/1.1", sniff.More, ""},
		"http":                {"GET / HTTP/1.1\r\n", sniff.Yes, "http/1.1"},
		"http-bare-lf":        {"GET / HTTP/1.1\n", sniff.Yes, "http/1.1"},
		"http-10":             {"POST http://a.example/ HTTP/1.0\r\nHost", sniff.Yes, "http/1.1"},
		"http-connect":        {"CONNECT a.example:443 HTTP/1.1\r\n", sniff.Yes, "http/1.1"},
		"http-odd-method":     {"M-SEARCH * HTTP/1.1\r\n", sniff.Yes, "http/1.1"},
		"http-lower-case":     {"get / HTTP/1.1\r\n", sniff.Yes, "http/1.1"},
		"http-utf8-target":    {"GET /\xc3\xa9\"{} HTTP/1.1\r\n", sniff.Yes, "http/1.1"},
		"http-empty-line":     {"\r\n\r\nGET / HTTP/1.1\r\n", sniff.Yes, "http/1.1"},
		"http-empty-only":     {"\r\n", sniff.More, ""},
		"http-cr":             {"\r", sniff.More, ""},
		"http-cr-letter":      {"\rG", sniff.No, ""},
		"http-09":             {"GET /\r\n", sniff.No, ""},
		"http-two-spaces":     {"GET  / HTTP/1.1\r\n", sniff.No, ""},
		"http-space-first":    {" GET", sniff.No, ""},
		"http-long-method":    {strings.Repeat("A", 33), sniff.No, ""},
		"http-long":           {long, sniff.Yes, "http/1.1"},
		"http-long-strange":   {"GET " + strings.Repeat("a", sniff.MaxRequestLine), sniff.No, ""},
		"http-long-crlf":      {strings.Repeat("\r\n", sniff.MaxRequestLine/2-2) + "GET x", sniff.No, ""},
		"h2-begun":            {"PRI * HTTP/2.0\r\n\r\nSM", sniff.More, ""},
		"h2":                  {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00", sniff.Yes, "h2"},
		"smtp":                {"EHLO mail.example\r\n", sniff.No, ""},
		"irc":                 {"NICK alice\r\n", sniff.No, ""},
		"redis-inline":        {"SET key value\r\n", sniff.No, ""},
		"redis":               {"*1\r\n$4\r\nPING\r\n", sniff.No, ""},
		"memcached":           {"get key\r\n", sniff.No, ""},
		"nats":                {"CONNECT {\"verbose\":false}\r\n", sniff.No, ""},
		"rtsp":                {"OPTIONS rtsp://a.example/ RTSP/1.0\r\n", sniff.No, ""},
		"sip":                 {"INVITE sip:bob@a.example SIP/2.0\r\n", sniff.No, ""},
		"ssh":                 {"SSH-2.0-OpenSSH_9.2\r\n", sniff.No, ""},
		"imap":                {"a1 LOGIN bob secret\r\n", sniff.No, ""},
		"mqtt":                {"\x10\x10\x00\x04MQTT", sniff.No, ""},
		"postgres":            {"\x00\x00\x00\x08\x04\xd2\x16\x2f", sniff.No, ""},
		"socks5":              {"\x05\x01\x00", sniff.No, ""},
		"bittorrent":          {"\x13BitTorrent protocol", sniff.No, ""},
		"http-then-something": {"GET / HTTX", sniff.No, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := sniff.Stream([]byte(c.in))
			if r.Answer != c.want || r.Layer.Proto != c.proto {
				t.Errorf("Stream(%.40q) = %s %q, want %s %q", c.in, r.Answer, r.Layer.Proto, c.want, c.proto)
			}
			checkSplits(t, []byte(c.in), 1)
		})
	}
}

// checkSplits feeds in by steps and checks that no answer is taken back.
func checkSplits(t interface {
	Helper()
	Fatalf(string, ...any)
}, in []byte, step int,
) {
	t.Helper()
	var last sniff.Result
	for n := 0; n <= len(in); n += step {
		r := sniff.Stream(in[:n])
		if last.Answer != sniff.More && r.Answer != last.Answer {
			t.Fatalf("%s became %s at byte %d of %.60q", last.Answer, r.Answer, n, in)
		}
		if last.Answer == sniff.Yes && r.Layer.Proto != last.Layer.Proto {
			t.Fatalf("%s became %s at byte %d of %.60q", last.Layer.Proto, r.Layer.Proto, n, in)
		}
		if last.Complete && !r.Complete || last.Err != nil && (r.Err == nil || r.Err.Error() != last.Err.Error()) {
			t.Fatalf("complete %v, %v became %v, %v at byte %d", last.Complete, last.Err, r.Complete, r.Err, n)
		}
		if last.Complete && last.Layer.TLS != nil && !bytes.Equal(last.Layer.TLS.Hello, r.Layer.TLS.Hello) {
			t.Fatalf("the hello changed at byte %d", n)
		}
		if r.Answer == sniff.More && n >= sniff.Max {
			t.Fatalf("still undecided at byte %d", n)
		}
		if r.Answer == sniff.Yes && n >= sniff.Max && !r.Complete && r.Err == nil {
			t.Fatalf("still incomplete at byte %d", n)
		}
		last = r
	}
}

func TestFragmentedHello(t *testing.T) {
	for file, stream := range captured(t) {
		msg := body(stream)
		for _, size := range []int{1, 2, 3, 5, 100, 16384} {
			cut := append(records(msg, size), "\x17\x03\x03 early data"...)
			r := sniff.Stream(cut)
			if !r.Complete || r.Err != nil || !bytes.Equal(r.Layer.TLS.Hello, msg) {
				t.Errorf("%s in records of %d: %v, %v", file, size, r.Complete, r.Err)
			}
			checkSplits(t, cut, 1)
		}
	}
}

func TestHelloThatCannotEnd(t *testing.T) {
	huge := plain()
	huge.exts = append(huge.exts, ext{21, make([]byte, 50000)})
	msg := huge.message()
	long := bytes.Clone(msg)
	long[1] = 2
	interleaved := records(msg[:10], 10)
	interleaved = append(interleaved, 21, 3, 1, 0, 2, 2, 40)
	cases := map[string]struct {
		in   []byte
		want string
	}{
		"empty-record-inside": {append(records(msg[:10], 10), 22, 3, 1, 0, 0), "record of 0 bytes"},
		"big-record-inside":   {append(records(msg[:10], 10), 22, 3, 1, 0x40, 1), "record of 16385 bytes"},
		"alert-inside":        {interleaved, "at byte 15: record of type 21"},
		"version-inside":      {append(records(msg[:10], 10), 22, 2), "record version 2"},
		"announced-too-long":  {records(long, 5000), "larger than"},
		"too-many-records":    {records(msg, 1), "not complete within 65536 bytes"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := sniff.Stream(c.in)
			if r.Answer != sniff.Yes || r.Complete || r.Err == nil || !strings.Contains(r.Err.Error(), c.want) {
				t.Errorf("Stream = %s, complete %v, %v; want %q", r.Answer, r.Complete, r.Err, c.want)
			}
			checkSplits(t, c.in, 997)
		})
	}
	t.Run("large-but-legal", func(t *testing.T) {
		if r := sniff.Stream(records(msg, 16384)); !r.Complete || r.Err != nil {
			t.Errorf("Stream = %+v", r)
		}
	})
}

// TestMonotonic draws streams that begin like what is known and go wrong
// anywhere.
func TestMonotonic(t *testing.T) {
	var starts []string
	for _, s := range captured(t) {
		starts = append(starts, string(s), string(records(body(s), 7)))
	}
	starts = append(starts, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\nOPTIONS * HTTP/1.0\n", "EHLO a b\r\n")
	rapid.Check(t, func(t *rapid.T) {
		in := []byte(rapid.SampledFrom(starts).Draw(t, "start"))
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			in[rapid.IntRange(0, min(len(in)-1, 80)).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		in = append(in, rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "tail")...)
		checkSplits(t, in, 1)
	})
}
