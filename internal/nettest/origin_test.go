package nettest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"transom/platform/lab"
)

// shop is the name of the server.
const shop = "shop.example"

// An authority signs for servers.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // its certificate
}

func newAuthority(t *testing.T, file string) *authority {
	t.Helper()
	a := &authority{t: t, file: file}
	a.key = newKey(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "origin authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	writePEM(t, file, "CERTIFICATE", der)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns a certificate for the server's name and addresses.
func (a *authority) issue() tls.Certificate {
	a.t.Helper()
	key := newKey(a.t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: shop},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{shop, "other.example"}, IPAddresses: []net.IP{net.ParseIP(lab.ServerAddr4), net.ParseIP(lab.ServerAddr6)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// files writes a certificate and its key for programs to read.
func (a *authority) files(cert, key string) {
	a.t.Helper()
	c := a.issue()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	writePEM(a.t, cert, "CERTIFICATE", c.Certificate[0])
	writePEM(a.t, key, "PRIVATE KEY", der)
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// pool reads certificates of a file.
func pool(t *testing.T, text string) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM([]byte(text)) {
		t.Fatalf("no certificate in %q", text)
	}
	return p
}

// serve answers HTTP on port 80 and HTTPS on 443 of the server with h.
func (w *world) serve(h http.HandlerFunc) {
	w.t.Helper()
	w.serveOn(w.listen(80), h)
	w.serveOn(tls.NewListener(w.listen(443), w.tls()), h)
}

func (w *world) tls() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{w.authority.issue()}, NextProtos: []string{"http/1.1"}}
}

func (w *world) serveOn(l net.Listener, h http.HandlerFunc) {
	srv := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
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

// handle answers each connection to a port of the server with f. When the test
// ends the connections are closed, and f is to return then.
func (w *world) handle(port uint16, f func(c *net.TCPConn)) {
	w.t.Helper()
	l := w.listen(port)
	ctx, cancel := context.WithCancel(w.ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				f(c.(*net.TCPConn))
			})
		}
	})
	w.t.Cleanup(func() {
		cancel()
		l.Close()
		wg.Wait()
	})
}

// browser returns an HTTP client on the client that trusts the certificates in
// text and no others. Names lead to the server.
func (w *world) browser(text string) *http.Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			if host == shop {
				host = lab.ServerAddr4
			}
			a, err := netip.ParseAddrPort(net.JoinHostPort(host, port))
			if err != nil {
				return nil, err
			}
			return w.Client.Dial(ctx, a)
		},
		TLSClientConfig:     &tls.Config{RootCAs: pool(w.t, text)},
		MaxIdleConnsPerHost: 64,
		DisableCompression:  true,
		WriteBufferSize:     64 << 10,
		ReadBufferSize:      64 << 10,
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// timer returns what ends a wait.
func timer(t *testing.T) <-chan time.Time {
	tm := time.NewTimer(patience)
	t.Cleanup(func() { tm.Stop() })
	return tm.C
}
