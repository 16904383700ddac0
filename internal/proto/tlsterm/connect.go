package tlsterm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"time"

	"transom/flow"
	"transom/internal/proto/sniff"
)

// ConnectOptions say how a server is spoken to.
type ConnectOptions struct {
	Roots      *x509.CertPool   // what its certificate is verified against; nil is the system's
	SkipVerify bool             // take any certificate
	Speak      []string         // versions of HTTP, by ALPN name, that the owner can parse: see Offer
	KeyLog     io.Writer        // secrets in NSS format, a line a write; its errors are ignored. Nil for none
	Now        func() time.Time // the clock; nil is time.Now
}

// Connect shakes hands with the server on c as the client's hello asks: its
// name, its versions, its groups, its ALPN list as Offer leaves it. Names that
// crypto/tls does not send are left out: address literals, and a final dot.
//
// A certificate that does not verify is no error: the returned TLS, which
// describes our hello and what was agreed, says why in VerifyErr, and the
// caller decides. If the client sent no name, there is none to check: then only
// the chain is verified, which shows as an empty ServerName beside a Chain.
//
// The context bounds the handshake only; when it ends, c is closed. Errors are
// *HandshakeError: InKind says what to tell the client, Reason what to record. c
// stays the caller's to close.
func Connect(ctx context.Context, c net.Conn, hello *sniff.Hello, o ConnectOptions) (*Conn, *flow.TLS, error) {
	low, high, ok := versions(hello)
	if !ok {
		return nil, nil, &HandshakeError{Server: true, Err: ProtocolVersion}
	}
	asked := false
	w := &wire{Conn: c, keep: true}
	t := tls.Client(w, &tls.Config{
		ServerName:         hello.TLS.ServerName,
		InsecureSkipVerify: true, // verified below, by our own rules
		NextProtos:         Offer(hello.TLS.ALPN, o.Speak...),
		MinVersion:         low,
		MaxVersion:         high,
		CipherSuites:       connectSuites(hello),
		CurvePreferences:   groups(hello),
		KeyLogWriter:       quietly(o.KeyLog),
		Time:               o.Now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return &tls.Certificate{}, nil // none: the client's key is the client's
		},
	})
	if err := w.handshake(ctx, t); err != nil {
		return nil, nil, &HandshakeError{Server: true, Sent: w.wrote, WantsCert: asked, Err: err}
	}
	leg := ours(w.first)
	w.first = nil
	state := t.ConnectionState()
	agreed(&leg, state)
	leg.WantsCert = asked
	for _, cert := range state.PeerCertificates {
		leg.Chain = append(leg.Chain, cert.Raw)
	}
	if !o.SkipVerify {
		if err := o.verify(state.PeerCertificates, hello.TLS.ServerName); err != nil {
			leg.VerifyErr = err.Error()
		}
	}
	return newConn(t, w, true), &leg, nil
}

// ours describes the hello we sent.
func ours(stream []byte) flow.TLS {
	if r := sniff.Stream(stream); r.Hello != nil {
		return r.Hello.TLS
	}
	return flow.TLS{}
}

// verify checks the chain, and the name if there is one.
func (o *ConnectOptions) verify(chain []*x509.Certificate, name string) error {
	opts := x509.VerifyOptions{DNSName: name, Roots: o.Roots}
	if o.Now != nil {
		opts.CurrentTime = o.Now()
	}
	if len(chain) > 1 {
		opts.Intermediates = x509.NewCertPool()
		for _, c := range chain[1:] {
			opts.Intermediates.AddCert(c)
		}
	}
	_, err := chain[0].Verify(opts)
	return err
}
