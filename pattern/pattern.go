// Package pattern has regular expressions that mean what they mean in Python, as
// users of mitmproxy write them.
//
// A pattern runs in linear time where Go's regexp can have it, and backtracks,
// within a bound of time, where it needs look-around, back-references or the like.
package pattern

import (
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2"
)

// Timeout bounds one match that backtracks.
const Timeout = 100 * time.Millisecond

// Options are the flags of re.compile.
type Options struct {
	// Bytes searches bytes, not characters: the pattern stands for its UTF-8, and
	// only ASCII has letters, digits and case.
	Bytes      bool
	IgnoreCase bool
	Multiline  bool // ^ and $ match at lines
	DotAll     bool // . matches a line's end
}

// An Error says where and why a pattern is none.
type Error struct {
	Offset int // in characters; with Bytes, in bytes
	Reason string
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("%s at character %d", e.Reason, e.Offset+1)
}

// A Pattern is compiled. It may be used by many goroutines.
type Pattern struct {
	text    string
	bytes   bool
	re      *regexp.Regexp  // linear time; nil if the pattern needs more
	back    *regexp2.Regexp // nil if it has more of something than fits
	dollar  bool            // $ is in it, which also matches before a last line's end
	literal literal         // what has to be there
	classes bool            // \w and the like are in it, which know letters beyond ASCII
}

// Compile compiles a pattern, which is searched for. Of Python's syntax it lacks
// \N{…}, (?a:…) and (?L). Its error is an *Error.
func Compile(text string, o Options) (*Pattern, error) {
	t := translator{Options: o, names: map[string]int{}, src: characters(text, o.Bytes)}
	if err := t.translate(); err != nil {
		return nil, err
	}
	p := &Pattern{text: text, bytes: o.Bytes, literal: literalOf(text, o), dollar: t.dollar, classes: t.classes && !o.Bytes}
	flags := t.flags()
	var why error
	if !t.backtracks {
		p.re, why = regexp.Compile(flags + string(t.linear))
	}
	if p.re != nil && p.literal.parts == nil {
		p.literal.parts = requiredOf(flags + string(t.linear))
	}
	if p.re == nil || p.dollar || p.classes {
		back, err := regexp2.Compile(flags+string(t.back), regexp2.None)
		if err == nil {
			back.MatchTimeout = Timeout
			p.back = back
		} else if why == nil {
			why = err
		}
	}
	if p.re == nil && p.back == nil {
		return nil, &Error{Reason: fmt.Sprintf("it is no regular expression: %v", why)}
	}
	return p, nil
}

// ErrTimeout says that a match took too long.
var ErrTimeout = errors.New("the pattern takes too long: it backtracks; write it without nested repetition")

// String returns the pattern as it was written.
func (p *Pattern) String() string { return p.text }

// Match reports whether the pattern is found in b. Its only error is ErrTimeout.
func (p *Pattern) Match(b []byte) (bool, error) {
	if p.bytes {
		if found, known := quick(&p.literal, b); known {
			return found, nil
		}
	}
	plain := ascii(b)
	if !p.bytes && plain {
		if found, known := quick(&p.literal, b); known {
			return found, nil
		}
	}
	if p.bytes && !plain {
		wide := wides.Get().(*[]byte)
		defer wides.Put(wide)
		*wide = appendWide((*wide)[:0], b)
		found, err := p.match(*wide, true)
		if cap(*wide) > maxWide {
			*wide = nil // one large subject is not to be paid for ever
		}
		return found, err
	}
	return p.match(b, plain)
}

// MatchString is Match for text.
func (p *Pattern) MatchString(s string) (bool, error) {
	plain := ascii(s)
	if p.bytes || plain {
		if found, known := quick(&p.literal, s); known {
			return found, nil
		}
	}
	if p.linear(plain, newline(s)) && (plain || !p.bytes) {
		return p.re.MatchString(s), nil
	}
	return p.Match([]byte(s))
}

// maxWide bounds what is kept for the next match.
const maxWide = 1 << 20

// wides is a pool of what subjects that are not ASCII are turned into.
var wides = sync.Pool{New: func() any { return new([]byte) }}

func (p *Pattern) match(b []byte, plain bool) (bool, error) {
	if p.linear(plain, newline(b)) {
		return p.re.Match(b), nil
	}
	found, err := p.back.MatchString(string(b))
	if err != nil {
		return false, ErrTimeout
	}
	return found, nil
}

// linear reports whether Go's regexp finds in s what Python's does.
func (p *Pattern) linear(plain, newline bool) bool {
	return p.re != nil && (p.back == nil || (!p.dollar || !newline) && (!p.classes || plain))
}

func newline[T string | []byte](s T) bool { return len(s) > 0 && s[len(s)-1] == '\n' }

func ascii[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// appendWide appends each byte of b as a character.
func appendWide(dst, b []byte) []byte {
	for _, c := range b {
		dst = utf8.AppendRune(dst, wide(c))
	}
	return dst
}
