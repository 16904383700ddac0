package demo

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// The web server's name, and the port of its line service.
const (
	serverName = "shop.example"
	linePort   = 7007
)

// A webServer is what the device talks to: HTTP on port 80, HTTPS on 443 with a
// certificate of an authority of its own, and a service of lines that speaks
// first on 7007.
type webServer struct {
	roots *x509.CertPool // what its certificate verifies against
	http  *http.Server
	lines net.Listener

	wg    sync.WaitGroup
	mu    sync.Mutex
	open  map[net.Conn]struct{} // of the line service
	ended bool
}

// listener opens a TCP listener on the machine that the server runs on.
type listener func(ctx context.Context, at netip.AddrPort) (net.Listener, error)

// startServer serves on every address of the machine until close is called.
func startServer(ctx context.Context, listen listener, addrs []netip.Addr) (s *webServer, err error) {
	cert, roots, err := certificate(addrs)
	if err != nil {
		return nil, fmt.Errorf("make the web server's certificate: %w", err)
	}
	s = &webServer{roots: roots, open: map[net.Conn]struct{}{}, http: &http.Server{
		Handler:           shop(),
		ReadHeaderTimeout: 10 * time.Second,
		// A device that refuses a certificate is part of the show.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	any6 := netip.IPv6Unspecified() // takes IPv4 too
	plain, err := listen(ctx, netip.AddrPortFrom(any6, 80))
	if err != nil {
		return nil, fmt.Errorf("start the web server: %w", err)
	}
	s.serve(plain)
	secure, err := listen(ctx, netip.AddrPortFrom(any6, 443))
	if err != nil {
		return nil, fmt.Errorf("start the web server: %w", err)
	}
	s.serve(tls.NewListener(secure, &tls.Config{Certificates: []tls.Certificate{cert}}))
	s.lines, err = listen(ctx, netip.AddrPortFrom(any6, linePort))
	if err != nil {
		return nil, fmt.Errorf("start the line service: %w", err)
	}
	s.wg.Go(s.acceptLines)
	return s, nil
}

func (s *webServer) serve(l net.Listener) {
	s.wg.Go(func() { _ = s.http.Serve(l) }) // http.ErrServerClosed, at the end
}

// close ends the server and waits for it.
func (s *webServer) close() {
	s.mu.Lock()
	s.ended = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	if s.lines != nil {
		s.lines.Close()
	}
	_ = s.http.Close() // listeners of a namespace that goes anyway
	s.wg.Wait()
}

// shop is the web site.
func shop() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<!doctype html><title>shop</title><h1>Welcome</h1>\n")
	})
	mux.HandleFunc("GET /cart", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"items":[{"name":"umbrella","price":19}],"total":19}`+"\n")
	})
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("password") == "" {
			http.Error(w, "who are you?", http.StatusForbidden)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Secure: true})
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}

// acceptLines serves the line service.
func (s *webServer) acceptLines() {
	for {
		c, err := s.lines.Accept()
		if err != nil {
			return // closed
		}
		s.mu.Lock()
		if s.ended {
			s.mu.Unlock()
			c.Close()
			return
		}
		s.open[c] = struct{}{}
		s.wg.Go(func() { s.line(c) })
		s.mu.Unlock()
	}
}

// line greets, and gives every line back.
func (s *webServer) line(c net.Conn) {
	defer func() {
		c.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.open, c)
	}()
	fmt.Fprintf(c, "220 %s is listening\r\n", serverName)
	for in := bufio.NewScanner(c); in.Scan(); {
		fmt.Fprintf(c, "250 you said %q\r\n", in.Text())
	}
}

// certificate makes an authority and a certificate under it for the server's
// name and addresses.
func certificate(addrs []netip.Addr) (tls.Certificate, *x509.CertPool, error) {
	fail := func(err error) (tls.Certificate, *x509.CertPool, error) { return tls.Certificate{}, nil, err }
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Demo Root", Organization: []string{"transom demo"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: serverName, Organization: []string{"Shop of the demo"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{serverName},
	}
	for _, a := range addrs {
		leaf.IPAddresses = append(leaf.IPAddresses, a.AsSlice())
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return fail(err)
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), rootKey)
	if err != nil {
		return fail(err)
	}
	cert, err := x509.ParseCertificate(rootDER)
	if err != nil {
		return fail(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{leafDER, rootDER}, PrivateKey: key}, roots, nil
}
