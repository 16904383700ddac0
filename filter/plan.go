package filter

import (
	"net/netip"
	"slices"

	"transom/pattern"
)

// An Answer is what is known of whether a flow matches. The less of two is what is
// known of both together, the greater of either.
type Answer uint8

// Answers.
const (
	No Answer = iota
	Maybe
	Yes
)

// A Plan is a filter as a question about Facts. What it answers with Yes or No is what
// Match returns, and nothing else.
type Plan struct {
	Join rune    // '!', '&', '|', or 0 for one question
	Of   []*Plan // what is joined; behind ! what is not Yes or No without any Maybe within is Maybe

	// The question is one of these, and else the answer is Always.
	Is       uint32                   // Yes if Facts.Is has this bit
	Numbers  []Number                 // Yes if one of these is In; one that is None is not, and one that is Unknown is Maybe
	In       func(int64) bool         //
	Texts    []Text                   // the best of what Search answers for each; No of ASCII that has not got Literals in it, one behind the other, no matter which case
	Search   func(list string) Answer // a list as in Facts.Text
	Scanner  func() *pattern.Scanner  // what says the same of one element, if it is not nil and returns one
	Bodies   []Number                 // Maybe if one of these is not None, and the body
	Words    []string                 // has all of these words, if there are any,
	Literals []string                 // and has these in it, one behind the other, no matter which case of ASCII
	Always   Answer
}

// Plan returns what can be answered without headers and bodies.
func (x *Filter) Plan() *Plan { return x.root.plan() }

func (e *expr) plan() *Plan {
	if e.join != 0 {
		p := &Plan{Join: e.join}
		for _, of := range e.of {
			p.Of = append(p.Of, of.plan())
		}
		return p
	}
	switch {
	case e.op.takes == nothing:
		return &Plan{Is: 1 << slices.Index(operators, e.op)}
	case e.regex != nil:
		return e.searchPlan()
	case e.test.words != nil:
		has := func(text string) (bool, error) { return hasAll([]byte(text), e.test.words), nil }
		return orDNS(&Plan{Words: e.test.words, Bodies: []Number{RequestBody, ResponseBody}}, has, Asked, Answered)
	}
	return &Plan{Numbers: e.test.numbers, In: e.test.in, Texts: e.test.texts, Search: e.test.on}
}

// searchPlan is the plan of what searches text.
func (e *expr) searchPlan() *Plan {
	p := &Plan{Always: Maybe}
	switch e.op.code {
	case "t":
		p.Texts = []Text{RequestType, ResponseType}
	case "b", "bq", "bs":
		return e.bodyPlan()
	default:
		if i := slices.Index(texts[:], e.op.code); i >= 0 {
			p.Texts = []Text{Text(i)}
		}
	}
	if p.Texts == nil {
		return p
	}
	p.Literals = e.regex.Literals()
	p.Search, p.Scanner = searches(e.regex.MatchString), e.regex.Scanner
	return p
}

// bodyPlan is that of what searches bodies, in bytes. Messages of both directions have one
// log, which is in the request's place.
func (e *expr) bodyPlan() *Plan {
	said := []Text{Asked, Answered}
	switch e.op.code {
	case "bq":
		said = said[:1]
	case "bs":
		said = said[1:]
	}
	return orDNS(&Plan{Bodies: []Number{RequestBody, ResponseBody}, Literals: e.regex.Literals()}, e.regex.MatchString, said...)
}

// orDNS adds DNS, whose messages are not kept as bodies.
func orDNS(p *Plan, find func(string) (bool, error), said ...Text) *Plan {
	return &Plan{Join: '|', Of: []*Plan{{Texts: said, Search: searches(find)}, p}}
}

// searches has a pattern searched in the elements of a list.
func searches(find func(string) (bool, error)) func(list string) Answer {
	return func(list string) Answer {
		if list == tooLong {
			return Maybe
		}
		for best := No; ; {
			text, rest, ok := cut(list)
			if !ok {
				return best
			}
			switch found, err := find(text); {
			case err != nil:
				best = Maybe // it may also be found in what follows
			case found && best == No:
				return Yes
			case found:
				return Maybe
			}
			list = rest
		}
	}
}

// isIn asks the same of addresses.
func isIn(networks []netip.Prefix) func(list string) Answer {
	return func(list string) Answer {
		text, _, _ := cut(list)
		a, ok := netip.AddrFromSlice([]byte(text))
		if ok && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) }) {
			return Yes
		}
		return No
	}
}

// Decide answers from facts alone; of bodies nothing is known.
func (p *Plan) Decide(f *Facts) Answer {
	a, _ := p.decide(f)
	return a
}

// decide also reports whether anything was left open within.
func (p *Plan) decide(f *Facts) (Answer, bool) {
	switch p.Join {
	case '!':
		a, open := p.Of[0].decide(f)
		if open {
			return Maybe, true
		}
		return Yes - a, false
	case '&', '|':
		best, any := Yes, false
		if p.Join == '|' {
			best = No
		}
		for _, of := range p.Of {
			a, open := of.decide(f)
			any = any || open
			if p.Join == '&' {
				best = min(best, a)
			} else {
				best = max(best, a)
			}
		}
		return best, any
	}
	a := p.ask(f)
	return a, a == Maybe
}

func (p *Plan) ask(f *Facts) Answer {
	best := No
	switch {
	case p.Is != 0:
		if f.Is&p.Is != 0 {
			return Yes
		}
	case p.In != nil:
		for _, n := range p.Numbers {
			best = max(best, p.Number(f.Numbers[n]))
		}
	case p.Search != nil:
		for _, t := range p.Texts {
			best = max(best, p.Search(string(f.Text(t))))
		}
	case p.Bodies != nil:
		for _, n := range p.Bodies {
			if f.Numbers[n] != None {
				best = Maybe
			}
		}
	default:
		return p.Always
	}
	return best
}

// Number answers for one of Numbers.
func (p *Plan) Number(n int64) Answer {
	switch {
	case n == None:
		return No
	case n == Unknown:
		return Maybe
	case p.In(n):
		return Yes
	}
	return No
}
