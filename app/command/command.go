// Package command says a recorded request again: as a command that sends it, as a
// program, or as the bytes that it is. What is written sends what was recorded and
// nothing else, whatever that holds.
package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"transom/app/export"
	"transom/filter"
	"transom/flow"
)

// Options say how a request is said.
type Options struct {
	// Resolve has curl connect to the address that the request went to, as
	// mitmproxy's export_preserve_original_ip does.
	Resolve bool
}

// Errors for flows that can't be said.
var (
	ErrNoRequest  = errors.New("the flow is no HTTP request")
	ErrNoResponse = errors.New("the flow has no response")
	ErrCut        = errors.New("not all of the request's body was kept")
)

// maxBody bounds a body within a command.
const maxBody = 16 << 20

// formats are the ways to say a request. The names that mitmproxy has are the same.
var formats = map[string]func(*request) string{
	"curl":   curl,
	"httpie": httpie,
	"fetch":  fetch,
	"python": python,
	"go":     golang,
}

// Formats returns the names of all formats.
func Formats() []string {
	return append(slices.Sorted(maps.Keys(formats)), "raw", "raw_request", "raw_response")
}

// Write writes f in a format. Errors wrap ErrNoRequest, ErrNoResponse or ErrCut where
// the flow does not have what the format needs.
func Write(ctx context.Context, w io.Writer, format string, f *flow.Flow, bodies filter.Bodies, o Options) error {
	h, ok := f.Detail.(*flow.HTTP)
	if !ok || h.Request == nil || h.Request.Method == "" {
		return ErrNoRequest
	}
	switch format {
	case "raw_request":
		return rawRequest(ctx, w, f, h, bodies)
	case "raw_response":
		return rawResponse(ctx, w, h, bodies)
	case "raw":
		if err := rawRequest(ctx, w, f, h, bodies); err != nil {
			return err
		}
		if _, err := io.WriteString(w, "\r\n\r\n"); err != nil || h.Response == nil {
			return err
		}
		return rawResponse(ctx, w, h, bodies)
	}
	say := formats[format]
	if say == nil {
		return fmt.Errorf("format %q is not known: want one of %s", format, strings.Join(Formats(), ", "))
	}
	if err := sayable(format, h.Request.Method); err != nil {
		return err
	}
	r, err := newRequest(ctx, f, h, bodies, o)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, say(r))
	return err
}

// sayable fails for methods that a program does not send, or takes for something else.
func sayable(format, method string) error {
	switch upper := strings.ToUpper(method); {
	case format == "fetch" && (upper == "TRACE" || upper == "TRACK"):
	case format == "httpie" && strings.Trim(upper, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "":
	default:
		return nil
	}
	return fmt.Errorf("%w that %s can send: its method is %q", ErrNoRequest, format, method)
}

func rawRequest(ctx context.Context, w io.Writer, f *flow.Flow, h *flow.HTTP, bodies filter.Bodies) error {
	if h.RequestBody.Kept < h.RequestBody.Size {
		return fmt.Errorf("%w: %d of %d bytes", ErrCut, h.RequestBody.Kept, h.RequestBody.Size)
	}
	head, how := export.AppendRequest(nil, f.Conn, h.Request, h.RequestBody.Kept, h.RequestTrailer)
	return raw(ctx, w, head, how, h.RequestBody, h.RequestTrailer, bodies)
}

func rawResponse(ctx context.Context, w io.Writer, h *flow.HTTP, bodies filter.Bodies) error {
	if h.Response == nil {
		return ErrNoResponse
	}
	head, how := export.AppendResponse(nil, h.Request, h.Response, h.ResponseBody.Kept, h.ResponseTrailer)
	return raw(ctx, w, head, how, h.ResponseBody, h.ResponseTrailer, bodies)
}

// raw writes a message as HTTP/1.1.
func raw(ctx context.Context, w io.Writer, head []byte, how export.Framing, ref flow.BodyRef, trailer flow.Header, bodies filter.Bodies) error {
	if _, err := w.Write(head); err != nil || how == export.None {
		return err
	}
	var r io.Reader = strings.NewReader("")
	if ref.Kept > 0 {
		b, err := bodies.OpenBody(ctx, ref)
		if err != nil {
			return err
		}
		defer b.Close()
		r = b
	}
	return export.CopyBody(w, r, ref.Kept, how, trailer)
}
