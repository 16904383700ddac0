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
	Shake      Handshaker       // whose hello the server sees; nil is LikeGo
	Lineage    *Lineage         // for resuming; nil is a full handshake
}

// A Handshaker takes up TLS with the server on c, as a client whose hello it is
// given would. It is the one place that decides what hello the server sees:
// Connect does the rest, which is the same for all. The context's end closes c.
//
// It verifies nothing, and resumes by o.Lineage. It writes the ClientHello before anything else, with one
// call of Write, from which Connect learns what was offered.
type Handshaker func(ctx context.Context, c net.Conn, hello *sniff.Hello, o *ConnectOptions) (Agreement, error)

// An Agreement is what a Handshaker came to.
type Agreement struct {
	Stream    Stream              // nil with an error
	State     tls.ConnectionState // none with an error
	WantsCert bool                // the server asked for a client certificate; known with an error, too
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
// *HandshakeError: InKind says what to tell the client, Reason what to record. If
// it says Resuming, the same on a new conn will be a full handshake. c stays the
// caller's to close.
func Connect(ctx context.Context, c net.Conn, hello *sniff.Hello, o ConnectOptions) (*Conn, *flow.TLS, error) {
	shake := o.Shake
	if shake == nil {
		shake = LikeGo
	}
	w := &wire{Conn: c, keep: true}
	a, err := shake(ctx, w, hello, &o)
	sent := w.hello()
	if err = w.settle(ctx, err); err != nil {
		e := &HandshakeError{Server: true, Sent: w.wrote, WantsCert: a.WantsCert, Less: offersLess(hello, sent), Err: err}
		if e.Resuming = len(sent.Tickets()) > 0; e.Resuming {
			o.Lineage.cache(hello, &o).forget()
		}
		return nil, nil, e
	}
	leg := sent.TLS
	agreed(&leg, a.State)
	leg.WantsCert = a.WantsCert
	for _, cert := range a.State.PeerCertificates {
		leg.Chain = append(leg.Chain, cert.Raw)
	}
	if !o.SkipVerify {
		if err := o.verify(a.State.PeerCertificates, hello.TLS.ServerName); err != nil {
			leg.VerifyErr = err.Error()
		}
	}
	return &Conn{Stream: a.Stream, wire: w, server: true, peer: a.State.PeerCertificates[0]}, &leg, nil
}

// LikeGo is the Handshaker that says hello as crypto/tls does. It follows the
// client's hello in what crypto/tls lets a program choose:
//
//   - the range of versions, and whether there is a name;
//   - the ALPN list, in its order;
//   - the set of groups, not their order, and hybrid ones only if the client
//     sent a share of one;
//   - before TLS 1.3 the suites that are old, if the client offers them.
//
// The order of suites, groups and extensions, the signature algorithms, and the
// suites of TLS 1.3 are those of crypto/tls.
func LikeGo(ctx context.Context, c net.Conn, hello *sniff.Hello, o *ConnectOptions) (a Agreement, err error) {
	low, high, ok := versions(hello)
	if !ok {
		return a, ProtocolVersion
	}
	cfg := &tls.Config{
		ServerName:         hello.TLS.ServerName,
		InsecureSkipVerify: true, // Connect verifies, by our own rules
		NextProtos:         Offer(hello.TLS.ALPN, o.Speak...),
		MinVersion:         low,
		MaxVersion:         high,
		CipherSuites:       connectSuites(hello),
		CurvePreferences:   groups(hello),
		KeyLogWriter:       quietly(o.KeyLog),
		Time:               o.Now,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			a.WantsCert = true
			return &tls.Certificate{}, nil // none: the client's key is the client's
		},
	}
	if cache := o.Lineage.cache(hello, o); cache != nil {
		cfg.ClientSessionCache = cache
	}
	t := tls.Client(c, cfg)
	if err := t.HandshakeContext(ctx); err != nil {
		return a, err
	}
	a.Stream, a.State = t, t.ConnectionState()
	return a, nil
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
