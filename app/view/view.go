// Package view shows bodies as a person reads them: it finds out what a body
// is, and gives lines of tokens, formatted and with what they mean. Nothing is
// lost on the way: where a body is not what it says, the rest is shown as it
// is, with the reason. A view reads and never writes: what it shows can't be
// made into a body again. What the tokens hold is as it came from the network;
// who draws them escapes what must not reach a terminal or a page.
package view

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// A Kind is what a token means, for whoever gives it a colour.
type Kind uint8

// The kinds of tokens.
const (
	Plain Kind = iota
	Key
	String
	Number
	Word // true, null, a keyword
	Tag
	Comment
	Note // ours, not the body's
	Fault
)

// A Token is a piece of a line, without a line break of ours; Text is as it came.
type Token struct {
	Kind Kind
	Text string
}

// A Line is what stands on one line. It holds until the next one is asked for.
type Line []Token

// About is what is known of a body besides its bytes. Zero is nothing.
type About struct {
	Type     string // Content-Type
	Encoding string // of gRPC's messages, grpc-encoding
	Method   string // of the request
	Target   string // likewise
	Response bool
	Cut      bool // there is more than the bytes given
	Part     bool // one message of a stream, whose size is known to whoever looks
}

// Options say how a body is shown.
type Options struct {
	View   string  // its name; empty chooses
	Schema *Schema // of protobuf; nil is none
}

// A Shown is a body on its way to somebody's eyes.
type Shown struct {
	Name  string         // of the view
	Lines iter.Seq[Line] // once, or again from the beginning
}

// ErrUnknown is a name that no view has.
var ErrUnknown = errors.New("no such view")

// Of returns body in the view that o asks for, or in the one that fits best.
// Lines are made as they are asked for, and end early with ctx; if that is since
// its deadline has passed, the last one says so. They refer to body, which must
// not change meanwhile. The error is ErrUnknown.
func Of(ctx context.Context, a About, body []byte, o Options) (*Shown, error) {
	var v *view
	if o.View != "" && o.View != "auto" {
		if v = find(o.View); v == nil {
			return nil, fmt.Errorf("%w as %q; there are auto, %s", ErrUnknown, o.View, strings.Join(Names(), ", "))
		}
	}
	v, body, note := characters(v, a, body)
	return &Shown{
		Name: v.name,
		Lines: func(yield func(Line) bool) {
			p := printer{ctx: ctx, yield: yield, about: a, schema: o.Schema}
			p.read(v, body, note)
			p.late()
		},
	}, nil
}

// Names returns what can be asked for, in order of the manual.
func Names() []string {
	names := make([]string, 0, 32)
	for _, v := range views() {
		names = append(names, v.name)
	}
	return names
}

// A view is one way to show a body.
type view struct {
	name  string
	types string                 // media types that it is for, with * as in path.Match
	fits  func(body []byte) bool // by its bytes; nil never
	show  func(p *printer, body []byte) error
}

func find(name string) *view {
	for _, v := range views() {
		if v.name == name {
			return &v
		}
	}
	return nil
}
