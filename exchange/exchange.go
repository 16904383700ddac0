// Package exchange holds the verbs of HTTP: one request in, one response out,
// whatever version of the protocol carries them.
//
// It knows no sockets and no wire format; those are the codecs' (internal/proto).
package exchange

import (
	"context"
	"net"
	"strconv"

	"transom/flow"
)

// A Handler performs one HTTP exchange.
//
// A connection to a server is a Handler. A connection from a client is what
// calls one. Everything between the two — recording, rules, scripts,
// breakpoints — is a [Middleware].
//
// Exchange may return before the request body has been read; the bodies are
// then relayed at the same time. It must return when ctx is done, with
// context.Cause(ctx) in the error's chain. On success the caller closes
// Response.Body. An error means that there is no response to send: the codec
// then ends the stream or the connection as the server's leg ended.
type Handler interface {
	Exchange(ctx context.Context, req *Request) (*Response, error)
}

// HandlerFunc adapts a function to a Handler.
type HandlerFunc func(context.Context, *Request) (*Response, error)

// Exchange calls f.
func (f HandlerFunc) Exchange(ctx context.Context, req *Request) (*Response, error) {
	return f(ctx, req)
}

// Middleware wraps a Handler. It may answer without calling next, or call it
// more than once.
type Middleware func(next Handler) Handler

// Chain composes middleware; the first sees the request first and the
// response last.
func Chain(mw ...Middleware) Middleware {
	return func(h Handler) Handler {
		for i := len(mw) - 1; i >= 0; i-- {
			h = mw[i](h)
		}
		return h
	}
}

// A Request is a request in flight. It belongs to one goroutine at a time and
// is valid until the response has been sent.
type Request struct {
	flow.RequestHead
	Conn *flow.Conn
	Body *Body // never nil

	// Received is the head as the client sent it, nil for a request of our
	// own. It never changes: a codec sends its Raw if RequestHead is still
	// equal to it.
	Received *flow.RequestHead

	// Interim, if set, is called for each 1xx response before the final one,
	// 101 excepted.
	Interim func(flow.ResponseHead) error
	// Turn is the request's place among those of its connection, nil if there
	// is no order to keep.
	Turn *Turn
}

// A Response is a response in flight.
type Response struct {
	flow.ResponseHead
	Body *Body // never nil

	// Received is the head as the server sent it, nil for a response of our
	// own; see Request.Received.
	Received *flow.ResponseHead

	// Takeover, if set, is given the client's side of the connection once the
	// head has been written: 101, CONNECT and extended CONNECT. client yields
	// what the client sent after its request, and supports CloseWrite if its
	// transport does. Takeover returns when the conversation is over.
	Takeover func(ctx context.Context, client net.Conn) error
}

// OnRequest is the middleware that calls f before the request goes on.
func OnRequest(f func(context.Context, *Request) error) Middleware {
	return func(next Handler) Handler {
		return HandlerFunc(func(ctx context.Context, req *Request) (*Response, error) {
			if err := f(ctx, req); err != nil {
				return nil, err
			}
			return next.Exchange(ctx, req)
		})
	}
}

// OnResponse is the middleware that calls f before the response goes back. If
// f fails, the response is closed.
func OnResponse(f func(context.Context, *Request, *Response) error) Middleware {
	return func(next Handler) Handler {
		return HandlerFunc(func(ctx context.Context, req *Request) (*Response, error) {
			resp, err := next.Exchange(ctx, req)
			if err != nil {
				return nil, err
			}
			if err := f(ctx, req, resp); err != nil {
				resp.Body.Close()
				return nil, err
			}
			return resp, nil
		})
	}
}

// Text returns a plain text response.
func Text(status int, body string) *Response {
	return Bytes(status, "text/plain; charset=utf-8", []byte(body))
}

// Bytes returns a response with the given body, which is not copied.
func Bytes(status int, contentType string, body []byte) *Response {
	r := &Response{ResponseHead: flow.ResponseHead{Status: status, Proto: flow.HTTP11}, Body: NoBody()}
	r.Header = flow.Header{
		{Name: "Content-Type", Value: contentType},
		{Name: "Content-Length", Value: strconv.Itoa(len(body))},
	}
	r.Body.Set(body)
	return r
}
