package nettest_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// An origin is a server that writes down what it is sent and how each
// connection ended. What it answers is said by the path: /SCENARIO/ANSWER.
type origin struct {
	t   *testing.T
	ctx context.Context

	mu    sync.Mutex
	conns []*seen
	met   chan struct{} // closed when all have come that are to meet
	come  int           // how many have
}

// meeting is how many requests are to meet.
const meeting = 4

// meet waits until as many requests are under way at once as are to meet.
func (o *origin) meet() {
	o.mu.Lock()
	if o.come++; o.met == nil {
		o.met = make(chan struct{})
	}
	met := o.met
	if o.come == meeting {
		close(met)
		o.met, o.come = nil, 0
	}
	o.mu.Unlock()
	select {
	case <-met:
	case <-o.ctx.Done():
	}
}

// origin serves HTTP on port 80 of the server and HTTPS on 443, where it speaks
// protos.
func (w *world) origin(protos ...string) *origin {
	w.t.Helper()
	o := &origin{t: w.t, ctx: w.ctx}
	w.handle(80, func(c *net.TCPConn) { o.serve(c, nil) })
	config := &tls.Config{Certificates: []tls.Certificate{w.authority.issue()}, NextProtos: protos}
	w.handle(443, func(c *net.TCPConn) { o.serve(c, config) })
	return o
}

// A seen is what the origin saw of one connection.
type seen struct {
	net.Conn // what HTTP is spoken on
	o        *origin
	tcp      *eofConn
	in       *bufio.Reader
	done     chan struct{}

	mu       sync.Mutex
	scenario string
	hello    string   // what the client asked of TLS
	raw      []byte   // of HTTP/1, as it came
	notes    []string // of HTTP/2, frame by frame
	end      string
}

// serve answers one connection to its end.
func (o *origin) serve(c *net.TCPConn, config *tls.Config) {
	s := &seen{Conn: c, o: o, tcp: &eofConn{TCPConn: c}, done: make(chan struct{})}
	o.mu.Lock()
	o.conns = append(o.conns, s)
	o.mu.Unlock()
	defer close(s.done)
	if s.hello = "TCP to " + c.LocalAddr().String(); config != nil {
		config = config.Clone()
		config.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			s.hello += fmt.Sprintf(", TLS for %q, ALPN %q", h.ServerName, h.SupportedProtos)
			return nil, nil
		}
		t := tls.Server(s.tcp, config)
		s.Conn = t
		if err := t.Handshake(); err != nil {
			s.ended(err)
			return
		}
		state := t.ConnectionState()
		s.hello += fmt.Sprintf(", %s, chose %q", tls.VersionName(state.Version), state.NegotiatedProtocol)
	}
	s.speak()
}

// speak answers requests until the connection ends.
func (s *seen) speak() {
	s.in = bufio.NewReader(s.Conn)
	b, err := s.in.Peek(3)
	switch {
	case err != nil:
		s.ended(err)
		return
	case isPreface(b):
		s.speak2(s.in)
		return
	}
	in := bufio.NewReader(s)
	for s.exchange(in) {
	}
}

// Read reads what the client said in HTTP/1 and keeps it.
func (s *seen) Read(p []byte) (int, error) {
	n, err := s.in.Read(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw = append(s.raw, p[:n]...)
	return n, err
}

// name says which scenario the connection is part of; its first request knows.
func (s *seen) name(path string) (answer string) {
	scenario, answer, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.scenario == "" {
		s.scenario = scenario
	}
	return answer
}

// drain reads until the client ends the connection.
func (s *seen) drain() {
	_, err := io.Copy(io.Discard, struct{ io.Reader }{s})
	s.ended(err)
}

// ended writes down how the client ended the connection. err is what reading or
// writing gave, nil is the end of the stream.
func (s *seen) ended(err error) {
	how := ""
	if _, ok := s.Conn.(*tls.Conn); ok && (err == nil || err == io.EOF) && !s.tcp.ended() {
		how = "close_notify, "
		_, err = io.Copy(io.Discard, struct{ io.Reader }{s.tcp})
	}
	switch {
	case isReset(err):
		how += "RST"
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		how += "FIN"
	default:
		how += err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end == "" || isReset(err) {
		s.end = how
	}
}

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// fin ends the server's side and waits for the client's. In order is with
// close_notify, if there is TLS.
func (s *seen) fin(inOrder bool) {
	s.finish(inOrder)
	s.drain()
}

func (s *seen) finish(inOrder bool) {
	if t, ok := s.Conn.(*tls.Conn); ok && inOrder {
		_ = t.CloseWrite() // fails if the client is gone, which the next read shows
	}
	_ = s.tcp.CloseWrite()
}

// rst resets the connection.
func (s *seen) rst() {
	s.mu.Lock()
	s.end = "reset by the server"
	s.mu.Unlock()
	_ = s.tcp.SetLinger(0) // the close behind it tells
	s.tcp.Close()
}

// lines is what was seen, for people and for comparison.
func (s *seen) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	lines := []string{s.hello}
	for line := range bytes.Lines(s.raw) {
		lines = append(lines, fmt.Sprintf("%q", line))
	}
	lines = append(lines, s.notes...)
	for i, line := range lines {
		lines[i] = short(line)
	}
	if s.end == "" {
		return append(lines, "still open")
	}
	return append(lines, "end: "+s.end)
}

// short names a long line by its beginning, its length and its hash.
func short(line string) string {
	if len(line) <= 300 {
		return line
	}
	return fmt.Sprintf("%.60s… %d bytes, %.4x", line, len(line), sha256.Sum256([]byte(line)))
}

// accepted returns what waits until so many more connections have been accepted.
func (o *origin) accepted() func(int) {
	count := func() int {
		o.mu.Lock()
		defer o.mu.Unlock()
		return len(o.conns)
	}
	before := count()
	return func(more int) {
		eventually(o.t, "connections at the origin", func() bool { return count() >= before+more })
	}
}

// visit has f visit the origin, waits for all of its connections to end, and
// returns them.
func (o *origin) visit(f func()) []*seen {
	o.mu.Lock()
	from := len(o.conns)
	o.mu.Unlock()
	f()
	timeout := timer(o.t)
	for i := from; ; i++ {
		o.mu.Lock()
		conns := slices.Clone(o.conns[from:])
		o.mu.Unlock()
		if i-from == len(conns) {
			return conns
		}
		select {
		case <-conns[i-from].done:
		case <-timeout:
			return conns // which says that one is still open
		}
	}
}

// An eofConn knows whether its peer has ended the TCP stream, which TLS does
// not tell from its own end.
type eofConn struct {
	*net.TCPConn
	mu  sync.Mutex
	eof bool
}

func (c *eofConn) Read(p []byte) (int, error) {
	n, err := c.TCPConn.Read(p)
	if err != nil {
		c.mu.Lock()
		c.eof = true
		c.mu.Unlock()
	}
	return n, err
}

func (c *eofConn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.eof
}
