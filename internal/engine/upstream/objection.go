package upstream

import (
	"context"
	"crypto/tls"
	"time"

	"transom/flow"
	"transom/internal/proto/tlsterm"
)

// objection waits for what a server has to say that asked for a client's
// certificate and got none. By TLS 1.3 our handshake is over before the server
// has looked (RFC 8446, section 4.4.2.4): its alert comes a round trip later,
// when the client could no longer be told in its own handshake. A server that
// can do without says nothing, or what is kept for the one who reads next.
//
// took is how long the handshake lasted, a round trip and the server's work:
// twice that is waited for, so the few servers that ask and don't mind cost
// their clients about as much as a handshake, and others nothing.
func (s *Set) objection(ctx context.Context, c *tlsterm.Conn, agreed *flow.TLS, took time.Duration) error {
	if !agreed.WantsCert || agreed.Version != tls.VersionTLS13 {
		return nil
	}
	_ = c.SetReadDeadline(time.Now().Add(min(2*took+objectionMin, objectionMax))) // the read below fails if the conn is gone
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(past) })
	var b [512]byte
	n, err := c.Read(b[:])
	stop()
	_ = c.SetReadDeadline(time.Time{}) // likewise
	s.early = append(s.early, b[:n]...)
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil || isTimeout(err) || n > 0:
		return nil
	}
	return &tlsterm.HandshakeError{Server: true, Sent: true, WantsCert: true, Err: err}
}

const (
	objectionMin = 100 * time.Millisecond
	objectionMax = 2 * time.Second
)
