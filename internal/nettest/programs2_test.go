package nettest_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"transom/internal/testnet"
)

// programs2 are stock clients that speak HTTP/2; see programs.
var programs2 = []program{
	{name: "curl", needs: "curl", scheme: "https", args: []string{"-sSi", "--http2", "--cacert", "CA", "SCHEME://HOST/page"}},
	{name: "curl-many", needs: "curl", scheme: "https", args: []string{
		"-sSi", "--http2", "--cacert", "CA", "SCHEME://HOST/page", "SCHEME://HOST/early", "SCHEME://HOST/nothing", "SCHEME://HOST/missing",
	}},
	{name: "curl-head", needs: "curl", scheme: "https", args: []string{"-sSI", "--http2", "--cacert", "CA", "SCHEME://HOST/large"}},
	{name: "curl-upload", needs: "curl", scheme: "https", args: []string{"-sSi", "--http2", "--cacert", "CA", "-T", "large", "SCHEME://HOST/put"}},
	{name: "curl-knowing", needs: "curl", args: []string{
		"-sSi", "--http2-prior-knowledge", "--cacert", "CA", "-d", "a=1&b=2", "SCHEME://HOST/put",
	}},
	{name: "nghttp", needs: "nghttp", args: []string{"SCHEME://HOST/page"}},
	{name: "nghttp-large", needs: "nghttp", args: []string{"SCHEME://HOST/large"}},
	{name: "nghttp-verbose", needs: "nghttp", args: []string{"-v", "SCHEME://HOST/early"}},
	{name: "nghttp-no-dep", needs: "nghttp", args: []string{"-v", "--no-dep", "SCHEME://HOST/page"}},
	{name: "nghttp-many", needs: "nghttp", args: []string{"-n", "-v", "-m", "50", "SCHEME://HOST/page"}},
	{name: "nghttp-continuation", needs: "nghttp", args: []string{"--continuation", "SCHEME://HOST/page"}},
	{name: "nghttp-upload", needs: "nghttp", args: []string{"-d", "large", "-b", "200", "SCHEME://HOST/put"}},
	{name: "nghttp-trailer", needs: "nghttp", args: []string{
		"-v", "-d", "small", "-H", "trailer: x-end", "--trailer", "x-end: at last", "--no-content-length", "SCHEME://HOST/put",
	}},
	{name: "nghttp-windows", needs: "nghttp", args: []string{"-w", "10", "-W", "12", "SCHEME://HOST/large"}},
	{name: "nghttp-tables", needs: "nghttp", args: []string{"-c", "100", "--encoder-header-table-size", "200", "SCHEME://HOST/page"}},
	{name: "httpx", needs: "python3", args: []string{"-c", `
import asyncio, httpx, sys
base, ca = sys.argv[1:]
async def main():
    async with httpx.AsyncClient(http1=False, http2=True, verify=ca, timeout=60) as c:
        for r in await asyncio.gather(*(c.get(f'{base}/page?{i}') for i in range(20))):
            print(r.http_version, r.status_code, list(r.headers.items()), r.text)
        for r in [await c.post(base + '/put', content=b'x' * 300000), await c.head(base + '/large'), await c.get(base + '/missing')]:
            print(r.http_version, r.status_code, list(r.headers.items()), r.text)
asyncio.run(main())
`, "SCHEME://HOST", "CA"}},
	{name: "node", needs: "node", args: []string{"-e", `
const c = require('http2').connect(process.argv[1])
const ask = (head, body) => new Promise((resolve, reject) => {
  const s = c.request(head, {waitForTrailers: true}), said = []
  let text = '' // apart: that there is content may be told before that there is a response
  s.on('wantTrailers', () => s.sendTrailers({'x-end': 'at last'}))
  for (const event of ['headers', 'response', 'trailers']) s.on(event, h => said.push(event, JSON.stringify(h)))
  s.setEncoding('utf8')
  s.on('data', d => text += d).on('error', reject).on('close', () => resolve(said.join(' ') + ' ' + text))
  s.end(body)
})
const all = [{':path': '/page'}, {':path': '/early'}, {':path': '/nothing'}, {':method': 'HEAD', ':path': '/large'}].map(h => ask(h))
all.push(ask({':method': 'PUT', ':path': '/put'}, 'x'.repeat(300000)))
Promise.all(all).then(said => { console.log(said.join('\n')); c.ping((err) => { console.log('pong', err); c.close() }) })
`, "SCHEME://HOST"}},
}

// TestPrograms2 has stock programs ask a server over HTTP/2, straight and then
// through the proxy. They must not notice, nor must the server.
func TestPrograms2(t *testing.T) {
	need(t, "curl", "nghttp", "python3", "node", "iptables")
	w := newWorld(t)
	_, _, err := w.try(w.Client, "python3", "-c", "import httpx, h2")
	testnet.Need(t, err == nil, "httpx and h2 for Python")
	var log visits
	w.serve2(log.answer)
	w.write("large", strings.Repeat("0123456789abcde\n", 1<<16)) // 1 MiB
	w.write("small", "hello")
	ways := []way{{"http", 0}, {"https", 1}}
	straight := w.askAll(programs2, ways, w.authority.file)
	seen := log.take()

	w.redirect("80,443")
	p := w.transom("--json")
	through := w.askAll(programs2, ways, w.trusted())
	again := log.take()

	for k, want := range straight {
		if len(want) < 20 {
			t.Errorf("%v got %.500q without the proxy", k, want)
		}
		if diff := cmp.Diff(plain(want), plain(through[k])); diff != "" {
			t.Errorf("%v got through the proxy (+), and without it (-):\n%.2000s", k, diff)
		}
	}
	if diff := cmp.Diff(seen, again); diff != "" {
		t.Errorf("the server was asked through the proxy (+), and without it (-):\n%.4000s", diff)
	}
	p.stop()
	if rs := p.records(); len(rs) != len(seen) {
		t.Errorf("%d records of %d requests", len(rs), len(seen))
	}
	for _, r := range p.records() {
		if r.Type != "http" || r.Request.HTTP != "HTTP/2.0" || r.Response.HTTP != "HTTP/2.0" || r.Capture != "redirect" || r.Error != "" {
			t.Errorf("recorded %+v", r)
		}
	}
}

// A visits is what a server has been asked.
type visits struct {
	mu   sync.Mutex
	seen []string
}

// take returns what has been asked since the last call. Side by side means in
// no order.
func (v *visits) take() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer func() { v.seen = nil }()
	slices.Sort(v.seen)
	return v.seen
}

// answer answers by the path, mostly with what it was asked.
func (v *visits) answer(rw http.ResponseWriter, req *http.Request) {
	h := rw.Header()
	h.Set("Date", "now")
	body, err := io.ReadAll(req.Body)
	said := fmt.Sprintf("%s %s %s %s, %d bytes %x, %v", req.Proto, req.Method, req.Host, req.URL, len(body), sha256.Sum256(body), err)
	for _, fields := range []http.Header{req.Header, req.Trailer} {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			said += fmt.Sprintf("\n  %s: %.40q", name, fields[name])
		}
	}
	v.mu.Lock()
	v.seen = append(v.seen, said)
	v.mu.Unlock()
	switch req.URL.Path {
	case "/nothing":
		rw.WriteHeader(204)
		return
	case "/missing":
		rw.WriteHeader(404)
	case "/early":
		h.Set("Link", "</style.css>; rel=preload")
		rw.WriteHeader(103)
		h.Del("Link")
	case "/large":
		h.Set("Content-Length", "1048576")
		io.WriteString(rw, strings.Repeat("0123456789abcde\n", 1<<16))
		return
	}
	h.Set("Trailer", "X-Sum")
	io.WriteString(rw, said+"\n")
	// Without a length: curl leaves when it has as much as that, and the trailer
	// section may be on its way still.
	http.NewResponseController(rw).Flush()
	h.Set("X-Sum", "42")
}

// plain takes out of what nghttp -v tells what is not promised: when frames
// came, how payload was cut into frames, and which side was first.
func plain(s string) string {
	if !strings.Contains(s, "send SETTINGS frame") {
		return s
	}
	var kept []string
	skip := false
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "[") {
			_, line, _ = strings.Cut(line, "] ")
			skip = dull.MatchString(line)
		} else if !strings.HasPrefix(line, " ") {
			skip = false
		}
		if !skip {
			kept = append(kept, coded.ReplaceAllString(line, "${1}N"))
		}
	}
	slices.Sort(kept)
	return strings.Join(kept, "")
}

// dull are frames whose number and place depend on who was faster.
var dull = regexp.MustCompile(`(DATA|WINDOW_UPDATE|GOAWAY) frame|SETTINGS frame <length=0, flags=0x01`)

// coded is a length that depends on what has been said before, and on how large
// a table nghttp knows by then that it may have.
var coded = regexp.MustCompile(`(HEADERS frame <length=)[0-9]+`)
