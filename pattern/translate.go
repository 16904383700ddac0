package pattern

import (
	"slices"
	"strconv"
	"strings"
)

// A translator reads a pattern of Python's and writes it twice: for Go's regexp,
// and for an engine that backtracks.
type translator struct {
	Options
	src   []rune
	at    int
	depth int

	linear, back []byte
	starts       [2]int // where the last item begins in them
	repeatable   repeat

	groups     int
	closed     []bool // by number, less one
	names      map[string]int
	verbose    bool
	ascii      bool // (?a): classes are those of bytes
	backtracks bool
	dollar     bool
	classes    bool
}

// A repeat says whether a repetition may follow.
type repeat uint8

const (
	nothing repeat = iota
	item
	repeated
)

const (
	maxDepth   = 200
	maxRepeats = 1 << 20
)

// high is where bytes beyond ASCII are put, so that they have no case and are no
// letters: in a private use area.
const high = 0xe000

// characters returns what a pattern consists of.
func characters(text string, bytes bool) []rune {
	if !bytes {
		return []rune(text)
	}
	rs := make([]rune, len(text))
	for i := range len(text) {
		rs[i] = wide(text[i])
	}
	return rs
}

func wide(b byte) rune {
	if b < 0x80 {
		return rune(b)
	}
	return high + rune(b)
}

func (t *translator) fail(at int, reason string) error { return &Error{Offset: at, Reason: reason} }

func (t *translator) translate() error {
	if err := t.alternatives(); err != nil {
		return err
	}
	if t.at < len(t.src) {
		return t.fail(t.at, "a ) without its (")
	}
	return nil
}

// flags returns those of the whole.
func (t *translator) flags() string {
	var b strings.Builder
	for _, f := range []struct {
		on     bool
		letter byte
	}{{t.IgnoreCase, 'i'}, {t.Multiline, 'm'}, {t.DotAll, 's'}} {
		if f.on {
			b.WriteByte(f.letter)
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "(?" + b.String() + ")"
}

// emit writes the same for both.
func (t *translator) emit(s string) { t.split(s, s) }

func (t *translator) split(linear, back string) {
	t.linear, t.back = append(t.linear, linear...), append(t.back, back...)
}

// begin marks where an item begins.
func (t *translator) begin() {
	t.starts = [2]int{len(t.linear), len(t.back)}
	t.repeatable = item
}

// more returns the next character and passes it.
func (t *translator) more() (rune, bool) {
	if t.at >= len(t.src) {
		return 0, false
	}
	t.at++
	return t.src[t.at-1], true
}

// next reports whether r is.
func (t *translator) next(r rune) bool { return t.at < len(t.src) && t.src[t.at] == r }

// take passes r if it is next.
func (t *translator) take(r rune) bool {
	if t.next(r) {
		t.at++
		return true
	}
	return false
}

// alternatives reads up to a ) or the end.
func (t *translator) alternatives() error {
	if t.depth++; t.depth > maxDepth {
		return t.fail(t.at, "groups are nested too deeply")
	}
	defer func() { t.depth-- }()
	t.repeatable = nothing
	for t.at < len(t.src) && t.src[t.at] != ')' {
		if err := t.one(); err != nil {
			return err
		}
	}
	return nil
}

// one reads an item, or what repeats the one before.
func (t *translator) one() error {
	at := t.at
	r, _ := t.more()
	switch {
	case t.verbose && strings.ContainsRune(" \t\n\r\v\f", r):
	case t.verbose && r == '#':
		for t.at < len(t.src) && t.src[t.at] != '\n' {
			t.at++
		}
	case r == '|':
		t.emit("|")
		t.repeatable = nothing
	case r == '^', r == '$':
		t.dollar = t.dollar || r == '$'
		t.emit(string(r))
		t.repeatable = nothing
	case r == '(':
		return t.group(at)
	case strings.ContainsRune("*+?{", r):
		return t.repetition(at, r)
	case r == '[':
		t.begin()
		return t.set(at)
	case r == '\\':
		return t.escape(at)
	case r == '.':
		t.begin()
		t.emit(".")
	default:
		t.literal(r)
	}
	return nil
}

func (t *translator) literal(r rune) {
	t.begin()
	t.emit(quote(r))
}

// quote returns what stands for r in either engine, in a set and out of it.
func quote(r rune) string {
	switch {
	case r < 0x20 || r == 0x7f:
		return `\x` + strconv.FormatInt(int64(r)+0x100, 16)[1:]
	case r >= 0x80, r == '_', r == ' ', '0' <= r && r <= '9', 'a' <= r|0x20 && r|0x20 <= 'z':
		return string(r)
	}
	return `\` + string(r)
}

// repetition reads what follows an item: how often it may occur.
func (t *translator) repetition(at int, r rune) error {
	q := string(r)
	if r == '{' {
		counts, ok, err := t.counts(at)
		if err != nil {
			return err
		}
		if !ok {
			t.literal('{')
			return nil
		}
		q = counts
	}
	switch t.repeatable {
	case nothing:
		return t.fail(at, "nothing to repeat")
	case repeated:
		return t.fail(at, "it is repeated already")
	}
	t.repeatable = repeated
	switch {
	case t.take('?'):
		t.emit(q + "?")
	case t.take('+'): // possessive: what was taken is not given back
		t.backtracks = true
		t.back = slices.Insert(t.back, t.starts[1], []byte("(?>")...)
		t.emit(q + ")")
	default:
		t.emit(q)
	}
	return nil
}

// counts reads {2,3}, all of it optional. Anything else is no repetition.
func (t *translator) counts(at int) (q string, ok bool, err error) {
	from := t.at
	low, comma := t.digits(), t.take(',')
	up := low
	if comma {
		up = t.digits()
	}
	if !t.take('}') || low == "" && !comma {
		t.at = from
		return "", false, nil
	}
	least, err1 := count(low, 0)
	most, err2 := count(up, least)
	switch {
	case err1 != nil || err2 != nil || least > maxRepeats || most > maxRepeats:
		return "", false, t.fail(at, "so many repetitions don't fit")
	case most < least:
		return "", false, t.fail(at, "the least is more than the most")
	case comma && up == "":
		return "{" + strconv.Itoa(least) + ",}", true, nil
	}
	return "{" + strconv.Itoa(least) + "," + strconv.Itoa(most) + "}", true, nil
}

func count(digits string, without int) (int, error) {
	if digits == "" {
		return without, nil
	}
	return strconv.Atoi(digits)
}

func (t *translator) digits() string {
	from := t.at
	for t.at < len(t.src) && '0' <= t.src[t.at] && t.src[t.at] <= '9' {
		t.at++
	}
	return string(t.src[from:t.at])
}
