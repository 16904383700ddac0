package tlsterm

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"transom/flow"
)

// A HandshakeError says on which leg a handshake failed and how far it had
// come. It wraps the cause, context.Cause(ctx) if ctx ended it.
type HandshakeError struct {
	Server    bool // on the server's leg; else on the client's
	Sent      bool // we had sent something before, towards a client our certificate
	WantsCert bool // the server had asked for a client certificate
	Late      bool // the client had waited long for that, or thought long about it
	Early     bool // the client's early data was refused
	Resuming  bool // we had offered the server to resume; in full it may go well
	Less      bool // the client offers cipher suites that the server was not offered
	Err       error
}

// Error says where and why.
func (e *HandshakeError) Error() string {
	return "TLS handshake with the " + e.peer() + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *HandshakeError) Unwrap() error { return e.Err }

func (e *HandshakeError) peer() string {
	if e.Server {
		return "server"
	}
	return "client"
}

// WasResuming reports whether err, an error of Connect, may be due to the offer
// to resume, so that a full handshake on a new conn is worth a try.
func WasResuming(err error) bool {
	var e *HandshakeError
	return errors.As(err, &e) && e.Resuming
}

// Reason says in words for a record why err, an error of Accept or Connect,
// happened: "client refused our certificate (unknown_ca)". Of another error it
// is the text.
func Reason(err error) string {
	var e *HandshakeError
	if !errors.As(err, &e) {
		return err.Error()
	}
	alert, remote, isAlert := AlertOf(e.Err)
	var header tls.RecordHeaderError
	switch {
	case isAlert && remote && !e.Server:
		return refusal(alert)
	case isAlert && remote && e.WantsCert:
		return "server requires a client certificate, and the client's can't be relayed (" + alert.String() + ")"
	case isAlert && remote && e.Less && (alert == HandshakeFailure || alert == InsufficientSecurity):
		return "server refused the TLS handshake (" + alert.String() + "): of the client's cipher suites, those that transom has did not suit it"
	case isAlert && remote:
		return "server refused the TLS handshake (" + alert.String() + ")"
	case isTimeout(e.Err):
		return e.peer() + " did not finish the TLS handshake in time"
	case isClosed(e.Err) && e.WantsCert:
		return "server requires a client certificate, and the client's can't be relayed (it closed when it got none)"
	case isClosed(e.Err) && e.Server:
		return "server closed the connection during the TLS handshake"
	case isClosed(e.Err) && e.Early:
		return "client closed when its early data was refused: it is expected to come again"
	case isClosed(e.Err) && e.Late:
		return "client closed during the handshake, which had taken long"
	case isClosed(e.Err) && e.Sent:
		return "client closed during the handshake: it probably does not trust our certificate"
	case isClosed(e.Err):
		return "client closed before its TLS handshake was answered"
	case errors.As(e.Err, &header) && e.Server:
		return "server does not speak TLS: " + header.Msg
	}
	return "TLS handshake with the " + e.peer() + " failed: " + strings.TrimPrefix(e.Err.Error(), "tls: ")
}

// refusal says what an alert from the client means.
func refusal(a Alert) string {
	if a.aboutCertificate() {
		return "client refused our certificate (" + a.String() + ")"
	}
	return "client ended TLS (" + a.String() + ")"
}

// Ended tells how the peer of a failed handshake ended: with an alert, in the
// middle of the handshake, with a reset, by silence; or that we did.
func Ended(err error) flow.Close {
	_, remote, _ := AlertOf(err)
	switch {
	case err == nil:
		return flow.NotClosed
	case remote:
		return flow.Alert
	case isTimeout(err):
		return flow.Timeout
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return flow.RST
	case isClosed(err):
		return flow.HandshakeEnd
	}
	return flow.ClosedByUs
}

// isClosed reports whether the peer closed or reset its stream.
func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNABORTED)
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.Is(err, syscall.ETIMEDOUT) || errors.As(err, &t) && t.Timeout()
}
