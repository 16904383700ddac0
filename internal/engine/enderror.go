package engine

import (
	"errors"
	"fmt"

	"transom/flow"
	"transom/internal/engine/leg"
)

// An endError says why a connection ended and how to tell the client.
type endError struct {
	reason         string     // for the record
	how            flow.Close // how the client's leg is to end
	client, server flow.Close // how the sides ended
	ours           bool       // it was our decision
	err            error
}

func (e *endError) Error() string { return e.reason }
func (e *endError) Unwrap() error { return e.err }

// errLoop ends a connection that has come back to us.
var errLoop = &endError{
	reason: "loop: the connection came from transom itself; the redirection rules must leave its own traffic alone",
	how:    flow.RST, ours: true,
}

// serverError says that the server's leg failed, and that the client is to see
// the same.
func serverError(err error) error {
	var e *endError
	if err == nil || errors.As(err, &e) {
		return err
	}
	how := leg.Ended(err)
	reason := words("server", how, err)
	if reason == "" {
		reason = fmt.Sprintf("connection to the server failed: %v", err)
	}
	return &endError{reason: reason, how: how, server: how, err: err}
}

// first returns the ending that is known.
func first(known, otherwise flow.Close) flow.Close {
	if known != flow.NotClosed {
		return known
	}
	return otherwise
}

// clientError says that the client ended the connection.
func clientError(err error) error {
	how := leg.Ended(err)
	if how == flow.Timeout {
		return &endError{reason: "client was silent for too long", how: flow.FIN, client: how, err: err}
	}
	reason := words("client", how, err)
	if reason == "" {
		reason = fmt.Sprintf("connection to the client failed: %v", err)
	}
	return &endError{reason: reason, how: how, client: how, err: err}
}
