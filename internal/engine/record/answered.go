package record

import "transom/flow"

// Answered is the error of a handler whose client will be told by a response
// that is made further out, where nothing is recorded. The record has both.
type Answered struct {
	Status int
	Reason string
	Err    error
}

// Error says what went wrong.
func (a *Answered) Error() string { return a.Err.Error() }

// Unwrap returns it.
func (a *Answered) Unwrap() error { return a.Err }

// head describes the response.
func (a *Answered) head() flow.ResponseHead {
	return flow.ResponseHead{Status: a.Status, Reason: a.Reason, Proto: flow.HTTP11}
}
