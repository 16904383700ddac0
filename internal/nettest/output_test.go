package nettest_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"transom/platform/lab"
)

// shopping is a handler that answers with what it was asked.
func shopping(rw http.ResponseWriter, req *http.Request) {
	b, err := io.ReadAll(req.Body)
	if err != nil {
		return // the client is gone
	}
	rw.Header().Set("X-Served", "yes")
	fmt.Fprintf(rw, "%s %s%s with %d bytes", req.Method, req.Host, req.URL, len(b))
}

// curl asks the server by its name, trusting cert and the world's authority.
func (w *world) curl(cert string, args ...string) (stdout, stderr string, err error) {
	w.t.Helper()
	args = append([]string{
		"-sS", "--max-time", "120", "--cacert", cert,
		"--connect-to", shop + "::" + lab.ServerAddr4 + ":", "--connect-to", "other.example::" + lab.ServerAddr4 + ":",
	}, args...)
	return w.try(w.Client, "curl", args...)
}

// trusted returns a file with the proxy's certificate.
func (w *world) trusted() string {
	w.t.Helper()
	return w.write("transom-ca.pem", w.must(w.Gateway, "transom", "ca", "export"))
}

// TestJSON compares what is printed with what was asked.
func TestJSON(t *testing.T) {
	need(t, "curl")
	for name, args := range map[string][]string{"stdout": nil, "file": {"-o", "flows"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve(shopping)
			w.redirect("80,443")
			p := w.transom(append([]string{"--json"}, args...)...)
			cert := w.trusted()
			for _, args := range [][]string{
				{"http://shop.example/a?b=c"},
				{"-d", "12345", "https://shop.example/cart"},
				{"-X", "PURGE", "-H", "X-Odd:  two  spaces ", "https://10.9.0.2/%20"},
				{"https://[fd09::2]/6"},
			} {
				if _, stderr, err := w.curl(cert, args...); err != nil {
					t.Fatalf("curl %s: %v\n%s", args, err, stderr)
				}
			}
			p.stop()
			text := p.out.String()
			if args != nil {
				if text != "" {
					t.Errorf("printed %q beside the file", text)
				}
				text = w.read(w.path("flows"))
			}
			var got []string
			for _, r := range parse(t, text) {
				line := fmt.Sprintf("%s %s %s %d>%d %s %d %s", r.Event, r.Request.Method, r.Request.URL, r.Request.Body.Size,
					r.Response.Body.Size, r.Capture, r.Response.Status, r.Server.Dst)
				if r.TLS != nil {
					line += fmt.Sprintf(" %s %s|%s %s", r.TLS.Client.Version, r.TLS.Client.SNI, r.TLS.Server.Version, r.TLS.Server.ALPN)
				}
				got = append(got, line)
				if r.ID == "" || r.Conn == "" || r.Duration <= 0 || r.Client.Addr == "" || r.Server.From == "" || r.Error != "" {
					t.Errorf("recorded %+v", r)
				}
				if h := r.Request.Headers; len(h) == 0 || h[0][0] != "Host" {
					t.Errorf("fields are not in their order: %q", h)
				}
			}
			want := `end GET http://shop.example/a?b=c 0>35 redirect 200 10.9.0.2:80
end POST https://shop.example/cart 5>35 redirect 200 10.9.0.2:443 TLS 1.3 shop.example|TLS 1.3 http/1.1
end PURGE https://10.9.0.2/%20 0>31 redirect 200 10.9.0.2:443 TLS 1.3 |TLS 1.3 http/1.1
end GET https://[fd09::2]/6 0>28 redirect 200 [fd09::2]:443 TLS 1.3 |TLS 1.3 http/1.1`
			if strings.Join(got, "\n") != want {
				t.Errorf("recorded\n%s\nwant\n%s", strings.Join(got, "\n"), want)
			}
		})
	}
}

// TestDetail looks at the levels of --flow-detail.
func TestDetail(t *testing.T) {
	need(t, "curl")
	const line, head, body = `(?m)^\S+ 192\.168\.1\.2:\d+ +POST +https://shop\.example/ `, `(?m)^ .*X-Asked: yes`, `POST shop.example/ with 3000 bytes`
	for _, tc := range []struct {
		args    []string
		has, no []string
	}{
		{args: []string{"--flow-detail", "0"}, no: []string{"."}},
		{args: []string{"-q"}, no: []string{"."}},
		{args: nil, has: []string{line}, no: []string{head, body}},
		{args: []string{"--flow-detail", "1"}, has: []string{line}, no: []string{head, body}},
		{args: []string{"--flow-detail", "2"}, has: []string{line, head}, no: []string{body}},
		{args: []string{"--flow-detail", "3"}, has: []string{line, head, body}, no: []string{"(?m)a{500}z$"}},
		{args: []string{"--flow-detail", "4"}, has: []string{line, head, body, "(?m)a{500}z$"}},
	} {
		t.Run(strings.Join(append([]string{"transom"}, tc.args...), " "), func(t *testing.T) {
			w := newWorld(t)
			w.serve(shopping)
			w.redirect("80,443")
			p := w.transom(tc.args...)
			file := w.write("body", strings.Repeat("a", 2999)+"z")
			if _, stderr, err := w.curl(w.trusted(), "-H", "X-Asked: yes", "--data-binary", "@"+file, "https://shop.example/"); err != nil {
				t.Fatalf("curl: %v\n%s", err, stderr)
			}
			p.stop()
			for _, re := range tc.has {
				if !regexp.MustCompile(re).MatchString(p.out.String()) {
					t.Errorf("nothing printed matches %q", re)
				}
			}
			for _, re := range tc.no {
				if regexp.MustCompile(re).MatchString(p.out.String()) {
					t.Errorf("something printed matches %q", re)
				}
			}
		})
	}
}

// TestFullDisk has nowhere to write flows to: traffic goes on, and the exit code
// says that something is missing.
func TestFullDisk(t *testing.T) {
	need(t, "curl")
	w := newWorld(t)
	w.serve(shopping)
	w.redirect("80")
	p := w.transom("-o", "/dev/full")
	for range 3 {
		if _, stderr, err := w.curl(w.authority.file, "http://shop.example/"); err != nil {
			t.Fatalf("%v\n%s", err, stderr)
		}
	}
	p.signal(syscall.SIGTERM)
	p.wait(1)
	if s := p.log.String(); strings.Count(s, "flows can't be written") != 1 || !strings.Contains(s, "3 lines of flows could not be written") {
		t.Errorf("logged:\n%s", s)
	}
}

// TestReaderLeaves has who reads the flows leave: transom stops, and says why.
func TestReaderLeaves(t *testing.T) {
	need(t, "curl")
	w := newWorld(t)
	w.serve(shopping)
	w.redirect("80")
	p := w.start(w.command(w.Gateway, "sh", "-c", "transom listen -T | head -n 1"))
	// A line that comes at once behind the first is still taken by the pipe.
	eventually(t, "transom to stop", func() bool {
		_, _, _ = w.curl(w.authority.file, "http://shop.example/") // in the end it is refused
		return strings.Contains(p.log.String(), "nobody reads the flows any more")
	})
	p.wait(0)
}

// TestHosts looks at what --ignore-hosts, --allow-hosts and --tcp-hosts make of
// two names at one address.
func TestHosts(t *testing.T) {
	need(t, "curl")
	for name, tc := range map[string]struct {
		args []string
		// How the two names are recorded, and by whom their certificates are.
		shop, other string
	}{
		"none":          {nil, "http transom", "http transom"},
		"ignore-name":   {[]string{"--ignore-hosts", `^shop\.example:443$`}, "tls origin", "http transom"},
		"ignore-addr":   {[]string{"--ignore-hosts", `^10\.9\.0\.2:443$`}, "conn origin", "conn origin"},
		"ignore-others": {[]string{"--ignore-hosts", `^(?!shop\.|10\.)`}, "http transom", "tls origin"},
		"allow-name":    {[]string{"--allow-hosts", `SHOP\.example`}, "http transom", "tls origin"},
		"tcp-name":      {[]string{"--tcp-hosts", `^shop\.example$`}, "tcp transom", "http transom"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serve(shopping)
			w.redirect("80,443")
			p := w.transom(append([]string{"--json", "--flow-detail", "2"}, tc.args...)...)
			certs := map[string]string{"transom": w.trusted(), "origin": w.authority.file}
			n := 0
			for host, how := range map[string]string{shop: tc.shop, "other.example": tc.other} {
				kind, by, _ := strings.Cut(how, " ")
				got, stderr, err := w.curl(certs[by], "https://"+host+"/")
				if want := "GET " + host + "/ with 0 bytes"; err != nil || got != want {
					t.Errorf("%s: got %q, %v, want %q\n%s", host, got, err, want, stderr)
				}
				n++
				r := p.await(n, func(record) bool { return true })[n-1]
				if r.Type != kind || (by == "origin") != (r.Action == "pass") || r.Error != "" {
					t.Errorf("%s: recorded %+v", host, r)
				}
			}
		})
	}
}

// TestIgnoreHTTP passes plain HTTP by its Host field.
func TestIgnoreHTTP(t *testing.T) {
	need(t, "curl")
	w := newWorld(t)
	w.serve(shopping)
	w.redirect("80,443")
	p := w.transom("--json", "--flow-detail", "2", "--ignore-hosts", `^shop\.example:80$`)
	// On one connection: once the second has been passed, so is what follows.
	got, stderr, err := w.curl(w.authority.file, "http://other.example/1", "-H", "Host: shop.example", "http://other.example/2", "--next",
		"-sS", "--connect-to", "::10.9.0.2:", "http://other.example/3")
	if want := "GET shop.example/1 with 0 bytesGET shop.example/2 with 0 bytesGET other.example/3 with 0 bytes"; err != nil || got != want {
		t.Errorf("got %q, %v\n%s", got, err, stderr)
	}
	r := p.await(1, of("conn"))[0]
	if r.Action != "pass" || !strings.Contains(r.Reason, "ignored by rule") {
		t.Errorf("recorded %+v", r)
	}
}

// TestKeyLog has the secrets of both legs written.
func TestKeyLog(t *testing.T) {
	need(t, "curl")
	for version, label := range map[string]string{"1.2": "CLIENT_RANDOM", "1.3": "CLIENT_TRAFFIC_SECRET_0"} {
		t.Run(version, func(t *testing.T) {
			w := newWorld(t)
			w.serve(shopping)
			w.redirect("80,443")
			file := w.path("keys")
			w.transom("--keylog", file)
			ours := w.path("client-keys")
			cmd := w.command(w.Client, "curl", "-sS", "--tls-max", version, "--cacert", w.trusted(), "https://"+lab.ServerAddr4+"/")
			cmd.Env = append(cmd.Env, "SSLKEYLOGFILE="+ours)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			keys := secrets(w.read(file), label)
			if len(keys) != 2 {
				t.Errorf("%d secrets, want one for each leg:\n%s", len(keys), w.read(file))
			}
			for secret := range secrets(w.read(ours), label) {
				if !keys[secret] {
					t.Errorf("the client's %q is not in the key log", secret)
				}
			}
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the key log: %v, %v", info.Mode(), err)
			}
		})
	}
}

func secrets(text, label string) map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, label+" ") {
			found[strings.ToLower(strings.TrimSpace(line))] = true
		}
	}
	return found
}

// TestLogFormat has all that is said on stderr be records for a program.
func TestLogFormat(t *testing.T) {
	w := newWorld(t)
	p := w.transom("--log-format", "logfmt", "-v")
	p.stop()
	record := regexp.MustCompile(`^time=\S+ level=(INFO|DEBUG) msg=`)
	for line := range strings.Lines(p.log.String()) {
		if !record.MatchString(line) {
			t.Errorf("it says %s", line)
		}
	}
	for _, what := range []string{`level=INFO msg="listening for redirected connections on `, `level=INFO msg="stopping: open connections may finish`} {
		if !strings.Contains(p.log.String(), what) {
			t.Errorf("it says nowhere %s", what)
		}
	}
}
