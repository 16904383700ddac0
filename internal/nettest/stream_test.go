package nettest_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
)

// tick is a server of events in Python. It sends one for each line that it is
// given, and the end of the response after the last.
const tick = `
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Type', 'text/event-stream')
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        for line in sys.stdin:
            event = ('event: tick\nid: %d\ndata: %s\n\n' % (len(line), line.strip())).encode()
            self.wfile.write(b'%x\r\n%s\r\n' % (len(event), event))
            self.wfile.flush()
        self.wfile.write(b'0\r\n\r\n')
    def log_message(self, *args): pass
server = http.server.HTTPServer(('', 443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:])
server.socket = context.wrap_socket(server.socket, server_side=True)
print('ready', flush=True)
server.handle_request()
`

// TestEventsAreLive has a stock curl read events of a server in Python. Each
// reaches curl, and is printed, before the server sends another.
func TestEventsAreLive(t *testing.T) {
	need(t, "curl", "python3", "iptables")
	for name, args := range map[string][]string{"json": {"--json", "--flow-detail", "3"}, "lines": {"--flow-detail", "3"}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.redirect("80,443")
			cert, key := w.path("cert.pem"), w.path("key.pem")
			w.authority.files(cert, key)
			server := w.command(w.Server, "python3", "-c", tick, cert, key)
			lines, err := server.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			said := newOutput()
			server.Stdout, server.Stderr = said, said
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			if !said.wait(t, func(text string) bool { return strings.Contains(text, "ready") }) {
				t.Fatalf("python said %q", said)
			}
			p := w.transom(args...)
			curl := w.command(w.Client, "curl", "-sSN", "--max-time", "120", "--cacert", w.trusted(), "https://10.9.0.2/events")
			heard := newOutput()
			curl.Stdout, curl.Stderr = heard, heard
			if err := curl.Start(); err != nil {
				t.Fatal(err)
			}
			for i := 1; i <= 5; i++ {
				word := strings.Repeat("x", i)
				if _, err := io.WriteString(lines, word+"\n"); err != nil {
					t.Fatal(err)
				}
				event := fmt.Sprintf("event: tick\nid: %d\ndata: %s\n\n", i+1, word)
				if !heard.wait(t, func(text string) bool { return strings.HasSuffix(text, event) }) {
					t.Fatalf("curl heard %q", heard)
				}
				if name == "lines" {
					shown := fmt.Sprintf(" < tick id %d\n      %s\n", i+1, word)
					if !p.out.wait(t, func(text string) bool { return strings.HasSuffix(text, shown) }) {
						t.Fatalf("event %d is not printed", i)
					}
					continue
				}
				r := p.await(i, func(r record) bool { return r.Event == "data" })[i-1]
				if r.Type != "http" || r.Part != "response" || r.Text != event || r.SSE.Event != "tick" || r.SSE.Data != word || r.SSE.ID != fmt.Sprint(i+1) {
					t.Errorf("printed %+v", r)
				}
			}
			lines.Close()
			if err := curl.Wait(); err != nil {
				t.Errorf("curl: %v\n%s", err, heard)
			}
			heard.close()
			if err := server.Wait(); err != nil {
				t.Errorf("python: %v\n%s", err, said)
			}
			said.close()
			p.stop()
			if name == "json" {
				if r := p.await(1, func(r record) bool { return r.Type == "http" && r.Event == "end" })[0]; r.Response.Body.Size == 0 || r.Error != "" {
					t.Errorf("recorded %+v", r)
				}
			}
		})
	}
}
