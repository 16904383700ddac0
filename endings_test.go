package transom_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom"
	"transom/internal/testnet"
)

// TestHalfCloseTravels: the client has said all it has to say, and the server is
// told so while it still thinks about its answer.
func TestHalfCloseTravels(t *testing.T) {
	for name, request := range map[string]string{
		"get":  "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"post": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				w.serve(serverAddr, func(c *testnet.Conn, r *bufio.Reader) {
					w.hear(r, request)
					if b, err := io.ReadAll(r); len(b) > 0 || err != nil {
						t.Errorf("the server read %q, %v", b, err)
					}
					w.say(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
				})
				c := w.dial(serverAddr)
				w.say(c, request)
				c.CloseWrite()
				start := time.Now()
				if got, err := w.hearEnd(c); !strings.HasSuffix(got, "\r\n\r\nhello") || err != nil || time.Since(start) > time.Second {
					t.Errorf("read %q, %v after %v", got, err, time.Since(start))
				}
			})
		})
	}
}

// A leaving is a moment at which a client leaves a server that has not ended.
type leaving struct {
	name, request, response string
	fin                     bool // the server has ended its side by then
}

var leavings = []leaving{
	{name: "between-exchanges", request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", response: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
	{name: "response-awaited", request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
	{name: "in-an-upload", request: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe", response: "HTTP/1.1 100 Continue\r\n\r\n"},
	{name: "behind-the-last", request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", response: "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"},
	{name: "behind-an-end", request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", response: "HTTP/1.1 200 OK\r\n\r\nhello", fin: true},
	{name: "behind-a-short-body", request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", response: "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", fin: true},
	{name: "behind-no-response", request: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", fin: true},
}

// TestLeavingTravels has clients leave with a FIN, with close_notify before it,
// and with a reset: the server sees them leave like that.
func TestLeavingTravels(t *testing.T) {
	servers := newPKI(t)
	for name, leave := range map[string]func(*testnet.Conn, *tls.Conn){
		"close_notify, FIN": func(_ *testnet.Conn, c *tls.Conn) { c.Close() },
		"FIN":               func(raw *testnet.Conn, _ *tls.Conn) { raw.Close() },
		"RST":               func(raw *testnet.Conn, _ *tls.Conn) { raw.SetLinger(0); raw.Close() },
	} {
		for _, l := range leavings {
			t.Run(strings.ToLower(strings.ReplaceAll(name, ", ", "-"))+"/"+l.name, func(t *testing.T) {
				inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }, func(w *world) {
					saw := make(chan string, 1)
					w.net.Handle(secureAddr, func(c *testnet.Conn) {
						raw := &recorded{Conn: c}
						s := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}, MaxVersion: tls.VersionTLS12})
						w.hear(s, l.request)
						w.say(s, l.response)
						if l.fin {
							s.CloseWrite()
							c.CloseWrite()
						}
						saw <- left(s, raw)
					})
					raw := w.dial(secureAddr)
					c := tls.Client(raw, &tls.Config{ServerName: "shop.test", RootCAs: w.roots, MaxVersion: tls.VersionTLS12})
					w.say(c, l.request)
					w.hear(c, l.response)
					if l.fin {
						io.Copy(io.Discard, c) // what is unread would make a FIN a reset
					}
					time.Sleep(time.Second) // fake time: long enough for what is watched when all is quiet
					synctest.Wait()
					leave(raw, c)
					start := time.Now()
					if got := <-saw; got != name || time.Since(start) > time.Second {
						t.Errorf("the server saw %s after %v", got, time.Since(start))
					}
				})
			})
		}
	}
}

// left tells how a client of TLS 1.2 leaves, in which an alert is known by its
// record.
func left(s *tls.Conn, raw *recorded) string {
	_, err := io.Copy(io.Discard, s)
	if err == nil {
		_, err = io.Copy(io.Discard, struct{ io.Reader }{raw})
	}
	const alert = 21
	how := ""
	for b := raw.read.Bytes(); len(b) > 5; b = b[min(len(b), 5+int(b[3])<<8+int(b[4])):] {
		if b[0] == alert {
			how = "close_notify, "
		}
	}
	if errors.Is(err, syscall.ECONNRESET) {
		return how + "RST"
	}
	return how + "FIN"
}

// TestServersEndTravels is the same the other way, with the client waiting for
// it.
func TestServersEndTravels(t *testing.T) {
	servers := newPKI(t)
	for name, end := range map[string]func(*testnet.Conn, *tls.Conn){
		"close_notify, FIN": func(raw *testnet.Conn, s *tls.Conn) { s.CloseWrite(); raw.CloseWrite() },
		"FIN":               func(raw *testnet.Conn, _ *tls.Conn) { raw.CloseWrite() },
		"RST":               func(raw *testnet.Conn, _ *tls.Conn) { raw.SetLinger(0); raw.Close() },
	} {
		for moment, response := range map[string]string{
			"idle":             "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
			"behind-the-last":  "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
			"in-a-body":        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello",
			"in-a-chunk":       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
			"response-awaited": "",
		} {
			for _, wait := range []time.Duration{0, time.Second} {
				t.Run(strings.ToLower(strings.ReplaceAll(name, ", ", "-"))+"/"+moment+"/"+wait.String(), func(t *testing.T) {
					inWorld(t, func(p *transom.Proxy) { p.UpstreamRoots = servers.roots }, func(w *world) {
						w.net.Handle(secureAddr, func(c *testnet.Conn) {
							s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{servers.leaf(t, "shop.test")}, MaxVersion: tls.VersionTLS12})
							readHead(bufio.NewReader(s))
							w.say(s, response)
							time.Sleep(wait) // fake time: the proxy has relayed the response, and may watch
							synctest.Wait()
							end(c, s)
							io.Copy(io.Discard, c)
						})
						raw := &recorded{Conn: w.dial(secureAddr)}
						c := tls.Client(raw, &tls.Config{ServerName: "shop.test", RootCAs: w.roots, MaxVersion: tls.VersionTLS12})
						w.say(c, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n")
						w.hear(c, response)
						if got := left(c, raw); got != name {
							t.Errorf("the client saw %s", got)
						}
						raw.Close()
					})
				})
			}
		}
	}
}
