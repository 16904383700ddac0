package filter

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// An Error says where an expression is none, and what to do about it.
type Error struct {
	Text   string // the expression, with its tabs as spaces
	Column int    // of its characters, from 1
	Reason string
}

// Error implements error. It has the expression in it, and a line that points at
// the column.
func (e *Error) Error() string {
	return fmt.Sprintf("filter, column %d: %s\n    %s\n    %s^", e.Column, e.Reason, shown(e.Text), strings.Repeat(" ", e.Column-1))
}

// shown has a character of its own for each that does not show.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}

// expandTabs does what mitmproxy's parser does first, in quotes too: it puts spaces
// for tabs, up to the next column that 8 divides.
func expandTabs(text string) string {
	if !strings.Contains(text, "\t") {
		return text
	}
	var b strings.Builder
	column := 0
	for _, r := range text {
		switch r {
		case '\t':
			n := 8 - column%8
			b.WriteString(strings.Repeat(" ", n))
			column += n
			continue
		case '\n', '\r':
			column = -1
		}
		b.WriteRune(r)
		column++
	}
	return b.String()
}
