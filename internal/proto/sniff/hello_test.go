package sniff_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"transom/internal/proto/sniff"
)

func TestRealHellos(t *testing.T) {
	h2 := []string{"h2", "http/1.1"}
	all, modern := []uint16{0x304, 0x303, 0x302, 0x301}, []uint16{0x304, 0x303}
	want := map[string]struct {
		name     string
		alpn     []string
		versions []uint16
	}{
		"curl.hello":                  {"shop.example", h2, all},
		"curl-http1.hello":            {"", []string{"http/1.1"}, all},
		"go-pq.hello":                 {"shop.example", h2, modern},
		"go-tls11.hello":              {"shop.example", nil, []uint16{0x302, 0x301}},
		"node.hello":                  {"shop.example", h2, modern},
		"openssl-early-data.hello":    {"shop.example", h2, all},
		"openssl-no-sni.hello":        {"", nil, all},
		"openssl-resumes-tls12.hello": {"shop.example", h2, all},
		"openssl-resumes-tls13.hello": {"shop.example", h2, all},
		"openssl-rsa-kex.hello":       {"shop.example", nil, []uint16{0x303}},
		"openssl-tls12.hello":         {"shop.example", nil, []uint16{0x303}},
		"openssl-tls13.hello":         {"shop.example", h2, all},
		"python.hello":                {"shop.example", nil, modern},
	}
	got := captured(t)
	if len(got) != len(want) {
		t.Errorf("%d recorded hellos, %d expected", len(got), len(want))
	}
	for file, stream := range got {
		t.Run(strings.TrimSuffix(file, ".hello"), func(t *testing.T) {
			r := sniff.Stream(stream)
			if r.Answer != sniff.Yes || !r.Complete || r.Err != nil || r.Layer.Proto != "tls" {
				t.Fatalf("Stream = %+v", r)
			}
			w, h := want[file], r.Layer.TLS
			if h.ServerName != w.name || r.Layer.Host != w.name {
				t.Errorf("name %q, host %q, want %q", h.ServerName, r.Layer.Host, w.name)
			}
			if !slices.Equal(h.ALPN, w.alpn) {
				t.Errorf("ALPN %q, want %q", h.ALPN, w.alpn)
			}
			if !slices.Equal(h.Versions, w.versions) {
				t.Errorf("versions %x, want %x", h.Versions, w.versions)
			}
			if v, ok := r.Hello.Extension(43); ok != (len(w.versions) > 1) || ok && len(v) != 1+2*len(w.versions) {
				t.Errorf("supported_versions is %x, %v", v, ok)
			}
			if shares, pq := len(r.Hello.KeyShares), file == "go-pq.hello"; pq && shares != 2 || !pq && shares > 1 {
				t.Errorf("key shares of %x", r.Hello.KeyShares)
			}
			returns, early := strings.Contains(file, "resumes"), strings.Contains(file, "early")
			if n := len(r.Hello.Tickets()); (n == 1) != (returns || early) || r.Hello.EarlyData != early {
				t.Errorf("%d tickets, early data %v", n, r.Hello.EarlyData)
			}
			if !bytes.Equal(h.Hello, body(stream)) {
				t.Error("the message is not kept as sent")
			}
		})
	}
}

func TestServerNameIsKeptRaw(t *testing.T) {
	cases := map[string]struct {
		ext        ext
		want, host string
	}{
		"several":      {serverNames("one.example", "two.example"), "one.example", "one.example"},
		"not-a-host":   {serverNames("a b\x00\xff"), "a b\x00\xff", ""},
		"address":      {serverNames("192.0.2.1"), "192.0.2.1", "192.0.2.1"},
		"trailing-dot": {serverNames("shop.example."), "shop.example.", "shop.example."},
		"empty-name":   {serverNames(""), "", ""},
		"empty-list":   {serverNames(), "", ""},
		"empty":        {ext{0, nil}, "", ""},
		"long":         {serverNames(strings.Repeat("a", 300)), strings.Repeat("a", 300), ""},
		"other-type":   {ext{0, []byte{0, 5, 7, 0, 2, 'n', 'o'}}, "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h := plain()
			h.exts[0] = c.ext
			r := sniff.Stream(records(h.message(), 1000))
			if r.Err != nil || !r.Complete {
				t.Fatalf("Stream = %+v", r)
			}
			if got := r.Layer.TLS.ServerName; got != c.want {
				t.Errorf("name %q, want %q", got, c.want)
			}
			if r.Layer.Host != c.host {
				t.Errorf("host %q, want %q", r.Layer.Host, c.host)
			}
		})
	}
}

func TestGREASEIsTolerated(t *testing.T) {
	h := plain()
	want, err := sniff.ParseClientHello(h.message())
	if err != nil {
		t.Fatal(err)
	}
	h.suites = append([]uint16{0x0a0a}, h.suites...)
	h.exts = []ext{
		{0x1a1a, nil},
		serverNames("shop.example"), numbers(10, 0x2a2a, 29, 23), numbers(13, 0x3a3a, 0x0403, 0x0804),
		alpn("h2", "http/1.1"), versions(0x4a4a, 0x0304, 0x0303),
		{0xfafa, []byte{0}},
	}
	got, err := sniff.ParseClientHello(h.message())
	if err != nil {
		t.Fatal(err)
	}
	if got.TLS.JA3 != want.TLS.JA3 || got.TLS.JA4 != want.TLS.JA4 {
		t.Errorf("fingerprints %s %s, want %s %s", got.TLS.JA3, got.TLS.JA4, want.TLS.JA3, want.TLS.JA4)
	}
	if !slices.Equal(got.TLS.Versions, want.TLS.Versions) {
		t.Errorf("versions %x, want %x", got.TLS.Versions, want.TLS.Versions)
	}
	if got.CipherSuites[0] != 0x0a0a || got.Groups[0] != 0x2a2a || got.Extensions[6] != 0xfafa {
		t.Errorf("lists are not as sent: %x %x %x", got.CipherSuites, got.Groups, got.Extensions)
	}
}

func TestExtensionsThatMatter(t *testing.T) {
	h := plain()
	h.exts = append(h.exts, ext{0xfe0d, []byte{0, 0}}, ext{42, nil}, points(0, 1), ext{51, make([]byte, 1222)})
	got, err := sniff.ParseClientHello(h.message())
	if err != nil {
		t.Fatal(err)
	}
	if !got.TLS.ECH || !got.EarlyData || !bytes.Equal(got.Points, []byte{0, 1}) {
		t.Errorf("ECH %v, early data %v, points %x", got.TLS.ECH, got.EarlyData, got.Points)
	}
	if !slices.Equal(got.Groups, []uint16{29, 23}) || !slices.Equal(got.SignatureAlgorithms, []uint16{0x0403, 0x0804}) {
		t.Errorf("groups %x, signature algorithms %x", got.Groups, got.SignatureAlgorithms)
	}
	bare := hello{version: 0x0301, suites: []uint16{0x2f}, noExts: true}
	if got, err = sniff.ParseClientHello(bare.message()); err != nil || !slices.Equal(got.TLS.Versions, []uint16{0x0301}) {
		t.Errorf("without extensions: %v, versions %x", err, got.TLS.Versions)
	}
}

func TestMalformedHello(t *testing.T) {
	with := func(e ...ext) []byte {
		h := plain()
		h.exts = append(h.exts, e...)
		return h.message()
	}
	cut := func(at int) []byte { // a message that ends early and says so
		m := bytes.Clone(plain().message()[:at])
		n := len(m) - 4
		m[1], m[2], m[3] = byte(n>>16), byte(n>>8), byte(n)
		return m
	}
	full := len(plain().message())
	cases := map[string]struct {
		msg  []byte
		want string
	}{
		"empty":               {nil, "at byte 0"},
		"server-hello":        {[]byte{2, 0, 0, 0}, "at byte 0"},
		"random-cut":          {cut(20), "at byte 4: version or random is cut short"},
		"suites-cut":          {cut(42), "at byte 39: bad list of cipher suites"},
		"extension-cut":       {cut(full - 1), "extensions are cut short"},
		"duplicate-extension": {with(ext{10, []byte{0, 2, 0, 29}}), "extension 10 for the second time"},
		"duplicate-grease":    {with(ext{0x0a0a, nil}, ext{0x0a0a, nil}), "extension 2570 for the second time"},
		"odd-groups":          {hello{suites: []uint16{1}, exts: []ext{{10, []byte{0, 1, 0}}}}.message(), "extension 10 is malformed"},
		"name-cut":            {hello{suites: []uint16{1}, exts: []ext{{0, []byte{0, 9, 0, 0}}}}.message(), "extension 0 is malformed"},
		"empty-protocol":      {hello{suites: []uint16{1}, exts: []ext{alpn("")}}.message(), "extension 16 is malformed"},
		"length-beyond":       {append(plain().message(), 0), "at byte 0"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h, err := sniff.ParseClientHello(c.msg)
			if h == nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ParseClientHello = %v, %v; want an error with %q", h, err, c.want)
			}
		})
	}
	t.Run("data-after-extensions", func(t *testing.T) {
		m := append(plain().message(), 0xff)
		m[3]++
		h, err := sniff.ParseClientHello(m)
		if err == nil || h.CipherSuites == nil {
			t.Errorf("ParseClientHello = %+v, %v", h, err)
		}
	})
	t.Run("name-is-still-read", func(t *testing.T) {
		r := sniff.Stream(records(with(ext{10, nil}), 5000))
		if r.Answer != sniff.Yes || !r.Complete || r.Err == nil || r.Layer.Host != "shop.example" {
			t.Errorf("Stream = %+v", r)
		}
	})
}
