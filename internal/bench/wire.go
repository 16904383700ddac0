package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// patience bounds every wait of a client for the network.
const patience = 30 * time.Second

// requestFields are what a program sends, not the least that is possible.
const requestFields = "\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) bench/1.0\r\n" +
	"Accept: application/json, text/plain, */*\r\n" +
	"Accept-Language: en-GB,en;q=0.9\r\n" +
	"Accept-Encoding: gzip, deflate\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef\r\n" +
	"\r\n"

func request(path, host string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: " + host + requestFields)
}

// A dialer opens a job's connections.
type dialer struct {
	job   job
	to    netip.AddrPort
	stem  string // of new names
	count atomic.Int64
}

func newDialer(j job) *dialer {
	port := uint16(httpPort)
	switch {
	case j.TLS:
		port = httpsPort
	case j.Proto == udp:
		port = udpPort
	case j.Proto == dns:
		port = dnsPort
	}
	return &dialer{job: j, to: server(port), stem: rand.Text()[:8]}
}

// A visit is a connection on which one thing is done after the other.
type visit interface {
	get() error // does it once
	Close() error
}

// dial opens a connection and makes a first request.
func (d *dialer) dial(ctx context.Context) (visit, error) {
	c, err := d.connect(ctx)
	if err != nil {
		return nil, err
	}
	return d.begin(ctx, c)
}

// connect opens a connection.
func (d *dialer) connect(ctx context.Context) (net.Conn, error) {
	nd := net.Dialer{Timeout: patience}
	if d.job.datagrams() {
		if d.job.From != "" {
			nd.LocalAddr = &net.UDPAddr{IP: net.ParseIP(d.job.From)}
		}
		return nd.DialContext(ctx, "udp", d.to.String())
	}
	if d.job.From != "" {
		nd.LocalAddr = &net.TCPAddr{IP: net.ParseIP(d.job.From)}
	}
	return nd.DialContext(ctx, "tcp", d.to.String())
}

// begin makes a first request on a connection, and closes it if that fails.
func (d *dialer) begin(ctx context.Context, c net.Conn) (visit, error) {
	name := hostName
	if d.job.Names {
		name = fmt.Sprintf("%s-%d.%s", d.stem, d.count.Add(1), domain)
	}
	if d.job.TLS {
		t := tls.Client(c, d.config(name))
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, fmt.Errorf("handshake: %w", err)
		}
		c = t
	}
	v, err := d.visit(c, name)
	if err == nil {
		err = v.get()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return v, nil
}

// visit begins on a new connection.
func (d *dialer) visit(c net.Conn, name string) (visit, error) {
	switch d.job.Proto {
	case h2:
		return newStreams(c, name, d.job.Flight)
	case ws:
		return newSocket(c, name, d.job)
	case udp:
		return newPackets(c, make([]byte, datagramSize)), nil
	case dns:
		return newPackets(c, query(name)), nil
	}
	return &wire{Conn: c, request: request("/", name), buf: make([]byte, 2048)}, nil
}

// config offers what the origin server takes. The client does not verify, as
// that would only take from the others; it looks who signed, so that nobody is
// measured who was not there.
func (d *dialer) config(name string) *tls.Config {
	offer := "http/1.1"
	if d.job.Proto == h2 {
		offer = h2
	}
	return &tls.Config{
		ServerName:         name,
		NextProtos:         []string{offer},
		CurvePreferences:   []tls.CurveID{tls.X25519},
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			if s.NegotiatedProtocol != offer {
				return fmt.Errorf("the protocol is %q, not %s", s.NegotiatedProtocol, offer)
			}
			by := s.PeerCertificates[0].Issuer.CommonName
			if (by == rootName) != d.job.Own {
				return fmt.Errorf("the certificate is by %q: the connection did not take the way it should", by)
			}
			return nil
		},
	}
}

// dialAll opens n connections, a few at a time. What it could open is returned
// with the error.
func (d *dialer) dialAll(ctx context.Context, n int) ([]visit, error) {
	conns, errs := make([]visit, n), make([]error, n)
	turns := make(chan int, n)
	for i := range n {
		turns <- i
	}
	close(turns)
	var wg sync.WaitGroup
	for range min(n, 16) {
		wg.Go(func() {
			for i := range turns {
				if conns[i], errs[i] = d.dial(ctx); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	var open []visit
	for _, c := range conns {
		if c != nil {
			open = append(open, c)
		}
	}
	return open, errors.Join(errs...)
}

// A wire is a connection on which requests are made one after the other.
type wire struct {
	net.Conn
	request []byte
	buf     []byte
}

// get makes the request and reads the answer.
func (w *wire) get() error {
	if err := w.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := w.Write(w.request); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	left, err := w.head()
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	return w.discard(left, w.buf)
}

// download asks for n bytes and reads them.
func (w *wire) download(n int64) error {
	if err := w.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := w.Write(request(bytesPath+strconv.FormatInt(n, 10), hostName)); err != nil {
		return fmt.Errorf("send a request: %w", err)
	}
	left, err := w.head()
	if err != nil {
		return fmt.Errorf("read an answer: %w", err)
	}
	return w.discard(left, make([]byte, 512<<10))
}

// head reads an answer's head, and returns how much of its body is to come.
func (w *wire) head() (left int64, err error) {
	for n := 0; n < len(w.buf); {
		m, err := w.Read(w.buf[n:])
		if err != nil {
			return 0, err
		}
		n += m
		end := bytes.Index(w.buf[:n], []byte("\r\n\r\n"))
		if end < 0 {
			continue
		}
		length, err := contentLength(w.buf[:end])
		return length - int64(n-end-4), err
	}
	return 0, errors.New("the head is too long")
}

// contentLength returns the length of an answer that must be a good one.
func contentLength(head []byte) (int64, error) {
	const field = "\r\ncontent-length: "
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
		return 0, fmt.Errorf("it is %.40q", head)
	}
	at := bytes.Index(head, []byte("\r\nContent-Length: "))
	if at < 0 {
		at = bytes.Index(head, []byte(field)) // HAProxy changes the case
	}
	if at < 0 {
		return 0, errors.New("it has no Content-Length")
	}
	n := int64(0)
	for _, c := range head[at+len(field):] {
		if c < '0' || c > '9' {
			break
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

func (w *wire) discard(left int64, buf []byte) error {
	for left > 0 {
		n, err := w.Read(buf)
		if err != nil {
			return fmt.Errorf("read a body, of which %d bytes are missing: %w", left, err)
		}
		left -= int64(n)
	}
	if left < 0 {
		return errors.New("the answer is longer than it says")
	}
	return nil
}
