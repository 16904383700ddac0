package redact_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"transom/flow"
)

// redacted is what becomes of a body of this type, if it is not left out.
func (w world) redacted(contentType, body string) (string, bool) {
	h := exchange(contentType)
	h.RequestBody = w.body(body)
	f, bodies := w.written(flowOf(h))
	return bodies[0], len(f.Detail.(*flow.HTTP).Notes) == 0
}

// marks are what stands in the place of secrets, in JSON, in strings of it, and in forms.
var marks = regexp.MustCompile(`((\\|%5C)*("|%22))?REDACTED((\\|%5C)*("|%22))?`)

// FuzzBodies: what is taken out of a body is taken out at once, all else is there as it was and
// in its order, and of JSON each secret member is gone, and no other.
func FuzzBodies(f *testing.F) {
	types := []string{"application/json", "application/x-ndjson", "text/event-stream", "text/html", "", "application/x-www-form-urlencoded", "multipart/form-data; boundary=B", "application/octet-stream"}
	for i, body := range []string{
		`{"token":"s3cr3t"}`,
		`[{"a":{"token":["s3cr3t",{}]}},1e9,"\u00e9\"",null]`,
		`{"token":`,
		`{"a":"{\"token\":\"s3cr3t\",\"b\":\"{\\\"token\\\":1}\"}"}`,
		"{\"token\":\n1}\n{\"token\":\"x\n{\"a\":{\"token\":{\"a\", \"password\":1}}",
		"data: {\"token\":\nid: 1\ndata: [1,\ndata: 2]}\n\n",
		`f({"token":"x","a":"b"});`,
		"t=\"{\";f({\"token\":\"x {\"token\":1}, [1,\"{\\\"token\\\":1}\"], {\"a\":\"{\nx",
		"a=b&token=c&d=%7B%22token%22:1}",
		"--B\r\nContent-Disposition: form-data; name=token\r\n\r\nx\r\n--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n--C\r\n\r\n{\"token\":1}\r\n--C--\r\n--B--\r\n",
	} {
		for k := range types {
			f.Add(uint8(k), body)
		}
		f.Add(uint8(i), strings.ReplaceAll(body, "\n", "\r"))
	}
	f.Fuzz(func(t *testing.T, k uint8, body string) {
		w := newWorld(t)
		kind := types[int(k)%len(types)]
		got, ok := w.redacted(kind, body)
		if !ok {
			return // left out
		}
		if again, ok := w.redacted(kind, got); !ok || again != got {
			t.Errorf("%s: %q became %q, and that %q, %v", kind, body, got, again, ok)
		}
		rest := body
		for _, piece := range marks.Split(got, -1) {
			for _, p := range parts(kind, piece) {
				i := strings.Index(rest, p)
				if i < 0 {
					t.Fatalf("%s: %q became %q: %q was not there", kind, body, got, p)
				}
				rest = rest[i+len(p):]
			}
		}
		if kind == types[0] && json.Valid([]byte(body)) {
			var was, is any
			if json.Unmarshal([]byte(body), &was) != nil || json.Unmarshal([]byte(got), &is) != nil {
				t.Fatalf("%q became %q, which is no JSON", body, got)
			}
			if want := without(was); !agree(want, is) {
				t.Errorf("%q became %q", body, got)
			}
		}
	})
}

// FuzzFields: what is taken out of a field is taken out at once, and all else is there as it was.
func FuzzFields(f *testing.F) {
	names := []string{"Location", "Link", "Sec-WebSocket-Protocol", "Cookie", "Set-Cookie", "Authorization"}
	for i, value := range []string{
		"https://ann:pw@b.test/x?token=1&a=2#access_token=3", `<https://a.test/?token=1>; rel="x@y", <//u@b.test>`,
		"chat, bearer, abc, access_token.eyJa.b.c", "a=1; b", "s=1; Path=/", "Bearer abc",
	} {
		f.Add(uint8(i), value)
	}
	f.Fuzz(func(t *testing.T, k uint8, value string) {
		w := newWorld(t)
		name := names[int(k)%len(names)]
		once := func(value string) string {
			h := exchange("")
			h.Request.Header = flow.Header{{Name: name, Value: value}}
			f, _ := w.written(flowOf(h))
			return f.Detail.(*flow.HTTP).Request.Header[0].Value
		}
		got := once(value)
		if again := once(got); again != got {
			t.Errorf("%s: %q became %q, and that %q", name, value, got, again)
		}
		rest := value
		for piece := range strings.SplitSeq(got, "REDACTED") {
			i := strings.Index(rest, piece)
			if i < 0 {
				t.Fatalf("%s: %q became %q: %q was not there", name, value, got, piece)
			}
			rest = rest[i+len(piece):]
		}
	})
}

// parts are what stands together in what stays: in events something may be taken out of each line.
func parts(kind, piece string) []string {
	if kind == "text/event-stream" {
		return strings.Split(piece, "")
	}
	return []string{piece}
}

// without returns a value of JSON without its secrets.
func without(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = without(v[i])
		}
	case map[string]any:
		for name, of := range v {
			if name == "token" && of != nil && of != "" {
				v[name] = "REDACTED"
			} else {
				v[name] = without(of)
			}
		}
	}
	return v
}

// agree compares what should be with what is. Names other than token, and strings that
// have JSON in them, are not this test's.
func agree(want, is any) bool {
	switch want := want.(type) {
	case []any:
		is, ok := is.([]any)
		if !ok || len(is) != len(want) {
			return false
		}
		for i := range want {
			if !agree(want[i], is[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		is, ok := is.(map[string]any)
		if !ok || len(is) != len(want) {
			return false
		}
		for name := range want {
			if !agree(want[name], is[name]) && is[name] != "REDACTED" {
				return false
			}
		}
		return true
	case string:
		if strings.Contains(want, "{") {
			_, ok := is.(string)
			return ok
		}
	}
	return reflect.DeepEqual(want, is)
}
