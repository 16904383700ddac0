package nettest_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// looks runs transom flows beside the proxy.
func (p *transom) looks(w *world, args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	var out, log bytes.Buffer
	cmd := w.command(w.Gateway, "transom", append([]string{"flows"}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &log
	code = exitCode(cmd.Run())
	return out.String(), log.String(), code
}

// A transom that is stopped keeps nobody waiting: what it has in memory is not to be had,
// and what it has written is.
func TestSilent(t *testing.T) {
	w := newWorld(t)
	w.serve(func(rw http.ResponseWriter, _ *http.Request) { io.WriteString(rw, "an answer") })
	w.redirect("80")
	dir := w.recorded()
	p := w.transom("--store", dir, "--lossless", "--json")
	resp, err := w.browser(w.read(w.authority.file)).Get("http://" + shop + "/it")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p.await(1, of("http"))
	eventually(t, "the exchange to be written", func() bool { return w.written(dir, "/it") })
	p.signal(syscall.SIGSTOP)
	defer p.signal(syscall.SIGCONT)
	said := fmt.Sprintf("process %d does not answer", p.pid())
	if out, log, code := p.looks(w, "list"); code != 1 || out != "" || !strings.Contains(log, said) || !strings.Contains(log, "--store DIRECTORY") {
		t.Errorf("of the process: exit code %d, %q, %q", code, out, log)
	}
	if out, log, code := p.looks(w, "list", "--store", dir); code != 0 || !strings.Contains(out, "/it ") || !strings.Contains(log, "does not answer") {
		t.Errorf("of the directory: exit code %d, %q, %q", code, out, log)
	}
	p.signal(syscall.SIGCONT)
	if out, log, code := p.looks(w, "list", "--store", dir); code != 0 || !strings.Contains(out, "/it ") || log != "" {
		t.Errorf("of one that goes on: exit code %d, %q, %q", code, out, log)
	}
}
