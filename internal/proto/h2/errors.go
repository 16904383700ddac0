package h2

import (
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/net/http2"
)

// A Code says why a stream or a connection was ended (RFC 9113, section 7).
type Code uint32

const (
	NoError            Code = 0x0
	ProtocolError      Code = 0x1
	InternalError      Code = 0x2
	FlowControlError   Code = 0x3
	StreamClosed       Code = 0x5
	FrameSizeError     Code = 0x6
	RefusedStream      Code = 0x7
	Cancel             Code = 0x8
	CompressionError   Code = 0x9
	ConnectError       Code = 0xa
	EnhanceYourCalm    Code = 0xb
	InadequateSecurity Code = 0xc
)

// String returns the RFC's name, "PROTOCOL_ERROR" say.
func (c Code) String() string { return http2.ErrCode(c).String() }

// A ConnError says that the peer of a connection broke the protocol, so that
// nothing on it can be trusted any more. It has been told so by GOAWAY.
type ConnError struct {
	Code Code
	What string
}

// Error says what the peer did.
func (e *ConnError) Error() string { return e.What + " (" + e.Code.String() + ")" }

// A StreamError ends one stream and leaves the others alone. From a handler it
// has the client's stream reset with the same code.
type StreamError struct {
	Code   Code
	Remote bool // the peer has sent it
	What   string
}

// Error says why.
func (e *StreamError) Error() string {
	switch {
	case e.Remote:
		return "stream was reset: " + e.Code.String()
	case e.What == "":
		return "stream is reset: " + e.Code.String()
	}
	return e.What + " (" + e.Code.String() + ")"
}

// A MalformedError says that a message breaks the rules for messages (RFC 9113,
// section 8.1.1). Its stream has been reset.
type MalformedError struct {
	Where string // "field 3", ":path", "content-length", …
	What  string
}

// Error says where and what.
func (e *MalformedError) Error() string { return e.Where + ": " + e.What }

// A GoneError says that the connection to the server ended under an exchange, or
// took no more of them. The client's connection ends alike.
type GoneError struct{ Err error }

// Error says how it ended.
func (e *GoneError) Error() string { return "the connection to the server ended: " + e.Err.Error() }

// Unwrap returns io.EOF, the reset, or the *ConnError.
func (e *GoneError) Unwrap() error { return e.Err }

// A GoAwayError says that the server will not answer a request: its GOAWAY came
// first.
type GoAwayError struct{ Code Code }

// Error says so.
func (e *GoAwayError) Error() string { return "server is going away: " + e.Code.String() }

// A ClientError says that the client's side of a Server failed: it was reset,
// ended or fell silent.
type ClientError struct{ Err error }

// Error says how.
func (e *ClientError) Error() string { return "client: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ClientError) Unwrap() error { return e.Err }

// ofClient says that err is of the client's side, once.
func ofClient(err error) error {
	if _, said := err.(*ClientError); said {
		return err
	}
	return &ClientError{err}
}

// ofServer says that err is of the connection to the server, once.
func ofServer(err error) *GoneError {
	if gone, said := err.(*GoneError); said {
		return gone
	}
	return &GoneError{err}
}

// errStreamDone is what is got from a stream that was given up by its user.
var errStreamDone = fmt.Errorf("stream is closed: %w", net.ErrClosed)

// errDrained ends a connection that was asked to finish.
var errDrained = errors.New("drained")

func violation(code Code, format string, args ...any) *ConnError {
	return &ConnError{Code: code, What: fmt.Sprintf(format, args...)}
}

// brokenFrame says in our words what the Framer found.
func (c *conn) brokenFrame(kind http2.FrameType, err error) error {
	var code http2.ConnectionError
	var stream http2.StreamError
	switch {
	case c.in.err != nil:
		if err == io.EOF && c.inBlock {
			return io.ErrUnexpectedEOF
		}
		return err
	case err == io.EOF, err == io.ErrUnexpectedEOF:
		return violation(FrameSizeError, "%v frame is shorter than what it must have", kind)
	case errors.As(err, &code):
		if detail := c.fr.ErrorDetail(); detail != nil {
			return violation(Code(code), "malformed frame: %v", detail)
		}
		return violation(Code(code), "malformed %v frame", kind)
	case errors.As(err, &stream):
		if kind == http2.FrameHeaders { // its block was not decoded
			return violation(Code(stream.Code), "malformed %v frame", kind)
		}
		return &badStream{stream.StreamID, &StreamError{Code: Code(stream.Code), What: fmt.Sprintf("malformed %v frame", kind)}}
	}
	return err
}

// A badStream is a violation that costs one stream.
type badStream struct {
	id  uint32
	err *StreamError
}

func (e *badStream) Error() string { return fmt.Sprintf("stream %d: %v", e.id, e.err) }
