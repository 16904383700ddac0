// Package tlsterm ends TLS on both legs with crypto/tls: towards the server it
// is a client that offers what the real client offered (Connect), towards the
// client it is a server that agrees to what the real server agreed to (Accept).
// A Sessions lets a connection be resumed on both.
// In between the owner sees plain bytes. It does not dial, does not decide
// whether to intercept, and records nothing.
package tlsterm

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
)

// A Conn is one leg whose TLS handshake is complete. Reading ends with io.EOF
// when the peer has sent close_notify, and with an error that wraps
// io.ErrUnexpectedEOF when its TCP stream ended without one: an owner whose
// protocol has lengths may treat that as EOF (many peers never send
// close_notify), one that reads until the end must not, for the data may have
// been cut (RFC 8446, section 6.1).
//
// Read and Write may be used at the same time, and Close at any time. Close
// sends close_notify first, and waits at most five seconds for it to go out.
type Conn struct {
	Stream
	wire   *wire
	peer   *x509.Certificate // nil if it is the client
	server bool              // the peer is the server
	unsure bool              // the client's leaving says nothing of our certificate

	spoke atomic.Bool           // the peer has sent data
	late  atomic.Bool           // it ended long after it was answered, or was answered late
	end   atomic.Pointer[error] // how the peer's stream ended
}

// A Stream is what an implementation of TLS makes of a conn: plain bytes in and
// out, and close_notify alone.
type Stream interface {
	net.Conn
	CloseWrite() error
}

// ErrTruncated ends a stream without close_notify.
var ErrTruncated = fmt.Errorf("TLS stream ended without close_notify: %w", io.ErrUnexpectedEOF)

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	if n > 0 && !c.spoke.Load() {
		c.spoke.Store(true)
	}
	if err != nil {
		err = c.ended(err)
	}
	return n, err
}

// ended says how the stream ended, and remembers it.
func (c *Conn) ended(err error) error {
	if err == io.EOF && c.wire.eof.Load() || err == io.ErrUnexpectedEOF {
		err = ErrTruncated
	}
	if !isTimeout(err) && !errors.Is(err, net.ErrClosed) {
		if c.end.Load() == nil && c.wire.late() {
			c.late.Store(true)
		}
		c.end.CompareAndSwap(nil, &err)
	}
	return err
}

// CloseWrite tells the peer that no more comes: close_notify, then a FIN if the
// conn below knows half-close.
func (c *Conn) CloseWrite() error {
	err := c.Stream.CloseWrite()
	if h, ok := c.wire.Conn.(interface{ CloseWrite() error }); ok {
		err = errors.Join(err, h.CloseWrite())
	}
	return err
}

// Truncate ends our side as ErrTruncated ends the peer's: with a FIN and no
// close_notify. It passes on a stream that was cut. Where the conn below has no
// half-close it is closed.
func (c *Conn) Truncate() error {
	if h, ok := c.wire.Conn.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.wire.Conn.Close()
}

// Reset closes the conn so that its peer sees a reset, as far as the conn below
// can.
func (c *Conn) Reset() {
	for inner := c.wire.Conn; inner != nil; {
		if l, ok := inner.(interface{ SetLinger(int) error }); ok {
			_ = l.SetLinger(0) // the close below ends it either way
			break
		}
		u, ok := inner.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		inner = u.NetConn()
	}
	c.wire.Conn.Close()
}

// NetConn returns the conn that TLS runs on, as Accept or Connect was given it.
func (c *Conn) NetConn() net.Conn { return c.wire.Conn }

// PeerCertificate returns the server's own certificate, nil on a client's leg.
func (c *Conn) PeerCertificate() *x509.Certificate { return c.peer }

// Refused says, once reading has failed, that the client ended the connection
// because of our certificate, in words for a record; "" if that can't be told.
// Clients that judge the certificate after their last handshake message do so:
// some send an alert; some just close without a byte of data, and of these it
// is a guess, since a connection opened in advance ends in the same way, if
// later: who has waited long for us, or stayed for long, is not suspected. A
// client that resumes has not been shown the certificate, and one whose early data
// was refused may prefer a new connection, so their silence says nothing.
func (c *Conn) Refused() string {
	end := c.end.Load()
	if c.server || end == nil || c.spoke.Load() {
		return ""
	}
	if a, remote, ok := AlertOf(*end); ok {
		if remote {
			return refusal(a)
		}
		return ""
	}
	if isClosed(*end) && !c.unsure && !c.late.Load() {
		return "client closed after the handshake without sending anything: it may not accept our certificate"
	}
	return ""
}

var _ net.Conn = (*Conn)(nil)
