// Package tls13 is the server's side of a TLS 1.3 connection (RFC 8446) for the
// clients that crypto/tls turns away: those that send early data, since they hold
// a ticket of the server that they think we are. They get a full handshake, and
// what they sent early is dropped, upon which they send it again. crypto/tls
// can't be brought to that from outside: it ends the handshake when it sees the
// extension, and the hello can't be changed on the way to it, because both sides'
// keys come from a hash of it.
//
// It is as little as that takes: certificates, no resumption, no hello retry, no
// client certificates. Everybody else is crypto/tls's.
package tls13

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"

	"transom/internal/proto/sniff"
)

// A Config says how a client is answered.
type Config struct {
	Certificate *tls.Certificate
	Protocol    string    // what is agreed to by ALPN, one that the client offered; "" for nothing
	KeyLog      io.Writer // secrets in NSS format, a line a write; its errors are ignored. Nil for none
}

// Answerable says what a hello lacks that Accept needs, nil if nothing: a suite, a
// share of a group that we have. What the certificate needs is not looked at.
func Answerable(hello *sniff.Hello) error {
	if choose(hello) == nil {
		return errors.New("no cipher suite of TLS 1.3 in common")
	}
	if _, share := sharedGroup(hello); share == nil {
		return errors.New("no key share of a group in common")
	}
	return nil
}

// Accept shakes hands on c, from which the client's hello is still to be read;
// hello is its parsed form, and must be Answerable. The context bounds the
// handshake only; when it ends, c is closed. An alert in an error is a uint8 in a
// *net.OpError, as it is with crypto/tls; c stays the caller's to close.
func Accept(ctx context.Context, c net.Conn, hello *sniff.Hello, cfg Config) (*Conn, tls.ConnectionState, error) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	s := &server{Conn: newConn(c), hello: hello, cfg: &cfg}
	if err := s.handshake(); err != nil {
		return nil, tls.ConnectionState{}, err
	}
	return s.Conn, tls.ConnectionState{
		Version: tls.VersionTLS13, HandshakeComplete: true, CipherSuite: s.suite.id,
		CurveID: s.group, NegotiatedProtocol: cfg.Protocol, ServerName: hello.TLS.ServerName,
	}, nil
}

// A server is a handshake under way.
type server struct {
	*Conn
	hello  *sniff.Hello
	cfg    *Config
	random [32]byte // the client's
	group  tls.CurveID
	keys   *schedule
}

// maxEarly is how much early data is passed over, in bytes on the wire. Servers
// allow 14 or 16 KiB; the time for the handshake bounds it, too.
const maxEarly = 256 << 10

// handshake is the flow of RFC 8446, section 2, with our part sent at once:
//
//	ClientHello  + early data  -->
//	                           <--  ServerHello, EncryptedExtensions,
//	                                Certificate, CertificateVerify, Finished
//	(early data is passed over)
//	Finished                   -->
func (s *server) handshake() error {
	msg, err := s.message(typeClientHello, sniff.MaxHello)
	if err != nil {
		return err
	}
	if string(msg) != string(s.hello.TLS.Hello) {
		return s.fail(internalError)
	}
	copy(s.random[:], msg[4+2:])
	suite := choose(s.hello)
	if suite == nil {
		return s.fail(handshakeFailure)
	}
	s.suite, s.keys = suite, newSchedule(suite, msg)
	shared, err := s.sayHello()
	if err != nil {
		return err
	}
	if err := s.turnToHandshakeKeys(shared); err != nil {
		return err
	}
	flight, err := s.flight()
	if err != nil {
		return err
	}
	if err := s.send(recordHandshake, flight); err != nil {
		return err
	}
	return s.finish()
}

// sayHello sends the ServerHello and returns what the key exchange came to.
func (s *server) sayHello() (shared []byte, err error) {
	group, theirs := sharedGroup(s.hello)
	if theirs == nil {
		return nil, s.fail(handshakeFailure)
	}
	s.group = group
	shared, share, err := agree(group, theirs)
	if err != nil {
		return nil, s.fail(illegalParameter)
	}
	var random [32]byte
	rand.Read(random[:]) // never fails
	session := sessionID(s.hello)
	msg := serverHello(random, session, s.suite.id, group, share)
	s.keys.add(msg)
	if err := s.send(recordHandshake, msg); err != nil {
		return nil, err
	}
	if len(session) == 0 {
		return shared, nil
	}
	return shared, s.send(recordChangeCipherSpec, []byte{1}) // RFC 8446, appendix D.4
}

func (s *server) turnToHandshakeKeys(shared []byte) error {
	client, server := s.keys.handshakeSecrets(shared)
	s.log("CLIENT_HANDSHAKE_TRAFFIC_SECRET", client)
	s.log("SERVER_HANDSHAKE_TRAFFIC_SECRET", server)
	s.skip = maxEarly
	return errors.Join(s.in.turn(s.suite, client), s.out.turn(s.suite, server))
}

// flight returns the messages after the ServerHello.
func (s *server) flight() ([]byte, error) {
	scheme, hash := signatureScheme(s.hello, s.cfg.Certificate.PrivateKey)
	if scheme == 0 {
		return nil, s.fail(handshakeFailure)
	}
	flight := s.keys.add(encryptedExtensions(s.cfg.Protocol))
	flight = append(flight, s.keys.add(certificate(s.cfg.Certificate.Certificate))...)
	signature, err := sign(s.cfg.Certificate.PrivateKey, hash, s.keys.sum())
	if err != nil {
		_ = s.fail(internalError) // the error below is what counts
		return nil, err
	}
	flight = append(flight, s.keys.add(certificateVerify(scheme, signature))...)
	return append(flight, s.keys.add(finished(s.keys.verifyData(s.out.secret)))...), nil
}

// finish reads the client's Finished and turns to the application's keys.
func (s *server) finish() error {
	client, server := s.keys.applicationSecrets()
	s.log("CLIENT_TRAFFIC_SECRET_0", client)
	s.log("SERVER_TRAFFIC_SECRET_0", server)
	want := finished(s.keys.verifyData(s.in.secret))
	if err := s.out.turn(s.suite, server); err != nil {
		return err
	}
	msg, err := s.message(typeFinished, len(want))
	if err != nil {
		return err
	}
	if !equal(msg, want) {
		return s.fail(decryptError)
	}
	s.complete = true
	return s.in.turn(s.suite, client)
}
