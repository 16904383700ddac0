package transom_test

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
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"transom"
	"transom/ca"
	"transom/capture"
	"transom/flow"
	"transom/internal/testnet"
	"transom/store"
)

// A world is a proxy between clients and an internet that exist in memory, in
// fake time.
type world struct {
	t      *testing.T
	net    *testnet.Net
	host   *testnet.Host
	src    *testnet.Source
	proxy  *transom.Proxy
	roots  *x509.CertPool // trusts the proxy's authority
	stop   context.CancelFunc
	ended  chan error
	logged *testnet.Log
}

var (
	clientAddr = netip.MustParseAddrPort("192.168.1.2:50000")
	proxyAddr  = netip.MustParseAddrPort("192.168.1.1:8080")
	serverAddr = netip.MustParseAddrPort("203.0.113.7:80")
	secureAddr = netip.MustParseAddrPort("203.0.113.7:443")
)

// inWorld runs f in a world. change may alter the proxy before it starts.
func inWorld(t *testing.T, change func(*transom.Proxy), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, net: testnet.NewNet(), src: testnet.NewSource(proxyAddr), ended: make(chan error, 1), logged: &testnet.Log{}}
		w.host = &testnet.Host{Net: w.net}
		w.host.SetOwn(proxyAddr.Addr())
		authority, err := ca.New(ca.Options{ECDSA: true, Host: "test"})
		if err != nil {
			t.Fatal(err)
		}
		w.roots = x509.NewCertPool()
		w.roots.AddCert(authority.Root())
		w.proxy = &transom.Proxy{
			Captures: []capture.Capture{w.src}, Host: w.host,
			Settings: transom.Settings{Issuer: authority, Resolver: w.net},
			Store:    store.NewMemory(store.MemoryOptions{}),
			Log:      slog.New(slog.NewTextHandler(w.logged, nil)),
		}
		if change != nil {
			change(w.proxy)
		}
		var ctx context.Context
		ctx, w.stop = context.WithCancel(t.Context())
		go func() { w.ended <- w.proxy.Run(ctx) }()
		synctest.Wait()
		f(w)
		w.end()
	})
}

// end stops the proxy, which must find every connection ended or endable.
func (w *world) end() {
	w.stop()
	if err := <-w.ended; err != nil {
		w.t.Error("run:", err)
	}
	w.ended <- nil
	w.net.Close()
}

// dial opens a connection that the redirector brings to the proxy.
func (w *world) dial(dst netip.AddrPort, with ...func(*capture.Conn)) *testnet.Conn {
	return w.src.Inject(clientAddr, dst, with...)
}

// flows returns the records of one type, once nothing moves any more.
func (w *world) flows(kind string) []*flow.Flow {
	w.t.Helper()
	synctest.Wait()
	var fs []*flow.Flow
	for f, err := range w.proxy.Flows().Flows(w.t.Context(), store.Query{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if f.Type() == kind {
			fs = append(fs, f)
		}
	}
	return fs
}

// only returns the one record of a type.
func (w *world) only(kind string) *flow.Flow {
	w.t.Helper()
	fs := w.flows(kind)
	if len(fs) != 1 {
		w.t.Fatalf("%d %s records, want 1", len(fs), kind)
	}
	return fs[0]
}

// toldOf fails unless f failed for a reason, and what its client has read, a whole
// response of ours, is on the record as it was.
func (w *world) toldOf(f *flow.Flow, read, why string) {
	w.t.Helper()
	head, body, _ := strings.Cut(read, "\r\n\r\n")
	h := f.Detail.(*flow.HTTP)
	if f.State != flow.Failed || !strings.Contains(f.Err, why) {
		w.t.Errorf("recorded as %v, %q, want failed for %q", f.State, f.Err, why)
	}
	if r := h.Response; r == nil || !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d %s", r.Status, r.Reason)) || r.Header.Get("Content-Length") != strconv.Itoa(len(body)) {
		w.t.Errorf("recorded %+v, of\n%s", r, read)
	}
	if body == "" || h.ResponseBody.Size != int64(len(body)) || h.OriginalResponse != nil || w.body(h.ResponseBody) != body {
		w.t.Errorf("recorded a body of %d bytes, want %q", h.ResponseBody.Size, body)
	}
}

// body reads a recorded body.
func (w *world) body(ref flow.BodyRef) string {
	w.t.Helper()
	r, err := w.proxy.Flows().OpenBody(w.t.Context(), ref)
	if err != nil {
		w.t.Fatal(err)
	}
	defer r.Close()
	p, err := io.ReadAll(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(p)
}

// serve answers at addr: f is given what the client sends.
func (w *world) serve(addr netip.AddrPort, f func(c *testnet.Conn, r *bufio.Reader)) {
	w.net.Handle(addr, func(c *testnet.Conn) { f(c, bufio.NewReader(c)) })
}

// A raw origin reads heads, keeps what it read, and answers with fixed bytes.
type origin struct {
	mu   sync.Mutex
	seen []string
}

func (o *origin) heads() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.seen)
}

func (o *origin) answer(response string) func(net.Conn) {
	return func(c net.Conn) {
		r := bufio.NewReader(c)
		for {
			head, err := readHead(r)
			if err != nil {
				return
			}
			o.mu.Lock()
			o.seen = append(o.seen, head)
			o.mu.Unlock()
			if _, err := io.WriteString(c, response); err != nil {
				return
			}
		}
	}
}

// readHead reads through the next empty line.
func readHead(r *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String(), err
		}
		if line == "\r\n" {
			return b.String(), nil
		}
	}
}

// say writes, and fails the test if that fails.
func (w *world) say(c io.Writer, s string) {
	w.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		w.t.Fatal("write:", err)
	}
}

// hear reads exactly want.
func (w *world) hear(c io.Reader, want string) {
	w.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if err != nil || string(got) != want {
		w.t.Fatalf("read %q, %v; want %q", got[:n], err, want)
	}
}

// hearEnd reads to the end.
func (w *world) hearEnd(c io.Reader) (string, error) {
	p, err := io.ReadAll(c)
	return string(p), err
}

// always is a validity for the real time and for that of synctest.
var always = [2]time.Time{time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}

// A pki is an authority of servers, and certificates under it.
type pki struct {
	roots *x509.CertPool
	key   *ecdsa.PrivateKey
	cert  *x509.Certificate
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "server authority"},
		NotBefore: always[0], NotAfter: always[1],
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	p := &pki{roots: x509.NewCertPool(), key: key}
	if p.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	p.roots.AddCert(p.cert)
	return p
}

func (p *pki) leaf(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0], Organization: []string{"Shop"}},
		NotBefore: always[0], NotAfter: always[1], DNSNames: names,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, p.cert, &key.PublicKey, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
