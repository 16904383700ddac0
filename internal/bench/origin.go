package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// smallAnswer is what most requests get.
const smallAnswer = "HTTP/1.1 200 OK\r\n" +
	"Date: Mon, 06 Jul 2026 10:00:00 GMT\r\n" +
	"Server: bench\r\n" +
	"Content-Type: application/json\r\n" +
	"Cache-Control: no-store\r\n" +
	"Content-Length: 27\r\n" +
	"\r\n" +
	smallBody

const smallBody = `{"answer":42,"items":[1,2]}`

// bytesPath is followed by the length of the body that is wanted.
const bytesPath = "/bytes/"

// fromPath is answered with the address and port that the connection comes from.
const fromPath = "/from"

// origin serves on the machine's ports until it is killed, which ends all it has
// started. It does the least that a server can do.
func origin(ctx context.Context, args []string, _ io.Reader, stdout, _ io.Writer) error {
	if len(args) != 1 {
		return errors.New("the origin server needs the directory of its certificates")
	}
	config, err := originTLS(args[0])
	if err != nil {
		return err
	}
	plain, err := listen(ctx, httpPort)
	if err != nil {
		return err
	}
	secure, err := listen(ctx, httpsPort)
	if err != nil {
		return err
	}
	names, err := listenUDP(ctx, dnsPort)
	if err != nil {
		return err
	}
	echoes, err := listenUDP(ctx, udpPort)
	if err != nil {
		return err
	}
	fmt.Fprintln(stdout, "ready")
	ended := make(chan error, 4)
	go func() { ended <- answerPackets(names) }()
	go func() { ended <- answerPackets(echoes) }()
	go func() { ended <- serve(plain) }()
	go func() { ended <- serve(tls.NewListener(secure, config)) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return nil
	}
}

func listen(ctx context.Context, port int) (net.Listener, error) {
	lc := net.ListenConfig{}
	lc.SetMultipathTCP(false)
	return lc.Listen(ctx, "tcp", ":"+strconv.Itoa(port))
}

// originTLS has one certificate for each name. No peer gets more of the
// handshake than the others: one curve, one cipher, and nothing resumed.
func originTLS(dir string) (*tls.Config, error) {
	i, err := openIssuer(dir)
	if err != nil {
		return nil, err
	}
	var known sync.Map
	return &tls.Config{
		NextProtos:                  []string{h2, "http/1.1"},
		CurvePreferences:            []tls.CurveID{tls.X25519},
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert, ok := known.Load(h.ServerName); ok {
				return cert.(*tls.Certificate), nil
			}
			cert, err := i.issue(h.ServerName)
			if err == nil {
				known.Store(h.ServerName, cert)
			}
			return cert, err
		},
	}, nil
}

func serve(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go answerConn(c)
	}
}

func answerConn(c net.Conn) {
	defer c.Close()
	if t, ok := c.(*tls.Conn); ok {
		if t.Handshake() != nil {
			return
		}
		if t.ConnectionState().NegotiatedProtocol == h2 {
			answerStreams(c)
			return
		}
	}
	answerAll(c)
}

// answerAll answers the requests on a connection, which have no bodies.
func answerAll(c net.Conn) {
	small := []byte(smallAnswer)
	buf := make([]byte, 4096)
	for n := 0; ; {
		end := bytes.Index(buf[:n], []byte("\r\n\r\n"))
		if end < 0 {
			m, err := c.Read(buf[n:])
			if err != nil {
				return
			}
			n += m
			continue
		}
		if bytes.HasPrefix(buf, []byte("GET "+socketPath)) {
			echo(c, buf[:end], buf[end+4:n])
			return
		}
		if err := answer(c, buf[:end], small); err != nil {
			return
		}
		n = copy(buf, buf[end+4:n])
	}
}

func answer(c net.Conn, head, small []byte) error {
	if bytes.HasPrefix(head, []byte("GET "+fromPath+" ")) {
		from := c.RemoteAddr().String()
		_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(from), from)
		return err
	}
	if !bytes.HasPrefix(head, []byte("GET "+bytesPath)) {
		_, err := c.Write(small)
		return err
	}
	length, _, _ := strings.Cut(string(head[len("GET "+bytesPath):]), " ")
	n, err := strconv.ParseInt(length, 10, 64)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n", n); err != nil {
		return err
	}
	for chunk := make([]byte, 256<<10); n > 0; n -= int64(len(chunk)) {
		chunk = chunk[:min(n, int64(len(chunk)))]
		if _, err := c.Write(chunk); err != nil {
			return err
		}
	}
	return nil
}
