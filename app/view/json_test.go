package view_test

import (
	"strings"
	"testing"
	"unicode"

	"transom/app/view"
)

func TestJSON(t *testing.T) {
	golden(t, []specimen{
		{name: "json-as-written", about: view.About{Type: "application/json"}, body: `{"id":12345678901234567890123,"f":1.10e+0,"id":2,"e":{},"l":[ ],"s":"\u00e9\/\"x","n":[null,true,[false]]}`},
		{name: "json-by-suffix", about: view.About{Type: "application/problem+json; charset=utf-8"}, body: "\ufeff" + `{"title":"no"}`},
		{name: "json-without-a-type", body: " [1,{\"a\":\"\x1b[31m\u202e\"}]"},
		{name: "json-with-a-guard", about: view.About{Type: "application/json"}, body: ")]}'\n[1,2]"},
		{name: "json-that-breaks", about: view.About{Type: "application/json"}, body: `{"a":[1,2,x],"b":3}`},
		{name: "json-that-is-none", about: view.About{Type: "application/json"}, body: "<html>no</html>"},
		{name: "json-cut", about: view.About{Type: "application/json", Cut: true}, body: `{"a":[1,{"b":"some`},
		{name: "json-too-deep", about: view.About{Type: "application/json"}, body: strings.Repeat("[", 300) + strings.Repeat("]", 300)},
		{name: "json-twice", about: view.About{Type: "application/json"}, body: `{"a":1}{"b":2}`},
		{name: "ndjson", about: view.About{Type: "application/x-ndjson"}, body: "{\"a\":1}\n\n[2]\n\"c\"\n"},
		{name: "ndjson-declared-as-json", about: view.About{Type: "application/json"}, body: "{\"a\":1}\n{\"a\":2}\n"},
		{name: "ndjson-that-breaks", about: view.About{Type: "application/x-ndjson"}, body: "{\"a\":1}\n{\"a\":oops}\n{\"a\":3}\n"},
		{name: "sse", about: view.About{Type: "text/event-stream"}, body: ": hello\nevent: add\nid: 7\ndata: {\"a\":\ndata: 1}\n\ndata: plain\r\n\r\ndata: cut"},
	})
}

// What is printed is what came, but for white space.
func TestJSONLosesNothing(t *testing.T) {
	for _, body := range []string{`{"a":[1,2,x],"b":3}`, `[1,2`, `{"a" 1}`, "[\"a\n\"]", `[1 2]`, `{"a":1}]`, `{"a":{"b":[{}`, `{,}`, `[[1,],]`, `nul`} {
		got := shown(t, t.Context(), specimen{view: "json", body: body})
		var kept strings.Builder
		for line := range strings.Lines(got) {
			if !strings.HasPrefix(line, "(not ") && !strings.HasPrefix(line, "[json]") {
				kept.WriteString(strings.TrimSpace(line))
			}
		}
		if strip(kept.String()) != strip(body) {
			t.Errorf("%q is shown as\n%s", body, got)
		}
	}
}

func strip(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

func FuzzJSON(f *testing.F) {
	fuzz(f, "json", view.About{}, `{"a":[1,{"b":null}],"c":"\u0000"}`, `[[[]]]`, ")]}'\n{}", `{"a":1}{"b":2}`)
}

func FuzzLines(f *testing.F) { fuzz(f, "ndjson", view.About{}, "{\"a\":1}\n[2]\n", "1\n2") }

func FuzzEvents(f *testing.F) {
	fuzz(f, "sse", view.About{}, "event: a\ndata: {\"a\":1}\n\n", ":\n\ndata\n")
}

func BenchmarkJSON(b *testing.B) {
	bench(b, specimen{view: "json", body: `{"id":123456,"name":"somebody","tags":["a","b",null],"in":{"x":1.5}}`})
}
