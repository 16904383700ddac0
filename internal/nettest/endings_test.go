package nettest_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
)

// An ending is how a server ends a connection, and what the client is to see.
type ending struct {
	name   string
	port   uint16
	serve  func(t *testing.T, c *net.TCPConn) // nil is nobody
	say    string                             // the client, at first
	fin    bool                               // the client's, behind that
	want   string
	err    error
	after  string // what the client says behind the server's FIN
	server string // how the server ended, as recorded; "" does not matter
}

const (
	plainGet    = "GET / HTTP/1.1\r\nHost: " + shop + "\r\n\r\n"
	plainAnswer = "HTTP/1.0 200 OK\r\n\r\nhello"
)

var endings = []ending{
	{name: "refused", port: 9001, err: syscall.ECONNRESET, server: "refused"},
	{name: "refused-http", port: 9001, say: plainGet, err: syscall.ECONNRESET, server: "refused"},
	{name: "unreachable", port: 9002, err: syscall.ECONNRESET, server: "unreachable"},
	{name: "reset", port: 9003, serve: func(_ *testing.T, c *net.TCPConn) {
		c.Read(make([]byte, 100))
		c.SetLinger(0)
	}, say: "hello", err: syscall.ECONNRESET, server: "rst"},
	{name: "reset-http", port: 9003, say: plainGet, err: syscall.ECONNRESET, server: "rst"},
	{name: "reset-at-once", port: 9004, serve: func(_ *testing.T, c *net.TCPConn) {
		c.SetLinger(0)
	}, err: syscall.ECONNRESET, server: "rst"},
	{name: "answer-behind-fin", port: 9005, serve: func(t *testing.T, c *net.TCPConn) {
		b, err := io.ReadAll(c)
		if err != nil {
			t.Errorf("the server: %v", err)
		}
		io.WriteString(c, "got "+string(b))
	}, say: "hello", fin: true, want: "got hello", server: "fin"},
	{name: "answer-fin-alone", port: 9005, fin: true, want: "got ", server: "fin"},
	{name: "http-behind-fin", port: 9007, serve: func(t *testing.T, c *net.TCPConn) {
		c.Read(make([]byte, 1000))
		io.WriteString(c, plainAnswer)
	}, say: "GET / HTTP/1.0\r\n\r\n", fin: true, want: plainAnswer},
	{name: "fin-first", port: 9006, serve: func(t *testing.T, c *net.TCPConn) {
		io.WriteString(c, "that is all")
		c.CloseWrite()
		if b, err := io.ReadAll(c); string(b) != "hello" || err != nil {
			t.Errorf("behind its FIN the server got %q, %v", b, err)
		}
	}, want: "that is all", after: "hello", server: "fin"},
}

// TestEndings has servers end connections in every way: the client sees the
// same, whatever the proxy makes of the connection.
func TestEndings(t *testing.T) {
	need(t, "iptables", "ip6tables")
	for name, args := range map[string][]string{
		"inspected": nil,
		"passed":    {"--ignore-hosts", "."},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.redirect("")
			for ipt, with := range map[string]string{"iptables": "icmp-host-unreachable", "ip6tables": "icmp6-addr-unreachable"} {
				w.must(w.Gateway, ipt, "-A", "OUTPUT", "-p", "tcp", "--dport", "9002", "-j", "REJECT", "--reject-with", with)
			}
			for _, e := range endings {
				if e.serve != nil {
					w.handle(e.port, func(c *net.TCPConn) { e.serve(t, c) })
				}
			}
			p := w.transom(append([]string{"--json", "--flow-detail", "3"}, args...)...)
			n := 0
			for _, f := range families {
				for _, e := range endings {
					got, err := w.see(e, f.addr)
					if got != e.want || !errors.Is(err, e.err) || (err == nil) != (e.err == nil) {
						t.Errorf("%s, %s: got %q, %v; want %q, %v", e.name, f.name, got, err, e.want, e.err)
					}
					n++
					if !p.out.wait(t, func(string) bool { return len(connections(p.records())) >= n }) {
						t.Fatalf("%s, %s: no record of the connection", e.name, f.name)
					}
					if r := connections(p.records())[n-1]; e.server != "" && r.Close.Server != e.server {
						t.Errorf("%s, %s: the server is said to have ended with %q, want %q: %+v", e.name, f.name, r.Close.Server, e.server, r)
					}
				}
			}
		})
	}
}

// connections returns the records of connections as a whole.
func connections(rs []record) []record {
	return slices.DeleteFunc(rs, func(r record) bool { return r.Type != "conn" && r.Type != "tls" })
}

// see connects as a client, and returns what it gets to see.
func (w *world) see(e ending, addr string) (string, error) {
	d, err := w.Client.Dial(w.ctx, addrPort(addr, e.port))
	if err != nil {
		return "", err // a reset may come before connect has returned
	}
	c := d.(*net.TCPConn)
	defer c.Close()
	if _, err := io.WriteString(c, e.say); err != nil {
		return "", err
	}
	if e.fin {
		if err := c.CloseWrite(); err != nil {
			return "", err
		}
	}
	b, err := io.ReadAll(c)
	if err == nil && e.after != "" {
		_, err = io.WriteString(c, e.after)
	}
	return string(b), err
}
