package nettest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A program is how a stock client asks the server for a page.
type program struct {
	name  string
	needs string
	// args are its arguments. HOST is the server as it stands in a URL, ADDR its
	// address, PORT and SCHEME are what they are, CA is a file of certificates.
	args   []string
	scheme string // the only one it can; "" is both
}

// programs are the clients; each prints all of the responses that it can get
// hold of.
var programs = []program{
	{name: "curl", needs: "curl", args: []string{"-sSi", "--cacert", "CA", "SCHEME://HOST/index.html"}},
	{name: "curl-name", needs: "curl", args: []string{
		"-sSi", "--cacert", "CA", "--connect-to", shop + "::ADDR:", "SCHEME://" + shop + "/",
	}},
	{name: "curl-head", needs: "curl", args: []string{"-sSI", "--cacert", "CA", "SCHEME://HOST/large.txt"}},
	{name: "curl-range", needs: "curl", args: []string{"-sSi", "-r", "5-20", "--cacert", "CA", "SCHEME://HOST/index.html"}},
	{name: "curl-large", needs: "curl", args: []string{"-sSi", "--cacert", "CA", "SCHEME://HOST/large.txt"}},
	{name: "curl-gzip", needs: "curl", args: []string{"-sSi", "--raw", "-H", "Accept-Encoding: gzip", "--output", "-", "--cacert", "CA", "SCHEME://HOST/large.txt"}},
	{name: "curl-keep-alive", needs: "curl", args: []string{
		"-sSiL", "--cacert", "CA", "SCHEME://HOST/old", "SCHEME://HOST/nothing", "SCHEME://HOST/missing",
	}},
	{name: "curl-post", needs: "curl", args: []string{"-sSi", "--cacert", "CA", "-d", "a=1&b=2", "SCHEME://HOST/echo"}},
	{name: "curl-upload", needs: "curl", args: []string{"-sSi", "--http1.1", "--cacert", "CA", "-H", "Expect:", "-T", "nginx/www/large.txt", "SCHEME://HOST/echo"}},
	{name: "curl-upload-continue", needs: "curl", args: []string{
		"-sSi", "--http1.1", "--cacert", "CA", "-H", "Expect: 100-continue", "-T", "nginx/www/large.txt", "SCHEME://HOST/echo",
	}},
	{name: "curl-http-1-0", needs: "curl", args: []string{"-sSi", "-0", "--cacert", "CA", "SCHEME://HOST/"}},
	{name: "curl-tls-1-2", needs: "curl", args: []string{"-sSi", "--tls-max", "1.2", "--cacert", "CA", "SCHEME://HOST/"}, scheme: "https"},
	{name: "python", needs: "python3", args: []string{"-c", `
import http.client, ssl, sys
host, port, ca = sys.argv[1:]
if port == '443':
    c = http.client.HTTPSConnection(host, int(port), timeout=60, context=ssl.create_default_context(cafile=ca))
else:
    c = http.client.HTTPConnection(host, int(port), timeout=60)
for method, path in ('GET', '/'), ('HEAD', '/large.txt'), ('GET', '/missing'), ('POST', '/echo'):
    c.request(method, path, body=iter([b'abc', b'def']) if method == 'POST' else None, encode_chunked=True,
              headers={'Transfer-Encoding': 'chunked'} if method == 'POST' else {})
    r = c.getresponse()
    print(r.version, r.status, r.reason, r.headers, r.read())
`, "ADDR", "PORT", "CA"}},
	{name: "node-http", needs: "node", args: []string{"-e", `
const [addr, port] = process.argv.slice(1), web = require(port === '443' ? 'https' : 'http')
web.get({host: addr, port, path: '/', servername: '` + shop + `', headers: {Host: '` + shop + `'}, agent: false, timeout: 60000}, r => {
  console.log(r.httpVersion, r.statusCode, r.statusMessage, r.rawHeaders)
  r.pipe(process.stdout)
})
`, "ADDR", "PORT"}},
	{name: "node-fetch", needs: "node", args: []string{"-e", `
(async () => {
  for (const path of ['/', '/old', '/missing']) {
    const r = await fetch(process.argv[1] + path)
    console.log(r.status, r.url, r.redirected, [...r.headers], await r.text())
  }
})()
`, "SCHEME://HOST"}},
	{name: "openssl", needs: "openssl", scheme: "https", args: []string{
		"s_client", "-quiet", "-verify_return_error", "-CAfile", "CA", "-servername", shop, "-connect", "HOST:PORT",
	}},
	{name: "nc", needs: "nc", scheme: "http", args: []string{"-N", "ADDR", "PORT"}},
}

// bare is what programs that know no HTTP are given to say.
const bare = "GET / HTTP/1.0\r\n\r\n"

// TestPrograms has stock programs ask a stock nginx, straight and then through
// the proxy. They must not notice, nor must nginx.
func TestPrograms(t *testing.T) {
	need(t, "curl", "python3", "node", "openssl", "nc", "nginx", "iptables")
	w := newWorld(t)
	n := w.nginx()
	straight := w.askAll(programs, everyWay, w.authority.file)
	seen := n.seen()

	w.redirect("80,443")
	proxy := w.transom("--json")
	through := w.askAll(programs, everyWay, w.trusted())
	again := n.seen()

	for k, want := range straight {
		if !strings.Contains(want, "nginx") {
			t.Errorf("%v got %.500q without the proxy", k, want)
		}
		if got := through[k]; got != want {
			t.Errorf("%v got\n%.2000s\nthrough the proxy, and without it\n%.2000s", k, got, want)
		}
	}
	if !slices.Equal(again, seen) {
		t.Errorf("nginx was asked\n%s\nthrough the proxy, and without it\n%s", strings.Join(again, "\n"), strings.Join(seen, "\n"))
	}
	proxy.stop()
	if rs := proxy.records(); len(rs) != len(seen) {
		t.Errorf("%d records of %d requests", len(rs), len(seen))
	}
	for _, r := range proxy.records() {
		if r.Type != "http" || r.Capture != "redirect" || r.Error != "" || r.Response.Status == 0 {
			t.Errorf("recorded %+v", r)
		}
	}
}

// An asked is a program and the way by which it asked.
type asked struct {
	program string
	way
}

type way struct {
	scheme string
	family int // of families
}

// everyWay is all the ways to the server.
var everyWay = []way{{"http", 0}, {"http", 1}, {"https", 0}, {"https", 1}}

// askAll has each program ask the server by those ways that it knows.
func (w *world) askAll(ps []program, ways []way, cert string) map[asked]string {
	w.t.Helper()
	answers := map[asked]string{}
	for _, p := range ps {
		for _, by := range ways {
			if f := families[by.family]; p.scheme == "" || p.scheme == by.scheme {
				answers[asked{p.name, by}] = w.ask(p, by.scheme, f.host, f.addr, cert)
			}
		}
	}
	return answers
}

// ask has a program ask the server, and returns what it printed.
func (w *world) ask(p program, scheme, host, addr, cert string) string {
	w.t.Helper()
	port := map[string]string{"http": "80", "https": "443"}[scheme]
	fill := strings.NewReplacer("HOST", host, "ADDR", addr, "PORT", port, "SCHEME", scheme, "CA", cert)
	if strings.HasPrefix(host, "[") && p.name == "curl-name" {
		fill = strings.NewReplacer("ADDR", host, "SCHEME", scheme, "CA", cert)
	}
	args := slices.Clone(p.args)
	for i, a := range args {
		if !strings.Contains(a, "\n") && !strings.HasPrefix(a, "-") {
			args[i] = fill.Replace(a)
		}
	}
	cmd := w.command(w.Client, p.needs, args...)
	cmd.Env = append(cmd.Env, "NODE_EXTRA_CA_CERTS="+cert, "SSL_CERT_FILE="+cert)
	if p.name == "openssl" || p.name == "nc" {
		cmd.Stdin = strings.NewReader(bare)
	}
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		w.t.Errorf("%s %s: %v\n%s%s", p.name, fmt.Sprint(args), err, &out, &errs)
	}
	return undated(out.String())
}
