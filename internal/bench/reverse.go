package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"

	"transom/platform/lab"
)

// Ports of the reverse proxy.
const (
	reversePort       = 6080
	reverseSecurePort = 6443
)

// reverse is a proxy as net/http makes one, the other way to write transom: it
// takes off TLS, and speaks on the server's side what the client speaks. It
// shares connections to the server between clients.
func reverse(ctx context.Context, args []string, _ io.Reader, _, _ io.Writer) error {
	if len(args) != 1 {
		return errors.New("the reverse proxy needs the directory of the certificates")
	}
	transports, err := newTransports(args[0])
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(args[0], fixedFile), filepath.Join(args[0], fixedFile))
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: &httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) {
				r.Out.URL.Scheme, r.Out.URL.Host = "http", r.In.Host
				if r.In.TLS != nil {
					r.Out.URL.Scheme = "https"
				}
			},
			Transport: transports,
			ErrorLog:  slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		},
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{cert}, CurvePreferences: []tls.CurveID{tls.X25519}, SessionTicketsDisabled: true,
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	plain, err := listen(ctx, reversePort)
	if err != nil {
		return err
	}
	secure, err := listen(ctx, reverseSecurePort)
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- srv.Serve(plain) }()
	go func() { ended <- srv.ServeTLS(secure, "", "") }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		srv.Close()
		err = <-ended
	}
	if other := <-ended; ctx.Err() == nil {
		return errors.Join(err, other)
	}
	return nil
}

// transports send a request on by the protocol that it came by.
type transports struct{ http1, http2 *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t *transports) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.ProtoMajor == 2 {
		return t.http2.RoundTrip(r)
	}
	return t.http1.RoundTrip(r)
}

// newTransports returns transports that reach the origin server by any name.
func newTransports(dir string) (*transports, error) {
	pem, err := os.ReadFile(filepath.Join(dir, rootFile))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", rootFile)
	}
	of := func(set func(*http.Protocols, bool)) *http.Transport {
		t := &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, err
				}
				return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort(lab.ServerAddr4, port))
			},
			TLSClientConfig:     &tls.Config{RootCAs: roots, CurvePreferences: []tls.CurveID{tls.X25519}},
			MaxIdleConnsPerHost: conns,
			DisableCompression:  true,
			Protocols:           new(http.Protocols),
		}
		set(t.Protocols, true)
		return t
	}
	return &transports{http1: of((*http.Protocols).SetHTTP1), http2: of((*http.Protocols).SetHTTP2)}, nil
}

// reverseCommand starts this program again.
func reverseCommand(w *world, _ measure) ([]string, map[uint16]uint16, error) {
	return []string{reverseRole, w.dir}, map[uint16]uint16{httpPort: reversePort, httpsPort: reverseSecurePort}, nil
}
