package nettest_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"transom/platform/lab"
)

// TestFirstSteps takes the steps of docs/first-steps.md, word for word but for the
// server's name and sudo.
func TestFirstSteps(t *testing.T) {
	need(t, "curl")
	r := newRunner(t)
	text := recipes(t, "first-steps.md", "build", "run", "more", "gateway", "doctor", "remove")
	steps := func(name string) *lab.Cmd {
		script := strings.NewReplacer("shop.example", lab.ServerAddr4, "sudo ", "").Replace(text[name])
		as := append(append([]string{}, r.as...), "sh", "-euc", script)
		cmd := r.command(r.Client, as[0], as[1:]...)
		cmd.Dir = r.home
		cmd.Env = append(cmd.Env, "HOME="+r.home, "SSL_CERT_FILE="+r.authority.file, // what the system trusts
			"PATH="+filepath.Dir(r.transom())+":"+sbin+":/usr/local/bin:/usr/bin:/bin")
		return cmd
	}
	take := func(name string) string {
		t.Helper()
		out, err := steps(name).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
		return string(out)
	}
	if got := take("run"); !strings.Contains(got, "page /cart\n") || !strings.Contains(got, "GET     https://"+lab.ServerAddr4+"/cart") {
		t.Errorf("run:\n%s", got)
	}
	got := take("more")
	for _, want := range []string{"GET /cart HTTP/", "\n      page /cart"} {
		if !strings.Contains(got, want) {
			t.Errorf("more: no %q in\n%s", want, got)
		}
	}
	if b, err := os.ReadFile(filepath.Join(r.home, "flows.ndjson")); err != nil || !strings.Contains(string(b), `"url":"https://`) {
		t.Errorf("flows.ndjson: %v, %s", err, b)
	}
	take("remove")
	if left, err := os.ReadDir(filepath.Join(r.home, ".config")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestFirstGateway takes those on a gateway.
func TestFirstGateway(t *testing.T) {
	need(t, "curl")
	w := newGatewayWorld(t)
	w.serve(func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, "hello") })
	text := recipes(t, "first-steps.md", "gateway", "doctor")
	script := func(name string) *lab.Cmd {
		cmd := w.command(w.Gateway, "sh", "-euc", strings.Replace(text[name], "sudo ", "exec ", 1))
		cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+w.authority.file)
		return cmd
	}
	g := w.startGateway(script("gateway"))
	page := w.must(w.Client, "curl", "-sS", "http://"+lab.LANAddr4+":8080/")
	cert := w.write("transom.pem", w.must(w.Client, "curl", "-sSf", "http://"+lab.LANAddr4+":8080/cert/pem"))
	if !strings.Contains(page, "/cert/") {
		t.Errorf("the page is\n%s", page)
	}
	w.must(w.Client, "curl", "-sS", "--cacert", cert, "https://"+lab.ServerAddr4+"/cart")
	if out, err := script("doctor").CombinedOutput(); err != nil {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	g.stop()
	if !strings.Contains(g.out.String(), "GET     https://"+lab.ServerAddr4+"/cart") {
		t.Errorf("shown is\n%s", g.out.String())
	}
}
