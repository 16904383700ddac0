package nettest_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A stranger is a program that asks for a page by HTTPS. URL is the page's, HOST its
// server, ADDR that without brackets, HOME the program's home, and SELF this test's program.
type stranger struct {
	name  string
	needs string
	args  []string
	shows string // what it prints, if not the page
}

func strangers() []stranger {
	return []stranger{
		{name: "curl", needs: "curl", args: []string{"curl", "-sS", "URL"}},
		{name: "wget", needs: "wget", args: []string{"wget", "-qO-", "URL"}},
		{name: "git", needs: "git", args: []string{"sh", "-c", "git ls-remote URL 2>&1 | grep -o 'not valid: is this a git repository'"}, shows: "not valid"},
		{name: "openssl", needs: "openssl", args: []string{
			"sh", "-c", "printf 'GET /it HTTP/1.0\\r\\nHost: HOST\\r\\n\\r\\n' | openssl s_client -quiet -verify_return_error -connect HOST:443",
		}},
		{name: "python-urllib", needs: "python3", args: []string{"python3", "-c", "import urllib.request as u; print(u.urlopen('URL').read().decode())"}},
		{name: "python-requests", needs: "python3", args: []string{"python3", "-c", "import requests; print(requests.get('URL').text)"}},
		{name: "node-https", needs: "node", args: []string{"node", "-e", "require('https').get('URL', r => r.pipe(process.stdout))"}},
		{name: "node-fetch", needs: "node", args: []string{"node", "-e", "fetch('URL').then(r => r.text()).then(console.log)"}},
		{name: "go", args: []string{"SELF", "URL"}},
		{name: "java", needs: "java javac", args: []string{"java", "HOME/Fetch.java", "URL"}},
		{name: "ruby", needs: "ruby", args: []string{"ruby", "-e", "require 'open-uri'; print URI.open('URL').read"}},
		// By itself it looks for an IPv6 address with its brackets in the certificate.
		{name: "php", needs: "php", args: []string{"php", "-r", "echo file_get_contents('URL', false, stream_context_create(['ssl' => ['peer_name' => 'ADDR']]));"}},
		{name: "chromium", needs: "chromium", args: []string{
			"chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
			"--disable-component-update", "--disable-sync", "--user-data-dir=HOME/chromium", "--timeout=120000", "--dump-dom", "URL",
		}},
		// It would show why it does not trust somebody, and wait for who looks.
		{name: "firefox", needs: "firefox-esr timeout", args: []string{
			"sh", "-c", "timeout 300 firefox-esr --headless --profile HOME/profile --screenshot HOME/page.png URL; ls HOME/page.png",
		}, shows: "page.png"},
	}
}

const fetchJava = `class Fetch {
	public static void main(String[] a) throws Exception { new java.net.URL(a[0]).openStream().transferTo(System.out); }
}
`

// fetch is what this program does in place of tests if it is started by the name of
// fetchName: it prints a page, as any program in Go would get it.
func fetch(url string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}

const fetchName = "fetch"

// TestRunPrograms has stock programs ask for a page by HTTPS, over IPv4 and IPv6, as
// an ordinary user, and finds it in the flows.
func TestRunPrograms(t *testing.T) {
	for _, v := range strangers() {
		for _, f := range families {
			t.Run(v.name+"-"+f.name, func(t *testing.T) {
				need(t, strings.Fields(v.needs)...)
				r := newRunner(t)
				r.furnish()
				flows := filepath.Join(r.home, "flows")
				args := []string{"-o", flows, "--json", "--"}
				words := strings.NewReplacer("URL", "https://"+f.host+"/it", "HOST", f.host, "ADDR", f.addr, "HOME", r.home, "SELF", r.path("bin/"+fetchName))
				for _, a := range v.args {
					args = append(args, words.Replace(a))
				}
				stdout, stderr, code := r.run(args...)
				shows := v.shows
				if shows == "" {
					shows = "page /it"
				}
				if code != 0 || !strings.Contains(stdout, shows) {
					t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
				}
				r.wantVisit(flows, "https://"+f.host+"/it")
			})
		}
	}
}

// furnish puts what the strangers find into the home and beside it.
func (r *runner) furnish() {
	r.t.Helper()
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := os.MkdirAll(r.path("bin"), 0o755); err != nil {
		r.t.Fatal(err)
	}
	// Not by this process: another that it starts meanwhile would have the file open.
	r.must(r.Gateway, "install", "-m", "755", self, r.path("bin/"+fetchName))
	r.write("home/Fetch.java", fetchJava)
	if err := os.Mkdir(filepath.Join(r.home, "profile"), 0o777); err != nil {
		r.t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(r.home, "profile"), 0o777); err != nil { // whoever it is
		r.t.Fatal(err)
	}
}

// wantVisit looks for a page in a file of flows, decrypted and answered.
func (r *runner) wantVisit(flows, url string) {
	r.t.Helper()
	b, _ := os.ReadFile(flows) // what is missing is seen below
	seen := slices.ContainsFunc(parse(r.t, string(b)), func(rec record) bool {
		return rec.Type == "http" && strings.HasPrefix(rec.Request.URL, url) && rec.Response.Status == 200 && rec.TLS != nil && rec.Error == ""
	})
	if !seen {
		r.t.Errorf("%s is not among the flows:\n%s", url, b)
	}
}
