package nettest_test

import (
	"fmt"
	"html"
	"os"
	"strings"
)

// visitByChromium has a browser load a page whose script visits. It has a new
// profile each time, and trusts the file of the visit alone.
func visitByChromium(w *world, v visiting) string {
	for _, dir := range []string{"chromium", ".pki"} {
		if err := os.RemoveAll(w.path(dir)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.trusts(v.cert)
	query := ""
	if v.http2 {
		query = "?2"
	}
	dom := w.chromium(v.scheme+"://"+shop+"/page/page"+query, "MAP "+shop+" "+v.host())
	_, dom, _ = strings.Cut(dom, `<pre id="saw">`)
	saw, _, _ := strings.Cut(dom, "</pre>")
	var out strings.Builder
	for line := range strings.Lines(html.UnescapeString(saw)) {
		fmt.Fprintf(&out, "page %s\n", strings.TrimSpace(line))
	}
	return out.String()
}
