package nettest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// nodeServer is an HTTP/2 server that answers what it was asked, behind an
// early hint and before a trailer section.
const nodeServer = `
const http2 = require('http2'), fs = require('fs'), [cert, key] = process.argv.slice(1)
const answer = (s, head) => {
  s.additionalHeaders({':status': 103, link: '</style.css>; rel=preload'})
  let n = 0, end = {}
  s.on('error', () => {}).on('trailers', t => end = t).on('data', d => n += d.length).on('end', () => {
    s.respond({':status': 200, 'x-asked': head[':method'] + ' ' + head[':path'], date: 'now'}, {waitForTrailers: true})
    s.on('wantTrailers', () => s.sendTrailers({'x-got': n, 'x-end': end['x-end'] || ''}))
    s.end('x'.repeat(n))
  })
}
http2.createServer().on('stream', answer).listen(80, '::', () =>
  http2.createSecureServer({cert: fs.readFileSync(cert), key: fs.readFileSync(key)}).on('stream', answer).listen(443, '::', () =>
    console.log('listening')))
`

// TestNode2 has Go's client ask Node's server over HTTP/2, straight and then
// through the proxy.
func TestNode2(t *testing.T) {
	need(t, "node")
	w := newWorld(t)
	w.authority.files(w.path("cert.pem"), w.path("key.pem"))
	cmd := w.command(w.Server, "node", "-e", nodeServer, w.path("cert.pem"), w.path("key.pem"))
	out := newOutput()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !out.wait(t, func(s string) bool { return strings.HasPrefix(s, "listening") }) {
		t.Fatalf("node printed %q", out)
	}
	straight := w.askNode(w.read(w.authority.file))
	w.redirect("80,443")
	p := w.transom("--json")
	through := w.askNode(w.read(w.trusted()))
	if diff := cmp.Diff(straight, through); diff != "" {
		t.Errorf("without the proxy (-), through it (+):\n%s", diff)
	}
	p.stop()
	for _, r := range p.await(len(through), of("http")) {
		if r.Request.HTTP != "HTTP/2.0" || r.Response.HTTP != "HTTP/2.0" || r.Error != "" {
			t.Errorf("recorded %+v", r)
		}
	}
}

// askNode makes requests side by side, and returns what each was answered.
func (w *world) askNode(cert string) []string {
	w.t.Helper()
	c := w.browser2(cert)
	answers := make([]string, 20)
	var wg sync.WaitGroup
	for i := range answers {
		wg.Go(func() {
			host := []string{"http://" + families[0].host, "https://" + families[1].host}[i%2]
			answer, err := askNode(w.ctx, c, fmt.Sprintf("%s/%d", host, i), i*10000)
			if err != nil {
				w.t.Errorf("request %d: %v", i, err)
			}
			answers[i] = answer
		})
	}
	wg.Wait()
	return answers
}

func askNode(ctx context.Context, c *http.Client, url string, size int) (string, error) {
	var early string
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		early = fmt.Sprint(code, h)
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, "POST", url, io.LimitReader(newPattern(int64(size)), int64(size)))
	if err != nil {
		return "", err
	}
	req.Trailer = http.Header{"X-End": {"at last"}}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return fmt.Sprint(early, resp.Proto, resp.Status, resp.Header, len(b), resp.Trailer), err
}
