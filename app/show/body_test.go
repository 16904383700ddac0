package show_test

import (
	"strings"
	"testing"

	"transom/app/show"
	"transom/flow"
	"transom/store"
)

// shownBody prints one answer with this body.
func shownBody(t *testing.T, detail int, kind, body string) string {
	t.Helper()
	s := &scene{store: store.NewMemory(store.MemoryOptions{})}
	defer s.store.Close()
	h := get("/")
	h.Response.Header = flow.Header{{Name: "Content-Type", Value: kind}}
	h.ResponseBody = s.body([]byte(body))
	return run(t, show.Options{Detail: detail, Store: s.store}, s.add(conn(), h, ""))
}

// What a view shows is bounded by what it makes of a body, not by the body.
func TestFormattedBodiesAreCutShort(t *testing.T) {
	const all = "all is shown from --flow-detail 4"
	numbers := "[" + strings.Repeat("1,", 500) + "2]"
	long := `{"a":"` + strings.Repeat("é", 3000) + `"}`
	for _, tc := range []struct{ name, body string }{{"rows", numbers}, {"columns", long}} {
		t.Run(tc.name, func(t *testing.T) {
			got := shownBody(t, 3, "application/json", tc.body)
			if !strings.Contains(got, all) || len(got) > 4<<10 || strings.Contains(got, `\x`) || strings.Count(got, "\n") > 60 {
				t.Errorf("at detail 3 of %d bytes:\n%s", len(tc.body), got)
			}
			if got = shownBody(t, 4, "application/json", tc.body); strings.Contains(got, all) || len(got) < len(tc.body) {
				t.Errorf("at detail 4 of %d bytes:\n%s", len(tc.body), got)
			}
		})
	}
}

// In no view do bodies steer the terminal.
func TestViewsDoNotSteerTheTerminal(t *testing.T) {
	const nasty = "\x1b]0;x\x07\u202e\u0085\u200b"
	for kind, body := range map[string]string{
		"application/json":                  `{"` + nasty + `":"` + nasty + `"}`,
		"text/html":                         "<p a='" + nasty + "'>" + nasty + "</p><!--" + nasty + "--><script>'" + nasty + "'</script>",
		"text/xml":                          "<p a='" + nasty + "'>" + nasty + "</p><?" + nasty + "?>",
		"text/css":                          "a{b:'" + nasty + "'}/*" + nasty + "*/",
		"text/javascript":                   "a=`" + nasty + "`;//" + nasty,
		"application/x-www-form-urlencoded": "a=%1b%5d0&%07=b",
		"multipart/form-data; boundary=x":   "--x\r\na: " + nasty + "\r\n\r\n" + nasty + "\r\n--x--\r\n",
		"application/x-protobuf":            "\x0a\x05\x1b]0;\x07",
		"application/msgpack":               "\x81\xa4\x1b]0;\xa1\x07",
		"application/cbor":                  "\xa1\x64\x1b]0;\x61\x07",
		"image/png":                         "\x89PNG" + nasty,
		"application/jwt":                   "eyJhIjoiGyJ9." + nasty + ".x",
	} {
		for i, r := range shownBody(t, 4, kind, body) {
			if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == 0x202e || r == 0x200b || r == 0xfffd {
				t.Errorf("%s: %U at %d", kind, r, i)
			}
		}
	}
}
