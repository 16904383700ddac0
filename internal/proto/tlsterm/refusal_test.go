package tlsterm_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"transom/ca"
	"transom/flow"
	"transom/internal/proto/sniff"
	"transom/internal/proto/tlsterm"
	"transom/internal/testnet"
)

func TestServerAlertInKind(t *testing.T) {
	for _, a := range []tlsterm.Alert{
		tlsterm.HandshakeFailure, tlsterm.ProtocolVersion, tlsterm.InternalError, tlsterm.NoApplicationProtocol,
		49, 71, 112, 116, 99,
	} {
		t.Run(a.String(), func(t *testing.T) {
			w := newWorld(t)
			w.serverRaw = func(c *testnet.Conn) {
				_, hello := peek(t, c)
				if err := tlsterm.SendAlert(c, hello, a); err != nil {
					t.Error(err)
				}
				c.Close()
			}
			r := w.run(t)
			wantAlert(t, r.clientErr, a)
			wantAlert(t, r.upErr, a)
			if got, want := tlsterm.Reason(r.upErr), "server refused the TLS handshake ("+a.String()+")"; got != want {
				t.Errorf("reason %q, want %q", got, want)
			}
			if got := tlsterm.Ended(r.upErr); got != flow.Alert {
				t.Errorf("server ended by %s", got)
			}
		})
	}
}

func TestServerFails(t *testing.T) {
	cases := map[string]struct {
		server func(c *testnet.Conn)
		reason string
		ended  flow.Close
		alert  tlsterm.Alert // to the client; 0 if its stream is to end like the server's
	}{
		"closes":   {func(c *testnet.Conn) { c.Close() }, "server closed the connection during the TLS handshake", flow.HandshakeEnd, 0},
		"resets":   {func(c *testnet.Conn) { c.SetLinger(0); c.Close() }, "server closed the connection during the TLS handshake", flow.RST, 0},
		"cut":      {func(c *testnet.Conn) { c.Write([]byte("\x16\x03\x03")); c.Close() }, "server closed the connection during the TLS handshake", flow.HandshakeEnd, 0},
		"no-tls":   {func(c *testnet.Conn) { c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); c.Close() }, "server does not speak TLS: ", flow.ClosedByUs, tlsterm.HandshakeFailure},
		"sslv3":    {func(c *testnet.Conn) { c.Write(serverHello(0x0300)); c.Close() }, "TLS handshake with the server failed: ", flow.ClosedByUs, tlsterm.ProtocolVersion},
		"nonsense": {func(c *testnet.Conn) { c.Write([]byte("\x16\x03\x03\x00\x04\x02\x00\x00\x00")); c.Close() }, "TLS handshake with the server failed: ", flow.ClosedByUs, tlsterm.HandshakeFailure},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.serverRaw = func(conn *testnet.Conn) { peek(t, conn); c.server(conn) }
			r := w.run(t)
			if got := tlsterm.Reason(r.upErr); !strings.HasPrefix(got, c.reason) {
				t.Errorf("reason %q, want %q", got, c.reason)
			}
			if got := tlsterm.Ended(r.upErr); got != c.ended {
				t.Errorf("ended %q, want %q", got, c.ended)
			}
			if c.alert != 0 {
				a, _, ok := tlsterm.AlertOf(r.clientErr)
				if !ok || a != c.alert && a != tlsterm.HandshakeFailure {
					t.Errorf("client got %v, want %s", r.clientErr, c.alert)
				}
			} else if a, ok := tlsterm.InKind(r.upErr); ok {
				t.Errorf("client is told %s", a)
			}
		})
	}
}

// serverHello is one that chooses a version, and nothing else of worth.
func serverHello(version uint16) []byte {
	body := append([]byte{byte(version >> 8), byte(version)}, make([]byte, 32)...)
	body = append(body, 0, 0, 0x2f, 0)
	msg := append([]byte{2, 0, 0, byte(len(body))}, body...)
	return append([]byte{22, 3, 0, 0, byte(len(msg))}, msg...)
}

// What is said of clients that close without a word.
const (
	untrusting      = "client closed during the handshake: it probably does not trust our certificate"
	untrustingLater = "client closed after the handshake without sending anything: it may not accept our certificate"
)

func TestClientRefuses(t *testing.T) {
	closing := func(how func(c *testnet.Conn)) func(w *world, t *testing.T) {
		return func(w *world, t *testing.T) {
			w.clientRaw = func(c *testnet.Conn) {
				c.Write(realHello(t))
				io.ReadFull(c, make([]byte, 5)) // our flight has begun to arrive
				how(c)
			}
		}
	}
	cases := map[string]struct {
		change func(w *world, t *testing.T)
		reason string
		ended  flow.Close
	}{
		"unknown-authority-1.2": {func(w *world, _ *testing.T) { w.client.RootCAs, w.client.MaxVersion = poolOf(), tls.VersionTLS12 }, "client refused our certificate (bad_certificate)", flow.Alert},
		"unknown-authority-1.3": {func(w *world, _ *testing.T) { w.client.RootCAs = poolOf() }, "client refused our certificate (bad_certificate)", flow.Alert},
		"closes":                {closing(func(c *testnet.Conn) { c.CloseWrite() }), untrusting, flow.HandshakeEnd},
		"resets":                {closing(func(c *testnet.Conn) { c.SetLinger(0); c.Close() }), untrusting, flow.RST},
		"unknown-ca":            {closing(func(c *testnet.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 48}) }), "client refused our certificate (unknown_ca)", flow.Alert},
		"plain-in-1.3":          {plainAlert(48), "client refused our certificate (unknown_ca)", flow.Alert},
		"plain-in-1.3-closes":   {plainAlert(0), untrusting, flow.HandshakeEnd},
		"other-alert":           {closing(func(c *testnet.Conn) { c.Write([]byte{21, 3, 3, 0, 2, 2, 40}) }), "client ended TLS (handshake_failure)", flow.Alert},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			eitherWay(t, func(t *testing.T, w *world) {
				c.change(w, t)
				r := w.run(t)
				want := c.reason
				if w.early && name == "plain-in-1.3-closes" {
					want = "client closed when its early data was refused: it is expected to come again"
				}
				if got := tlsterm.Reason(r.downErr); got != want {
					t.Errorf("reason %q (%v), want %q", got, r.downErr, want)
				}
				if got := tlsterm.Ended(r.downErr); got != c.ended {
					t.Errorf("ended %q, want %q", got, c.ended)
				}
			})
		})
	}
}

// TestClientLeavesLate is about clients that have waited long for our answer, or
// have had it for long: that they close says nothing about our certificate.
func TestClientLeavesLate(t *testing.T) {
	const tired = "client closed during the handshake, which had taken long"
	for name, c := range map[string]struct {
		waited, stayed time.Duration
		want           string // of one that closes during the handshake
		after          string // of one that closes after it
	}{
		"soon":   {2 * time.Second, 2 * time.Second, untrusting, untrustingLater},
		"waited": {4 * time.Second, 0, tired, ""},
		"stayed": {0, 4 * time.Second, tired, ""},
	} {
		t.Run(name, func(t *testing.T) {
			eitherWay(t, func(t *testing.T, w *world) {
				began := time.Now()
				var passed atomic.Int64
				w.now = func() time.Time { return began.Add(time.Duration(passed.Load())) }
				w.since = began.Add(-c.waited)
				r := w.run(t)
				if r.clientErr != nil || r.downErr != nil {
					t.Fatal(r.clientErr, r.downErr)
				}
				passed.Store(int64(c.stayed))
				r.clientConn.Close()
				io.Copy(io.Discard, r.downConn)
				if got := r.downConn.Refused(); got != c.after && !w.early {
					t.Errorf("after the handshake: refused: %q, want %q", got, c.after)
				}

				passed.Store(0)
				w.clientRaw = func(conn *testnet.Conn) {
					conn.Write(realHello(t))
					io.ReadFull(conn, make([]byte, 5))
					passed.Store(int64(c.stayed))
					conn.CloseWrite()
				}
				if got := tlsterm.Reason(w.run(t).downErr); got != c.want {
					t.Errorf("during the handshake: %q, want %q", got, c.want)
				}
			})
		})
	}
}

// plainAlert is a TLS 1.3 client as OpenSSL makes them: when it refuses, it has
// not yet turned to its keys.
func plainAlert(a tlsterm.Alert) func(w *world, t *testing.T) {
	return func(w *world, t *testing.T) {
		hello, err := os.ReadFile("../sniff/testdata/curl.hello")
		if err != nil {
			t.Fatal(err)
		}
		w.clientRaw = func(c *testnet.Conn) {
			c.Write(hello)
			io.ReadFull(c, make([]byte, 5))
			c.Write([]byte{20, 3, 3, 0, 1, 1, 21, 3, 3, 0, 2, 2, byte(a)})
		}
	}
}

// realHello is a TLS 1.2 client's, so that what follows is not encrypted.
func realHello(t testing.TB) []byte {
	b, err := os.ReadFile("../sniff/testdata/openssl-tls12.hello")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRefusedLater is about clients that look at the certificate when their
// part of the handshake is done.
func TestRefusedLater(t *testing.T) {
	const closed = untrustingLater
	cases := map[string]struct {
		client func(t *testing.T, r *result, secret []byte)
		want   string
	}{
		"unknown-ca":   {func(t *testing.T, r *result, secret []byte) { lateAlert(t, r, secret, tlsterm.UnknownCA) }, "client refused our certificate (unknown_ca)"},
		"other-alert":  {func(t *testing.T, r *result, secret []byte) { lateAlert(t, r, secret, tlsterm.InternalError) }, "client ended TLS (internal_error)"},
		"close-notify": {func(_ *testing.T, r *result, _ []byte) { r.clientConn.Close() }, closed},
		"fin":          {func(_ *testing.T, r *result, _ []byte) { r.clientConn.NetConn().Close() }, closed},
		"reset": {func(_ *testing.T, r *result, _ []byte) {
			r.clientConn.NetConn().(*testnet.Conn).SetLinger(0)
			r.clientConn.NetConn().Close()
		}, closed},
		"after-data": {func(t *testing.T, r *result, secret []byte) { r.clientConn.Write([]byte("x")); r.clientConn.Close() }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			eitherWay(t, func(t *testing.T, w *world) {
				var keys bytes.Buffer
				w.client.KeyLogWriter = &keys
				r := w.run(t)
				if r.clientErr != nil || r.downErr != nil {
					t.Fatal(r.clientErr, r.downErr)
				}
				if got := r.downConn.Refused(); got != "" {
					t.Errorf("before anything happened: %q", got)
				}
				c.client(t, r, trafficSecret(t, keys.String()))
				_, err := io.Copy(io.Discard, r.downConn)
				want := c.want
				if w.early && want == closed {
					want = "" // it may be for its early data
				}
				if got := r.downConn.Refused(); got != want {
					t.Errorf("refused: %q (%v), want %q", got, err, want)
				}
			})
		})
	}
}

// trafficSecret finds the client's application secret in a key log.
func trafficSecret(t *testing.T, keys string) []byte {
	for line := range strings.Lines(keys) {
		if f := strings.Fields(line); f[0] == "CLIENT_TRAFFIC_SECRET_0" {
			secret, err := hex.DecodeString(f[2])
			if err != nil {
				t.Fatal(err)
			}
			return secret
		}
	}
	t.Fatalf("no secret in %q", keys)
	return nil
}

// lateAlert sends an alert as the client's first record after a TLS 1.3
// handshake, which crypto/tls never does (RFC 8446, sections 5.2 and 7.3).
func lateAlert(t *testing.T, r *result, secret []byte, a tlsterm.Alert) {
	t.Helper()
	if r.client.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		testnet.Need(t, false, "hardware AES")
	}
	expand := func(label string, n int) []byte {
		info := fmt.Sprintf("\x00%c%ctls13 %s\x00", n, len("tls13 ")+len(label), label)
		key, err := hkdf.Expand(sha256.New, secret, info, n)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	block, err := aes.NewCipher(expand("key", 16))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	head := []byte{23, 3, 3, 0, 3 + 16}
	record := gcm.Seal(head, expand("iv", 12), []byte{2, byte(a), 21}, head)
	if _, err := r.clientConn.NetConn().Write(record); err != nil {
		t.Fatal(err)
	}
}

func TestWhoSpeaksNothingInCommon(t *testing.T) {
	t.Run("only-ssl3", func(t *testing.T) {
		hello := &sniff.Hello{LegacyVersion: 0x0300, TLS: flow.TLS{Versions: []uint16{0x0300}}}
		_, _, err := tlsterm.Connect(t.Context(), nil, hello, tlsterm.ConnectOptions{})
		if a, ok := tlsterm.InKind(err); !ok || a != tlsterm.ProtocolVersion {
			t.Errorf("InKind(%v) = %s, %v", err, a, ok)
		}
	})
	t.Run("no-suite", func(t *testing.T) {
		client, us := testnet.Pipe(clientAddr, serverAddr)
		defer client.Close()
		defer us.Close()
		stream := realHello(t)
		r := sniff.Stream(stream)
		hello := *r.Hello
		hello.CipherSuites = nil // as if it had offered none of ours
		_, _, err := tlsterm.Accept(t.Context(), us, stream, &hello, tlsterm.Options{Issuer: ours()})
		if got := tlsterm.Reason(err); !strings.HasPrefix(got, "TLS handshake with the client failed: no cipher suite supported") {
			t.Errorf("reason %q", got)
		}
		var alert [7]byte
		if _, err := io.ReadFull(client, alert[:]); err != nil || alert[6] != byte(tlsterm.HandshakeFailure) {
			t.Errorf("client reads %x, %v", alert, err)
		}
	})
}

// broken is an issuer whose key is gone.
type broken struct{}

func (broken) Issue(context.Context, ca.Leaf) (*tls.Certificate, error) {
	return nil, errors.New("no key")
}
func (broken) Root() *x509.Certificate { return nil }

func TestIssuerFails(t *testing.T) {
	client, us := testnet.Pipe(clientAddr, serverAddr)
	defer client.Close()
	defer us.Close()
	r := sniff.Stream(realHello(t))
	_, _, err := tlsterm.Accept(t.Context(), us, realHello(t), r.Hello, tlsterm.Options{Issuer: broken{}})
	if got, want := tlsterm.Reason(err), `TLS handshake with the client failed: certificate for "shop.example": no key`; got != want {
		t.Errorf("reason %q, want %q", got, want)
	}
	var alert [7]byte
	if _, err := io.ReadFull(client, alert[:]); err != nil || alert != [7]byte{21, 3, 3, 0, 2, 2, byte(tlsterm.InternalError)} {
		t.Errorf("client reads %x, %v", alert, err)
	}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := realHello(t)
		r := sniff.Stream(stream)
		for _, server := range []bool{false, true} {
			peer, us := testnet.Pipe(clientAddr, serverAddr)
			ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, context.DeadlineExceeded)
			var err error
			if server {
				_, _, err = tlsterm.Connect(ctx, us, r.Hello, tlsterm.ConnectOptions{})
			} else {
				_, _, err = tlsterm.Accept(ctx, us, stream, r.Hello, tlsterm.Options{Issuer: fixed{}})
			}
			cancel()
			if got := tlsterm.Reason(err); !strings.HasSuffix(got, "did not finish the TLS handshake in time") {
				t.Errorf("reason %q", got)
			}
			if got := tlsterm.Ended(err); got != flow.Timeout {
				t.Errorf("ended %q", got)
			}
			if _, ok := tlsterm.InKind(err); server && ok {
				t.Error("a silent server is told by alert")
			}
			peer.Close()
			us.Close()
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errStopping)
		_, us := testnet.Pipe(clientAddr, serverAddr)
		if _, _, err := tlsterm.Connect(ctx, us, r.Hello, tlsterm.ConnectOptions{}); !errors.Is(err, errStopping) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

var errStopping = errors.New("stopping")

// fixed issues a certificate without locks of its own, so that it works in a
// bubble of fake time.
type fixed struct{ broken }

func (fixed) Issue(ctx context.Context, _ ca.Leaf) (*tls.Certificate, error) {
	c := selfSigned(ctxTB{}, "shop.example")
	return &c, ctx.Err()
}

// ctxTB lets fixed use a test's helper.
type ctxTB struct{ testing.TB }

func (ctxTB) Helper()           {}
func (ctxTB) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func TestAlertOf(t *testing.T) {
	cases := map[string]struct {
		err error
		ok  bool
	}{
		"nil":     {nil, false},
		"eof":     {io.EOF, false},
		"network": {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, false},
		"other":   {&net.OpError{Op: "remote error", Err: errStopping}, false},
		"bare":    {&net.OpError{Op: "remote error"}, false},
		"ours":    {fmt.Errorf("x: %w", tlsterm.UnknownCA), true},
	}
	for name, c := range cases {
		if a, remote, ok := tlsterm.AlertOf(c.err); ok != c.ok || remote {
			t.Errorf("%s: AlertOf = %s, %v, %v", name, a, remote, ok)
		}
	}
	if got := tlsterm.Alert(99).String(); got != "alert 99" {
		t.Errorf("unknown alert is %q", got)
	}
	if got := tlsterm.Reason(errStopping); got != "stopping" {
		t.Errorf("reason of another error: %q", got)
	}
}

func TestSendAlertVersion(t *testing.T) {
	for hello, want := range map[uint16]uint16{0x0300: 0x0300, 0x0301: 0x0301, 0x0303: 0x0303, 0x0305: 0x0303, 0: 0x0300} {
		var c buffer
		if err := tlsterm.SendAlert(&c, &sniff.Hello{LegacyVersion: hello}, tlsterm.UnknownCA); err != nil {
			t.Fatal(err)
		}
		if got := uint16(c.Bytes()[1])<<8 | uint16(c.Bytes()[2]); got != want {
			t.Errorf("to a hello of %x: record of %x, want %x", hello, got, want)
		}
	}
}

// buffer is a conn that keeps what is written.
type buffer struct {
	net.Conn
	bytes.Buffer
}

func (b *buffer) Read(p []byte) (int, error)  { return b.Buffer.Read(p) }
func (b *buffer) Write(p []byte) (int, error) { return b.Buffer.Write(p) }
