// Package leg knows how one side of a relayed connection ends, and how to end
// the other side alike: FIN as FIN, RST as RST. It moves no payload.
package leg

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"transom/flow"
	"transom/internal/proto/tlsterm"
)

// Reset ends c so that its peer sees a reset. Without a socket that can (an
// in-memory pipe, say) it just closes.
func Reset(c net.Conn) {
	for inner := c; inner != nil; {
		if l, ok := inner.(interface{ SetLinger(int) error }); ok {
			_ = l.SetLinger(0) // the close below ends it either way
			inner.Close()
			break
		}
		u, ok := inner.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		inner = u.NetConn()
	}
	c.Close()
}

// CloseWrite tells c's peer that no more comes. Where half-close is not known
// it closes c whole.
func CloseWrite(c net.Conn) error {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		return h.CloseWrite()
	}
	return c.Close()
}

// Truncate tells c's peer that no more comes and that something is missing, if
// c's protocol can say that: TLS sends FIN without close_notify.
func Truncate(c net.Conn) error {
	if t, ok := c.(interface{ Truncate() error }); ok {
		return t.Truncate()
	}
	return CloseWrite(c)
}

// Like ends c as the other side ended: with a reset for RST, refusal,
// unreachability and timeout, else with a FIN.
func Like(c net.Conn, how flow.Close) {
	switch how {
	case flow.RST, flow.Refused, flow.Unreachable, flow.Timeout:
		Reset(c)
	default:
		c.Close()
	}
}

// Alike ends c as err says that the other side has ended its stream: in order,
// or cut short, which no close_notify may belie.
func Alike(c net.Conn, err error) {
	if errors.Is(err, tlsterm.ErrTruncated) {
		_ = Truncate(c)   // the close below ends what can't be half-closed
		socket(c).Close() // TLS would have its last word
	}
	c.Close()
}

// socket returns the innermost conn of c.
func socket(c net.Conn) net.Conn {
	for {
		u, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return c
		}
		c = u.NetConn()
	}
}

// Ended tells from an error of reading, writing or dialling how that side
// ended. nil is NotClosed.
func Ended(err error) flow.Close {
	switch {
	case err == nil:
		return flow.NotClosed
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNABORTED):
		return flow.RST
	case errors.Is(err, syscall.ECONNREFUSED):
		return flow.Refused
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH),
		errors.Is(err, syscall.EHOSTDOWN), errors.Is(err, syscall.EADDRNOTAVAIL):
		return flow.Unreachable
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, os.ErrDeadlineExceeded),
		errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return flow.Timeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return flow.FIN
	}
	return flow.ClosedByUs
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

// Words says what an ending means, for a record's reason.
func Words(side string, how flow.Close) string {
	switch how {
	case flow.Refused:
		return side + " refused the connection"
	case flow.Unreachable:
		return side + " is unreachable"
	case flow.Timeout:
		return side + " did not answer in time"
	case flow.RST:
		return side + " reset the connection"
	case flow.FIN:
		return side + " closed the connection"
	}
	return ""
}
