package show_test

import (
	"encoding/base64"
	"testing"
	"unicode"
	"unicode/utf8"

	"transom/app/show"
	"transom/app/view"
	"transom/flow"
	"transom/store"
)

// nasty steers terminals: sequences of ECMA-48 in 7 and 8 bits and in UTF-8, marks
// that turn text around, what moves the cursor or is not seen, and heaps of accents.
const nasty = "\x1b]0;x\x07\x1b[31m\x9b2J\u009b2J\u202e\u2066\u200f\u061c\u2028\ufeff\u00ad\r\b\x7f\x00\u0301\u0301\u0301\u0301\u0301\U000e0041"

// samples are a body for each view, and its Content-Type.
var samples = map[string][2]string{
	"grpc":          {"application/grpc", "\x00\x00\x00\x00\x05\x0a\x03abc\x80\x00\x00\x00\x05a: b\n"},
	"grpc-web-text": {"application/grpc-web-text", base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x00\x12\x0a\x10\x1b]0;x\x07\u202e\u0085\u2066" + "\x80\x00\x00\x00\x05a:\x1b\x9b\n"))},
	"protobuf":      {"application/x-protobuf", "\x0a\x04text\x12\x06\x08\x01\x12\x02ab\x1a\x03\xff\x1b\x00"},
	"json":          {"application/json", `{"a":["b",1,null],"c":{}}`},
	"ndjson":        {"application/x-ndjson", "{\"a\":1}\n[\"b\"]\n"},
	"sse":           {"text/event-stream", ": a\nevent: b\ndata: c\ndata: {\"d\":1}\n\n"},
	"msgpack":       {"application/msgpack", "\x82\xa3abc\x01\xa1d\xd6\x05abcd"},
	"cbor":          {"application/cbor", "\xa2\x63abc\x01\x61d\x43abc"},
	"jwt":           {"application/jwt", "eyJhIjoiXHUwMDFiIn0.eyJhIjoiGyJ9.sig"},
	"dns":           {"application/dns-message", "\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x04shop\x07example\x00\x00\x10\x00\x01\xc0\x0c\x00\x10\x00\x01\x00\x00\x00\x3c\x00\x05\x04\x1b[3m"},
	"graphql":       {"application/json", `{"operationName":"Q","query":"query Q{a(b:\"c\")}","variables":{"d":1}}`},
	"socket.io":     {"", `42/chat,7["said",{"a":1}]`},
	"mqtt":          {"", "\x10\x12\x00\x04MQTT\x04\x82\x00\x3c\x00\x02me\x00\x02ab\x30\x0a\x00\x04home[1,2]"},
	"certificate":   {"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN KEY-----\nAAAA\n-----END KEY-----\n"},
	"html":          {"text/html", "<p a='b'>text</p><!-- c --><script>'d'</script><style>a{b:'c'}</style><title>e</title>"},
	"xml":           {"text/xml", "<?xml version='1.0'?><p a='b'>text</p><!-- c --><![CDATA[d]]>"},
	"css":           {"text/css", "@media a{b{c:'d' url(e)}}/* f */"},
	"javascript":    {"text/javascript", "a=`b${c}d`;/* e */f('g',/h/)//i"},
	"form":          {"application/x-www-form-urlencoded", "a=%1b%5d0&%07=b&c={\"d\":1}"},
	"multipart":     {"multipart/form-data; boundary=x", "--x\r\na: b\r\nContent-Type: text/plain; charset=c\r\n\r\nd\r\n--x--\r\ne"},
	"query":         {"", "a"},
	"image":         {"", "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x00\x00\x00\x00\x3a\x7e\x9b\x55\x00\x00\x00\x05tEXta\x00b\x1bc\x00\x00\x00\x00"},
	"text":          {"text/plain; charset=koi8-r", "text\nmore"},
	"hex":           {"", "\x00\x01\x02"},
}

// Whatever a body holds and wherever, and whatever view it is shown in, what is
// printed does not steer the terminal.
func TestNoViewSteersTheTerminal(t *testing.T) {
	for _, name := range view.Names() {
		t.Run(name, func(t *testing.T) {
			if samples[name][1] == "" {
				t.Fatal("there is no sample of it")
			}
			for of, s := range samples {
				step := len(s[1])/16 + 1
				if of == name {
					step = 1
				}
				for at := 0; at <= len(s[1]); at += step {
					unsteered(t, name, s[0], s[1][:at]+nasty+s[1][at:])
					if of == name {
						unsteered(t, "auto", s[0], s[1][:at]+nasty+s[1][at:])
						unsteered(t, "auto", "", s[1][:at]+"\u202e\x1b"+s[1][at:])
					}
				}
			}
		})
	}
}

// unsteered prints a body in a view, with all that is known of it as nasty, and
// looks at each character.
func unsteered(t *testing.T, as, kind, body string) {
	t.Helper()
	s := &scene{store: store.NewMemory(store.MemoryOptions{})}
	defer s.store.Close()
	h := get("/a" + nasty + "/b" + nasty + "?c=" + nasty + "&d")
	h.Response.Header = flow.Header{{Name: "Content-Type", Value: kind}, {Name: "Grpc-Encoding", Value: nasty}}
	h.ResponseBody = s.body([]byte(body))
	out := run(t, show.Options{Detail: 4, Store: s.store, View: as, Schema: new(view.Schema)}, s.add(conn(), h, ""))
	marks := 0
	for i, r := range out {
		_, n := utf8.DecodeRuneInString(out[i:])
		switch {
		case unicode.Is(unicode.Mn, r):
			marks++
		case r == utf8.RuneError && n == 1, r != '\n' && !unicode.IsPrint(r):
			t.Fatalf("%q as %s prints %U in %q", body, as, r, out[max(0, i-20):min(len(out), i+20)])
		default:
			marks = 0
		}
		if marks > 2 {
			t.Fatalf("%q as %s prints more than two accents on one another", body, as)
		}
	}
}
