package nft

import (
	"bytes"
	"slices"
)

// A Ruleset is all chains, rules and sets at one moment. Fates asks what they would
// do with a packet, which is not sent.
type Ruleset struct {
	Chains []ChainInfo
	Rules  []RuleInfo
	sets   map[setName]*set
}

type setName struct {
	family      Family
	table, name string
}

// A set is a set, or a map, by what its keys are compared with.
type set struct {
	intervals bool
	opaque    bool // its elements are too many, or of a kind that is not looked into
	elements  []element
}

// mostElements bounds what is kept of a set.
const mostElements = 1 << 16

// An element of a set of intervals is where one begins, or, if it is an end, the
// first that is behind it.
type element struct {
	key, data attributes
	end       bool
	until     attributes // the last key of an interval in one element; nil if it is none
}

func (r *Ruleset) addSet(f Family, a attributes) {
	if r.sets == nil {
		r.sets = map[setName]*set{}
	}
	flags, _ := a.number(3)
	const concatenated = 0x80
	intervals := flags&setInterval != 0
	r.sets[setName{f, a.text(1), a.text(2)}] = &set{intervals: intervals, opaque: intervals && flags&concatenated != 0}
}

func (r *Ruleset) addElements(f Family, a attributes) {
	s := r.sets[setName{f, a.text(1), a.text(2)}]
	if s == nil || s.opaque {
		return
	}
	for list := a.get(3); ; {
		_, value, rest, ok := list.next()
		if !ok {
			break
		}
		list = rest
		e := attributes(value)
		flags, _ := e.number(3)
		s.elements = append(s.elements, element{key: e.get(1).get(1), data: e.get(2), end: flags&1 != 0, until: e.get(10).get(1)})
	}
	if len(s.elements) > mostElements {
		s.elements, s.opaque = nil, true
	}
	if s.intervals {
		slices.SortStableFunc(s.elements, func(x, y element) int { return bytes.Compare(x.key, y.key) })
	}
}

// find looks a key up.
func (s *set) find(key []byte) (data attributes, found bool) {
	var last *element
	for i := range s.elements {
		e := &s.elements[i]
		switch {
		case e.until != nil && bytes.Compare(e.key, key) <= 0 && bytes.Compare(key, e.until) <= 0 && len(e.key) <= 16:
			return e.data, true
		case !s.intervals && bytes.Equal(e.key, key):
			return e.data, true
		case s.intervals && bytes.Compare(e.key, key) <= 0:
			last = e // of two at one key, an end and a beginning, the latter holds
			if i+1 < len(s.elements) && bytes.Equal(s.elements[i+1].key, e.key) && !e.end {
				return e.data, true
			}
		}
	}
	if last == nil || last.end {
		return nil, false
	}
	return last.data, true
}
