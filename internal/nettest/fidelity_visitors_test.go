package nettest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"transom/internal/testnet"
)

// visitors are the clients of HTTP/1.
var visitors = []visitor{
	{name: "by-hand", visit: visitByHand},
	{name: "go", visit: visitByGo, guesses: true},
	{name: "curl", needs: []string{"curl"}, visit: visitByCurl},
	{name: "http.client", needs: []string{"python3"}, visit: visitByScript("python3", "visit-http-client.py")},
	{name: "urllib", needs: []string{"python3"}, visit: visitByScript("python3", "visit-urllib.py")},
	{name: "requests", needs: []string{"python3"}, module: "requests", visit: visitByScript("python3", "visit-requests.py")},
	{name: "httpx", needs: []string{"python3"}, module: "httpx", visit: visitByScript("python3", "visit-httpx.py", "VERSION")},
	{name: "node-http", needs: []string{"node"}, visit: visitByScript("node", "visit-http.js")},
	{name: "chromium", needs: []string{"chromium", "certutil"}, visit: visitByChromium, guesses: true, pools: true},
	{name: "node-fetch", needs: []string{"node"}, visit: visitByScript("node", "visit-fetch.js"), guesses: true},
}

// visitors2 are those of HTTP/2.
var visitors2 = []visitor{
	{name: "go", visit: visitByGo, guesses: true},
	{name: "curl", needs: []string{"curl"}, visit: visitByCurl, clear: true},
	{name: "httpx", needs: []string{"python3"}, module: "httpx, h2", visit: visitByScript("python3", "visit-httpx.py", "VERSION")},
	{name: "chromium", needs: []string{"chromium", "certutil"}, visit: visitByChromium, guesses: true},
	{name: "node-http2", needs: []string{"node"}, visit: visitByScript("node", "visit-http2.js"), clear: true},
	{name: "nghttp", needs: []string{"nghttp"}, visit: visitByNghttp, clear: true},
	{name: "go-set", visit: visitByGo2, clear: true},
}

// need skips t unless v can be had.
func (v visitor) need(t *testing.T) {
	t.Helper()
	need(t, append([]string{"iptables", "ip6tables"}, v.needs...)...)
	if v.module != "" {
		err := exec.Command(find("python3"), "-c", "import "+v.module).Run()
		testnet.Need(t, err == nil, "Python's module "+v.module)
	}
}

// visitByScript has an interpreter run a script of testdata/fidelity.
func visitByScript(interpreter, script string, more ...string) func(*world, visiting) string {
	return func(w *world, v visiting) string {
		path, err := filepath.Abs(filepath.Join("testdata", "fidelity", script))
		if err != nil {
			w.t.Fatal(err)
		}
		args := []string{path, v.scheme, v.host()}
		if interpreter == "python3" {
			args = append([]string{"-B"}, append(args, v.cert)...)
		}
		for _, a := range more {
			version := "1"
			if v.http2 {
				version = "2"
			}
			args = append(args, strings.Replace(a, "VERSION", version, 1))
		}
		cmd := w.command(w.Client, interpreter, args...)
		cmd.Env = append(cmd.Env, "NODE_EXTRA_CA_CERTS="+v.cert, "PYTHONUNBUFFERED=1")
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, os.Stderr
		if err := cmd.Run(); err != nil {
			w.t.Errorf("%s: %v", script, err)
		}
		return out.String()
	}
}
