package filter

import (
	"strings"

	"transom/flow"
)

// isLiteral reports whether the regular expression is a text that stands for itself.
func (e *expr) isLiteral() bool { return e.arg != "" && !strings.ContainsAny(e.arg, `.^$*+?{}[]\|()`) }

// required returns a text that is in whatever a regular expression matches, but for
// case; "" if none is seen. Seen is what stands between dots, of which each may be
// repeated, and anchors.
func required(arg string) string {
	var best, part []byte
	for i := 0; i < len(arg); i++ {
		switch c := arg[i]; {
		case strings.IndexByte(`|()[]{}?+*`, c) >= 0:
			return ""
		case c == '\\':
			if i++; i == len(arg) || isAlnum(arg[i]) || arg[i] >= 0x80 {
				return "" // a class, a back-reference, a boundary
			}
			part = append(part, arg[i])
		case c == '.' || c == '^' || c == '$':
			if c == '.' && i+1 < len(arg) && arg[i+1] == '*' {
				i++
			}
			part = part[:0]
		default:
			part = append(part, c)
		}
		if len(part) > len(best) {
			best = append(best[:0], part...)
		}
	}
	return string(best)
}

func isAlnum(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' }

// findLiteral does what the regular expression does, faster.
func (e *expr) findLiteral(text string) (bool, error) {
	if !isASCII(text) || !isASCII(e.arg) {
		return e.regex.MatchString(text) // there is more to fold
	}
	if !e.folds {
		return strings.Contains(text, e.arg), nil
	}
	return containsFold(text, e.arg), nil
}

// containsFold reports whether text has what in it, no matter which case. Both are ASCII.
func containsFold(text, what string) bool {
	lower, upper := what[0], what[0]
	if 'a' <= lower|0x20 && lower|0x20 <= 'z' {
		lower, upper = lower|0x20, upper&^0x20
	}
	for i := 0; i+len(what) <= len(text); i++ {
		if c := text[i]; (c == lower || c == upper) && flow.EqualFold(text[i:i+len(what)], what) {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
