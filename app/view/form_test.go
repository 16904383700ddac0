package view_test

import (
	"testing"

	"transom/app/view"
)

const parts = "--xyz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--xyz\r\n" +
	"Content-Disposition: form-data; name=\"f\"; filename=\"f.json\"\r\nContent-Type: application/json\r\n\r\n{\"b\":2}\r\n" +
	"--xyz\r\nContent-Disposition: form-data; name=\"g\"\r\n\r\n\x00\x01\x02\r\n--xyz--\r\n"

func TestForms(t *testing.T) {
	golden(t, []specimen{
		{name: "form", about: view.About{Type: "application/x-www-form-urlencoded"}, body: `a=1&b=%C3%A9+%2&c&d=%7B%22x%22%3A1%7D&=e&a=2`},
		{name: "form-that-is-none", about: view.About{Type: "application/x-www-form-urlencoded"}, body: "a=1&b=\x00\x01\x02\x03"},
		{name: "query", about: view.About{Method: "GET", Target: "/search?q=some+thing&lang=en#x"}},
		{name: "multipart", about: view.About{Type: "multipart/form-data; boundary=xyz"}, body: parts},
		{name: "multipart-without-a-boundary", about: view.About{Type: "multipart/form-data"}, body: parts},
		{name: "multipart-cut", about: view.About{Type: "multipart/form-data; boundary=xyz", Cut: true}, body: parts[:150]},
		{name: "multipart-that-ends-early", about: view.About{Type: "multipart/form-data; boundary=xyz"}, body: parts[:150]},
		{name: "multipart-around", about: view.About{Type: "multipart/mixed; boundary=xyz"}, body: "before\r\n" + parts + "after\r\n"},
	})
}

func TestPlain(t *testing.T) {
	golden(t, []specimen{
		{name: "text", about: view.About{Type: "text/plain"}, body: "one\r\n\ttwo\n\nthree"},
		{name: "hex", body: "\x00\x01\x02 some bytes, more than a row\xff"},
		{name: "hex-of-text", view: "hex", body: "text"},
		{name: "nothing", body: ""},
	})
}

func FuzzForm(f *testing.F) { fuzz(f, "form", view.About{}, "a=1&b=%41+%zz&c", "&&==") }

func FuzzQuery(f *testing.F) { fuzz(f, "query", view.About{Target: "/?a=b&c"}, "body") }

func FuzzMultipart(f *testing.F) {
	fuzz(f, "multipart", view.About{Type: "multipart/mixed; boundary=xyz"}, parts, "--xyz\n\n--xyz--", "--xyz\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nb\n--a--\n--xyz--")
}

func FuzzText(f *testing.F) { fuzz(f, "text", view.About{}, "one\ntwo", "\xff\xfe") }

func FuzzHex(f *testing.F) { fuzz(f, "hex", view.About{}, "one\ntwo", "\x00\x01\x02") }

func BenchmarkForm(b *testing.B) {
	bench(b, specimen{view: "form", body: "name=some+value&other=%41%42&"})
}

func BenchmarkHex(b *testing.B) { bench(b, specimen{view: "hex", body: "some bytes\x00\x01\x02"}) }
