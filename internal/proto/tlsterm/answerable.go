package tlsterm

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"transom/internal/proto/sniff"
	"transom/internal/proto/tls13"
)

// Answerable tells whether Accept can answer a client at all, whose stream
// begins with prefix, hello in parsed form. crypto/tls refuses some hellos that
// are sent in practice: above all a server name with a final dot, and cipher
// suites of finite-field Diffie-Hellman only. Such a client got through to its
// server before and would now be cut off; the owner may pass it instead.
//
// It costs a parse by crypto/tls and does no cryptography.
func Answerable(prefix []byte, hello *sniff.Hello) error {
	switch v := version(hello, tls.VersionTLS13); {
	case v == 0:
		return fmt.Errorf("ClientHello that can't be answered: versions %x", hello.TLS.Versions)
	case v < tls.VersionTLS13 && len(acceptSuites(hello)) == 0:
		return fmt.Errorf("ClientHello that can't be answered: cipher suites %x", hello.CipherSuites)
	}
	if early(hello, tls.VersionTLS13) {
		if err := tls13.Answerable(hello); err != nil {
			return fmt.Errorf("ClientHello with early data that can't be answered: %w", err)
		}
	}
	taken := false
	c := tls.Server(&recital{rest: prefix}, &tls.Config{
		MinVersion: tls.VersionTLS10,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			taken = true
			return nil, errHeard
		},
	})
	if err := c.Handshake(); !taken {
		return fmt.Errorf("ClientHello that can't be answered: %w", err)
	}
	return nil
}

var errHeard = errors.New("heard enough")

// A recital is a conn on which only prefix can be read; nobody hears what is
// written.
type recital struct{ rest []byte }

func (r *recital) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

func (r *recital) Write(p []byte) (int, error)      { return len(p), nil }
func (r *recital) Close() error                     { return nil }
func (r *recital) LocalAddr() net.Addr              { return nil }
func (r *recital) RemoteAddr() net.Addr             { return nil }
func (r *recital) SetDeadline(time.Time) error      { return nil }
func (r *recital) SetReadDeadline(time.Time) error  { return nil }
func (r *recital) SetWriteDeadline(time.Time) error { return nil }
