package filter

import "strings"

// word reads an argument: up to white space or one of the characters that have a
// meaning, or in quotes. op is whose it is, nil for a bare one.
func (p *parser) word(op *operator) (string, bool) {
	if q := p.next(); q == '"' || q == '\'' {
		return p.quoted(q)
	}
	from := p.at
	for p.at < len(p.src) && !strings.ContainsRune(special+white, p.src[p.at]) {
		p.at++
	}
	if p.at > from {
		return string(p.src[from:p.at]), true
	}
	switch {
	case op == nil:
		p.fail(p.at, "want an operator, as ~d, or a regular expression for URLs")
	case p.next() == '(' || p.next() == ')':
		p.fail(p.at, "~"+op.code+" wants "+op.takes.String()+"; quote one that has parentheses: ~"+op.code+" \"…\"")
	default:
		p.fail(p.at, "~"+op.code+" wants "+op.takes.String()+", as in ~"+op.code+" "+op.example)
	}
	return "", false
}

// quoted reads an argument in quotes. A backslash stands before a quote, or a
// backslash, and is gone in what is read.
func (p *parser) quoted(q rune) (string, bool) {
	from := p.at
	p.at++
	var b strings.Builder
	for p.at < len(p.src) {
		r := p.src[p.at]
		p.at++
		switch {
		case r == q:
			return b.String(), true
		case r == '\n' || r == '\r':
			p.fail(p.at-1, "a line ends within the quotes; write \\n or \\r")
			p.at = from
			return "", false
		case r == '\\' && p.at < len(p.src) && p.src[p.at] != '\n':
			b.WriteRune(unescaped(p.src[p.at]))
			p.at++
		default:
			b.WriteRune(r)
		}
	}
	p.at = from
	p.fail(from, "this quote has no end: another "+string(q)+" is missing")
	return "", false
}

// unescaped is what a backslash and r stand for.
func unescaped(r rune) rune {
	if i := strings.IndexRune("tnfr", r); i >= 0 {
		return rune("\t\n\f\r"[i])
	}
	return r
}
