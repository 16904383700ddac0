package redact_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"transom/app/export"
	"transom/app/har"
	"transom/app/pcapng"
	"transom/app/redact"
	"transom/filter"
	"transom/flow"
	"transom/message"
	"transom/store"
)

var (
	ctx   = context.Background()
	began = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
)

type world struct {
	t testing.TB
	*store.Memory
}

func newWorld(t testing.TB) world {
	m := store.NewMemory(store.MemoryOptions{BodyLimit: 32 << 20, MaxBytes: 64 << 20})
	t.Cleanup(func() { m.Close() })
	return world{t, m}
}

func (w world) body(data string) flow.BodyRef {
	b := w.NewBody()
	io.WriteString(b, data)
	return b.Ref()
}

// A reading is what a writer was given.
type reading struct {
	flows  []*flow.Flow
	bodies []string // as they could be read while it was
}

func (r *reading) Write(ctx context.Context, f *flow.Flow, bodies filter.Bodies) error {
	r.flows = append(r.flows, f)
	read := func(ref flow.BodyRef) {
		if ref.Kept == 0 {
			r.bodies = append(r.bodies, "")
			return
		}
		b, err := bodies.OpenBody(ctx, ref)
		if err != nil {
			r.bodies = append(r.bodies, err.Error())
			return
		}
		defer b.Close()
		data, _ := io.ReadAll(io.LimitReader(b, ref.Kept))
		r.bodies = append(r.bodies, string(data))
	}
	switch d := f.Detail.(type) {
	case *flow.HTTP:
		read(d.RequestBody)
		read(d.ResponseBody)
	case *flow.Messages:
		read(d.Log)
	}
	return nil
}

func (*reading) Finish(context.Context, filter.Bodies) error { return nil }

func (*reading) Close() error { return nil }

func rules(t testing.TB, texts ...string) *redact.Rules {
	t.Helper()
	r, err := redact.Parse(texts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// written is what becomes of a flow.
func (w world) written(f *flow.Flow, texts ...string) (*flow.Flow, []string) {
	w.t.Helper()
	var r reading
	if err := redact.NewWriter(rules(w.t, texts...), &r).Write(ctx, f, w); err != nil {
		w.t.Fatal(err)
	}
	return r.flows[0], r.bodies
}

func flowOf(d flow.Detail) *flow.Flow {
	return &flow.Flow{ID: flow.NewID(began), Conn: &flow.Conn{
		ID: flow.NewID(began), Client: netip.MustParseAddrPort("192.0.2.7:50000"), Dst: netip.MustParseAddrPort("198.51.100.9:80"),
	}, Start: began, End: began.Add(time.Second), State: flow.Done, Detail: d}
}

func exchange(contentType string) *flow.HTTP {
	return &flow.HTTP{
		Request:  &flow.RequestHead{Method: "POST", Scheme: "http", Authority: "a.test", Target: "/", Proto: flow.HTTP11, Header: flow.Header{{Name: "Content-Type", Value: contentType}}},
		Response: &flow.ResponseHead{Status: 200, Proto: flow.HTTP11},
	}
}

func TestFields(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct{ name, value, want string }{
		{"Authorization", "Bearer abc.def", "Bearer REDACTED"},
		{"authorization", "abc", "REDACTED"},
		{"Authorization", "Basic  dXNlcg==", "Basic REDACTED"},
		{"Authorization", "x=y z", "REDACTED"},
		{"Proxy-Authorization", "Digest a=b, c=d", "Digest REDACTED"},
		{"Cookie", "a=1; b = 2;c;", "a=REDACTED; b =REDACTED;REDACTED;"},
		{"Set-Cookie", "s=x=y; Path=/; Secure", "s=REDACTED; Path=/; Secure"},
		{"X-API-Key", "abc", "REDACTED"},
		{"X-Mine", "abc", "REDACTED"},
		{"x-other", "abc", "abc"},
		{"Referer", "https://ann:pw@b.test/x?token=1&a=2#access_token=3", "https://REDACTED@b.test/x?token=REDACTED&a=2#access_token=REDACTED"},
		{"Location", "/cb?state=1&ApiKey=2;sid=3", "/cb?state=1&ApiKey=REDACTED;sid=REDACTED"},
		{"Location", "/cb?%74oken=1&access-token=", "/cb?%74oken=REDACTED&access-token="},
		{"X-Empty", "", ""},
		{"X-Shopify-Access-Token", "abc", "REDACTED"},
		{"X-Hub-Signature-256", "sha256=ab", "REDACTED"},
		{"X-Emby-Authorization", `MediaBrowser Token="x"`, "REDACTED"},
		{"Access-Control-Allow-Credentials", "true", "true"},
		{"Signature-Input", "a=()", "a=()"},
		{"X-Params", `{"a":1,"newPassword":"x"}`, `{"a":1,"newPassword":"REDACTED"}`},
		{"X-Params", strings.Repeat(`{"a":`, 2000), "REDACTED"},
		{"Location", "/cb?new_password=1&oauth_token=2&page_token=3", "/cb?new_password=REDACTED&oauth_token=REDACTED&page_token=3"},
		{"Set-Cookie2", "a=1; Version=1, b=2", "REDACTED"},
		{"Destination", "https://ann:pw@b.test/x?token=1&a=2", "https://REDACTED@b.test/x?token=REDACTED&a=2"},
		{"X-Original-URL", "/x?a=1&token=2", "/x?a=1&token=REDACTED"},
		{"X-Forwarded-Uri", "/x?token=2", "/x?token=REDACTED"},
		{"Link", `<https://a.test/?token=1>; rel="x@y", <//ann:p,w@b.test?sig=2>; rel=next`, `<https://a.test/?token=REDACTED>; rel="x@y", <//REDACTED@b.test?sig=REDACTED>; rel=next`},
		{"Refresh", "5; url=http://u@a.test/?token=1", "5; url=http://REDACTED@a.test/?token=REDACTED"},
		{"X-Path", "/a//b@c/?user[password]=1&a[b]=2", "/a//b@c/?user[password]=REDACTED&a[b]=2"},
		{"Sec-WebSocket-Protocol", "chat, bearer, abc", "chat, bearer, REDACTED"},
		{"Sec-WebSocket-Protocol", "v4.channel.k8s.io,base64url.bearer.authorization.k8s.io.YWJj", "v4.channel.k8s.io,base64url.bearer.REDACTED"},
		{"Sec-WebSocket-Protocol", "realtime, openai-insecure-api-key.sk-x, openai-beta.realtime-v1", "realtime, openai-insecure-api-key.REDACTED, openai-beta.realtime-v1"},
		{"Sec-WebSocket-Protocol", "access_token, eyJa.b.c , graphql-ws", "access_token, REDACTED, graphql-ws"},
		{"Sec-WebSocket-Protocol", "eyJa.b.c", "REDACTED"},
		{"Sec-WebSocket-Protocol", "v1=a:token=abc", "v1=a:token=REDACTED"},
		{"Sec-WebSocket-Protocol", "graphql-transport-ws, mqttv3.1", "graphql-transport-ws, mqttv3.1"},
	} {
		h := exchange("")
		h.Response.Header = flow.Header{{Name: "A", Value: "b"}, {Name: c.name, Value: c.value}}
		h.Response.Raw = []byte("raw")
		was := h.Response.Header[1]
		f, _ := w.written(flowOf(h), "header:x-mine")
		got := f.Detail.(*flow.HTTP).Response
		if got.Header[1].Value != c.want {
			t.Errorf("%s: %s is %q, want %q", c.name, c.value, got.Header[1].Value, c.want)
		}
		if (got.Raw == nil) != (c.value != c.want) {
			t.Errorf("%s: %s: raw is %q", c.name, c.value, got.Raw)
		}
		if h.Response.Header[1] != was {
			t.Error("the flow itself was changed")
		}
	}
}

// TestLongFields: what is long is looked through once, and not copied for each piece.
func TestLongFields(t *testing.T) {
	const pieces = 5_000
	w := newWorld(t)
	for _, c := range []struct{ name, piece, want string }{
		{"Location", "//a@ ", "//REDACTED@ "},
		{"Location", " //", " //"},
		{"Sec-WebSocket-Protocol", "=", "="},
	} {
		h := exchange("")
		h.Request.Header = flow.Header{{Name: c.name, Value: strings.Repeat(c.piece, pieces)}}
		var f *flow.Flow
		if n := testing.AllocsPerRun(1, func() { f, _ = w.written(flowOf(h)) }); n > pieces/10 {
			t.Errorf("%s of %q: %v allocations", c.name, c.piece, n)
		}
		if got := f.Detail.(*flow.HTTP).Request.Header[0].Value; got != strings.Repeat(c.want, pieces) {
			t.Errorf("%s of %q: %.100q", c.name, c.piece, got)
		}
	}
}

// TestChosenProtocol: a token that was offered as a protocol is one in the answer, too.
func TestChosenProtocol(t *testing.T) {
	w := newWorld(t)
	const name = "Sec-WebSocket-Protocol"
	for chosen, want := range map[string]string{"s3cr3t": "REDACTED", "chat": "chat", "bearer": "bearer"} {
		h := exchange("")
		h.Request.Header = flow.Header{{Name: name, Value: "chat"}, {Name: name, Value: "bearer, s3cr3t"}}
		h.Response.Header, h.Response.Raw = flow.Header{{Name: "A", Value: "b"}, {Name: "sec-websocket-protocol", Value: chosen}}, []byte(chosen)
		f, _ := w.written(flowOf(h))
		r := f.Detail.(*flow.HTTP).Response
		if got := r.Header.Get(name); got != want || (r.Raw == nil) != (got != chosen) || h.Response.Header[1].Value != chosen {
			t.Errorf("of %s there is %s, %q", chosen, got, r.Raw)
		}
	}
}

func TestBodies(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		kind, body string
		rules      []string
		want       string // "-" is left out
	}{
		"json":          {"application/json", `{"user":"ann", "password" : "x\"y", "n":[{"accessToken":{"a":1}},{"b":null}]}`, nil, `{"user":"ann", "password" : "REDACTED", "n":[{"accessToken":"REDACTED"},{"b":null}]}`},
		"json-escaped":  {"application/vnd.api+json; charset=utf-8", `{"pass\u0077ord":"x","Api-Key":7,"token":null,"secret":""}`, nil, `{"pass\u0077ord":"REDACTED","Api-Key":"REDACTED","token":null,"secret":""}`},
		"json-endings":  {"application/json", `{"currentPassword":"x","AWSAccessKeyId":"y","client_assertion":"z","nextPageToken":"a","hasPassword":true,"max_tokens":5}`, nil, `{"currentPassword":"REDACTED","AWSAccessKeyId":"REDACTED","client_assertion":"REDACTED","nextPageToken":"a","hasPassword":true,"max_tokens":5}`},
		"json-name":     {"application/json", `[{"mine":1,"a":{"mine":[2,3]}}]`, []string{"json:mine"}, `[{"mine":"REDACTED","a":{"mine":"REDACTED"}}]`},
		"json-path":     {"application/json", `{"a":[{"b":{"c":1}},{"x":{"c":2}}],"c":3,"b":{"c":4}}`, []string{"json:$.a[*].*.c"}, `{"a":[{"b":{"c":"REDACTED"}},{"x":{"c":"REDACTED"}}],"c":3,"b":{"c":4}}`},
		"json-top":      {"application/json", `{"a":1,"b":{"a":2}}`, []string{"json:$.a"}, `{"a":"REDACTED","b":{"a":2}}`},
		"json-nested":   {"application/json", `{"token":{"secret":"x","a":"y"},"z":1}`, nil, `{"token":"REDACTED","z":1}`},
		"json-prefix":   {"application/json", ")]}',\n{\"token\":\"x\"}", nil, ")]}',\n{\"token\":\"REDACTED\"}"},
		"json-several":  {"application/json", `{"token":"x"} {"token":"y"}`, nil, `{"token":"REDACTED"} {"token":"REDACTED"}`},
		"json-broken":   {"application/json", `{"token":"x"`, nil, "-"},
		"json-deep":     {"application/json", strings.Repeat("[", 5000) + strings.Repeat("]", 5000), nil, "-"},
		"json-untyped":  {"text/plain", `{"token":"x"}`, nil, `{"token":"REDACTED"}`},
		"no-json":       {"text/plain", `{token: x}`, nil, `{token: x}`},
		"lines":         {"application/x-ndjson", "{\"token\":\"x\"}\n\n{\"a\":1}\r\nplain\n{\"token\":\"y\"}", nil, "{\"token\":\"REDACTED\"}\n\n{\"a\":1}\r\nplain\n{\"token\":\"REDACTED\"}"},
		"json-text":     {"application/json", `"see {\"token\":\"x\"}"`, nil, `"see {\"token\":\"REDACTED\"}"`},
		"json-within":   {"application/json", `{"a":"{\"token\" : \"x\\\"y\", \"b\":\"\u00e9\\n\"}","c":"\\"}`, nil, `{"a":"{\"token\" : \"REDACTED\", \"b\":\"\u00e9\\n\"}","c":"\\"}`},
		"json-thrice":   {"application/json", `["{\"a\":\"{\\\"token\\\":1}\"}"]`, nil, `["{\"a\":\"{\\\"token\\\":\\\"REDACTED\\\"}\"}"]`},
		"json-unicode":  {"application/json", `{"a":"\u007b\u0022tok\u0065n\u0022:\u00221\u0022}"}`, nil, `{"a":"\u007b\u0022tok\u0065n\u0022:\"REDACTED\"}"}`},
		"json-cut":      {"application/json", `{"a":"{\"token\":\"x","b":1}`, nil, `{"a":"{\"token\":\"REDACTED\"","b":1}`},
		"json-in-json":  {"application/json", deepString(3), nil, strings.ReplaceAll(deepString(3), "s3cr3t", "REDACTED")},
		"json-too-deep": {"application/json", deepString(9), nil, "-"},
		"text-too-deep": {"text/plain", deepString(9), nil, "-"},
		"script":        {"text/html", "<script>let x = {\"token\":\"x\",\"a\":1};\nf({\"b\":[{\"token\":2}]})</script>{", nil, "<script>let x = {\"token\":\"REDACTED\",\"a\":1};\nf({\"b\":[{\"token\":\"REDACTED\"}]})</script>{"},
		"script-brace":  {"text/html", `<script>t="{";s={"token":"x","b":{"token":1}};u={"a":"{"+{"token":2}}</script>`, nil, `<script>t="{";s={"token":"REDACTED","b":{"token":"REDACTED"}};u={"a":"{"+{"token":"REDACTED"}}</script>`},
		"script-string": {"text/html", `<script>p([1,"5:{\"a\":{ \"token\":\"x\"}}"]);q('{\"token\":1}');/{\d"/;r({"token":1})</script>`, nil, `<script>p([1,"5:{\"a\":{ \"token\":\"REDACTED\"}}"]);q('{\"token\":\"REDACTED\"}');/{\d"/;r({"token":"REDACTED"})</script>`},
		"line-array":    {"application/x-ndjson", `["{\"a\":\"{\\\"token\\\":\\\"x\\\"}\"}"]`, nil, `["{\"a\":\"{\\\"token\\\":\\\"REDACTED\\\"}\"}"]`},
		"event-array":   {"text/event-stream", "data: [\"{\\\"token\\\":1}\"]\n\n", nil, "data: [\"{\\\"token\\\":\\\"REDACTED\\\"}\"]\n\n"},
		"text-quoted":   {"text/plain", `{"note":"abc {"token":"x"}`, nil, `{"note":"abc {"token":"REDACTED"}`},
		"text-quoted-2": {"text/plain", "{\"note\":\"abc {\n\"token\":\"x\"}", nil, "{\"note\":\"abc {\n\"token\":\"REDACTED\"}"},
		"text-quoted-3": {"text/plain", "{\"a\":\"b {\nx {\"token\":1}", nil, "{\"a\":\"b {\nx {\"token\":\"REDACTED\"}"},
		"jsonp":         {"application/javascript", `cb({"token":"x"});`, nil, `cb({"token":"REDACTED"});`},
		"text-broken":   {"text/plain", "{\"token\":\"x\n{\"token\":{\"a\", \"password\":1}} {\"token\":%}", nil, "{\"token\":\"REDACTED\"\n{\"token\":\"REDACTED\", \"password\":\"REDACTED\"}} {\"token\":%}"},
		"bytes-json":    {"application/octet-stream", ` {"token":"x"}`, nil, ` {"token":"REDACTED"}`},
		"bytes":         {"application/octet-stream", "\x00{\"token\":\"x\"}", nil, "\x00{\"token\":\"x\"}"},
		"utf-16":        {"text/plain; charset=UTF-16LE", "{\x00", nil, "-"},
		"utf-16-mark":   {"text/plain", "\xff\xfe{\x00", nil, "-"},
		"lines-long":    {"application/json-seq", "{\n \"token\":\n\"x\"}\n{\"token\":\"y\"}\n", nil, "{\n \"token\":\n\"REDACTED\"}\n{\"token\":\"REDACTED\"}\n"},
		"json-mark":     {"text/plain", "\ufeff{\"token\":\"x\"}", nil, "\ufeff{\"token\":\"REDACTED\"}"},
		"json-page":     {"Text/HTML; charset=utf-8", `[{"token":"x"}]`, nil, `[{"token":"REDACTED"}]`},
		"events":        {"text/event-stream", "event: x\ndata: {\"token\":\"x\"}\n\n", nil, "event: x\ndata: {\"token\":\"REDACTED\"}\n\n"},
		"events-long":   {"text/event-stream", "\ufeffdata: {\"a\":\r\nid: 1\r\ndata:{\"b\":1,\"token\":\r\nretry: 2\r\ndata: [1,\r\ndata\r\ndata:  2]\r\ndata: }}\r\n\r\n: {\"token\":1}\rdata: {\"token\":\rdata:1}", nil, "\ufeffdata: {\"a\":\r\nid: 1\r\ndata:{\"b\":1,\"token\":\r\nretry: 2\r\ndata: \"REDACTED\"\r\ndata\r\ndata: \r\ndata: }}\r\n\r\n: {\"token\":\"REDACTED\"}\rdata: {\"token\":\rdata:\"REDACTED\"}"},
		"events-apart":  {"text/event-stream", "data: {\"a\":{\n\ndata: {\"token\":1}\n\n", nil, "data: {\"a\":{\n\ndata: {\"token\":\"REDACTED\"}\n\n"},
		"form-untyped":  {"", "user=ann&password=x%26&a[token]=b\r\n", nil, "user=ann&password=REDACTED&a[token]=REDACTED\r\n"},
		"form-text":     {"text/plain;charset=UTF-8", "password=x", nil, "password=REDACTED"},
		"no-form":       {"text/plain", "a password=x", nil, "a password=x"},
		"form-json":     {"application/x-www-form-urlencoded", "payload=%7B%22token%22:+%22x%22,%22a%22:1%7d&b=%zz{", nil, "payload=%7B%22token%22:+%22REDACTED%22,%22a%22:1%7d&b=%zz{"},
		"parts-json":    {"multipart/form-data; boundary=\"B b\"", "x\r\n--B b \r\nContent-Disposition: form-data;\r\n name=doc\r\nContent-Type: application/json\r\n\r\n{\"token\":1}\r\n--B b\r\nContent-Disposition: form-data; name=f; filename=x.json\r\nContent-Type: application/octet-stream\r\n\r\n[{\"token\":1}]\r\n--B b\r\nContent-Disposition: form-data; name=g\r\n\r\n--B bx {\"token\":1}--B b\r\n\r\n--B b--\r\n", nil, "x\r\n--B b \r\nContent-Disposition: form-data;\r\n name=doc\r\nContent-Type: application/json\r\n\r\n{\"token\":\"REDACTED\"}\r\n--B b\r\nContent-Disposition: form-data; name=f; filename=x.json\r\nContent-Type: application/octet-stream\r\n\r\n[{\"token\":\"REDACTED\"}]\r\n--B b\r\nContent-Disposition: form-data; name=g\r\n\r\n--B bx {\"token\":\"REDACTED\"}--B b\r\n\r\n--B b--\r\n"},
		"parts-nested":  {"multipart/mixed; boundary=B", "--B\nContent-Type: multipart/form-data; boundary=BB\n\n--BB\nContent-Disposition: form-data; name=\"a[token]\"\n\nx\n\n--BB\nContent-Disposition: form-data; name=token\n\n\n--BB--\n--B\n\nuser=a&token=b\n--B--", nil, "--B\nContent-Type: multipart/form-data; boundary=BB\n\n--BB\nContent-Disposition: form-data; name=\"a[token]\"\n\nREDACTED\n--BB\nContent-Disposition: form-data; name=token\n\n\n--BB--\n--B\n\nuser=a&token=REDACTED\n--B--"},
		"parts-image":   {"multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=f\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n{\"token\":1}\r\n--B--", nil, "--B\r\nContent-Disposition: form-data; name=f\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n{\"token\":1}\r\n--B--"},
		"parts-coded":   {"multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=f\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--B--", nil, "-"},
		"parts-broken":  {"multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=a; name=token\r\n\r\nx\r\n--B--", nil, "-"},
		"parts-deep":    {"multipart/form-data; boundary=B0", deepParts(9), nil, "-"},
		"parts-x":       {"multipart/x-mixed-replace; boundary=B", "--B\r\n", nil, "--B\r\n"},
		"form-is-json":  {"application/x-www-form-urlencoded", `{"url":"/?a=b&c=d","token":"x","b":"&token=y"}`, nil, `{"url":"/?a=b&c=d","token":"REDACTED","b":"&token=y"}`},
		"form-broken":   {"application/x-www-form-urlencoded", `{"a":1,"token":"x",`, nil, `{"a":1,"token":"REDACTED",`},
		"form-brace":    {"application/x-www-form-urlencoded", `{a}=1&token=x`, nil, `{a}=1&token=REDACTED`},
		"form":          {"application/x-www-form-urlencoded", "user=ann&pass%77ord=x%26&Mine=y&key=", []string{"form:mine"}, "user=ann&pass%77ord=REDACTED&Mine=REDACTED&key="},
		"multipart":     {"multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nann\r\n--B\r\nContent-Disposition: form-data; name=password\r\n\r\nx\r\ny\r\n--B--\r\n", nil, "--B\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nann\r\n--B\r\nContent-Disposition: form-data; name=password\r\n\r\nREDACTED\r\n--B--\r\n"},
		"multipart-bad": {"multipart/form-data", "--B\r\n", nil, "-"},
		"expression":    {"text/html", "<b>a 4711-1234 b 4711-9999</b>", []string{`body:\d{4}-\d{4}`}, "<b>a REDACTED b REDACTED</b>"},
		"group":         {"text/html", "pin: 17, pin: 18", []string{`body:pin: (\d+)`}, "pin: REDACTED, pin: REDACTED"},
		"empty-match":   {"text/html", "abc", []string{`body:x*`}, "abc"},
		"binary":        {"image/png", "\x89PNG\xff", []string{`body:x`}, "-"},
		"binary-spared": {"image/png", "\x89PNG\xff", nil, "\x89PNG\xff"},
		"untouched":     {"application/json", `{ "a" : 1e5 , "b":[true , -0.5] }`, nil, `{ "a" : 1e5 , "b":[true , -0.5] }`},
	} {
		t.Run(name, func(t *testing.T) {
			for coding, code := range map[string]func(string) string{"": plain, "gzip": gzipped, "deflate": deflated, "gzip, deflate": func(s string) string { return deflated(gzipped(s)) }} {
				h := exchange(c.kind)
				h.Request.Header.Add("Content-Length", "1")
				if coding != "" {
					h.Request.Header.Add("Content-Encoding", coding)
				}
				h.Request.Raw = []byte("POST / ...")
				h.RequestBody = w.body(code(c.body))
				f, bodies := w.written(flowOf(h), c.rules...)
				r := f.Detail.(*flow.HTTP)
				switch {
				case c.want == "-":
					if bodies[0] != "" || !r.RequestBody.Truncated || len(r.Notes) != 1 || !strings.HasPrefix(r.Notes[0], "redacted: the request's body is left out: ") {
						t.Errorf("%q: %q, %v", coding, bodies[0], r.Notes)
					}
				case c.want == c.body:
					if bodies[0] != code(c.body) || r.Request.Raw == nil || r.RequestBody != h.RequestBody {
						t.Errorf("%q: changed to %q", coding, bodies[0])
					}
				default:
					if bodies[0] != c.want || r.Request.Raw != nil || r.Request.Header.Get("Content-Encoding") != "" || r.Request.Header.Get("Content-Length") != fmt.Sprint(len(c.want)) {
						t.Errorf("%q: %q, want %q; %v", coding, bodies[0], c.want, r.Request.Header)
					}
				}
			}
		})
	}
}

// deepString is JSON in n strings.
func deepString(n int) string {
	doc := `{"token":"s3cr3t"}`
	for range n {
		text, _ := json.Marshal(doc)
		doc = `{"a":` + string(text) + `}`
	}
	return doc
}

// deepParts are parts in n parts.
func deepParts(n int) string {
	doc := "--B0\r\n\r\n{\"token\":1}\r\n--B0--"
	for i := range n {
		doc = strings.ReplaceAll(doc, "--B0", fmt.Sprintf("--N%d", i))
		doc = fmt.Sprintf("--B0\r\nContent-Type: multipart/mixed; boundary=N%d\r\n\r\n%s\r\n--B0--", i, doc)
	}
	return doc
}

func plain(s string) string { return s }

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

func deflated(s string) string {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

// TestCut: of a body that was cut nothing gets through that would not of the whole.
func TestCut(t *testing.T) {
	w := newWorld(t)
	whole := `{"a":[1,2],"password":"s3cr3t","token":{"x":"s3cr3t"}}`
	for n := range len(whole) {
		h := exchange("application/json")
		h.RequestBody = w.body(whole[:n])
		h.RequestBody.Size, h.RequestBody.Truncated = int64(len(whole)), true
		if _, bodies := w.written(flowOf(h)); strings.Contains(bodies[0], "s3") {
			t.Errorf("%d bytes became %s", n, bodies[0])
		}
	}
}

// TestHostileCodings: what can't be looked through is not written.
func TestHostileCodings(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ coding, body string }{
		"unknown": {"rot13", `{"token":"s3cr3t"}`},
		"not-so":  {"gzip", `{"token":"s3cr3t"}`},
		"bomb":    {"gzip", gzipped(strings.Repeat(" ", 32<<20))},
		"many":    {"gzip,gzip,gzip,gzip,gzip", `{"token":"s3cr3t"}`},
		"damaged": {"gzip", gzipped(strings.Repeat(`{"token":"s3cr3t"}`, 99))[:40] + "\xff\xff\xff"},
	} {
		h := exchange("application/json")
		h.Request.Header.Add("Content-Encoding", c.coding)
		h.RequestBody = w.body(c.body)
		f, bodies := w.written(flowOf(h))
		if strings.Contains(bodies[0], "s3") || len(bodies[0]) > 100 || name != "damaged" && len(f.Detail.(*flow.HTTP).Notes) != 1 {
			t.Errorf("%s: %.200q, %v", name, bodies[0], f.Detail.(*flow.HTTP).Notes)
		}
	}
}

// TestFoldedHead: a part's field that is folded into very many lines is joined once, not
// with each line.
func TestFoldedHead(t *testing.T) {
	const lines = 10_000
	w := newWorld(t)
	body := "--B\r\nContent-Disposition: form-data;" + strings.Repeat("\r\n\t ", lines) + " name=token\r\n\r\ns3cr3t\r\n--B--"
	var got string
	var ok bool
	if n := testing.AllocsPerRun(1, func() { got, ok = w.redacted("multipart/form-data; boundary=B", body) }); n > lines/10 {
		t.Errorf("%v allocations for %d lines", n, lines)
	}
	if want := strings.ReplaceAll(body, "s3cr3t", "REDACTED"); !ok || got != want {
		t.Errorf("%.100q, %v", got, ok)
	}
}

func TestMessages(t *testing.T) {
	w := newWorld(t)
	var log []byte
	for _, e := range []message.Entry{
		{Op: 1, Payload: []byte(`{"token":"s3cr3t"}`)}, {Op: 1, Payload: []byte("pin 1234")}, {Op: 2, Payload: []byte("\xff")}, {Op: 8, Payload: []byte("\x03\xe8pin 1234")},
	} {
		e.Size = int64(len(e.Payload))
		log = append(message.AppendHead(log, &e, 0), e.Payload...)
	}
	m := &flow.Messages{Kind: "websocket", Log: w.body(string(log)), Request: &flow.RequestHead{Method: "GET", Target: "/?token=s3cr3t"}}
	for _, c := range []struct {
		rules []string
		want  []string
		notes int
	}{
		{nil, []string{`{"token":"REDACTED"}`, "pin 1234", "\xff", "\x03\xe8pin 1234"}, 0},
		{[]string{`body:pin (\d+)`}, []string{`{"token":"REDACTED"}`, "pin REDACTED", "", "\x03\xe8"}, 1},
	} {
		f, bodies := w.written(flowOf(m), c.rules...)
		var got []string
		for e, err := range message.ReadLog(strings.NewReader(bodies[0])) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(e.Payload))
		}
		d := f.Detail.(*flow.Messages)
		if diff := cmp.Diff(c.want, got); diff != "" || len(d.Notes) != c.notes || d.Request.Target != "/?token=REDACTED" {
			t.Errorf("%s, %v, %v", diff, d.Notes, d.Request)
		}
	}
	tcp := &flow.Messages{Kind: "tcp", Log: m.Log}
	if f, bodies := w.written(flowOf(tcp), "body:x"); bodies[0] != "" || len(f.Detail.(*flow.Messages).Notes) != 1 {
		t.Error("a stream was written")
	}
}

// TestNothingLeaks: a secret in every place is in no file of any format.
func TestNothingLeaks(t *testing.T) {
	w := newWorld(t)
	const secret = "s3cr3t"
	h := exchange("application/json")
	all := flow.Header{
		{Name: "Authorization", Value: "Bearer " + secret},
		{Name: "Cookie", Value: "a=" + secret},
		{Name: "Referer", Value: "http://a.test/?api_key=" + secret},
		{Name: "Set-Cookie", Value: "b=" + secret + "; Path=/"},
		{Name: "Location", Value: "http://u:" + secret + "@a.test/#id_token=" + secret},
	}
	raw := []byte("POST /?token=" + secret + " HTTP/1.1\r\nAuthorization: " + secret + "\r\n\r\n")
	h.Request.Target, h.Request.Raw = "/?token="+secret, raw
	h.Request.H2 = &flow.H2Head{Pseudo: flow.Header{{Name: ":path", Value: h.Request.Target}}}
	h.Request.Header = append(h.Request.Header, all...)
	h.Response.Header, h.Response.Raw = append(all, flow.Field{Name: "Content-Type", Value: "application/json"}, flow.Field{Name: "Content-Encoding", Value: "gzip"}), raw
	h.Interim = []flow.ResponseHead{{Status: 103, Header: all, Raw: raw}}
	h.RequestTrailer, h.ResponseTrailer = all, all
	h.RequestBody = w.body(`{"password":"` + secret + `"}`)
	h.ResponseBody = w.body(gzipped(`{"token":"` + secret + `"}`))
	h.OriginalRequest, h.OriginalResponse = h.Request, h.Response
	request, response := h.RequestBody, h.ResponseBody
	h.OriginalRequestBody, h.OriginalResponseBody = &request, &response
	odd := &flow.HTTP{Request: &flow.RequestHead{Raw: []byte("??? " + secret)}}
	ws := &flow.Messages{Kind: "websocket", Request: h.Request}
	flows := []*flow.Flow{flowOf(h), flowOf(odd), flowOf(ws)}
	for name, make := range map[string]func(io.Writer) export.Writer{
		"har":    func(w io.Writer) export.Writer { return har.NewWriter(w, har.Options{}) },
		"pcapng": func(w io.Writer) export.Writer { return pcapng.NewWriter(w, pcapng.Options{}) },
		"json":   func(w io.Writer) export.Writer { return lines{w} },
	} {
		for _, redacted := range []bool{false, true} {
			var out bytes.Buffer
			to := make(&out)
			if redacted {
				to = redact.NewWriter(rules(t, redact.Secrets), to)
			}
			for _, f := range flows {
				if err := to.Write(ctx, f, w); err != nil {
					t.Fatal(err)
				}
			}
			if err := to.Close(); err != nil {
				t.Fatal(err)
			}
			if leaks := bytes.Contains(out.Bytes(), []byte(secret)); leaks == redacted {
				t.Errorf("%s, redacted %v: leaks %v: %s", name, redacted, leaks, out.String())
			}
		}
	}
}

// lines are what --json prints.
type lines struct{ io.Writer }

func (l lines) Write(_ context.Context, f *flow.Flow, _ filter.Bodies) error {
	_, err := l.Writer.Write(append(export.AppendJSON(nil, f, export.End), '\n'))
	return err
}

func (lines) Finish(context.Context, filter.Bodies) error { return nil }

func (lines) Close() error { return nil }

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"x": "want secrets", "header:": "want secrets", "cookie:x": `no rule "cookie"`, "body:(": "missing closing", "secret": "want secrets",
	} {
		if _, err := redact.Parse([]string{text}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	w := newWorld(b)
	h := exchange("application/json")
	h.RequestBody = w.body(`{"password":"x","list":[` + strings.Repeat(`{"name":"value","n":1},`, 200) + `null]}`)
	h.Request.Header.Add("Cookie", "a=b; c=d")
	f := flowOf(h)
	var r discard
	to := redact.NewWriter(rules(b), r)
	b.ReportAllocs()
	for b.Loop() {
		if err := to.Write(ctx, f, w); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "flows/s")
}

type discard struct{}

func (discard) Write(context.Context, *flow.Flow, filter.Bodies) error { return nil }
func (discard) Finish(context.Context, filter.Bodies) error            { return nil }

func (discard) Close() error { return nil }
