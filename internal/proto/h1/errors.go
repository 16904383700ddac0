package h1

import (
	"errors"
	"fmt"
)

// ErrHandOver is returned by Serve when Decide has declined a request: the
// connection is somebody else's from there on, beginning with Unread.
var ErrHandOver = errors.New("connection handed over")

// ErrUnsolicited is returned by Wait when the server has sent something that no
// request asked for. It is kept for Unread.
var ErrUnsolicited = errors.New("server sent something unasked")

// errDrained ends a connection that was asked to finish.
var errDrained = errors.New("drained")

// A MalformedError says what is wrong with a message. Status is what a server
// answers to such a request (RFC 9112, sections 2.2, 3 and 6.3).
type MalformedError struct {
	Status int    // 400, 408, 414, 431 or 505
	Where  string // "request line", "field 3", "Content-Length", "chunk size", …
	What   string
}

// Error says where and what.
func (e *MalformedError) Error() string { return e.Where + ": " + e.What }

// A ClientError says that the client's side of a Server failed: it was reset,
// fell silent, or could not be written to. What the handler fails with is never
// one.
type ClientError struct{ Err error }

// Error says how.
func (e *ClientError) Error() string { return "client: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ClientError) Unwrap() error { return e.Err }

// A RequestBodyError says that the body of a request is malformed. Reading the
// body gives it, so it comes back out of the handler; the Server then answers
// the client itself.
type RequestBodyError struct{ Err *MalformedError }

// Error says what is wrong.
func (e *RequestBodyError) Error() string { return "request body: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *RequestBodyError) Unwrap() error { return e.Err }

func malformed(where, format string, args ...any) *MalformedError {
	return &MalformedError{Status: 400, Where: where, What: fmt.Sprintf(format, args...)}
}

func malformedStatus(status int, where, format string, args ...any) *MalformedError {
	return &MalformedError{Status: status, Where: where, What: fmt.Sprintf(format, args...)}
}
