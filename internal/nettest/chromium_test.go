package nettest_test

import (
	"strings"
	"testing"
)

// page shows what its script was answered. The script waits for that, and the
// page for its script.
const page = `<!doctype html>
<title>shop</title>
<p>before
<script>
const x = new XMLHttpRequest()
x.open('POST', '/echo', false)
x.send('a=1&b=2')
document.body.append('answered ' + x.status + ' ' + x.responseText)
</script>
`

// TestChromium has a browser that trusts our authority, and nobody else, load a
// page over HTTPS.
func TestChromium(t *testing.T) {
	need(t, "chromium", "certutil", "nginx", "iptables", "ip6tables")
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t)
			w.nginx()
			w.write("nginx/www/page.html", page)
			w.redirect("80,443")
			p := w.transom("--json")
			w.trusts(w.write("transom-ca.pem", w.must(w.Gateway, "transom", "ca", "export")))

			dom := w.chromium("https://"+shop+"/page.html", "MAP "+shop+" "+f.host)
			if want := "answered 200 POST 7"; !strings.Contains(dom, want) {
				t.Errorf("the page does not show %q:\n%s", want, dom)
			}
			for _, want := range []string{"GET /page.html", "POST /echo"} {
				method, path, _ := strings.Cut(want, " ")
				r := p.await(1, func(r record) bool {
					return r.Type == "http" && r.Request.Method == method && r.Request.URL == "https://"+shop+path
				})[0]
				if r.Capture != "redirect" || r.Server.Dst != f.host+":443" || r.Server.SNI != shop || r.Response.Status != 200 || r.Error != "" || r.Request.HTTP != "HTTP/2.0" {
					t.Errorf("recorded %+v", r)
				}
				if r.TLS == nil || r.TLS.Client.Version == "" || r.TLS.Server.Version == "" || r.TLS.Server.VerifyError != "" {
					t.Errorf("%s: TLS is %+v", want, r.TLS)
				}
			}
		})
	}
}

// trusts has browsers of this world trust a certificate and, as they have no
// other database, no one else's that they do not bring along.
func (w *world) trusts(cert string) {
	w.t.Helper()
	w.write(".pki/nssdb/.keep", "")
	db := "sql:" + w.path(".pki/nssdb")
	w.must(w.Client, "certutil", "-N", "-d", db, "--empty-password")
	w.must(w.Client, "certutil", "-A", "-d", db, "-n", "transom", "-t", "C,,", "-i", cert)
}

// chromium loads a page on the client and returns its DOM once it is loaded.
func (w *world) chromium(url, resolve string) string {
	w.t.Helper()
	return w.must(w.Client, "chromium",
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-quic", "--user-data-dir="+w.path("chromium"), "--host-resolver-rules="+resolve,
		"--timeout=60000", "--dump-dom", url)
}
