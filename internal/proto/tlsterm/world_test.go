package tlsterm_test

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"transom/ca"
	"transom/flow"
	"transom/internal/proto/sniff"
	"transom/internal/proto/tlsterm"
	"transom/internal/testnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	clientAddr = netip.MustParseAddrPort("192.0.2.10:50000")
	serverAddr = netip.MustParseAddrPort("198.51.100.7:443")
)

// ours is the authority that clients trust, made once: RSA keys are slow.
var ours = sync.OnceValue(func() *ca.Authority {
	a, err := ca.New(ca.Options{Host: "test"})
	if err != nil {
		panic(err)
	}
	return a
})

func poolOf(certs ...*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certs {
		p.AddCert(c)
	}
	return p
}

// selfSigned is the certificate of a real server, which is its own root.
func selfSigned(t testing.TB, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{Organization: []string{"Shop"}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, DNSNames: names,
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// A world is a client, us and a server. Unset fields have good defaults.
type world struct {
	client *tls.Config
	server *tls.Config
	speak  []string
	roots  *x509.CertPool // that we verify the server against
	keys   io.Writer
	all    *tlsterm.Sessions // nil for full handshakes
	from   netip.AddrPort    // the client; clientAddr if not set
	to     netip.AddrPort    // the server; serverAddr if not set
	issuer *ca.Authority     // nil is ours
	mirror bool              // answer a server that does not verify with an untrusted leaf

	now   func() time.Time // the clock; it stands still unless a test moves it
	since time.Time        // when the client had sent its hello

	early bool // take the client's hello for one that announces early data

	clientRaw func(c *testnet.Conn) // instead of a TLS client
	serverRaw func(c *testnet.Conn) // instead of a TLS server
}

// A result is what became of it.
type result struct {
	client           tls.ConnectionState
	clientErr        error
	up, down         *flow.TLS
	upErr, downErr   error
	upConn, downConn *tlsterm.Conn
	clientConn       *tls.Conn
	serverConn       *tls.Conn
}

func newWorld(t testing.TB) *world {
	cert := selfSigned(t, "shop.example")
	began := time.Now()
	return &world{
		now:    func() time.Time { return began }, // however slow the test is
		client: &tls.Config{ServerName: "shop.example", RootCAs: poolOf(ours().Root())},
		server: &tls.Config{Certificates: []tls.Certificate{cert}},
		speak:  []string{"http/1.1", "http/1.0"},
		roots:  poolOf(cert.Leaf),
	}
}

// run lets the client connect through us to the server. Whatever stands
// afterwards is closed at the end of the test.
func (w *world) run(t testing.TB) *result {
	t.Helper()
	r := &result{}
	w.from, w.to = cmp.Or(w.from, clientAddr), cmp.Or(w.to, serverAddr)
	client, proxyDown := testnet.Pipe(w.from, w.to)
	proxyUp, server := testnet.Pipe(w.from, w.to)
	var wg sync.WaitGroup
	wg.Go(func() {
		if w.clientRaw != nil {
			w.clientRaw(client)
			return
		}
		r.clientConn = tls.Client(client, w.client)
		r.clientErr = r.clientConn.Handshake()
		r.client = r.clientConn.ConnectionState()
	})
	wg.Go(func() {
		if w.serverRaw != nil {
			w.serverRaw(server)
			return
		}
		r.serverConn = tls.Server(server, w.server)
		if r.serverConn.Handshake() != nil {
			server.Close()
		}
	})
	w.proxy(t, r, proxyDown, proxyUp)
	wg.Wait()
	t.Cleanup(func() {
		for _, c := range []net.Conn{client, proxyDown, proxyUp, server} {
			c.Close()
		}
	})
	return r
}

// proxy is what the engine does with the two legs.
func (w *world) proxy(t testing.TB, r *result, down, up net.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	prefix, hello := peek(t, down)
	hello.EarlyData = hello.EarlyData || w.early
	line := w.all.Of(w.from.Addr(), w.to.String(), hello)
	r.upConn, r.up, r.upErr = tlsterm.Connect(ctx, up, hello, tlsterm.ConnectOptions{
		Roots: w.roots, Speak: w.speak, Lineage: line, KeyLog: w.keys,
	})
	if r.upErr != nil {
		if a, ok := tlsterm.InKind(r.upErr); ok {
			if err := tlsterm.SendAlert(down, hello, a); err != nil {
				t.Error(err)
			}
		}
		up.Close()
		down.Close()
		return
	}
	issuer := w.issuer
	if issuer == nil {
		issuer = ours()
	}
	r.downConn, r.down, r.downErr = tlsterm.Accept(ctx, down, prefix, hello, tlsterm.Options{
		Issuer: issuer, Dst: w.to.Addr(), Server: r.up, Like: r.upConn.PeerCertificate(),
		Untrusted: w.mirror && r.up.VerifyErr != "", Lineage: line, KeyLog: w.keys,
		Now: w.now, Since: w.since,
	})
	if r.downErr != nil {
		up.Close()
		down.Close()
	}
}

// peek reads a whole ClientHello, by single bytes to be mean.
func peek(t testing.TB, c net.Conn) ([]byte, *sniff.Hello) {
	t.Helper()
	var prefix []byte
	for {
		var b [1]byte
		if _, err := c.Read(b[:]); err != nil {
			t.Fatalf("hello: %v", err)
		}
		prefix = append(prefix, b[0])
		if r := sniff.Stream(prefix); r.Err != nil || r.Answer == sniff.No {
			t.Fatalf("hello: %+v", r)
		} else if r.Complete {
			return prefix, r.Hello
		}
	}
}
