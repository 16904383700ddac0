package upstream

import (
	"context"
	"crypto/x509"
	"time"

	"transom/flow"
	"transom/internal/engine/leg"
	"transom/internal/proto/sniff"
	"transom/internal/proto/tlsterm"
)

// Speaks lists the versions of HTTP that can be parsed, by ALPN name.
var Speaks = []string{"h2", "http/1.1", "http/1.0"}

// Handshake takes up TLS with the server as the client's hello asks. It returns
// what was agreed and the server's certificate; a certificate that does not
// verify is no error, but VerifyErr says why. It resumes by line, unless that
// could not be made good by dialling again: not on a connection that was given
// to Over, nor inside another TLS.
func (s *Set) Handshake(ctx context.Context, hello *sniff.Hello, line *tlsterm.Lineage) (*flow.TLS, *x509.Certificate, error) {
	if err := s.Ready(ctx); err != nil {
		return nil, nil, err
	}
	if s.cfg.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.cfg.Timeout)
		defer cancel()
	}
	if s.given || s.conn != s.raw {
		line = nil
	}
	began := time.Now()
	c, agreed, err := tlsterm.Connect(ctx, leg.Join(s.conn, s.early), hello, tlsterm.ConnectOptions{
		Roots: s.cfg.Roots, SkipVerify: s.cfg.Insecure, Speak: Speaks, KeyLog: s.cfg.KeyLog, Lineage: line,
	})
	if agreed != nil {
		s.leg.TLS = agreed
	}
	if err == nil {
		s.conn, s.early = c, nil
		err = s.objection(ctx, c, agreed, time.Since(began))
	}
	if err != nil {
		s.leg.Err = tlsterm.Reason(err)
		return agreed, nil, err
	}
	return agreed, c.PeerCertificate(), nil
}
