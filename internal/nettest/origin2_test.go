package nettest_test

import (
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"

	"transom/exchange"
	"transom/internal/proto/h2"
)

// serve2 answers HTTP/2 with h: with prior knowledge on port 80 of the server,
// and over TLS on 443.
func (w *world) serve2(h http.HandlerFunc) {
	w.t.Helper()
	w.serve2On(w.listen(80), h)
	cfg := w.tls()
	cfg.NextProtos = []string{"h2"}
	w.serve2On(tls.NewListener(w.listen(443), cfg), h)
}

func (w *world) serve2On(l net.Listener, h http.HandlerFunc) {
	srv := &http.Server{
		Handler: h, ErrorLog: log.New(io.Discard, "", 0), Protocols: new(http.Protocols),
		// A stream that is not read takes its part of the connection's window,
		// and there is to be more.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 256 << 10, MaxReceiveBufferPerConnection: 4 << 20},
	}
	srv.Protocols.SetHTTP2(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(l) // ends with Close
	}()
	w.t.Cleanup(func() {
		srv.Close()
		<-done
	})
}

// serveOurs answers HTTP/2 with h as serve2 does, with the server of our own
// package. It bears what others end a connection for, net/http a parameter that
// SETTINGS name twice, and leaves no reset behind.
func (w *world) serveOurs(h exchange.HandlerFunc) {
	w.t.Helper()
	cfg := w.tls()
	cfg.NextProtos = []string{"h2"}
	for port, wrap := range map[uint16]func(net.Conn) net.Conn{
		80:  func(c net.Conn) net.Conn { return c },
		443: func(c net.Conn) net.Conn { return tls.Server(c, cfg) },
	} {
		w.handle(port, func(c *net.TCPConn) {
			inner := wrap(c)
			_ = h2.NewServer(inner, nil, h, h2.Options{}).Serve(w.ctx) // its client is told
			_ = c.CloseWrite()                                         // nor is this one to be missed
			_, _ = io.Copy(io.Discard, c)
		})
	}
}

// browser2 is browser for a client that speaks HTTP/2 and nothing else.
func (w *world) browser2(text string) *http.Client {
	c := w.browser(text)
	tr := c.Transport.(*http.Transport)
	tr.Protocols = new(http.Protocols)
	tr.Protocols.SetHTTP2(true)
	tr.Protocols.SetUnencryptedHTTP2(true)
	return c
}
