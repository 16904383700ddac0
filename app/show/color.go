package show

import (
	"io"
	"os"

	"golang.org/x/term"
)

// ColorFor reports whether lines on w may be coloured: it is a terminal that
// can, and nobody has asked for none (https://no-color.org).
func ColorFor(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && wantsColor(os.Getenv) && term.IsTerminal(int(f.Fd()))
}

func wantsColor(env func(string) string) bool {
	return env("NO_COLOR") == "" && env("TERM") != "dumb" && env("TERM") != ""
}

// A style is how a piece of a line looks.
type style string

const (
	plain  style = ""
	dim    style = "2"
	bold   style = "1"
	red    style = "31"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
)

// begins and ends enclose a styled piece.
func (p *printer) begins(s style) {
	if p.o.Color && s != plain {
		p.b = append(p.b, "\x1b["...)
		p.b = append(p.b, s...)
		p.b = append(p.b, 'm')
	}
}

func (p *printer) ends(s style) {
	if p.o.Color && s != plain {
		p.b = append(p.b, "\x1b[0m"...)
	}
}

// statusStyle colours by the class of a status.
func statusStyle(status int) style {
	switch status / 100 {
	case 2:
		return green
	case 1, 3:
		return cyan
	case 4:
		return yellow
	}
	return red
}
