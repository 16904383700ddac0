package view

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

const (
	maxDepth  = 256     // of what is in each other, in the body
	maxIndent = 32      // of it, on a line
	maxNested = 4       // bodies in bodies
	checkEach = 512     // tokens until the context is looked at again
	maxLine   = 4 << 10 // tokens of a line
)

var errDeep = errors.New("nested too deep")

// A printer makes lines and gives them away.
type printer struct {
	ctx     context.Context
	yield   func(Line) bool
	about   About
	schema  *Schema
	line    Line
	indent  int
	nested  int
	tokens  int
	lines   int
	stopped bool // no more is to be printed
	left    bool // nobody wants more
}

// A fault is where in a body a view had to stop.
type fault struct {
	at  int
	err error
}

func (f *fault) Error() string { return fmt.Sprintf("byte %d: %v", f.at, f.err) }

func faultAt(at int, format string, a ...any) error {
	return &fault{at: at, err: fmt.Errorf(format, a...)}
}

// show prints body in v, and what v can't make sense of as it is.
func (p *printer) show(v *view, body []byte) {
	indent := p.indent
	err := v.show(p, body)
	if err == nil || p.stopped {
		p.flush()
		return
	}
	rest := body
	if f := (*fault)(nil); errors.As(err, &f) {
		rest = body[min(max(f.at, 0), len(body)):]
	}
	if !p.about.Cut || len(rest) == len(body) || !IsText(rest, true) {
		p.indent = indent
		p.note(Fault, "not "+v.name+", shown as it is: "+err.Error())
	}
	p.plainly(rest)
	p.indent = indent
}

// read prints body in v, below what there is to say of its characters.
func (p *printer) read(v *view, body []byte, note string) {
	if note == "" || p.note(Note, note) {
		p.show(v, body)
	}
}

// late says that there is no more because it took too long.
func (p *printer) late() {
	if !p.stopped || p.left || !errors.Is(context.Cause(p.ctx), context.DeadlineExceeded) {
		return
	}
	p.yield(Line{{Fault, "(given up here, as it takes too long: ask for text or hex to see all)"}})
}

// plainly prints body as text, or else as hexadecimal digits.
func (p *printer) plainly(body []byte) {
	if IsText(body, p.about.Cut) {
		_ = text(p, body)
		return
	}
	_ = hex(p, body)
}

// inside prints a body that stands in another.
func (p *printer) inside(a About, body []byte) {
	if p.nested >= maxNested {
		p.plainly(body)
		return
	}
	was := p.about
	p.about = a
	p.nested++
	p.indent++
	v, text, note := characters(nil, a, body)
	p.read(v, text, note)
	p.indent--
	p.nested--
	p.about = was
}

// put adds a token to the line.
func (p *printer) put(k Kind, s string) {
	if p.tokens++; p.tokens%checkEach == 0 && p.ctx.Err() != nil {
		p.stopped = true
	}
	if len(p.line) == maxLine {
		p.end()
	}
	if len(p.line) == 0 && p.indent > 0 {
		p.line = append(p.line, Token{Plain, spaces[:2*min(p.indent, maxIndent)]})
	}
	p.line = append(p.line, Token{k, s})
}

func (p *printer) bytes(k Kind, s []byte) { p.put(k, string(s)) }

// end ends the line and reports whether more is wanted.
func (p *printer) end() bool {
	if p.stopped {
		return false
	}
	p.lines++
	switch {
	case p.lines%checkEach == 0 && p.ctx.Err() != nil:
		p.stopped = true
	case !p.yield(p.line):
		p.stopped, p.left = true, true
	}
	p.line = p.line[:0]
	return !p.stopped
}

// flush ends a line that has begun.
func (p *printer) flush() {
	if len(p.line) > 0 {
		p.end()
	}
}

// note prints a line of ours.
func (p *printer) note(k Kind, s string) bool {
	p.flush()
	p.put(k, "("+s+")")
	return p.end()
}

// pair prints a name and a value.
func (p *printer) pair(name string, k Kind, value string) bool {
	p.put(Key, name)
	p.put(Plain, ": ")
	p.put(k, value)
	return p.end()
}

const spaces = "                                                                " // 2*maxIndent

var _ = [1]int{}[len(spaces)-2*maxIndent]

// tabs is what a tab is shown as.
const tabs = "    "

func untab(s string) string { return strings.ReplaceAll(s, "\t", tabs) }
