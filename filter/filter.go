// Package filter has the language that flows are chosen by: mitmproxy's, in which
// every expression that mitmproxy accepts means what it means there, and some that
// it refuses mean something, too.
package filter

import (
	"context"
	"io"
	"sync"

	"transom/flow"
)

// Options say how expressions are read.
type Options struct {
	// CaseSensitive is what mitmproxy does with MITMPROXY_CASE_SENSITIVE_FILTERS=1:
	// only methods and domains are searched without regard to case.
	CaseSensitive bool
}

// Bodies opens what was kept of bodies and messages, as a store.Store does.
type Bodies interface {
	OpenBody(ctx context.Context, ref flow.BodyRef) (io.ReadSeekCloser, error)
}

// A Filter is a compiled expression. It may be used by many goroutines.
type Filter struct{ root *expr }

// Parse compiles an expression. Its error is an *Error.
func Parse(text string, o Options) (*Filter, error) {
	root, err := parse(text, o)
	if err != nil {
		return nil, err
	}
	return &Filter{root}, nil
}

// Match reports whether f matches. bodies is asked only if NeedsBody; nil has none.
// Where a body can't be read or a pattern takes too long, what asked for it counts
// as a match, and the error says why.
func (x *Filter) Match(ctx context.Context, f *flow.Flow, bodies Bodies) (bool, error) {
	s := subjects.Get().(*subject)
	s.ctx, s.Flow, s.bodies = ctx, f, bodies
	ok := x.root.match(s)
	err := s.err
	s.reset()
	subjects.Put(s)
	return ok, err
}

// NeedsBody reports whether Match reads bodies.
func (x *Filter) NeedsBody() bool { return x.root.needsBody() }

// String returns the expression, in a form that says what belongs together.
// Parsed again it is the same.
func (x *Filter) String() string { return string(x.root.append(nil, 0)) }

// Describe returns what the filter asks for in words, as in "url matches /foo/i
// and response code is 200".
func (x *Filter) Describe() string { return string(x.root.describe(nil)) }

// A subject is a flow that is matched, and what was read of it for that.
type subject struct {
	*flow.Flow
	ctx    context.Context
	bodies Bodies
	err    error
	facts  *Facts  // to be told what is searched, instead of searching it
	buf    []byte  // of what is searched
	read   [2]body // of the request and the response
}

// subjects is a pool, since what is searched is put together in them.
var subjects = sync.Pool{New: func() any { return new(subject) }}

func (s *subject) reset() { *s = subject{buf: s.buf[:0]} }

// fail notes why something can't be decided, and decides for the flow.
func (s *subject) fail(err error) bool {
	if s.err == nil {
		s.err = err
	}
	return true
}
