package pattern

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
)

// A Scanner matches texts of which each begins as the one before did, as sorted ones do: what
// they have in common it does not look at again. It is an automaton whose states are made when
// they are first come to, a few nanoseconds a byte. It is for one goroutine.
type Scanner struct {
	prog   *syntax.Prog
	dollar bool // what ends in a newline is matched in another way

	states []state
	known  map[string]int32
	next   []int32 // by state and byte; ends is where text ends

	at    []int32 // the states before each byte of the last text
	valid int     // of which so many are known

	list []uint32 // of a step
	has  []bool
}

// A state is where in the program a match may be, and what stands before.
type state struct {
	pcs    []uint32
	before rune
}

const (
	matched = 0   // the state in which a match has been found
	begun   = 1   // that before all texts
	unmade  = -1  // a state that nobody has come to
	ends    = 128 // in place of a byte
	steps   = ends + 1

	// maxStates and maxProg bound a Scanner: 300 KiB, and what it takes to make that. Where
	// there are so many, each text has most of them made anew.
	maxStates = 512
	maxProg   = 2000
)

// Scanner returns nil if the pattern can't have one: it has to be searched for in linear time.
func (p *Pattern) Scanner() *Scanner {
	if p.re == nil {
		return nil
	}
	re, err := syntax.Parse(p.re.String(), syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil || len(prog.Inst) > maxProg {
		return nil
	}
	s := &Scanner{prog: prog, dollar: p.dollar, known: map[string]int32{}, at: []int32{begun}, has: make([]bool, len(prog.Inst))}
	s.states = []state{{}, {pcs: []uint32{uint32(prog.Start)}, before: -1}}
	for range s.states {
		s.grow()
	}
	return s
}

func (s *Scanner) grow() {
	for range steps {
		s.next = append(s.next, unmade)
	}
}

// Pass says how much of the last text the next one begins with. It is called for each text.
func (s *Scanner) Pass(same int) { s.valid = min(s.valid, same) }

// Match reports whether the pattern is found in a text, where it knows: of ASCII, while there
// are not too many states.
func (s *Scanner) Match(text []byte) (found, known bool) {
	if len(s.states) == maxStates || s.dollar && newline(text) {
		return false, false
	}
	if s.at = slices.Grow(s.at[:s.valid+1], len(text)-s.valid); len(s.at) <= len(text) {
		s.at = s.at[:len(text)+1]
	}
	now := s.at[s.valid]
	for i := s.valid; i < len(text) && now != matched; i++ {
		c := text[i]
		if c >= ends {
			return false, false
		}
		to := s.next[int(now)*steps+int(c)]
		if to == unmade {
			if to = s.make(now, int(c)); to == unmade {
				return false, false
			}
		}
		now = to
		s.valid = i + 1
		s.at[s.valid] = now
	}
	if now == matched {
		return true, true
	}
	to := s.next[int(now)*steps+ends]
	if to == unmade {
		to = s.make(now, ends)
	}
	return to == matched, true
}

// make makes a step: to the state behind a byte, or where text ends to matched, or begun for
// no match. It returns unmade if there are too many states.
func (s *Scanner) make(from int32, c int) int32 {
	after := rune(c)
	if c == ends {
		after = -1
	}
	at := s.states[from]
	found := s.follow(at.pcs, syntax.EmptyOpContext(at.before, after))
	to := int32(begun)
	switch {
	case found:
		to = matched
	case c != ends:
		to = s.state(after)
	}
	if to != unmade {
		s.next[int(from)*steps+c] = to
	}
	return to
}

// follow gathers in list what may be come to without a byte, and reports whether that is a
// match.
func (s *Scanner) follow(pcs []uint32, is syntax.EmptyOp) (found bool) {
	clear(s.has)
	s.list = s.list[:0]
	add := func(pc uint32) {
		if !s.has[pc] {
			s.has[pc] = true
			s.list = append(s.list, pc)
		}
	}
	for _, pc := range pcs {
		add(pc)
	}
	for i := 0; i < len(s.list); i++ {
		switch in := &s.prog.Inst[s.list[i]]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			add(in.Out)
			add(in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			add(in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^is == 0 {
				add(in.Out)
			}
		case syntax.InstMatch:
			return true
		}
	}
	return false
}

// state returns that behind a character, from what is in list; a match may also begin there.
func (s *Scanner) state(c rune) int32 {
	pcs := []uint32{uint32(s.prog.Start)}
	for _, pc := range s.list {
		switch in := &s.prog.Inst[pc]; in.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if in.MatchRune(c) {
				pcs = append(pcs, in.Out)
			}
		}
	}
	slices.Sort(pcs)
	pcs = slices.Compact(pcs)
	before := ' ' // all that is no part of a word, and no line's end, is alike
	switch {
	case c == '\n':
		before = c
	case syntax.IsWordChar(c):
		before = 'a'
	}
	key := []byte{byte(before)}
	for _, pc := range pcs {
		key = binary.LittleEndian.AppendUint32(key, pc)
	}
	if at, ok := s.known[string(key)]; ok {
		return at
	}
	if len(s.states) == maxStates {
		return unmade
	}
	at := int32(len(s.states))
	s.states = append(s.states, state{pcs, before})
	s.known[string(key)] = at
	s.grow()
	return at
}
