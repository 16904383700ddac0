package view_test

import (
	"strings"
	"testing"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"transom/app/view"
)

// in writes text in a charset.
func in(t testing.TB, e encoding.Encoding, text string) string {
	t.Helper()
	s, err := e.NewEncoder().String(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCharsets(t *testing.T) {
	little := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	big := unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	bare := unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	const russian = "<p>Привет</p>"
	golden(t, []specimen{
		{name: "charset-text", about: view.About{Type: "text/plain; charset=KOI8-R"}, body: in(t, charmap.KOI8R, "Привет\nмир")},
		{name: "charset-unknown", about: view.About{Type: "text/plain; charset=klingon"}, body: "caf\xe9"},
		{name: "charset-refused", about: view.About{Type: "text/html; charset=iso-2022-kr"}, body: "<p>x</p>"},
		{name: "charset-broken", about: view.About{Type: "text/plain; charset=shift_jis"}, body: in(t, japanese.ShiftJIS, "日本") + "\x81"},
		{name: "charset-cut", about: view.About{Type: "text/plain; charset=shift_jis", Cut: true}, body: in(t, japanese.ShiftJIS, "日本") + "\x81"},
		{name: "charset-in-vain", about: view.About{Type: "text/css; charset=iso-8859-1"}, body: "a{b:c}"},
		{name: "charset-meta", about: view.About{Type: "text/html"}, body: in(t, charmap.Windows1251, `<meta name=a><META http-equiv=Content-Type content="text/html; charset=windows-1251">`+russian)},
		{name: "charset-meta-less", about: view.About{Type: "text/html; charset=koi8-r"}, body: in(t, charmap.KOI8R, `<meta charset=windows-1251>`+russian)},
		{name: "charset-xml", about: view.About{Type: "application/xml"}, body: in(t, charmap.ISO8859_1, `<?xml version="1.0" encoding='ISO-8859-1'?><a>café</a>`)},
		{name: "charset-css", about: view.About{Type: "text/css"}, body: in(t, charmap.ISO8859_1, `@charset "latin1";a{b:"é"}`)},
		{name: "charset-utf-16", about: view.About{Type: "text/html"}, body: in(t, little, russian)},
		{name: "charset-utf-16-without-a-type", body: in(t, big, `{"a":"é"}`)},
		{name: "charset-utf-16-bare", about: view.About{Type: "text/xml"}, body: in(t, bare, `<?xml version="1.0"?><a>é</a>`)},
		{name: "charset-of-bytes", about: view.About{Type: "application/octet-stream; charset=ISO-8859-1"}, body: "\x00\x01\x02\xe9"},
		{name: "charset-of-protobuf", about: view.About{Type: "application/x-protobuf; charset=ISO-8859-1"}, body: "\x0a\x02\xc3\xa9"},
		{name: "charset-of-json", about: view.About{Type: "application/json; charset=iso-8859-1"}, body: `{"a":"é"}`},
		{name: "charset-of-json-that-is-none", about: view.About{Type: "application/json; charset=iso-8859-1"}, body: "{\"a\":\"\xe9\"}"},
		{name: "charset-of-a-form", about: view.About{Type: "application/x-www-form-urlencoded; charset=windows-1251"}, body: "a=%CF%F0&b=c"},
		{name: "charset-of-a-part", about: view.About{Type: "multipart/mixed; boundary=x"}, body: "--x\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\ncaf\xe9\r\n--x--\r\n"},
		{name: "charset-asked-for", view: "text", about: view.About{Type: "text/html; charset=iso-8859-1"}, body: "<p>caf\xe9"},
		{name: "charset-of-hex", view: "hex", about: view.About{Type: "text/html; charset=iso-8859-1"}, body: "<p>caf\xe9"},
	})
}

// A body that is too long is not decoded, and that is said.
func TestLongCharset(t *testing.T) {
	got := shown(t, t.Context(), specimen{view: "text", about: view.About{Type: "text/plain; charset=koi8-r"}, body: strings.Repeat("a", 17<<20)})
	if head := got[:80]; !strings.Contains(head, "(too long to be decoded from koi8-r, shown as it is)\na") {
		t.Errorf("got %q", head)
	}
}

func FuzzCharset(f *testing.F) {
	for _, charset := range []string{"koi8-r", "utf-16", "shift_jis", "iso-2022-jp", "gb18030", "euc-kr", "big5", "klingon", "x-user-defined"} {
		f.Add("text/html; charset="+charset, []byte("<meta charset=a><p>\xff\xfe\x1b$B\x81"), false)
	}
	f.Add("text/css", []byte(`@charset "utf-16";`), true)
	f.Add("text/xml", []byte(`<?xml encoding="x"?><a/>`), true)
	f.Fuzz(func(t *testing.T, kind string, body []byte, cut bool) {
		v, err := view.Of(t.Context(), view.About{Type: kind, Cut: cut}, body, view.Options{})
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for range v.Lines {
			if lines++; lines > 64*len(body)+256 {
				t.Fatalf("%d lines of %d bytes", lines, len(body))
			}
		}
	})
}
