package pattern

import (
	"strconv"
	"strings"
	"unicode"
)

// group reads what follows a (. Names are not handed on, since the engines number
// named groups differently.
func (t *translator) group(at int) error {
	if !t.take('?') {
		return t.capture(at, "")
	}
	r, _ := t.more()
	switch r {
	case 'P':
		return t.named(at)
	case ':':
		return t.within(at, "(?:", false)
	case '=', '!', '>':
		return t.within(at, "(?"+string(r), true)
	case '#':
		for {
			if r, ok := t.more(); !ok {
				return t.fail(at, "the comment has no end: a ) is missing")
			} else if r == ')' {
				return nil
			}
		}
	case '(':
		return t.conditional(at)
	case '<':
		if t.take('=') {
			return t.within(at, "(?<=", true)
		}
		if t.take('!') {
			return t.within(at, "(?<!", true)
		}
		return t.fail(at, "want (?<=…) or (?<!…); a named group is (?P<name>…)")
	}
	t.at--
	return t.switches(at)
}

// capture reads a group that has a number.
func (t *translator) capture(at int, name string) error {
	t.groups++
	n := t.groups
	t.closed = append(t.closed, false)
	if name != "" {
		t.names[name] = n
	}
	err := t.within(at, "(", false)
	t.closed[n-1] = true
	return err
}

// within reads a group that open begins, up to its ).
func (t *translator) within(at int, open string, backtracks bool) error {
	t.backtracks = t.backtracks || backtracks
	t.begin()
	starts, verbose := t.starts, t.verbose
	t.emit(open)
	if err := t.alternatives(); err != nil {
		return err
	}
	if !t.take(')') {
		return t.fail(at, "a ) is missing for this (")
	}
	t.emit(")")
	t.starts, t.verbose, t.repeatable = starts, verbose, item
	return nil
}

// named reads (?P<name>…) and (?P=name).
func (t *translator) named(at int) error {
	switch {
	case t.take('<'):
		name, err := t.name('>')
		if err != nil {
			return err
		}
		if t.names[name] != 0 {
			return t.fail(at, "there is a group "+name+" already")
		}
		return t.capture(at, name)
	case t.take('='):
		name, err := t.name(')')
		if err != nil {
			return err
		}
		return t.reference(at, t.names[name])
	}
	return t.fail(at, "want (?P<name>…) or (?P=name)")
}

// name reads a group's name and what ends it.
func (t *translator) name(end rune) (string, error) {
	from := t.at
	for {
		r, ok := t.more()
		switch {
		case !ok:
			return "", t.fail(from, "the group's name has no end: "+string(end)+" is missing")
		case r == end && t.at-1 > from:
			return string(t.src[from : t.at-1]), nil
		case r != '_' && !unicode.IsLetter(r) && (!unicode.IsDigit(r) || t.at-1 == from):
			return "", t.fail(t.at-1, "this may not be in a group's name")
		}
	}
}

// reference writes what stands for the text of a group.
func (t *translator) reference(at, n int) error {
	switch {
	case n == 0 || n > t.groups:
		return t.fail(at, "there is no such group")
	case !t.closed[n-1]:
		return t.fail(at, "the group has not ended yet")
	}
	t.begin()
	t.backtracks = true
	t.emit(`(?:\` + strconv.Itoa(n) + `)`)
	return nil
}

// conditional reads (?(1)…|…).
func (t *translator) conditional(at int) error {
	n := 0
	if digits := t.digits(); digits != "" {
		if !t.take(')') {
			return t.fail(at, "want (?(1)…) or (?(name)…)")
		}
		n, _ = strconv.Atoi(digits)
	} else {
		name, err := t.name(')')
		if err != nil {
			return err
		}
		n = t.names[name]
	}
	if n == 0 || n > t.groups {
		return t.fail(at, "there is no such group")
	}
	return t.within(at, "(?("+strconv.Itoa(n)+")", true)
}

// switches reads (?i) at the beginning, and (?i-s:…).
func (t *translator) switches(at int) error {
	on, off := t.letters("aiLmsux"), ""
	if t.take('-') {
		off = t.letters("imsx")
		if off == "" {
			return t.fail(t.at, "a flag is missing after -")
		}
	}
	switch {
	case on == "" && off == "":
		return t.fail(at, "(?"+string(t.src[t.at:min(t.at+1, len(t.src))])+" begins no group that there is")
	case strings.Contains(on, "L"), strings.Contains(on, "a") && !t.Bytes && (off != "" || !t.next(')')):
		return t.fail(at, "(?L) and (?a:…) are not supported")
	case strings.Contains(on, "u") && t.Bytes:
		return t.fail(at, "(?u) has no meaning here, where bytes are searched")
	}
	if off == "" && t.take(')') {
		if len(t.back) > 0 {
			return t.fail(at, "flags for all of the pattern stand at its beginning; for a part write (?"+on+":…)")
		}
		t.IgnoreCase = t.IgnoreCase || strings.Contains(on, "i")
		t.Multiline = t.Multiline || strings.Contains(on, "m")
		t.DotAll = t.DotAll || strings.Contains(on, "s")
		t.verbose = t.verbose || strings.Contains(on, "x")
		t.ascii = t.ascii || strings.Contains(on, "a")
		return nil
	}
	if !t.take(':') {
		return t.fail(t.at, "want : or ) after a group's flags")
	}
	open := "(?" + known(on)
	if k := known(off); k != "" {
		open += "-" + k
	}
	verbose := t.verbose
	t.verbose = (t.verbose || strings.Contains(on, "x")) && !strings.Contains(off, "x")
	err := t.within(at, open+":", false)
	t.verbose = verbose
	return err
}

func (t *translator) letters(of string) string {
	from := t.at
	for t.at < len(t.src) && strings.ContainsRune(of, t.src[t.at]) {
		t.at++
	}
	return string(t.src[from:t.at])
}

// known returns of flags those that the engines have.
func known(flags string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("ims", r) {
			return r
		}
		return -1
	}, flags)
}
