package nettest_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A handwritten is a connection of a client that says what no library would.
type handwritten struct {
	scenario string
	say      string
	until    string // what the client waits for before it leaves; "" is the end
	times    int    // how often; 0 is once
	more     string // what it says then
	leave    leaving
}

// A leaving is how a client leaves.
type leaving int

const (
	orderly  leaving = iota // close_notify, if there is TLS, and FIN
	abruptly                // FIN alone
	byReset                 // RST
	halfway                 // as orderly, but before it reads, and it reads on
)

const (
	handHead = " HTTP/1.1\r\nHost: 10.9.0.2\r\n"
	chunks   = "Transfer-Encoding: chunked\r\n\r\n"
	parts    = "003;a=b\r\nabc\r\nA;x = \"y\"\r\n0123456789\r\n1\r\nz\r\n"
)

var handwrittens = []handwritten{
	{scenario: "odd-fields", say: "GET /odd-fields/get HTTP/1.1\r\nhOST:10.9.0.2\r\nX-a:  1 \t\r\nX-A:\r\nx-a:1\r\nx_b!#: \xc3\xa4\xff\r\nCookie: a\r\nCookie:b\r\n\r\n", until: hello},
	{scenario: "empty-lines", say: "\r\n\r\nGET /empty-lines/get" + handHead + "\r\n", until: hello},
	{scenario: "no-host", say: "GET /no-host/get HTTP/1.0\r\n\r\n", until: hello},
	{scenario: "keep-alive-1-0", say: "GET /keep-alive-1-0/get HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", until: hello, more: "GET /keep-alive-1-0/get HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", times: 1},
	{scenario: "absolute", say: "GET http://10.9.0.2/absolute/get?#" + handHead + "\r\n", until: hello},
	{scenario: "chunks", say: "POST /chunks/post" + handHead + chunks + parts + "0000;last\r\nX-Sum: 1\r\nx-sum:2\r\n\r\n", until: hello},
	{scenario: "no-chunks", say: "POST /no-chunks/post" + handHead + chunks + "0\r\n\r\n", until: hello},
	{scenario: "zero-length", say: "POST /zero-length/post" + handHead + "Content-Length: 000\r\n\r\n", until: hello},
	{scenario: "pipelined", say: "GET /pipelined/get" + handHead + "\r\nPOST /pipelined/post" + handHead + chunks + parts + "0\r\n\r\nGET /pipelined/chunked" + handHead + "\r\n", until: "\r\n00\r\n\r\n"},
	{scenario: "half-closed", say: "GET /half-closed/get" + handHead + "\r\n", leave: halfway},
	{scenario: "half-closed-stall", say: "GET /half-closed-stall/stall" + handHead + "\r\n", leave: halfway},
	{scenario: "abrupt", say: "GET /abrupt/get" + handHead + "\r\n", until: hello, leave: abruptly},
	{scenario: "reset-idle", say: "GET /reset-idle/get" + handHead + "\r\n", until: hello, leave: byReset},
	{scenario: "idle-finish", say: "GET /idle-finish/idle-finish" + handHead + "\r\n"},
	{scenario: "idle-cut", say: "GET /idle-cut/idle-cut" + handHead + "\r\n"},
	{scenario: "idle-reset", say: "GET /idle-reset/idle-reset" + handHead + "\r\n"},
	{scenario: "close", say: "GET /close/close" + handHead + "\r\n"},
	{scenario: "close-abruptly", say: "GET /close-abruptly/close" + handHead + "\r\n", leave: abruptly},
	{scenario: "until-close", say: "GET /until-close/until-close" + handHead + "\r\n"},
	{scenario: "until-cut", say: "GET /until-cut/until-cut" + handHead + "\r\n"},
	{scenario: "finish", say: "GET /finish/finish" + handHead + "\r\n"},
	{scenario: "cut", say: "GET /cut/cut" + handHead + "\r\n"},
	{scenario: "cut-abruptly", say: "GET /cut-abruptly/cut" + handHead + "\r\n", leave: abruptly},
	{scenario: "hang-up", say: "GET /hang-up/hang-up" + handHead + "\r\n"},
	{scenario: "vanish", say: "GET /vanish/vanish" + handHead + "\r\n"},
	{scenario: "stall", say: "GET /stall/stall" + handHead + "\r\n", until: "\r\n\r\n"},
	{scenario: "stall-abruptly", say: "GET /stall-abruptly/stall" + handHead + "\r\n", until: "\r\n\r\n", leave: abruptly},
	{scenario: "stall-reset", say: "GET /stall-reset/stall" + handHead + "\r\n", until: "\r\n\r\n", leave: byReset},
	{scenario: "early", say: "POST /early/early" + handHead + chunks + parts, until: "\r\n\r\n"},
	{scenario: "early-abruptly", say: "POST /early-abruptly/early" + handHead + chunks + parts, until: "\r\n\r\n", leave: abruptly},
	{scenario: "early-reset", say: "POST /early-reset/early" + handHead + "Content-Length: 100\r\n\r\n0123456789", until: "\r\n\r\n", leave: byReset},
	{scenario: "early-in-a-chunk", say: "POST /early-in-a-chunk/early" + handHead + chunks + "a\r\n012", until: "\r\n\r\n"},
	{scenario: "continue", say: "POST /continue/post" + handHead + "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n", until: "X-Interim: 1\r\n\r\n", more: "abc"},
	{scenario: "hints", say: "GET /hints/hints" + handHead + "\r\n", until: hello},
	{scenario: "nothing"},
	{scenario: "nothing-reset", leave: byReset},
}

// visitByHand is a client that sends bytes. What it prints is all it received,
// and how the server ended.
func visitByHand(w *world, v visiting) string {
	var out strings.Builder
	for i, h := range handwrittens {
		for line := range strings.Lines(w.byHand(h, v, i+1)) {
			fmt.Fprintf(&out, "%s %s", h.scenario, line)
		}
	}
	return out.String()
}

// byHand carries one of them out, on the nth connection.
func (w *world) byHand(h handwritten, v visiting, n int) string {
	d, err := w.Client.Dial(w.ctx, addrPort(v.host(), map[string]uint16{"http": 80, "https": 443}[v.scheme]))
	if err != nil {
		return err.Error() + "\n"
	}
	c := &conversation{tcp: &eofConn{TCPConn: d.(*net.TCPConn)}}
	defer d.Close()
	_ = d.SetDeadline(time.Now().Add(patience)) // it is open
	if c.Conn = c.tcp; v.scheme == "https" {
		c.Conn = tls.Client(c.tcp, &tls.Config{RootCAs: pool(w.t, w.read(v.cert)), ServerName: v.host(), NextProtos: []string{"http/1.1"}})
	}
	_, err = io.WriteString(c, h.say)
	if h.leave == halfway {
		c.finish()
	}
	switch {
	case h.say == "":
		v.accepted(n)
		if t, ok := c.Conn.(*tls.Conn); ok {
			err = t.Handshake()
		}
	case err == nil && h.until != "":
		err = c.hear(h.until, 1)
		if err == nil && h.more != "" {
			if _, err = io.WriteString(c, h.more); err == nil {
				err = c.hear(hello, h.times+1)
			}
		}
	case err == nil:
		err = c.hear("", 1)
	}
	switch h.leave {
	case orderly:
		c.finish()
	case byReset:
		_ = c.tcp.SetLinger(0) // the close behind it tells
		c.tcp.Close()
	}
	return c.told(err)
}

// A conversation is a connection of a client, and what it has heard.
type conversation struct {
	net.Conn
	tcp   *eofConn
	heard bytes.Buffer
}

// hear reads until it has heard what so many times; "" is never.
func (c *conversation) hear(what string, times int) error {
	b := make([]byte, 64<<10)
	for what == "" || bytes.Count(c.heard.Bytes(), []byte(what)) < times {
		n, err := c.Read(b)
		c.heard.Write(b[:n])
		if err != nil {
			return err
		}
	}
	return nil
}

// finish ends the client's side in order.
func (c *conversation) finish() {
	if t, ok := c.Conn.(*tls.Conn); ok {
		_ = t.CloseWrite() // what fails is seen by reading
	}
	_ = c.tcp.CloseWrite()
}

// told is what was heard, and how the server ended.
func (c *conversation) told(err error) string {
	var b strings.Builder
	for line := range bytes.Lines(c.heard.Bytes()) {
		fmt.Fprintf(&b, "%q\n", line)
	}
	switch {
	case err == nil:
	case isReset(err):
		b.WriteString("end: RST\n")
	case errors.Is(err, io.EOF) && c.Conn != net.Conn(c.tcp) && !c.tcp.ended():
		b.WriteString("end: close_notify\n")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		b.WriteString("end: FIN\n")
	default:
		fmt.Fprintf(&b, "end: %v\n", err)
	}
	return b.String()
}
