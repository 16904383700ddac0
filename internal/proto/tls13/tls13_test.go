package tls13_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"transom/internal/proto/sniff"
	"transom/internal/proto/tls13"
	"transom/internal/testnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A pair is a client of crypto/tls and what we made of it.
type pair struct {
	client    *tls.Conn
	clientErr error
	raw       net.Conn // the client's
	ours      *tls13.Conn
	state     tls.ConnectionState
	err       error
}

// A world is how they meet. Unset fields have good defaults.
type world struct {
	client *tls.Config
	cfg    tls13.Config
	change func(h *sniff.Hello)           // what we take the hello for
	wrap   func(c *testnet.Conn) net.Conn // the client's conn
	ctx    context.Context
}

func newWorld(t testing.TB) *world {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, pool := certificate(t, key)
	return &world{
		client: &tls.Config{ServerName: "shop.example", RootCAs: pool, MinVersion: tls.VersionTLS13},
		cfg:    tls13.Config{Certificate: cert},
		ctx:    t.Context(),
	}
}

// certificate is a self-signed one.
func certificate(t testing.TB, key crypto.Signer) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), DNSNames: []string{"shop.example"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func (w *world) run(t testing.TB) *pair {
	t.Helper()
	near, us := testnet.Pipe(netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:443"))
	var c net.Conn = near
	if w.wrap != nil {
		c = w.wrap(near)
	}
	p := &pair{client: tls.Client(c, w.client), raw: near}
	var wg sync.WaitGroup
	wg.Go(func() { p.clientErr = p.client.Handshake() })
	stream, hello := peek(t, us)
	if w.change != nil {
		w.change(hello)
	}
	p.ours, p.state, p.err = tls13.Accept(w.ctx, &joined{us, stream}, hello, w.cfg)
	if p.err != nil {
		us.Close()
	}
	wg.Wait()
	t.Cleanup(func() { near.Close(); us.Close() })
	return p
}

// peek reads a hello.
func peek(t testing.TB, c net.Conn) ([]byte, *sniff.Hello) {
	t.Helper()
	var stream []byte
	for {
		p := make([]byte, 4096)
		n, err := c.Read(p)
		stream = append(stream, p[:n]...)
		if r := sniff.Stream(stream); r.Complete {
			return stream, r.Hello
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// joined is a conn with something in front.
type joined struct {
	*testnet.Conn
	front []byte
}

func (j *joined) Read(p []byte) (int, error) {
	if len(j.front) > 0 {
		n := copy(p, j.front)
		j.front = j.front[n:]
		return n, nil
	}
	return j.Conn.Read(p)
}

// ok fails the test unless all is well and bytes pass both ways.
func (p *pair) ok(t testing.TB) {
	t.Helper()
	if p.err != nil || p.clientErr != nil {
		t.Fatalf("we %v, client %v", p.err, p.clientErr)
	}
	exchange(t, p.client, p.ours, []byte("ping"))
	exchange(t, p.ours, p.client, []byte("pong"))
}

// exchange has from say something to to.
func exchange(t testing.TB, from io.Writer, to io.Reader, what []byte) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := from.Write(what); err != nil {
			t.Error(err)
		}
	})
	got := make([]byte, len(what))
	if _, err := io.ReadFull(to, got); err != nil || !bytes.Equal(got, what) {
		t.Errorf("read %.20q of %d bytes, %v", got, len(what), err)
	}
	wg.Wait()
}

func TestHandshake(t *testing.T) {
	for _, suite := range []uint16{tls.TLS_AES_128_GCM_SHA256, tls.TLS_AES_256_GCM_SHA384, tls.TLS_CHACHA20_POLY1305_SHA256} {
		for _, group := range []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521} {
			t.Run(tls.CipherSuiteName(suite)+"/"+group.String(), func(t *testing.T) {
				w := newWorld(t)
				w.client.CurvePreferences = []tls.CurveID{group}
				w.client.NextProtos, w.cfg.Protocol = []string{"h2", "http/1.1"}, "http/1.1"
				w.change = func(h *sniff.Hello) { h.CipherSuites = []uint16{suite} }
				p := w.run(t)
				p.ok(t)
				got := p.client.ConnectionState()
				if got.CipherSuite != suite || got.NegotiatedProtocol != "http/1.1" || got.DidResume {
					t.Errorf("client has %+v", got)
				}
				if s := p.state; s.Version != tls.VersionTLS13 || s.CipherSuite != suite || s.CurveID != group || s.NegotiatedProtocol != "http/1.1" {
					t.Errorf("we have %+v", s)
				}
				exchange(t, p.client, p.ours, make([]byte, 100_000))
				exchange(t, p.ours, p.client, make([]byte, 100_000))
			})
		}
	}
}

func TestCertificates(t *testing.T) {
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	p521, _ := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"p384": p384, "p521": p521, "ed25519": ed, "rsa": rsaKey} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.cfg.Certificate, w.client.RootCAs = certificate(t, key)
			w.run(t).ok(t)
		})
	}
	t.Run("none-that-the-client-can-verify", func(t *testing.T) {
		w := newWorld(t)
		w.change = func(h *sniff.Hello) { h.SignatureAlgorithms = []uint16{uint16(tls.PSSWithSHA256)} }
		wantAlert(t, w.run(t), 40)
	})
	t.Run("not-trusted", func(t *testing.T) {
		w := newWorld(t)
		w.client.RootCAs = x509.NewCertPool()
		p := w.run(t)
		var op *net.OpError
		if !errors.As(p.err, &op) || op.Op != "remote error" || p.clientErr == nil {
			t.Errorf("we %v, client %v", p.err, p.clientErr)
		}
	})
}

// wantAlert fails the test unless both sides know of an alert that we sent.
func wantAlert(t testing.TB, p *pair, want tls.AlertError) {
	t.Helper()
	var op *net.OpError
	if !errors.As(p.err, &op) || op.Op != "local error" {
		t.Errorf("we have %v, want an alert of ours", p.err)
	}
	if p.clientErr == nil || !strings.Contains(p.clientErr.Error(), strings.TrimPrefix(want.Error(), "tls: ")) {
		t.Errorf("client has %v, want %v", p.clientErr, want)
	}
}

func TestSilence(t *testing.T) {
	w := newWorld(t)
	w.wrap = func(c *testnet.Conn) net.Conn { return &deaf{Conn: c} }
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithCancel(t.Context())
	w.change = func(*sniff.Hello) { cancel() }
	if p := w.run(t); !errors.Is(p.err, net.ErrClosed) {
		t.Errorf("we have %v, want that we closed it", p.err)
	}
}

// deaf is a client's conn from which nothing but the hello goes.
type deaf struct {
	*testnet.Conn
	spoke bool
}

func (d *deaf) Write(p []byte) (int, error) {
	if d.spoke {
		return len(p), nil
	}
	d.spoke = true
	return d.Conn.Write(p)
}

func TestKeyLog(t *testing.T) {
	var ours, theirs bytes.Buffer
	w := newWorld(t)
	w.cfg.KeyLog, w.client.KeyLogWriter = &ours, &theirs
	w.run(t).ok(t)
	if ours.String() != theirs.String() || strings.Count(ours.String(), "\n") != 4 {
		t.Errorf("we log\n%sthe client\n%s", &ours, &theirs)
	}
}

func TestAnswerable(t *testing.T) {
	cases := map[string]struct {
		change func(h *sniff.Hello)
		want   bool
	}{
		"usual":    {func(*sniff.Hello) {}, true},
		"no-suite": {func(h *sniff.Hello) { h.CipherSuites = []uint16{0x1305, 0xc02b} }, false},
		"no-share": {func(h *sniff.Hello) { h.Extensions = []uint16{43} }, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var err error
			w.change = func(h *sniff.Hello) { c.change(h); err = tls13.Answerable(h) }
			p := w.run(t)
			if (err == nil) != c.want || (p.err == nil) != c.want {
				t.Errorf("Answerable %v, Accept %v", err, p.err)
			}
			if !c.want {
				wantAlert(t, p, 40)
			}
		})
	}
}
