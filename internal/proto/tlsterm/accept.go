package tlsterm

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"transom/ca"
	"transom/flow"
	"transom/internal/proto/sniff"
)

// Options say how a client is answered.
type Options struct {
	Issuer ca.Issuer  // mints the certificate; required
	Dst    netip.Addr // where the client meant to go, for the certificate
	Name   string     // what it is called, for a client whose hello does not say; "" if unknown

	// Server is what was agreed with the real server, as Connect returned it:
	// its version is the highest for the client, its protocol the only one. Nil
	// if the server was not reached; then Speak is what is agreed to.
	Server *flow.TLS
	// Like is the server's certificate, as Conn.PeerCertificate returns it. Nil
	// lets Accept parse Server.Chain.
	Like *x509.Certificate
	// Untrusted mirrors a server whose certificate did not verify.
	Untrusted bool
	// Speak lists the ALPN protocols the owner can serve without a server, in
	// its order. A client that offers only others gets no_application_protocol.
	Speak []string

	Lineage *Lineage // for resuming, the one that Connect had; nil is a full handshake

	// Since is when the client began to wait for the answer to its hello; zero is
	// now. A client that has waited long may leave for that reason.
	Since time.Time

	KeyLog io.Writer        // secrets in NSS format, a line a write; its errors are ignored. Nil for none
	Now    func() time.Time // the clock; nil is time.Now
}

// Accept answers the client's hello, the parsed content of prefix: all that was
// read from c so far. The returned TLS is the hello's with what was agreed. The
// context bounds the handshake only; when it ends, c is closed.
//
// Errors are *HandshakeError. The client has then been told by alert, if it
// still listens; c stays the caller's to close.
func Accept(ctx context.Context, c net.Conn, prefix []byte, hello *sniff.Hello, o Options) (*Conn, *flow.TLS, error) {
	w := &wire{Conn: c, prefix: prefix, now: o.Now}
	w.asked = o.Since
	if w.asked.IsZero() {
		w.asked = w.clock()
	}
	cfg, err := o.config(ctx, hello)
	if err != nil {
		_ = SendAlert(w, hello, InternalError) // the error below is what counts
		return nil, nil, &HandshakeError{Err: err}
	}
	shake, eager := acceptAny, early(hello, cfg.MaxVersion)
	if eager {
		shake = acceptEarly
	}
	t, state, err := shake(ctx, w, hello, cfg)
	if err := w.settle(ctx, err); err != nil {
		return nil, nil, &HandshakeError{Sent: w.wrote, Late: w.late(), Early: eager, Err: err}
	}
	leg := hello.TLS
	agreed(&leg, state)
	return &Conn{Stream: t, wire: w, unsure: leg.Resumed || eager}, &leg, nil
}

// acceptAny is the handshake of clients at large.
func acceptAny(ctx context.Context, w *wire, _ *sniff.Hello, cfg *tls.Config) (Stream, tls.ConnectionState, error) {
	t := tls.Server(w, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, tls.ConnectionState{}, err
	}
	return t, t.ConnectionState(), nil
}

// config is made for each hello: everything in it depends on that.
func (o *Options) config(ctx context.Context, hello *sniff.Hello) (*tls.Config, error) {
	high, protocols := uint16(tls.VersionTLS13), o.Speak
	if o.Server != nil {
		if v := o.Server.Version; v != 0 {
			high = v
		}
		protocols = nil
		if p := o.Server.Protocol; p != "" {
			protocols = []string{p}
		}
	}
	cert, err := o.Issuer.Issue(ctx, ca.Leaf{
		Name: cmp.Or(hello.TLS.ServerName, o.Name), Addr: o.Dst, Like: o.like(), Untrusted: o.Untrusted,
		RSA: !takesECDSA(hello, version(hello, high)),
	})
	if err != nil {
		return nil, fmt.Errorf("certificate for %q: %w", hello.TLS.ServerName, err)
	}
	cfg := &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil },
		MinVersion:     tls.VersionTLS10,
		MaxVersion:     high,
		NextProtos:     protocols,
		CipherSuites:   acceptSuites(hello),
		KeyLogWriter:   quietly(o.KeyLog),
		Time:           o.Now,
	}
	o.Lineage.answer(cfg, o)
	return cfg, nil
}

// like returns the server's certificate if there is one that can be read.
func (o *Options) like() *x509.Certificate {
	if o.Like != nil || o.Server == nil || len(o.Server.Chain) == 0 {
		return o.Like
	}
	cert, err := x509.ParseCertificate(o.Server.Chain[0])
	if err != nil {
		return nil // the leaf then follows the name alone
	}
	return cert
}

// agreed fills in what a handshake ended with.
func agreed(leg *flow.TLS, s tls.ConnectionState) {
	leg.Version, leg.CipherSuite, leg.Protocol = s.Version, s.CipherSuite, s.NegotiatedProtocol
	leg.Group, leg.Resumed = uint16(s.CurveID), s.DidResume
}

// quietly returns a key log that does not fail handshakes.
func quietly(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return quiet{w}
}

type quiet struct{ w io.Writer }

func (q quiet) Write(p []byte) (int, error) {
	_, _ = q.w.Write(p) // crypto/tls would end the handshake over an error
	return len(p), nil
}
