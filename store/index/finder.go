package index

import (
	"encoding/binary"
	"math/bits"
	"strings"

	"transom/filter"
	"transom/pattern"
)

// A finder leaves out texts that have not got what a pattern requires, which is to be seen
// many times as fast as matching it. Texts come in the order of a walk: where one begins as
// the last did nothing is looked at again.
type finder struct {
	needles []needle // of which one is looked for
	now     int
	tried   int // how many of them have been, in one block each

	plain int // so much of the text is known to be ASCII
	clean int // and not to have the needle in it

	scanner *pattern.Scanner // of what has it; nil if there is none
}

func newFinder(p *filter.Plan) *finder {
	f := &finder{}
	for _, l := range p.Literals {
		f.needles = append(f.needles, newNeedle(l))
	}
	if p.Scanner != nil {
		f.scanner = p.Scanner()
	}
	return f
}

// begin begins a walk. The first walks find out which needle most texts lack.
func (f *finder) begin() {
	f.plain, f.clean = 0, 0
	if f.scanner != nil {
		f.scanner.Pass(0)
	}
	if f.tried < len(f.needles) {
		f.now = f.tried
		f.tried++
		return
	}
	for i := range f.needles {
		if f.needles[i].share() < f.needles[f.now].share() {
			f.now = i
		}
	}
}

// find reports whether a text matches, if that is known.
func (f *finder) find(w *walk) (found, known bool) {
	f.pass(w)
	switch {
	case f.lacks(w):
		return false, true
	case f.scanner == nil || !w.single:
		return false, false
	}
	return f.scanner.Match(w.text)
}

// lacks reports whether a text lacks what a match has to have.
func (f *finder) lacks(w *walk) bool {
	if len(f.needles) == 0 {
		return false
	}
	f.plain += plainBytes(w.text[f.plain:])
	if f.plain < len(w.text) {
		return false // case is more there than we know of
	}
	n := &f.needles[f.now]
	n.texts++
	from := max(f.clean-len(n.text)+1, 0)
	at := n.in(w.text[from:])
	if at < 0 {
		f.clean = len(w.text)
		return true
	}
	n.found++
	f.clean = from + at + len(n.text) - 1
	return false
}

// pass passes a text that nobody asks about.
func (f *finder) pass(w *walk) {
	f.plain, f.clean = min(f.plain, w.same), min(f.clean, w.same)
	if f.scanner != nil {
		f.scanner.Pass(w.same)
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// plainBytes returns how many bytes of ASCII s begins with, at least where there are others.
func plainBytes(s []byte) int {
	i := 0
	for ; i+8 <= len(s); i += 8 {
		if binary.LittleEndian.Uint64(s[i:])&highs != 0 {
			break
		}
	}
	for i < len(s) && s[i] < 0x80 {
		i++
	}
	return i
}

// A needle is text to look for, no matter which case of ASCII.
type needle struct {
	text   string // in lower case
	anchor int    // where in it the byte is that is looked for first
	every  uint64 // that byte, eight times
	fold   uint64 // and what makes it lower case

	texts, found int // in how many it was looked for, and found
}

// frequent are bytes that most texts have, the most frequent first.
const frequent = "/etaoinsr.c-lmdphu=:&?0123456789gbfwyvk_"

func newNeedle(literal string) needle {
	n := needle{text: lower(literal)}
	rank := -1
	for i := range len(n.text) {
		r := strings.IndexByte(frequent, n.text[i])
		if r < 0 {
			r = len(frequent)
		}
		if r > rank {
			n.anchor, rank = i, r
		}
	}
	c := n.text[n.anchor]
	n.every = ones * uint64(c)
	if 'a' <= c && c <= 'z' {
		n.fold = ones * 0x20
	}
	return n
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		b[i] = lowerByte(c)
	}
	return string(b)
}

func lowerByte(c byte) byte {
	if c-'A' < 26 {
		return c | 0x20
	}
	return c
}

// share is how many of a thousand texts have it.
func (n *needle) share() int { return 1000 * n.found / max(n.texts, 1) }

// in returns where s has it, or -1. Eight bytes are looked at together.
func (n *needle) in(s []byte) int {
	last := len(s) - len(n.text) + n.anchor
	i := n.anchor
	for ; i <= last && i+8 <= len(s); i += 8 {
		x := binary.LittleEndian.Uint64(s[i:]) | n.fold ^ n.every
		for hit := (x - ones) &^ x & highs; hit != 0; hit &= hit - 1 { // of which all but the first may be wrong
			if at := i + bits.TrailingZeros64(hit)/8; at <= last && n.is(s[at-n.anchor:]) {
				return at - n.anchor
			}
		}
	}
	for ; i <= last; i++ {
		if n.is(s[i-n.anchor:]) {
			return i - n.anchor
		}
	}
	return -1
}

// is reports whether s begins with it.
func (n *needle) is(s []byte) bool {
	for i := len(n.text) - 1; i >= 0; i-- {
		if lowerByte(s[i]) != n.text[i] {
			return false
		}
	}
	return true
}
