package pattern

import "regexp/syntax"

// A required gathers texts that all matches have in them, in this order, of what a pattern
// for Go's regexp was read as: more than is seen of how it was written.
type required struct {
	parts []string
	part  []byte
}

// leastPart is what is worth looking for before matching.
const leastPart = 2

// requiredOf returns those of a pattern that regexp has compiled.
func requiredOf(linear string) []string {
	re, err := syntax.Parse(linear, syntax.Perl)
	if err != nil {
		return nil
	}
	var r required
	r.add(re)
	r.end()
	return r.parts
}

// add adds what is in all that re matches. What stands in a part was matched together; of a
// repetition that is the first time.
func (r *required) add(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			if c >= 0x80 {
				r.end() // it is in nothing that is ASCII
				continue
			}
			r.part = append(r.part, fold(byte(c))) // of which regexp has the large ones where case is ignored
		}
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range re.Sub {
			r.add(sub)
		}
	case syntax.OpPlus:
		r.add(re.Sub[0])
		r.end()
	case syntax.OpRepeat:
		if re.Min > 0 {
			r.add(re.Sub[0])
		}
		r.end()
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
	default: // one of several, or nothing
		r.end()
	}
}

// end ends a part.
func (r *required) end() {
	if len(r.part) >= leastPart {
		r.parts = append(r.parts, string(r.part))
	}
	r.part = r.part[:0]
}
