package engine

import (
	"context"
	"crypto/x509"
	"errors"
	"slices"
	"time"

	"transom/exchange"
	"transom/flow"
	"transom/internal/engine/leg"
	"transom/internal/engine/upstream"
	"transom/internal/proto/h2"
	"transom/internal/proto/tlsterm"
	"transom/policy"
)

// terminate takes TLS off: with the server first, as the client's hello asks,
// then with the client, as the server chose. done says that the connection has
// been seen to its end. What the two have agreed to speak is a name: one that we
// don't know may be HTTP all the same, so it is what is said that counts.
func (s *session) terminate(ctx context.Context) (done bool, err error) {
	if err := tlsterm.Answerable(s.prefix, s.hello); err != nil {
		return true, s.pass(ctx, "can't be decrypted: "+err.Error())
	}
	s.asked = time.Now()
	if err := s.up.Ready(ctx); err != nil {
		return true, serverError(err)
	}
	line := s.e.Sessions.Of(s.info.Client.Addr(), s.info.Target(), s.hello)
	server, like, err := s.handshake(ctx, line)
	s.learned(s.info.WithServer(s.up.Leg()))
	if err != nil {
		return s.serverTLSFailed(ctx, err)
	}
	o := tlsterm.Options{Issuer: s.p.Issuer, Dst: s.info.Dst.Addr(), Server: server, Like: like, Lineage: line, KeyLog: s.p.KeyLog}
	if server.VerifyErr != "" {
		switch s.p.OnTLSFailure {
		case PassThrough:
			return true, s.passAfter(ctx, "the server's certificate does not verify: "+server.VerifyErr)
		case BadGateway:
			o.Server = nil
			return true, s.refuseRequests(ctx, o, "the server's certificate does not verify: "+server.VerifyErr)
		}
		o.Untrusted = true
	}
	if err := s.accept(ctx, o); err != nil {
		return false, err
	}
	return false, nil
}

// handshake takes up TLS with the server. One that breaks off when it is offered
// to resume is dialled again, for a full handshake: it may have lost the keys of
// its tickets, or be another behind the same address.
func (s *session) handshake(ctx context.Context, line *tlsterm.Lineage) (*flow.TLS, *x509.Certificate, error) {
	agreed, cert, err := s.up.Handshake(ctx, s.hello, line)
	if !tlsterm.WasResuming(err) || ctx.Err() != nil {
		return agreed, cert, err
	}
	s.hangUp()
	s.dial(ctx)
	if err := s.up.Ready(ctx); err != nil {
		return nil, nil, serverError(err)
	}
	return s.up.Handshake(ctx, s.hello, line)
}

// unparsed is v with why a stream that is none we know is relayed, if it is a
// name that we don't know either that was agreed on for it.
func (s *session) unparsed(v policy.Verdict) policy.Verdict {
	t := s.info.TLS()
	if v.Reason == "" && s.end.Reason == "" && t != nil && t.Protocol != "" && !slices.Contains(upstream.Speaks, t.Protocol) {
		v.Reason = "the protocol " + t.Protocol + " is not parsed"
	}
	return v
}

// accept answers the client's hello and goes one layer further in.
func (s *session) accept(ctx context.Context, o tlsterm.Options) error {
	o.Name, o.Since = s.info.Host, s.asked
	hctx, cancel := withTimeout(ctx, s.e.Timeouts.Handshake)
	defer cancel()
	c, agreed, err := tlsterm.Accept(hctx, s.c, s.prefix, s.hello, o)
	if err != nil {
		how := tlsterm.Ended(err)
		s.end.Type = "tls"
		return &endError{reason: s.mirrored(tlsterm.Reason(err)), how: flow.FIN, client: how, err: err}
	}
	s.c, s.prefix = c, nil
	s.learned(s.info.Agreed(agreed))
	return nil
}

// serverTLSFailed tells the client that TLS with its server failed.
func (s *session) serverTLSFailed(ctx context.Context, err error) (done bool, _ error) {
	if ctx.Err() != nil {
		return true, context.Cause(ctx)
	}
	var gone *endError
	if errors.As(err, &gone) {
		return true, err // it could not even be reached
	}
	reason := tlsterm.Reason(err)
	switch s.p.OnTLSFailure {
	case PassThrough:
		return true, s.passAfter(ctx, reason)
	case BadGateway:
		return true, s.refuseRequests(ctx, tlsterm.Options{Issuer: s.p.Issuer, Dst: s.info.Dst.Addr(), KeyLog: s.p.KeyLog}, reason)
	}
	s.end.Type = "tls"
	e := &endError{reason: reason, how: leg.Ended(err), server: tlsterm.Ended(err), err: err}
	if alert, ok := tlsterm.InKind(err); ok {
		e.how = flow.FIN
		if err := tlsterm.SendAlert(s.c, s.hello, alert); err != nil {
			e.client = leg.Ended(err)
		}
	}
	return true, e
}

// passAfter passes the client's hello, unanswered so far, to the server on a
// connection of its own: the first one has been used up.
func (s *session) passAfter(ctx context.Context, reason string) error {
	s.hangUp()
	s.dial(ctx)
	return s.pass(ctx, "passed undecrypted: "+reason)
}

// refuseRequests completes the client's handshake and answers each request with
// a 502 that says why.
func (s *session) refuseRequests(ctx context.Context, o tlsterm.Options, why string) error {
	o.Speak = upstream.Speaks
	if err := s.accept(ctx, o); err != nil {
		return err
	}
	s.end.Reason = why
	refuse := s.rec.HTTP(nil)(exchange.HandlerFunc(func(context.Context, *exchange.Request) (*exchange.Response, error) {
		return badGateway(why), nil
	}))
	if t := s.info.TLS(); t != nil && t.Protocol == "h2" {
		return s.ended2(ctx, s.run2(ctx, h2.NewServer(s.c, nil, refuse, s.options2())))
	}
	return s.server(refuse, nil).run(ctx, s)
}

// certificateRefused reports, when reading the client has failed, whether that
// was its answer to our certificate.
func (s *session) certificateRefused(err error) *endError {
	c, ok := s.c.(*tlsterm.Conn)
	if !ok {
		return nil
	}
	reason := c.Refused()
	if reason == "" {
		return nil
	}
	s.end.Type = "tls"
	how := leg.Ended(err)
	if _, remote, ok := tlsterm.AlertOf(err); ok && remote {
		how = flow.Alert
	}
	return &endError{reason: s.mirrored(reason), how: flow.FIN, client: how, err: err}
}

// mirrored puts before why, which the client made of our certificate, what the
// server's was like, if ours was made not to verify either: then the client is
// right, and its trust in our authority is not the matter.
func (s *session) mirrored(why string) string {
	l := s.info.Server
	if l == nil || l.TLS == nil || l.TLS.VerifyErr == "" || s.p.OnTLSFailure != Mirror {
		return why
	}
	return "the server's certificate does not verify (" + l.TLS.VerifyErr + "), so the client was shown an untrusted one: " + why
}

// withTimeout is context.WithTimeout with a timeout that may be switched off.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
