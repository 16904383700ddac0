package nettest_test

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"transom/platform/lab"
)

// An nginx is a stock one with a configuration and files of its own.
type nginx struct {
	*world
	log string // what it was asked, a line a request

	marks, done int // calls of seen, and the lines they took
}

// nginx starts nginx on the server, on ports 80 and 443, with these directives
// beside its own.
func (w *world) nginx(directives ...string) *nginx {
	w.t.Helper()
	need(w.t, "nginx")
	n := &nginx{world: w, log: w.path("nginx/access.log")}
	w.write("nginx/www/index.html", "<!doctype html>\n<title>shop</title>\n<p>welcome\n")
	w.write("nginx/www/large.txt", strings.Repeat("0123456789abcde\n", 1<<16)) // 1 MiB
	w.authority.files(w.path("nginx/cert.pem"), w.path("nginx/key.pem"))
	conf := w.write("nginx/nginx.conf", strings.NewReplacer(
		"PREFIX", w.path("nginx"), "DIRECTIVES", strings.Join(directives, "\n")).Replace(nginxConf))
	cmd := w.command(w.Server, "nginx", "-p", w.path("nginx"), "-e", w.path("nginx/error.log"), "-c", conf)
	out := newOutput()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if w.t.Failed() {
			w.t.Logf("nginx printed:\n%s", out)
		}
	})
	for _, f := range families {
		for _, port := range []uint16{80, 443} {
			eventually(w.t, "nginx", func() bool {
				c, err := w.Server.Dial(w.ctx, addrPort(f.addr, port))
				return err == nil && c.Close() == nil
			})
		}
	}
	return n
}

// nginxConf needs no other user and no place but PREFIX.
const nginxConf = `
user root;
daemon off;
master_process off;
pid PREFIX/pid;
events { worker_connections 256; }
http {
	log_format seen '$server_addr:$server_port $scheme "$request" "$http_host" "$http_user_agent" "$http_content_length" $status $body_bytes_sent';
	log_format who '$remote_addr $remote_port';
	access_log PREFIX/access.log seen;
	client_body_temp_path PREFIX/body;
	proxy_temp_path PREFIX/proxy;
	fastcgi_temp_path PREFIX/fastcgi;
	uwsgi_temp_path PREFIX/uwsgi;
	scgi_temp_path PREFIX/scgi;
	types { text/html html; text/plain txt; }
	gzip on;
	gzip_types text/plain;
	server {
		listen 80;
		listen [::]:80;
		listen 443 ssl http2;
		listen [::]:443 ssl http2;
		ssl_certificate PREFIX/cert.pem;
		ssl_certificate_key PREFIX/key.pem;
		DIRECTIVES
		root PREFIX/www;
		location = /old { return 301 /index.html; }
		location = /nothing { return 204; }
		location = /echo { client_max_body_size 8m; return 200 "$request_method $http_content_length\n"; }
	}
}
`

// seen returns what nginx has been asked since the last call. It answers before
// it logs, but one request after the other: a last one marks the end.
func (n *nginx) seen() []string {
	n.t.Helper()
	n.marks++
	mark := fmt.Sprintf("mark-%d", n.marks)
	c, err := n.Server.Dial(n.ctx, addrPort(lab.ServerAddr4, 80))
	if err != nil {
		n.t.Fatal(err)
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET /nothing HTTP/1.0\r\nHost: %s\r\n\r\n", mark); err != nil {
		n.t.Fatal(err)
	}
	var lines []string
	marked := func(line string) bool { return strings.Contains(line, mark) }
	eventually(n.t, "nginx's log", func() bool {
		lines = strings.Split(strings.TrimSuffix(n.read(n.log), "\n"), "\n")[n.done:]
		return slices.ContainsFunc(lines, marked)
	})
	n.done += len(lines)
	return lines[:slices.IndexFunc(lines, marked)]
}

// undated takes the time of day out of responses, and out of what node makes of
// them.
func undated(s string) string {
	return regexp.MustCompile(`(?i)(\bdate(: |',\s+'))[^\r\n']*`).ReplaceAllString(s, "${1}now")
}

func addrPort(addr string, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(addr), port)
}

// packets returns the count of the one rule that iptables lists.
func packets(t *testing.T, list string) (n int) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(list), "\n")
	if len(lines) != 3 {
		t.Fatalf("rules:\n%s", list)
	}
	if _, err := fmt.Sscan(lines[2], &n); err != nil {
		t.Fatalf("%v in %q", err, lines[2])
	}
	return n
}
