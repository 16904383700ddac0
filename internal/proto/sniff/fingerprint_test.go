package sniff_test

import (
	"testing"

	"transom/internal/proto/sniff"
)

// The examples are those of the published descriptions of JA3 and JA4.

func TestJA3(t *testing.T) {
	cases := map[string]struct {
		hello hello
		want  string
	}{
		"with-extensions": {hello{
			version: 769, suites: []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4},
			exts: []ext{serverNames("a.example"), numbers(10, 23, 24, 25), points(0)},
		}, "ada70206e40642a3e4461f35503241d5"},
		"without": {hello{
			version: 769, suites: []uint16{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}, noExts: true,
		}, "de350869b8c85de67a350c8d186f11e6"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h, err := sniff.ParseClientHello(c.hello.message())
			if err != nil || h.TLS.JA3 != c.want {
				t.Errorf("JA3 %s, %v; want %s", h.TLS.JA3, err, c.want)
			}
		})
	}
}

// ja4Example is the hello of the JA4 description's worked example.
func ja4Example(protocols ...string) hello {
	h := hello{version: 0x0303, suites: []uint16{
		0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c, 0x9d, 0x2f, 0x35,
	}}
	for _, typ := range []uint16{
		0x3a3a, 0x1b, 0, 0x33, 0x10, 0x4469, 0x17, 0x2d, 0x0d, 0x05, 0x23, 0x12, 0x2b, 0xff01, 0x0a, 0x0b, 0x15,
	} {
		switch typ {
		case 0:
			h.exts = append(h.exts, serverNames("a.example"))
		case 0x10:
			h.exts = append(h.exts, alpn(protocols...))
		case 0x0d:
			h.exts = append(h.exts, numbers(typ, 0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601))
		case 0x2b:
			h.exts = append(h.exts, versions(0x5a5a, 0x0304, 0x0303))
		case 0x0a:
			h.exts = append(h.exts, numbers(typ, 29, 23))
		case 0x0b:
			h.exts = append(h.exts, points(0))
		default:
			h.exts = append(h.exts, ext{typ, nil})
		}
	}
	return h
}

func TestJA4(t *testing.T) {
	noSigs := ja4Example("h2")
	for i := range noSigs.exts {
		if noSigs.exts[i].typ == 0x0d {
			noSigs.exts[i] = numbers(0x0d)
		}
	}
	many := hello{version: 0x0303, noExts: true}
	for i := range 120 {
		many.suites = append(many.suites, uint16(i))
	}
	cases := map[string]struct {
		hello hello
		want  string // a prefix
	}{
		"example":          {ja4Example("h2", "http/1.1"), "t13d1516h2_8daaf6152771_e5627efa2ab1"},
		"no-signatures":    {noSigs, "t13d1516h2_8daaf6152771_6d807ffa2a79"},
		"http1":            {ja4Example("http/1.1"), "t13d1516h1_8daaf6152771_e5627efa2ab1"},
		"one-character":    {ja4Example("x"), "t13d1516xx"},
		"alpn-ab":          {ja4Example("\xab"), "t13d1516ab"},
		"alpn-20":          {ja4Example("\x20"), "t13d151620"},
		"alpn-ab-cd":       {ja4Example("\xab\xcd"), "t13d1516ad"},
		"alpn-20-61":       {ja4Example("\x20\x61"), "t13d151621"},
		"alpn-30-ab":       {ja4Example("\x30\xab"), "t13d15163b"},
		"alpn-61-20":       {ja4Example("\x61\x20"), "t13d151660"},
		"alpn-30-31-ab-cd": {ja4Example("\x30\x31\xab\xcd"), "t13d15163d"},
		"alpn-30-ab-cd-31": {ja4Example("\x30\xab\xcd\x31"), "t13d151601"},
		"nothing":          {hello{version: 0x0300, noExts: true}, "ts3i000000_000000000000_000000000000"},
		"many-suites":      {many, "t12i990000_"},
		"unknown-version":  {hello{version: 0x7f00, noExts: true}, "t00i"},
		"empty-alpn":       {ja4Example(), "t13d151600"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h, err := sniff.ParseClientHello(c.hello.message())
			if err != nil {
				t.Fatal(err)
			}
			if got := h.TLS.JA4; len(got) != 36 || got[:len(c.want)] != c.want {
				t.Errorf("JA4 %s, want %s", got, c.want)
			}
		})
	}
}
