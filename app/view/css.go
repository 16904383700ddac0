package view

import (
	"bytes"
	"slices"
	"strings"

	"github.com/tdewolff/parse/v2"
	"github.com/tdewolff/parse/v2/css"
)

const groups = " @media @supports @layer @container @document @scope @starting-style @keyframes @-webkit-keyframes "

// styles prints CSS, a declaration a line.
func styles(p *printer, body []byte) error {
	in := parse.NewInputBytes(slices.Clip(body)) // clipped, it is copied; else the byte after it is written to
	l := css.NewLexer(in)
	base := p.indent
	defer func() { p.indent = base }()
	var stack []bool // of blocks: whether it has declarations
	at, first, space := 0, "", false
	for !p.stopped {
		kind, b := l.Next()
		if len(p.line) == 0 && kind != css.WhitespaceToken {
			first, space = string(b), false
		}
		if space && kind != css.LeftBraceToken && kind != css.SemicolonToken && kind != css.RightBraceToken {
			p.put(Plain, " ")
		}
		if kind != css.WhitespaceToken {
			space = false
		}
		switch kind {
		case css.ErrorToken:
			if at < len(body) {
				return faultAt(at, "is no token")
			}
			return nil
		case css.WhitespaceToken:
			space = len(p.line) > 0
		case css.CommentToken:
			p.comment(b)
		case css.LeftBraceToken:
			if len(stack) == maxDepth {
				return faultAt(at, "%w", errDeep)
			}
			p.put(Plain, " {")
			p.end()
			stack = append(stack, !strings.Contains(groups, " "+first+" "))
			p.indent = base + len(stack)
		case css.RightBraceToken:
			p.flush()
			stack = stack[:max(len(stack)-1, 0)]
			p.indent = base + len(stack)
			p.put(Plain, "}")
			p.end()
		case css.SemicolonToken:
			p.put(Plain, ";")
			p.end()
		case css.ColonToken:
			p.put(Plain, ":")
			space = len(stack) > 0 && stack[len(stack)-1]
		case css.CommaToken:
			p.put(Plain, ",")
			space = true
		default:
			p.put(styleKind(kind), oneLine(b))
		}
		at += len(b)
	}
	return nil
}

func styleKind(t css.TokenType) Kind {
	switch t {
	case css.AtKeywordToken, css.FunctionToken:
		return Word
	case css.StringToken, css.URLToken:
		return String
	case css.NumberToken, css.PercentageToken, css.DimensionToken:
		return Number
	case css.CustomPropertyNameToken, css.HashToken:
		return Key
	}
	return Plain
}

// comment prints a comment where it stands, or by itself if it has lines.
func (p *printer) comment(b []byte) {
	if bytes.IndexByte(b, '\n') < 0 && len(p.line) > 0 {
		p.put(Comment, untab(string(b)))
		return
	}
	p.flush()
	for line := range bytes.Lines(b) {
		p.put(Comment, untab(string(bytes.TrimSpace(line))))
		if !p.end() {
			return
		}
	}
}
