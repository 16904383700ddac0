package export_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"transom/app/export"
	"transom/flow"
)

var update = flag.Bool("update", false, "rewrite testdata")

var began = time.Date(2026, 3, 4, 5, 6, 7, 80_000_000, time.UTC)

func id(n byte) flow.ID { return flow.ID{0: 1, 6: 0x70, 8: 0x80, 15: n} }

func conn() *flow.Conn {
	return &flow.Conn{
		ID: id(1), Start: began, Network: "tcp", Via: "redirect",
		Client: netip.MustParseAddrPort("192.168.1.2:50422"),
		Dst:    netip.MustParseAddrPort("10.9.0.2:443"),
		Layers: []flow.Layer{
			{Proto: "tls", Host: "shop.example", TLS: &flow.TLS{
				ServerName: "shop.example", ALPN: []string{"h2", "http/1.1"}, Version: 0x304, CipherSuite: 0x1301,
				Protocol: "http/1.1", JA3: "0149f47eabf9a20d0893e2a44e5a6323", JA4: "t13d1516h2_8daaf6152771_02713d6af862",
			}},
		},
		Server: &flow.Leg{
			From: netip.MustParseAddrPort("10.9.0.1:40000"), To: netip.MustParseAddrPort("10.9.0.2:443"),
			TLS: &flow.TLS{
				ServerName: "shop.example", ALPN: []string{"http/1.1"}, Version: 0x303, CipherSuite: 0xc02f, Protocol: "http/1.1",
				JA3: "2edd4c5e14382bf8930de94c47fba4a9", JA4: "t12d1711h1_9e580b23da12_a92c7c6a82fe", VerifyErr: "unknown authority",
			},
		},
	}
}

func get() *flow.HTTP {
	return &flow.HTTP{
		Request: &flow.RequestHead{
			Method: "GET", Scheme: "https", Authority: "shop.example", Target: "/cart?a=1", Proto: flow.HTTP11,
			Header: flow.Header{{Name: "Host", Value: "shop.example"}, {Name: "ACCEPT", Value: "*/*"}},
		},
		Response: &flow.ResponseHead{
			Status: 200, Reason: "OK", Proto: flow.HTTP11,
			Header: flow.Header{{Name: "Content-Type", Value: "text/html"}},
		},
		ResponseBody: flow.BodyRef{Size: 5120, Kept: 5120, Segment: 7},
		FirstByte:    began.Add(3 * time.Millisecond),
	}
}

func done(c *flow.Conn, d flow.Detail) *flow.Flow {
	return &flow.Flow{
		ID: id(2), Rev: 1, Conn: c, Start: began, End: began.Add(12345678 * time.Nanosecond),
		State: flow.Done, Detail: d,
	}
}

func flows() map[string]*flow.Flow {
	odd := get()
	odd.Request.Header.Add("X-Odd", "caf\xe9 \x1b[31m")
	odd.Request.Target = "/\xff"
	odd.Response.Header.Add("X-Even", "café \u202e \u0085")

	two := conn().With(flow.Layer{Proto: "h2"}).H2("2:0;4:4194304|1073741824|0|a,m,p,s")
	leg := *two.Server
	leg.H2 = "2:0|00|0|a,m,p,s"
	two = two.WithServer(&leg)

	changed := get()
	was := *changed.Request
	was.Target = "/before"
	changed.OriginalRequest = &was
	changed.OriginalResponseBody = &flow.BodyRef{Size: 9, Kept: 4, Truncated: true}
	changed.Interim = []flow.ResponseHead{{Status: 103, Proto: flow.HTTP11}}
	changed.ResponseTrailer = flow.Header{{Name: "Sum", Value: "1"}}
	changed.Notes = []string{"no Host"}

	upgraded := get()
	upgraded.Response.Status, upgraded.Began = 101, id(4)

	refused := done(conn(), &flow.HTTP{
		Request:  &flow.RequestHead{Raw: []byte("GET / HTTP/1.1\r\nHost : \xff\r\n")},
		Response: &flow.ResponseHead{Status: 400},
	})
	refused.State, refused.Err = flow.Failed, "space before the colon"

	unknown := &flow.Conn{ID: id(1), Start: began, Via: "redirect", Client: netip.MustParseAddrPort("[fe80::1%eth0]:5")}
	pinned := conn()
	pinned.Layers[0].TLS.Version = 0
	pinned.Layers[0].TLS.ServerName = "odd\xff"
	pinned.Server = &flow.Leg{Err: "connection refused"}

	udp := &flow.Conn{
		ID: id(1), Start: began, Network: "udp", Via: "tproxy",
		Client: netip.MustParseAddrPort("192.168.1.2:50422"), Dst: netip.MustParseAddrPort("10.9.0.2:53"),
		Server: &flow.Leg{From: netip.MustParseAddrPort("192.168.1.2:50422"), To: netip.MustParseAddrPort("10.9.0.2:53")},
	}
	asked := []flow.DNSQuestion{{Name: "shop.example", Type: flow.TypeHTTPS, Class: 1}, {Name: `odd\000.example`, Type: 65280, Class: 3}}
	dns := &flow.DNS{
		Query: &flow.DNSMessage{ID: 4711, Flags: flow.DNSRecursionDesired, Questions: asked, Raw: []byte("query")},
		Answer: &flow.DNSMessage{
			ID: 4711, Flags: flow.DNSResponse | flow.DNSAuthoritative | flow.DNSTruncated | 3, RCode: 3, Questions: asked, Raw: []byte("answer"),
			Answers: []flow.DNSRecord{{Name: "shop.example", Type: flow.TypeCNAME, Class: 1, TTL: 300, Data: "www.shop.example"}},
		},
		Notes: []string{"asked again"},
	}

	local := conn().WithProcess(&flow.Process{
		PID: 4711, Name: "a\n\x1b[31mb\xff", Path: "/opt/odd\x1b", UID: 1000, User: "alice",
		Cgroup: "/system.slice/docker-0.scope", Container: "docker 0123456789ab", Unit: "docker-0.scope",
	})
	gone := conn().WithProcess(&flow.Process{UID: 0})

	device := conn().WithDevice(&flow.Device{MAC: "02:00:5e:10:00:01", Name: "odd\x1b\xff\"", NamedBy: "dhcp"})
	nameless := conn().WithDevice(&flow.Device{MAC: "02:00:5e:10:00:01"})

	return map[string]*flow.Flow{
		"device":   done(device, get()),
		"nameless": done(nameless, &flow.Connection{Action: "inspect"}),

		"local": done(local, get()),
		"gone":  done(gone, &flow.Connection{Action: "inspect"}),
		"dns":   done(udp, dns),
		"udp": done(udp, &flow.Messages{
			Kind: "udp", Count: [2]int64{2, 3}, Bytes: [2]int64{20, 30}, Log: flow.BodyRef{Size: 70, Kept: 70, Segment: 1},
		}),
		"http":    done(conn(), get()),
		"odd":     done(conn(), odd),
		"changed": done(conn(), changed),
		"h2":      done(two, get()),
		"refused": refused,
		"tcp": done(conn(), &flow.Messages{
			Kind: "tcp", Count: [2]int64{2, 3}, Bytes: [2]int64{20, 30}, Log: flow.BodyRef{Size: 70, Kept: 70, Segment: 1},
		}),
		"websocket": done(conn(), &flow.Messages{
			Kind: "websocket", Count: [2]int64{1, 0}, Bytes: [2]int64{5, 0}, Log: flow.BodyRef{Size: 9, Kept: 9, Segment: 1},
			Handshake: id(3), Request: get().Request, Notes: []string{"to the server: a frame without mask"},
		}),
		"upgraded": done(conn(), upgraded),
		"tls": done(pinned, &flow.Connection{
			Type: "tls", Action: "inspect", Reason: "client refused our certificate",
			Client: flow.Alert, Server: flow.ClosedByUs,
		}),
		"conn":  done(unknown, &flow.Connection{Reason: "destination unknown: no such entry", Bytes: [2]int64{1, 2}, Flows: 3}),
		"empty": {},
	}
}

func TestJSON(t *testing.T) {
	for name, f := range flows() {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			for _, event := range []string{export.Start, export.End} {
				line := export.AppendJSON(nil, f, event)
				if err := json.Indent(&got, line, "", "  "); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
				got.WriteByte('\n')
			}
			golden(t, name+".json", got.Bytes())
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s; run with -update and read the diff. Got:\n%s", path, got)
	}
}

func TestTypeIsFirst(t *testing.T) {
	for name, f := range flows() {
		if line := export.AppendJSON(nil, f, export.End); !bytes.HasPrefix(line, []byte(`{"type":"`+f.Type()+`","event":"end",`)) {
			t.Errorf("%s begins %.40s", name, line)
		}
	}
}

func TestURL(t *testing.T) {
	v6 := &flow.Conn{Dst: netip.MustParseAddrPort("[2001:db8::1]:443")}
	v6odd := &flow.Conn{Dst: netip.MustParseAddrPort("[2001:db8::1]:8443")}
	for _, tc := range []struct {
		name string
		c    *flow.Conn
		r    flow.RequestHead
		want string
	}{
		{"host", conn(), flow.RequestHead{Method: "GET", Scheme: "https", Authority: "a.example:8443", Target: "/x?y"}, "https://a.example:8443/x?y"},
		{"sni", conn(), flow.RequestHead{Method: "GET", Scheme: "https", Target: "/"}, "https://shop.example/"},
		{"address", v6, flow.RequestHead{Method: "GET", Scheme: "https", Target: "/"}, "https://[2001:db8::1]/"},
		{"address-port", v6odd, flow.RequestHead{Method: "GET", Scheme: "https", Target: "/"}, "https://[2001:db8::1]:8443/"},
		{"absolute", conn(), flow.RequestHead{Method: "GET", Target: "http://b.example/"}, "http://b.example/"},
		{"url-inside", conn(), flow.RequestHead{Method: "GET", Scheme: "http", Authority: "a", Target: "/?u=http://b"}, "http://a/?u=http://b"},
		{"connect", conn(), flow.RequestHead{Method: "CONNECT", Target: "b.example:443"}, "b.example:443"},
		{"asterisk", conn(), flow.RequestHead{Method: "OPTIONS", Scheme: "http", Authority: "a", Target: "*"}, "http://a"},
		{"odd", conn(), flow.RequestHead{Method: "GET", Scheme: "http", Authority: "a", Target: "x"}, "http://a/x"},
		{"refused", conn(), flow.RequestHead{Raw: []byte("x")}, ""},
		{"nothing", nil, flow.RequestHead{Method: "GET", Target: "/"}, "http:///"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := export.URL(tc.c, &tc.r); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// Whatever a head holds, the line parses, and the head can be had back from it.
func FuzzJSON(f *testing.F) {
	f.Add("GET", "/", "X", "y")
	f.Add("G\xffT", "/\"\\", "X\x00", "caf\xe9\u2028")
	f.Add("", "*", "é", "\ud7ff\U0010ffff")
	f.Fuzz(func(t *testing.T, method, target, name, value string) {
		h := get()
		h.Request.Method, h.Request.Target = method, target
		h.Request.Header.Add(name, value)
		fl := done(conn(), h)
		fl.Err, fl.Conn.Host, fl.Tags = value, name, []string{target}
		line := export.AppendJSON(nil, fl, export.End)
		if !utf8.Valid(line) || bytes.ContainsFunc(line, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
			t.Fatalf("not a clean line: %q", line)
		}
		var got struct {
			Request struct {
				Method  string
				Headers [][2]string
				Latin1  bool
			}
		}
		if err := json.Unmarshal(line, &got); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if method == "" {
			return
		}
		back := func(s string) string { return s }
		if got.Request.Latin1 {
			back = latin1
		}
		last := got.Request.Headers[len(got.Request.Headers)-1]
		if back(got.Request.Method) != method || back(last[0]) != name || back(last[1]) != value {
			t.Errorf("came back as %+v", got)
		}
	})
}

func latin1(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteByte(byte(r))
	}
	return b.String()
}

func TestAllocations(t *testing.T) {
	f := done(conn(), get())
	buf := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = export.AppendJSON(buf[:0], f, export.End) }); n > 2 {
		t.Errorf("%v allocations a flow", n)
	}
}

func BenchmarkJSON(b *testing.B) {
	f := done(conn(), get())
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = export.AppendJSON(buf[:0], f, export.End)
	}
	b.SetBytes(int64(len(buf)))
}
